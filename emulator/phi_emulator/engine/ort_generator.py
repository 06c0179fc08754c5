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
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, cast

from phi_emulator.engine.base import (
    EndReason,
    EngineError,
    EngineFailedError,
    EngineInfo,
    Marks,
    Message,
    ModelLoadError,
    PromptError,
    Sampling,
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
_PATIENCE_S: Final = 5.0
"""How long the process may take to end by itself."""
# How 0.14 complains of what newer model builders write; a folder must work without an edit all the same.
_UNKNOWN: Final = re.compile(r'JSON Error: (?P<path>[\w:]+): Unknown value "(?P<key>\w+)"')
# What transformers 5 calls the class that was `PreTrainedTokenizerFast`; 0.13 knows the older name alone.
_NEWER_CLASS: Final = "TokenizersBackend"
_OLDER_CLASS: Final = "PreTrainedTokenizerFast"
_PAGED: Final = ("block_table", "cumulative_sequence_lengths", "past_sequence_lengths")


class _ProcessError(EngineError):
    """The process answered with an error, or has ended."""


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
        self._process = _Process(python)
        try:
            about, left_out = self._load(folder, settings, device, profile)
            device.check_report(about["device"])
        except (_ProcessError, OSError) as error:
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
        self, folder: Path, settings: dict[str, Any], device: Device, profile: Path | None
    ) -> tuple[dict[str, Any], list[str]]:
        """Load; what the model says of itself, and the settings that were left out because the build is too old."""
        shown, view = _for_generators(folder, settings), Path(self._view.name)
        seen = folder if shown == settings else _show(folder, shown, view)
        left_out: list[str] = []
        where = None if profile is None else str(profile)
        while True:
            try:
                return self._process.ask(
                    "load", folder=str(seen), device=device.name, profile=where
                ), left_out
            except _ProcessError as error:
                unknown = _UNKNOWN.search(str(error))
                if unknown is not None and _leave_out(shown, unknown["path"].split(":"), unknown["key"]):
                    left_out.append(f"{unknown['path'].replace(':', '.')}.{unknown['key']}")
                    seen = _show(folder, shown, view)
                elif _NEWER_CLASS in str(error) and _rename_class(_show(folder, shown, view)):
                    seen = view
                else:
                    raise

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def process_id(self) -> int:
        """The id of the process in which the model is."""
        return self._process.id

    def encode(self, messages: Sequence[Message]) -> list[int]:
        try:
            return [int(token) for token in self._process.ask("encode", messages=[list(m) for m in messages])]
        except _ProcessError as error:
            if self._process.has_ended:
                raise EngineFailedError(str(error)) from error
            raise PromptError(str(error)) from error

    def check_guidance(self, grammar: str) -> None:
        self._ask_guided("check_guidance", grammar=grammar)

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        ask = self._ask if sampling.guidance is None else self._ask_guided
        ask(
            "open",
            sequence=sequence,
            prompt=list(prompt),
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            grammar=sampling.guidance,
        )

    def step(self) -> Iterator[Step]:
        for sequence, token, text, end, is_lost in self._ask("step"):
            error = lost_guidance() if is_lost else None
            yield Step(sequence, token, text, None if end is None else EndReason(end), error=error)

    def release(self, sequence: int) -> None:
        if not self._process.has_ended:
            self._ask("release", sequence=sequence)

    def close(self) -> None:
        self._process.close()
        self._view.cleanup()

    def _ask_guided(self, do: str, **arguments: Any) -> None:
        """Ask where a grammar may be what is wrong."""
        try:
            self._process.ask(do, **arguments)
        except _ProcessError as error:
            if self._process.has_ended:
                raise EngineFailedError(str(error)) from error
            raise guidance_error(str(error)) from error

    def _ask(self, do: str, **arguments: Any) -> Any:
        try:
            return self._process.ask(do, **arguments)
        except _ProcessError as error:
            raise EngineFailedError(str(error)) from error


class _Process:
    """The process at the other end of two pipes. Any thread may ask; answers find their way by number."""

    def __init__(self, python: str) -> None:
        apart: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if os.name == "nt"
            else {"process_group": 0}  # Ctrl-C in a terminal goes to a whole group
        )
        # The child must find what this process finds, wherever that came from.
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._popen = subprocess.Popen(  # noqa: S603 - our own module
            [python, "-P", "-m", "phi_emulator.engine.ort_generator_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            encoding="utf-8",
            errors="replace",
            **apart,
        )
        self._numbers = count(1)
        # Two locks: a writer may have to wait until the process has got rid of its answers, so their reader must
        # never wait for a writer.
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._ended: str | None = None
        self._last_words: deque[str] = deque(maxlen=5)
        self._threads = [
            threading.Thread(target=run, name=f"phi-emulator-{run.__name__}", daemon=True)
            for run in (self._read_answers, self._read_complaints)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def id(self) -> int:
        return self._popen.pid

    @property
    def has_ended(self) -> bool:
        return self._ended is not None

    def ask(self, do: str, **arguments: Any) -> Any:
        """The answer, waited for.

        Raises:
            _ProcessError: the process answered with an error, or ended.
        """
        number = next(self._numbers)
        answer: Future[Any] = Future()
        line = json.dumps({"id": number, "do": do, "with": arguments}) + "\n"
        with self._lock:
            if self._ended is not None:
                raise _ProcessError(self._ended)
            self._waiting[number] = answer
        assert self._popen.stdin is not None  # noqa: S101 - for the type checkers: it was asked for
        # It has ended, and the reader will say how; or it is being closed.
        with self._writing, suppress(OSError, ValueError):
            self._popen.stdin.write(line)
            self._popen.stdin.flush()
        return answer.result()

    def close(self) -> None:
        """End the process, by force if it takes too long."""
        assert self._popen.stdin is not None  # noqa: S101 - as above
        if not self._writing.acquire(timeout=_PATIENCE_S):
            self._popen.kill()  # which ends the write
            self._writing.acquire()
        with suppress(OSError):  # what was not written is of no interest any more
            self._popen.stdin.close()
        self._writing.release()
        try:
            self._popen.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()

    def _read_answers(self) -> None:
        for line in self._popen.stdout or ():
            answer = json.loads(line)
            with self._lock:
                future = self._waiting.pop(answer["id"])
            if "error" in answer:
                future.set_exception(_ProcessError(answer["error"]))
            else:
                future.set_result(answer["result"])
        status = self._popen.wait()
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        words = "; ".join(self._last_words)
        with self._lock:
            self._ended = f"the process that runs the model {how}" + (f": {words}" if words else "")
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(_ProcessError(self._ended))

    def _read_complaints(self) -> None:
        for line in self._popen.stderr or ():
            if line.strip():
                self._last_words.append(line.strip())


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
