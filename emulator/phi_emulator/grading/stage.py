"""Where trials take place: an emulator that answers in unlikely words, an observer around it, and the program.

It must not judge.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from phi_emulator.config import EmulatorConfig
from phi_emulator.emulator import Emulator
from phi_emulator.engine.protocol import Message
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.grading import in_child
from phi_emulator.grading.answers import Text, write_text
from phi_emulator.grading.clock import TrialClock
from phi_emulator.grading.observer import Observer
from phi_emulator.grading.program import Program, Run
from phi_emulator.grading.trials import Trial
from phi_emulator.grading.warm import WarmProgram
from phi_emulator.grading.wire import Seen

__all__ = ["Outcome", "Stage", "budget_of", "staged"]

PROMPT: Final = "What is 17 * 24?"
_MOST_ANSWERS: Final = 64
_MOST_PIECES: Final = 400
_SETTLE_S: Final = 2.0
"""How long an exchange may take to see that its program is gone."""
_ROOM: Final = 1.2
"""How much smaller than a program's own budget an answer is kept."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program did in a trial, and what truly went over the wire."""

    trial: Trial
    run: Run
    seen: Sequence[Seen]
    leaks: Sequence[str]
    texts: Sequence[Text]
    """The answers that were given, in their order."""
    is_virtual: bool
    """Whether the program's waits were jumped over."""
    seconds: float
    """How long it took by the trial's clock."""

    @property
    def last(self) -> Seen | None:
        """The exchange that decided."""
        return self.seen[-1] if self.seen else None

    def text_of(self, seen: Seen) -> Text | None:
        """The answer that was given in an exchange; none where nobody was asked."""
        return next(
            (
                text
                for text in self.texts
                if any(word in seen.content for word in (*text.thoughts, *text.answer))
            ),
            None,
        )


class Stage:
    """One emulator and one program, for trial after trial."""

    def __init__(self, emulator: Emulator, observer: Observer, teller: _Teller, program: Program) -> None:
        self._emulator = emulator
        self._observer = observer
        self._teller = teller
        self._program = program
        self._warm = WarmProgram(program)
        self.most_tokens = _MOST_PIECES
        """Of an answer, so that the program's own budget doesn't cut it."""

    def warm_up(self, *, within_s: float) -> bool:
        """Let the program import once for many runs, if it can be."""
        return self._warm.start(_warping(self._observer.clock), within_s=within_s)

    def cool_down(self) -> None:
        """Let it import again for each run."""
        self._warm.close()

    def run(self, trial: Trial, *, within_s: float, apart: bool = True) -> Outcome:
        """Run the program in a trial; it is killed after so many seconds of real time.

        `apart` is a process that shares nothing with others; else a warm one will do, where there is one.

        Raises:
            CannotStartError: it can't be started.
        """
        self._teller.begin(trial, self.most_tokens)
        self._emulator.faults.set(trial.rules)
        self._call(lambda: self._observer.begin(trial))
        clock = self._observer.clock
        begun = clock.now()
        warped = _warping(clock)
        run = None if apart else self._warm.run(warped, within_s=within_s)
        if run is None:
            run = self._program.run({**warped, **self._warm.learning}, within_s=within_s)
        self._settle()
        seconds = clock.now() - begun
        leaks = [*self._observer.leaks]
        if self._observer.key in run.printed + run.complained:
            leaks.append("in what the program prints")
        return Outcome(
            trial,
            run,
            tuple(self._observer.seen),
            tuple(leaks),
            self._teller.given,
            clock.has_guests,
            seconds,
        )

    def _settle(self) -> None:
        """Wait until every exchange knows that the program is gone."""
        asyncio.run_coroutine_threadsafe(self._settled(), self._emulator.event_loop).result()

    async def _settled(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _SETTLE_S
        while self._observer.clock.active and loop.time() < until:  # noqa: ASYNC110 - once for each trial
            await asyncio.sleep(0.001)

    def _call(self, work: Callable[[], None]) -> None:
        async def called() -> None:
            work()

        asyncio.run_coroutine_threadsafe(called(), self._emulator.event_loop).result()


class _Teller:
    """What the engine says: the answers of the trial at hand, one after the other."""

    def __init__(self) -> None:
        self.given: tuple[Text, ...] = ()
        self._trial = Trial()
        self._numbers: Iterator[int] = itertools.count(1)
        self._most_tokens = _MOST_PIECES

    def begin(self, trial: Trial, most_tokens: int) -> None:
        """Another trial."""
        self._trial, self._most_tokens = trial, most_tokens
        self._numbers = itertools.count(1)
        self.given = ()

    def reply(self, _messages: Sequence[Message]) -> str:
        """The next answer."""
        text = write_text(self._trial.kind, self._trial.seed, next(self._numbers))
        self.given = (*self.given, text)[-_MOST_ANSWERS:]
        return text.text

    def pieces(self, text: str) -> Sequence[tuple[int, str]]:
        """A text in tokens of so many letters as the trial says, or of more where these would be too many."""
        size = max(self._trial.pieces, math.ceil(len(text) / self._most_tokens))
        return [(number, text[at : at + size]) for number, at in enumerate(range(0, len(text), size))]


def budget_of(seen: Seen) -> int:
    """How many tokens an answer may have so that the request's own budget doesn't cut it."""
    asked = seen.asked.get("max_tokens") or seen.asked.get("max_completion_tokens")
    return min(int(asked / _ROOM), _MOST_PIECES) if isinstance(asked, int) and asked > 1 else _MOST_PIECES


def _warping(clock: TrialClock) -> Mapping[str, str]:
    """What puts a Python program on the trial's clock."""
    own = str(Path(in_child.__file__).parent)
    paths = [own, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "PHI_GRADE_CLOCK": clock.place}


@contextmanager
def staged(
    command: Sequence[str], config: EmulatorConfig, environ_of: Callable[[Emulator], Mapping[str, str]]
) -> Generator[Stage]:
    """A stage for a command, with an emulator of its own.

    Raises:
        CannotStartError: there is no such program.
        EmulatorError: the emulator can't be started.
    """
    clock = TrialClock()
    observer = Observer(clock)
    teller = _Teller()
    engine = lambda: ScriptedEngine(teller.reply, pieces=teller.pieces, context_length=65_536)  # noqa: E731
    emulator = Emulator(config, make_engine=engine, clock=clock.shared, links=[observer.link])
    with emulator:
        observer.key = emulator.key
        loop = emulator.event_loop
        for listening in (clock.listen, observer.listen):
            asyncio.run_coroutine_threadsafe(listening(), loop).result()
        try:
            places = {"endpoint": emulator.endpoint, "key": emulator.key, "model": emulator.info.model}
            with TemporaryDirectory(prefix="phi-grade-") as folder:
                program = Program(command, PROMPT, environ_of(emulator), places, Path(folder))
                stage = Stage(emulator, observer, teller, program)
                try:
                    yield stage
                finally:
                    stage.cool_down()
        finally:
            for closing in (observer.close, clock.close):
                asyncio.run_coroutine_threadsafe(closing(), loop).result()
            emulator.stop(drain_seconds=0)
