"""The engine on builds of ONNX Runtime GenAI that are older than its Engine: Generators in a process of their own.

    OrtGeneratorEngine ──requests──► ort_generator_process ──► GenAI's Generator
            ▲                                 │
            └──────────── answers ────────────┘   a process that ends fails every request that waits for it

Knows the process and what old builds can't read; knows nothing of queues, HTTP or Azure. DirectML's build stopped at
0.14, so this is how DirectML is served. What it lacks beside `ort`: batches (sequences take turns), and a prefix cache.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from phi_emulator.engine.errors import (
    EngineError,
    EngineFailedError,
    ModelLoadError,
    PromptError,
    PromptTooLongError,
    SequenceError,
    UnscriptedError,
)
from phi_emulator.engine.machine.context import plan_context
from phi_emulator.engine.machine.devices import CPU, Device
from phi_emulator.engine.machine.memory import check_memory
from phi_emulator.engine.native.asked_process import AskedProcess, AskingError
from phi_emulator.engine.native.generator_folder import HOST, load_host
from phi_emulator.engine.native.grammar_checks import GrammarChecks
from phi_emulator.engine.native.guidance_errors import guidance_error, lost_guidance
from phi_emulator.engine.native.load_errors import load_error
from phi_emulator.engine.options import ModelOptions
from phi_emulator.engine.protocol import EndReason, EngineInfo, Marks, Message, Sampling, Step
from phi_emulator.models.genai_config import Settings

__all__ = ["OrtGeneratorEngine"]

_MAX_RUNNING: Final = 4


class OrtGeneratorEngine:
    """A GenAI model folder, run by Generators in a process of their own, as `options` say as far as they concern those.

    `settings` is what the folder says of itself, `python` the interpreter of the process; `why` is said with `device`.

    Raises:
        ModelLoadError: the folder can't be loaded.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        options: ModelOptions,
        *,
        device: Device = CPU,
        why: str = "",
        python: str = sys.executable,
    ) -> None:
        try:
            without_pool: Settings = {**settings, "engine": {}}
            plan = plan_context(folder, without_pool, options.context_length, max_running=_MAX_RUNNING)
            check_memory(folder, without_pool, plan.served)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise load_error(folder, error) from error
        self._view = tempfile.TemporaryDirectory(prefix="phi-emulator-")
        self._process = AskedProcess(HOST, python)
        self._grammars = GrammarChecks(folder, settings, python=python)
        try:
            about, left_out = load_host(
                self._process,
                folder,
                settings,
                Path(self._view.name),
                device=device,
                context=plan.served,
                profile=options.profile,
            )
            device.check_report(about["device"])
        except (AskingError, OSError) as error:
            self.close()
            raise load_error(folder, error) from error
        except ModelLoadError:
            self.close()
            raise
        self._info = EngineInfo(
            model=options.model,
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
                *about["notes"],
                f"ONNX Runtime GenAI {about['version']} has no batching Engine: requests take turns, token by token",
                *(f"it does not know `{name}` in genai_config.json, which was left out" for name in left_out),
            ),
        )

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

    def prepare_guidance(self, grammar: str) -> None:
        self._grammars.check(grammar)
        try:
            self._process.ask("check_guidance", grammar=grammar)
        except AskingError as error:
            raise guidance_error(str(error)) from error

    def check_guidance(self, grammar: str) -> None:
        self._grammars.check(grammar)

    def pieces(self, text: str) -> Sequence[tuple[int, str]]:  # noqa: ARG002 - it is not looked at
        raise UnscriptedError("scripted answers need a current onnxruntime-genai")

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
        self._grammars.close()
        self._process.close()
        self._view.cleanup()

    def _ask(self, do: str, **arguments: Any) -> Any:
        try:
            return self._process.ask(do, **arguments)
        except AskingError as error:
            raise EngineFailedError(str(error)) from error


def _read_marks(said: dict[str, Any] | None) -> Marks | None:
    if said is None:
        return None
    before, after = said["call"]
    return Marks(said["opens_reasoning"], (before, after), said["tool_role"])
