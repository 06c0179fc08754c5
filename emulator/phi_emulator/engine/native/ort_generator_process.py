"""The process in which ONNX Runtime GenAI's Generator runs, for builds of it that are older than the Engine.

    parent ──{"id", "do", …}──► stdin        stdout ──{"id", "result"} or {"id", "error"}──► parent

One line of JSON each; the first request is `load`, the end of the input ends the process. A Generator holds the
interpreter lock while the model works, which is why it may not live in the server's process. Runs on 0.13 and 0.14, the
last ones with DirectML. Knows GenAI; knows nothing of queues, HTTP or Azure.

A step gives each open sequence one token, one Generator after the other: side by side they would gain nothing. A prompt
goes in by pieces where the device allows it, one piece for each step, so those that run are not held up.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import onnxruntime_genai

from phi_emulator.engine.errors import PromptTooLongError
from phi_emulator.engine.machine.devices import DEVICES, declared_providers
from phi_emulator.engine.native.decoding import TokenDecoder
from phi_emulator.engine.native.native_sampling import native_sampling
from phi_emulator.engine.native.native_text import NativeText
from phi_emulator.engine.native.ort_folder import SHORT_TABLE
from phi_emulator.engine.protocol import EndReason, Message, Sampling
from phi_emulator.models.genai_config import read_settings

__all__ = ["main", "piece_of"]

og: Any = onnxruntime_genai  # the package has no type information

_PIECE: Final = 32
"""Tokens of a prompt for each step."""
_VERBS: Final = ("encode", "check_guidance", "open", "step", "release")
_LITTLE_STACK: Final = 512 * 1024
"""The least that a thread has on the systems that are served (macOS)."""
_TAKES_PIECES: Final = ("cpu", "cuda")
"""Elsewhere GenAI refuses to append to a sequence ("Continuous decoding is not supported")."""


@dataclass(slots=True)
class _Open:
    generator: Any
    decoder: TokenDecoder
    rest: list[int]
    """What is still to be read of the prompt."""
    tokens: int
    """Tokens that may still be generated."""
    piece: int
    """Tokens of the prompt for each step."""
    is_guided: bool


class _Host:
    """A model and its Generators."""

    def __init__(self, *, folder: str, device: str, profile: str | None, context: int) -> None:
        if hasattr(og, "disable_telemetry_events"):
            og.disable_telemetry_events()
        settings = read_settings(Path(folder))
        self._vocabulary = settings["model"]["vocab_size"]
        config = og.Config(folder)
        DEVICES[device].select_in(config, declared_providers(settings))
        if profile is not None:
            session = {"enable_profiling": profile}
            config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
        self._model = og.Model(config)
        self._tokenizer = og.Tokenizer(self._model)
        self._reported = str(self._model.device_type)
        self._open: dict[int, _Open] = {}
        self._text = NativeText(self._tokenizer, Path(folder), settings, context=context)
        self._ends = frozenset(self._text.ends.ids)

    def about(self) -> dict[str, Any]:
        """What the loaded model says of itself."""
        marks = asdict(self._text.encoder.marks) if hasattr(og.GeneratorParams, "set_guidance") else None
        notes = self._text.ends.notes
        return {"device": self._reported, "version": str(og.__version__), "marks": marks, "notes": notes}

    def encode(self, messages: list[list[str]]) -> dict[str, Any]:
        """The prompt's tokens under `ids`, or under `too_long` how many there are at least."""
        try:
            return {"ids": self._text.encoder([Message(*message) for message in messages])}
        except PromptTooLongError as error:
            return {"too_long": error.prompt_tokens}

    def check_guidance(self, grammar: str) -> float:
        """Compile a grammar; return the seconds that it took of a processor.

        In a thread of little stack, so that what would overflow another's overflows here.
        """
        took = 0.0
        refusal: Exception | None = None

        def compile_it() -> None:
            nonlocal took, refusal
            began = time.thread_time()
            try:
                params = og.GeneratorParams(self._model)
                params.set_search_options(max_length=2)
                params.set_guidance("lark_grammar", grammar)
                og.Generator(self._model, params)
            except Exception as error:  # noqa: BLE001 - it is raised below
                refusal = error
            took = time.thread_time() - began

        usual = threading.stack_size(_LITTLE_STACK)
        thread = threading.Thread(target=compile_it)
        thread.start()
        thread.join()
        threading.stack_size(usual)
        if refusal is not None:
            raise refusal
        return took

    def open(
        self,
        sequence: int,
        prompt: list[int],
        *,
        max_tokens: int,
        temperature: float,
        top_p: float,
        seed: int | None,
        grammar: str | None,
    ) -> None:
        params = og.GeneratorParams(self._model)
        native = native_sampling(Sampling(max_tokens, temperature=temperature, top_p=top_p), self._vocabulary)
        options: dict[str, Any] = {"max_length": len(prompt) + max_tokens, "do_sample": not native.is_greedy}
        if not native.is_greedy:
            options |= {"temperature": native.temperature, "top_p": native.top_p, "top_k": native.top_k}
            options["random_seed"] = secrets.randbits(31) if seed is None else seed & (2**31 - 1)
        params.set_search_options(**options)
        if grammar is not None:
            params.set_guidance("lark_grammar", grammar)
        generator = og.Generator(self._model, params)
        piece = piece_of(len(prompt), device=self._reported, model_type=str(self._model.type))
        self._open[sequence] = _Open(
            generator,
            self._text.decoder(),
            prompt,
            max_tokens,
            piece,
            grammar is not None,
        )

    def step(self) -> list[list[Any]]:
        """`[sequence, token, text, end, error]` of each sequence that got a token or ended.

        The error is empty where the grammar could not be followed any more, and null where there is none.
        """
        steps: list[list[Any]] = []
        has_read = False
        for sequence, live in self._open.items():
            if not live.rest and not live.tokens:
                continue
            if live.rest and has_read:
                continue
            has_read = has_read or bool(live.rest)
            try:
                found = self._advance(live)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this Generator's
                live.rest, live.tokens = [], 0
                steps.append([sequence, None, "", None, "" if live.is_guided else str(error) or "no reason"])
                if not live.is_guided:
                    self._check_health()
            else:
                steps += [] if found is None else [[sequence, *found, None]]
        return steps

    def release(self, sequence: int) -> None:
        self._open.pop(sequence, None)

    def _advance(self, live: _Open) -> tuple[int | None, str, str | None] | None:
        """Read a piece of the prompt, which gives nothing, or generate a token: token, text and end."""
        if live.rest:
            live.generator.append_tokens(live.rest[: live.piece])
            live.rest = live.rest[live.piece :]
            return None
        live.generator.generate_next_token()
        token = int(live.generator.get_next_tokens()[0])
        if token in self._ends:
            live.tokens = 0
            return None, live.decoder.flush(), EndReason.STOP
        live.tokens -= 1
        text = live.decoder.feed(token)
        return (token, text, None) if live.tokens else (token, text + live.decoder.flush(), EndReason.LENGTH)

    def _check_health(self) -> None:
        """Let a new Generator do a step; what it raises is true of all."""
        params = og.GeneratorParams(self._model)
        params.set_search_options(max_length=2, do_sample=False)
        generator = og.Generator(self._model, params)
        generator.append_tokens([0])
        generator.generate_next_token()


def piece_of(prompt_tokens: int, *, device: str, model_type: str) -> int:
    """Tokens of a prompt that are read in one step: as many as there are, where pieces would go wrong.

    A Phi of long context has two rotary tables, and what is appended beyond the first one's end is read with the
    other, which makes nonsense of what was read before: measured, no logit was right any more.
    """
    if device.lower() not in _TAKES_PIECES or (model_type.startswith("phi") and prompt_tokens > SHORT_TABLE):
        return prompt_tokens
    return _PIECE


def main() -> None:
    """Answer until the input ends."""
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to act on
    # The native library may write to the standard output, and that is where the answers go.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    verbs: dict[str, Callable[..., Any]] = {}

    def load(**arguments: Any) -> dict[str, str]:
        host = _Host(**arguments)
        verbs.update({name: getattr(host, name) for name in _VERBS})
        return host.about()

    verbs["load"] = load
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": verbs[request["do"]](**request["with"])}
        except Exception as error:  # noqa: BLE001 - the parent decides what it means
            answer = {"error": str(error) or type(error).__name__}
        answers.write(json.dumps({"id": request["id"]} | answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
