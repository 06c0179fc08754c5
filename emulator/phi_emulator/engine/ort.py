"""The engine on ONNX Runtime GenAI: the only file that imports `onnxruntime_genai`.

Knows GenAI 0.18's Engine; knows nothing of queues, HTTP or Azure. What that Engine asks for, beyond its docstrings:

- It belongs to the thread that made it. `run()` frees the interpreter lock; `Generator`, which does not, is unused.
- A finished request keeps its place until `close()`. Left open, it blocks the others for ever.
- It neither preempts nor evicts, so the caller reserves cache blocks before `open` (see `scheduler`).
- Folders with an `engine.dynamic_batching` section run with sequences joining at any step, a prefix cache and a seed
  for each sequence. Stock folders run with static batching: a newcomer waits for the whole batch, and seeds have no
  effect.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime_genai

from phi_emulator.engine.base import (
    EndReason,
    EngineFailedError,
    EngineInfo,
    Message,
    PromptError,
    Sampling,
    Step,
)
from phi_emulator.engine.context import plan_context, plan_pool
from phi_emulator.engine.devices import CPU, Device, declared_providers
from phi_emulator.engine.load_errors import load_error
from phi_emulator.engine.memory import check_memory
from phi_emulator.engine.prompt import PromptEncoder, control_tokens

__all__ = ["OrtEngine"]

og: Any = onnxruntime_genai  # the package has no type information

_FINISHED = int(og.EngineEventFlags.TURN_FINISHED)
_FAILED = int(og.EngineEventFlags.FAILED)
_ENDS = {
    og.FinishReason.EOS: EndReason.STOP,
    og.FinishReason.MAX_GENERATED_TOKENS: EndReason.LENGTH,
    og.FinishReason.MAX_SESSION_TOKENS: EndReason.LENGTH,
}
_STATIC_BATCH = 4
_STATIC = "this folder runs with static batching: requests wait for a batch to end, `seed` has no effect"


@dataclass(slots=True)
class _Open:
    request: Any
    decoder: Any


class OrtEngine:
    """A GenAI model folder, run by GenAI's Engine on `device`.

    `model` is the name that responses carry. `context_length` lowers the context that is served. With `profile`, ONNX
    Runtime writes there what ran where; it costs time. `why` is said with the device.

    Raises:
        ModelLoadError: the folder can't be loaded there.
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
    ) -> None:
        og.disable_telemetry_events()
        self._name, self._why = model, why
        try:
            self._load(folder, context_length, device, profile)
        except (RuntimeError, OSError, ValueError, LookupError, TypeError) as error:
            raise load_error(folder, error) from error

    def _load(
        self,
        folder: Path,
        context_length: int | None,
        device: Device,
        profile: Path | None,
    ) -> None:
        settings = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
        pool: dict[str, int] | None = None
        self._seeded = "dynamic_batching" in settings.get("engine", {})
        if self._seeded:
            plan, pool = plan_pool(folder, settings, context_length, max_running=_STATIC_BATCH)
            settings["engine"]["dynamic_batching"] = pool
        else:
            plan = plan_context(folder, settings, context_length, max_running=_STATIC_BATCH)
        check_memory(folder, settings, plan.served)
        config = og.Config(str(folder))
        device.select_in(config, declared_providers(settings))
        overlay: dict[str, Any] = {"context_length": plan.served}
        if profile is not None:
            overlay["decoder"] = {"session_options": {"enable_profiling": str(profile)}}
        config.overlay(json.dumps({"model": overlay}))
        if pool is not None:
            config.overlay(json.dumps({"engine": {"dynamic_batching": pool}}))
        self._model = og.Model(config)
        device.check_report(str(self._model.device_type))
        self._engine = og.Engine(self._model)
        self._tokenizer = og.Tokenizer(str(folder))
        self._events = self._engine.create_event_buffer(64)
        self._open: dict[int, _Open] = {}
        self._numbers: dict[Any, int] = {}
        self._encoder = PromptEncoder(
            lambda messages: str(self._tokenizer.apply_chat_template(messages, add_generation_prompt=True)),
            lambda text: [int(token) for token in self._tokenizer.encode(text)],
            control_tokens(folder),
        )
        self._encoder([Message("user", "1 + 1")])  # a template that can't be used is better known now
        self._info = EngineInfo(
            model=self._name,
            source=str(folder),
            execution_provider=device.execution_provider,
            context_length=plan.served,
            max_running=self._engine.get_capabilities().configured_max_batch_size,
            block_size=pool["block_size"] if pool else 1,
            num_blocks=pool["num_blocks"] if pool else plan.tokens,
            notes=plan.notes if pool else (*plan.notes, _STATIC),
            why=self._why,
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    def encode(self, messages: Sequence[Message]) -> list[int]:
        try:
            return self._encoder(messages)
        except RuntimeError as error:
            raise PromptError(str(error)) from error

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        options = og.RequestOptions()
        options.set_max_session_tokens(len(prompt) + sampling.max_tokens)
        request = self._engine.create_request(options=options)
        turn = og.TurnOptions(request)
        turn.set_max_generated_tokens(sampling.max_tokens)
        turn.set_do_sample(sampling.temperature > 0)
        if sampling.temperature > 0:
            turn.set_temperature(sampling.temperature)
            turn.set_top_p(sampling.top_p)
            turn.set_top_k(0)  # the folder's own default would cut what the contract doesn't
            if self._seeded:
                seed = secrets.randbits(32) if sampling.seed is None else sampling.seed & (2**63 - 1)
                turn.set_seed(seed)
        request.begin_turn(list(prompt), turn)
        self._open[sequence] = _Open(request, self._tokenizer.create_stream())
        self._numbers[request] = sequence

    def step(self) -> Iterator[Step]:
        for event in self._engine.run(self._events):
            sequence = self._numbers.get(event.request)
            if sequence is None:
                continue
            flags = int(event.flags)
            if flags & _FAILED:
                raise EngineFailedError(f"sequence {sequence}: {event.error_code}")
            token = None if event.token is None else int(event.token)
            text = "" if token is None else str(self._open[sequence].decoder.decode(token))
            if flags & _FINISHED:
                # A cancelled turn ends too, but whoever cancelled it has released the sequence already.
                end = _ENDS.get(event.finish_reason, EndReason.STOP)
                yield Step(sequence, token, text, end, int(event.usage.cached_prompt_tokens))
            elif token is not None:
                yield Step(sequence, token, text)

    def release(self, sequence: int) -> None:
        live = self._open.pop(sequence, None)
        if live is not None:
            del self._numbers[live.request]
            live.request.close()

    def close(self) -> None:
        for sequence in list(self._open):
            self.release(sequence)
        # Native objects must go on this thread, and in this order.
        del self._events, self._engine, self._model
