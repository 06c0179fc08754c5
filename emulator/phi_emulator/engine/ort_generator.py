"""The engine on builds of ONNX Runtime GenAI that are older than its Engine: Generators in a process of their own.

    OrtGeneratorEngine ──requests──► ort_generator_process ──► GenAI's Generator
            ▲                                 │
            └──────────── answers ────────────┘   a process that ends fails every request that waits for it

Knows the process and what old builds can't read; knows nothing of queues, HTTP or Azure. DirectML's build stopped at
0.14, so this is how DirectML is served. What it lacks beside `ort`: batches (sequences take turns), and a prefix cache.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from phi_emulator.engine.asked_process import AskedProcess, AskingError
from phi_emulator.engine.base import (
    EndReason,
    EngineError,
    EngineFailedError,
    EngineInfo,
    Marks,
    Message,
    ModelLoadError,
    PromptError,
    PromptTooLongError,
    Sampling,
    SequenceError,
    Step,
)
from phi_emulator.engine.context import plan_context
from phi_emulator.engine.devices import CPU, Device
from phi_emulator.engine.guidance_errors import guidance_error, lost_guidance
from phi_emulator.engine.load_errors import load_error
from phi_emulator.engine.memory import check_memory

__all__ = ["STOCK_GRAPH", "OrtGeneratorEngine"]

STOCK_GRAPH: Final = "generator.onnx"
"""Beside a paged graph, the graph for Generators over the same weights."""
_MAX_RUNNING: Final = 4
_MISSING: Final = object()
_MODULE: Final = "phi_emulator.engine.ort_generator_process"
# How 0.14 complains of what newer model builders write; a folder must work without an edit all the same.
_UNKNOWN: Final = re.compile(r'JSON Error: (?P<path>[\w:]+): Unknown value "(?P<key>\w+)"')
# What transformers 5 calls the class that was `PreTrainedTokenizerFast`; 0.13 knows the older name alone.
_NEWER_CLASS: Final = "TokenizersBackend"
_OLDER_CLASS: Final = "PreTrainedTokenizerFast"
_PAGED: Final = ("block_table", "cumulative_sequence_lengths", "past_sequence_lengths")


class OrtGeneratorEngine:
    """A GenAI model folder, run by Generators in a process of their own.

    `python` is the interpreter of that process. With `profile`, ONNX Runtime writes there what ran where.

    Raises:
        ModelLoadError: the folder can't be loaded.
    """

    def __init__(
        self,
        folder: Path,
        *,
        model: str,
        context_length: int | None = None,
        device: Device = CPU,
        why: str = "",
        profile: Path | None = None,
        python: str = sys.executable,
    ) -> None:
        try:
            settings = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
            plan = plan_context(folder, settings | {"engine": {}}, context_length, max_running=_MAX_RUNNING)
            check_memory(folder, settings | {"engine": {}}, plan.served)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise load_error(folder, error) from error
        self._view = tempfile.TemporaryDirectory(prefix="phi-emulator-")
        self._process = AskedProcess(_MODULE, python)
        try:
            about, left_out = self._load(folder, settings, device, profile, plan.served)
            device.check_report(about["device"])
        except (AskingError, OSError) as error:
            self.close()
            raise load_error(folder, error) from error
        except ModelLoadError:
            self.close()
            raise
        self._info = EngineInfo(
            model=model,
            source=str(folder),
            execution_provider=device.execution_provider,
            context_length=plan.served,
            max_running=_MAX_RUNNING,
            block_size=1,
            num_blocks=plan.tokens,
            batching="no",
            marks=_read_marks(about["marks"]),
            why=why,
            notes=(
                *plan.notes,
                f"ONNX Runtime GenAI {about['version']} has no batching Engine: requests take turns, token by token",
                *(f"it does not know `{name}` in genai_config.json, which was left out" for name in left_out),
            ),
        )

    def _load(
        self, folder: Path, settings: dict[str, Any], device: Device, profile: Path | None, context: int
    ) -> tuple[dict[str, Any], list[str]]:
        """Load; what the model says of itself, and the settings that were left out because the build is too old."""
        shown, view = _for_generators(folder, settings), Path(self._view.name)
        seen = folder if shown == settings else _show(folder, shown, view)
        left_out: list[str] = []
        where = None if profile is None else str(profile)
        while True:
            try:
                about = self._process.ask(
                    "load", folder=str(seen), device=device.name, profile=where, context=context
                )
            except AskingError as error:
                unknown = _UNKNOWN.search(str(error))
                if unknown is not None and _leave_out(shown, unknown["path"].split(":"), unknown["key"]):
                    left_out.append(f"{unknown['path'].replace(':', '.')}.{unknown['key']}")
                    seen = _show(folder, shown, view)
                elif _NEWER_CLASS in str(error) and _rename_class(_show(folder, shown, view)):
                    seen = view
                else:
                    raise
            else:
                return about, left_out

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def process_id(self) -> int:
        """The id of the process in which the model is."""
        return self._process.id

    def encode(self, messages: Sequence[Message]) -> list[int]:
        try:
            found = self._process.ask("encode", messages=[list(m) for m in messages])
        except AskingError as error:
            if self._process.has_ended:
                raise EngineFailedError(str(error)) from error
            raise PromptError(str(error)) from error
        if "too_long" in found:
            raise PromptTooLongError(int(found["too_long"]), self._info.context_length)
        return [int(token) for token in found["ids"]]

    def check_guidance(self, grammar: str) -> None:
        self._ask_guided("check_guidance", grammar=grammar)

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        try:
            self._process.ask(
                "open",
                sequence=sequence,
                prompt=list(prompt),
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=sampling.seed,
                grammar=sampling.guidance,
            )
        except AskingError as error:
            if self._process.has_ended:
                raise EngineFailedError(str(error)) from error
            if sampling.guidance is not None:
                raise guidance_error(str(error)) from error
            raise SequenceError(f"the native engine refused the request: {error}") from error

    def step(self) -> Iterator[Step]:
        for sequence, token, text, end, complaint in self._ask("step"):
            error: EngineError | None = None
            if complaint is not None:
                error = SequenceError(f"given up: {complaint}") if complaint else lost_guidance()
            yield Step(sequence, token, text, None if end is None else EndReason(end), error=error)

    def release(self, sequence: int) -> int:
        if not self._process.has_ended:
            self._ask("release", sequence=sequence)
        return 0

    def close(self) -> None:
        self._process.close()
        self._view.cleanup()

    def _ask_guided(self, do: str, **arguments: Any) -> None:
        """Ask where a grammar may be what is wrong."""
        try:
            self._process.ask(do, **arguments)
        except AskingError as error:
            if self._process.has_ended:
                raise EngineFailedError(str(error)) from error
            raise guidance_error(str(error)) from error

    def _ask(self, do: str, **arguments: Any) -> Any:
        try:
            return self._process.ask(do, **arguments)
        except AskingError as error:
            raise EngineFailedError(str(error)) from error


def _for_generators(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """A copy of `settings` without what is for the Engine, over the stock graph that lies beside a paged one.

    Raises:
        ModelLoadError: the graph is paged, and there is no other.
    """
    shown = copy.deepcopy(settings)
    shown.pop("engine", None)
    decoder: dict[str, Any] = shown["model"]["decoder"]
    inputs: dict[str, str] = decoder.get("inputs", {})
    if "block_table" in inputs:
        if not (folder / STOCK_GRAPH).is_file():
            raise ModelLoadError(
                f"the graph in {str(folder)!r} is for ONNX Runtime GenAI's Engine, which the installed build is too "
                "old for: take the folder as the model builder made it"
            )
        for name in _PAGED:
            inputs.pop(name, None)
        inputs["attention_mask"] = "attention_mask"
        decoder["filename"] = STOCK_GRAPH
    return shown


def _read_marks(said: dict[str, Any] | None) -> Marks | None:
    if said is None:
        return None
    before, after = said["call"]
    return Marks(said["opens_reasoning"], (before, after), said["tool_role"])


def _leave_out(settings: dict[str, Any], path: list[str], key: str) -> bool:
    """Remove a key; False if it is not there."""
    section = settings
    for name in path:
        inner: Any = section.get(name)
        if not isinstance(inner, dict):
            return False
        section = cast("dict[str, Any]", inner)
    return section.pop(key, _MISSING) is not _MISSING


def _rename_class(view: Path) -> bool:
    """Give the tokenizer of a folder of links the older name of its class; False if it has it already."""
    path = view / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    if settings.get("tokenizer_class") != _NEWER_CLASS:
        return False
    path.unlink()  # it is a link, and what it leads to is the user's
    path.write_text(json.dumps(settings | {"tokenizer_class": _OLDER_CLASS}), encoding="utf-8")
    return True


def _show(folder: Path, settings: dict[str, Any], view: Path) -> Path:
    """Make `view` a folder of links to what is in `folder`, with `settings` for its `genai_config.json`."""
    for path in folder.iterdir():
        link = view / path.name
        if path.is_file() and path.name != "genai_config.json" and not link.exists():
            _link(path.resolve(), link)
    (view / "genai_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return view


def _link(path: Path, link: Path) -> None:
    for make in (
        os.symlink,
        os.link,
        shutil.copyfile,
    ):  # Windows gives the first to few, the second on one drive
        try:
            make(path, link)
        except OSError:
            if make is shutil.copyfile:
                raise
        else:
            return
