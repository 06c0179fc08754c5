"""The engine on ONNX Runtime GenAI's Engine.

Knows GenAI 0.18's Engine; knows nothing of queues, HTTP or Azure. What that Engine asks for, beyond its docstrings:

- It belongs to the thread that made it. `run()` frees the interpreter lock; `Generator`, which does not, is unused.
- A finished request keeps its place until `close()`. Left open, it blocks the others for ever.
- Drafts are offered before each `run`, and every token that they gain is an event of its own. Sampled sequences
  get some because they have a `top_k`, without which they are refused; a seed gives the same text with drafts.
- It neither preempts nor evicts, so the caller reserves cache blocks before `open` (see `scheduler`).
- Folders with an `engine.dynamic_batching` section, which `models.prepare` writes, run with sequences joining at any
  step, a prefix cache and a seed for each sequence. Others run with static batching: a newcomer waits for the whole
  batch, and seeds have no effect.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import Any

import onnxruntime_genai

from phi_emulator.engine.errors import (
    EngineFailedError,
    GuidanceError,
    PromptError,
    SequenceError,
    UnscriptedError,
)
from phi_emulator.engine.machine.context import plan_context, plan_pool
from phi_emulator.engine.machine.device_memory import memory_of
from phi_emulator.engine.machine.devices import CPU, Device, declared_providers
from phi_emulator.engine.machine.memory import check_memory, forecast, memory_phrase
from phi_emulator.engine.native.drafts import Drafter, Payoff
from phi_emulator.engine.native.grammar_checks import GrammarChecks
from phi_emulator.engine.native.guidance_errors import lost_guidance
from phi_emulator.engine.native.load_errors import load_error
from phi_emulator.engine.native.native_errors import short_words
from phi_emulator.engine.native.ort_folder import fingerprint, notes_of, overlay, wanted_threads
from phi_emulator.engine.native.ort_tokenizer import load_text
from phi_emulator.engine.native.ort_turns import OpenTurn, begin_turn, marked
from phi_emulator.engine.native.prompt_parts import OF_A_PART, PART, KnownPrefixes, Reading, chunk_of
from phi_emulator.engine.options import ModelOptions
from phi_emulator.engine.protocol import EndReason, EngineInfo, Message, Sampling, Step
from phi_emulator.models import PreparedModel, short_positions
from phi_emulator.models.genai_config import PoolSettings, pool_of

__all__ = ["OrtEngine"]

logger = logging.getLogger("phi_emulator.engine")

og: Any = onnxruntime_genai  # the package has no type information

_FINISHED = int(og.EngineEventFlags.TURN_FINISHED)
_FAILED = int(og.EngineEventFlags.FAILED)
_RETRYABLE = int(og.EngineEventFlags.RETRYABLE)
_ENDS = {
    og.FinishReason.EOS: EndReason.STOP,
    og.FinishReason.MAX_GENERATED_TOKENS: EndReason.LENGTH,
    og.FinishReason.MAX_SESSION_TOKENS: EndReason.LENGTH,
}
_BROKEN = (og.EngineErrorCode.ENGINE_CONTRACT_FAILURE, og.EngineErrorCode.ENGINE_EXECUTION_FAILURE)
"""What a failed event says where the Engine serves nobody any more; other codes are one sequence's own."""
_STATIC_BATCH = 4
_WORTH_SAYING = 1_000_000_000
"""Bytes of memory from which on a user should know before they are taken."""
_MOST_STALLS = 3
"""Steps without a token for anybody, after which a grammar is held to be the reason."""
_NOBODY = -1
"""A sequence's number that no caller uses while it is used here."""
_HAS_GUIDANCE = hasattr(og.TurnOptions, "set_guidance")


class OrtEngine:
    """A GenAI model folder, run by GenAI's Engine on `device`, as `options` say.

    `why` is said with the device. `clock` tells seconds, for what drafts cost.

    Raises:
        ModelLoadError: the folder can't be loaded there.
    """

    def __init__(
        self,
        ready: PreparedModel,
        options: ModelOptions,
        *,
        device: Device = CPU,
        why: str = "",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        og.disable_telemetry_events()
        self._clock = clock
        try:
            self._load(ready, options, device, why)
        except (RuntimeError, OSError, ValueError, LookupError, TypeError) as error:
            raise load_error(ready.source, error) from error

    def _load(self, ready: PreparedModel, options: ModelOptions, device: Device, why: str) -> None:
        folder, settings, cache_bits = ready.folder, copy(ready.settings), ready.cache_bits
        max_running = 1 if options.deterministic else options.max_running
        self._vocabulary = settings["model"]["vocab_size"]
        self._short_positions = short_positions(settings["model"]["decoder"])
        pool: PoolSettings | None = None
        available = memory_of(device, settings)
        self._seeded = pool_of(settings) is not None
        if self._seeded:
            plan, pool = plan_pool(
                folder,
                settings,
                options.context_length,
                max_running=_STATIC_BATCH,
                cache_bits=cache_bits,
                in_memory=device == CPU or available is not None,
                available=available,
            )
            if max_running is not None:
                pool["max_batch_size"] = max_running
            if options.deterministic:
                pool["prefix_caching"] = False
            settings["engine"] = {**settings.get("engine", {}), "dynamic_batching": pool}
        else:
            plan = plan_context(
                folder, settings, options.context_length, max_running=_STATIC_BATCH, available=available
            )
        check_memory(folder, settings, plan.served, available, cache_bits=cache_bits)
        self._text = load_text(folder, settings, context=plan.served)
        ends = self._text.ends
        config = og.Config(str(folder))
        device.select_in(config, declared_providers(settings))
        needed = forecast(folder, settings, plan.tokens, cache_bits)
        threads = options.threads or wanted_threads(settings, needed["weights_bytes"])
        config.overlay(
            json.dumps(overlay(plan.served, pool, threads=threads, profile=options.profile, ends=ends))
        )
        logger.log(
            logging.INFO if needed["weights_bytes"] > _WORTH_SAYING else logging.DEBUG,
            "loading %s: %s",
            options.model,
            memory_phrase(**needed),
        )
        self._model = og.Model(config)
        device.check_report(str(self._model.device_type))
        self._engine = og.Engine(self._model)
        self._events = self._engine.create_event_buffer(64)
        self._grammars = GrammarChecks(folder, settings)
        self._max_drafts = 0 if options.deterministic else int(self._engine.max_draft_tokens_per_proposal())
        self._payoff = Payoff()
        self._chunk = chunk_of(settings, pool)
        self._known = KnownPrefixes(pool["num_blocks"] if pool and self._chunk > PART else 0)
        self._open: dict[int, OpenTurn] = {}
        self._early: list[Step] = []
        self._stalls = 0
        self._numbers: dict[Any, int] = {}
        self._info = EngineInfo(
            model=options.model,
            source=str(ready.source),
            execution_provider=device.execution_provider,
            context_length=plan.served,
            max_running=self._engine.get_capabilities().configured_max_batch_size,
            block_size=pool["block_size"] if pool else 1,
            num_blocks=pool["num_blocks"] if pool else plan.tokens,
            batching="continuous" if pool else "static",
            fingerprint=fingerprint(folder, settings, device.name),
            notes=(*notes_of(plan, ready, is_static=pool is None), *ends.notes),
            why=why,
            threads=threads,
            weights_bytes=needed["weights_bytes"],
            cache_bytes=needed["cache_bytes"],
            marks=self._text.encoder.marks if _HAS_GUIDANCE else None,
        )
        if max_running is not None:
            self.run_at_most(max_running)

    def run_at_most(self, sequences: int, rates: Mapping[int, float] | None = None) -> None:
        """Let no more run side by side, because of `rates` that were measured. Belongs to the time before the first."""
        fewer = min(sequences, self._info.max_running)
        self._info = replace(self._info, max_running=fewer, rates=dict(rates or {}))

    @property
    def info(self) -> EngineInfo:
        return self._info

    def encode(self, messages: Sequence[Message]) -> list[int]:
        try:
            return self._text.encoder(messages)
        except RuntimeError as error:
            raise PromptError(str(error)) from error

    def prepare_guidance(self, grammar: str) -> None:
        with ThreadPoolExecutor(1) as pool:  # both have tables to build
            checking = pool.submit(self.check_guidance, grammar)
            self.open(_NOBODY, [0], Sampling(1, temperature=0, guidance=grammar))
            self.release(_NOBODY)
            checking.result()

    def check_guidance(self, grammar: str) -> None:
        if not _HAS_GUIDANCE:
            raise GuidanceError("the installed ONNX Runtime GenAI has no guidance")
        self._grammars.check(grammar)

    def pieces(self, text: str) -> Sequence[tuple[int, str]]:
        try:
            return self._text.pieces(text)
        except ValueError as error:
            raise UnscriptedError(str(error)) from error

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        ids = marked(prompt, sampling.max_tokens, self._short_positions, self._vocabulary)
        decoder = self._text.decoder()
        # A grammar is followed token by token.
        is_drafted = self._max_drafts > 0 and sampling.guidance is None
        live = self._open[sequence] = OpenTurn(
            *self._begin(ids, sampling),
            decoder,
            sampling,
            Reading(ids, self._chunk, self._known),
            Drafter(prompt, self._payoff) if is_drafted else None,
        )
        self._numbers[live.request] = sequence

    def _begin(self, prompt: Sequence[int], sampling: Sampling) -> tuple[Any, int]:
        return begin_turn(og, self._engine, prompt, sampling, self._vocabulary, has_seeds=self._seeded)

    def _read_on(self) -> None:
        """Begin what the next step is to read of prompts."""
        for sequence, live in self._open.items():
            reading = live.reading
            end = None if live.has_begun else reading.begin_next(alone=len(self._open) == 1)
            if end is None:
                continue
            if reading.is_cut:
                reading.note_cut(self._cut(live))
            del self._numbers[live.request]
            live.request.close()
            sampling = live.sampling if end == reading.length else OF_A_PART
            try:
                live.request, live.turn = self._begin(reading.tokens[:end], sampling)
                self._numbers[live.request] = sequence
            except SequenceError as error:
                self._early.append(Step(sequence, None, "", error=error))

    def step(self) -> Iterator[Step]:
        self._read_on()
        alone = next(iter(self._open.values())) if len(self._open) == 1 else None
        if alone is not None and not alone.has_begun:
            alone = None
        drafted = 0 if alone is None else self._draft(alone)
        began = self._clock()
        events = self._run()
        accepted = 0
        if alone is not None and alone.drafter is not None:
            seconds = self._clock() - began
            accepted = alone.drafter.note_step((event.token for event in events), seconds)
        early, self._early = self._early, []
        # All are read before the first is told of, because a `release` between two of them reads events too.
        for step in [*early, *self._read(events, drafted, accepted)]:
            if step.sequence in self._open or step.error is not None:
                yield step

    def _run(self) -> list[Any]:
        try:
            return list(self._engine.run(self._events))
        except Exception as error:
            raise EngineFailedError(f"the native engine's step failed: {short_words(error)}") from error

    def _read(self, events: Iterable[Any], drafted: int = 0, accepted: int = 0) -> Iterator[Step]:
        """What events come to. They are to be read before the next `run`."""
        for event in events:
            flags = int(event.flags)
            sequence = self._numbers.get(event.request)
            if sequence is None:
                if flags & _RETRYABLE:
                    yield from self._stall()
                continue
            self._stalls = 0
            if flags & _FAILED:
                is_broken = event.error_code in _BROKEN
                if is_broken and not self._seeded and any(live.grammar for live in self._open.values()):
                    yield from self._renew()
                    return
                if is_broken:
                    raise EngineFailedError(f"the native engine failed: {event.error_code}")
                yield Step(sequence, None, "", error=SequenceError(f"given up: {event.error_code}"))
                continue
            live = self._open[sequence]
            if live.reading.part:
                live.reading.note_part(event.usage, has_ended=bool(flags & _FINISHED))
                continue
            token = None if event.token is None else int(event.token)
            text = live.take(token)
            end, cached = None, 0
            if flags & _FINISHED:
                # A cancelled turn ends too, but whoever cancelled it has released the sequence already.
                live.has_ended = True
                text += live.decoder.flush()
                end = _ENDS.get(event.finish_reason, EndReason.STOP)
                cached = live.reading.cached_of(event.usage.cached_prompt_tokens)
            if token is not None or end is not None:
                yield Step(
                    sequence, token, text, end, cached, drafted_tokens=drafted, accepted_tokens=accepted
                )
                drafted = accepted = 0

    def _draft(self, alone: OpenTurn) -> int:
        """Offer drafts for the next step of the only open sequence; return how many."""
        drafts = [] if alone.drafter is None else alone.drafter.propose(min(self._max_drafts, alone.room - 1))
        if drafts:
            try:
                alone.request.set_draft_tokens(drafts)
            except RuntimeError as error:
                # The folder's own search options may be such that none are taken, as with a penalty of repetition.
                logger.debug("no drafts: %s", error)
                alone.drafter = None
                return 0
        return len(drafts)

    def _stall(self) -> Iterator[Step]:
        """Give up a grammar after several steps that came to nothing.

        One that no token fits any more stops everybody, and is not named; the longest is the likeliest.
        """
        self._stalls += 1
        guided = [number for number, live in self._open.items() if live.grammar]
        if self._stalls >= _MOST_STALLS and guided:
            self._stalls = 0
            worst = max(guided, key=lambda number: len(self._open[number].grammar))
            yield Step(worst, None, "", error=lost_guidance())

    def _renew(self) -> Iterator[Step]:
        """End all, and make a new Engine: one with static batching does not survive a grammar that no token fits."""
        for number, live in list(self._open.items()):
            error = (
                lost_guidance()
                if live.grammar
                else EngineFailedError("another request's form broke the engine")
            )
            yield Step(number, None, "", error=error)
            self.release(number)
        self._engine = og.Engine(self._model)
        self._events = self._engine.create_event_buffer(64)

    def release(self, sequence: int) -> int:
        live = self._open.pop(sequence, None)
        if live is None:
            return 0
        cached = 0 if live.has_ended else self._cut(live)
        live.reading.close(is_read=live.has_begun or live.has_ended)
        self._numbers.pop(live.request, None)
        live.request.close()
        return live.reading.cached_of(cached)

    def _cut(self, live: OpenTurn) -> int:
        """End a turn in its midst; return its cached prompt tokens, which are told of a turn that has ended alone.

        The `run` that tells them takes 0.07 ms: it is no step of the model, also where others are running.
        """
        if not self._seeded:
            return 0
        try:
            live.request.cancel_turn(live.turn)
        except RuntimeError:  # it has ended
            return 0
        cached = 0
        others: list[Any] = []
        for event in self._run():
            if event.request != live.request:
                others.append(event)
            elif int(event.flags) & _FINISHED:
                cached = int(event.usage.cached_prompt_tokens)
        self._early += self._read(others)
        return cached

    def close(self) -> None:
        self._grammars.close()
        for live in self._open.values():
            with suppress(RuntimeError):  # of a broken engine
                live.request.close()
        self._open.clear()
        self._numbers.clear()
        # Native objects must go on this thread, and in this order.
        del self._events, self._engine, self._model
