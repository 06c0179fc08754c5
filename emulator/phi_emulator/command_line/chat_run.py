"""Carries `phi-emulator chat` out: finds who is asked, starts an emulator where nobody is, and shows the talk.

It must not know what is said in a talk.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TextIO
from urllib.parse import urlsplit

import click

from phi_client.contract.dialects import EndpointError, resolve_endpoint
from phi_client.contract.emulator import EMULATOR_ALIAS, EMULATOR_ENDPOINT
from phi_client.contract.loopback import is_loopback
from phi_client.contract.service import SURFACES
from phi_emulator.command_line.child import client_environment
from phi_emulator.command_line.config_commands import configured
from phi_emulator.command_line.obtaining import obtain_model
from phi_emulator.command_line.waiting import model_of, port_in_use
from phi_emulator.models.printable import printable
from phi_emulator.platforms import ending_signals, lenient_output

if TYPE_CHECKING:
    from phi_client import AsyncPhiClient, RetryEvent
    from phi_emulator.chat.conversation import Turn
    from phi_emulator.chat.session import Face
    from phi_emulator.config import EmulatorConfig

__all__ = ["Asked", "run"]

_INTERRUPTED: Final = 130
_NOBODY_READS: Final = 141
_NO_ANSWER: Final = 1
_TELL_AFTER_S: Final = 1.0
_ENDPOINT: Final = "PHI_ENDPOINT"
_SECRET_NAMES: Final = ("KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL")
_DUMB: Final = frozenset({"", "dumb", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says. `settings` are those of an emulator."""

    question: str | None
    settings: dict[str, Any]
    url: str | None = None
    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    thoughts: str = "show"
    as_json: bool = False
    no_history: bool = False
    yes: bool = False


@dataclass(slots=True)
class _Place:
    """Who is asked. Without a key the client's own variables say how."""

    endpoint: str
    name: str
    """What answers, as far as that is known before it has."""
    said: str
    key: str | None = field(default=None, repr=False)
    model: str | None = None


def run(asked: Asked) -> int:
    """Talk, or ask the one question; the exit status."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the caller has closed it
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process
    lenient_output(sys.stderr, sys.stdin)
    logging.getLogger("azure").setLevel(logging.ERROR)  # what a credential tried is said in the error
    with _Signals() as signals, _place_of(asked) as place, _environment(place):
        try:
            return asyncio.run(_talk(asked, place, signals))
        except asyncio.CancelledError:
            return signals.status
        except BrokenPipeError:
            # Nobody reads any more: what is still in the buffer must not be tried again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _NOBODY_READS
        except OSError as error:
            raise click.ClickException(f"can't write the answer: {error.strerror or error}") from error


class _Signals:
    """Ctrl-C, SIGTERM and their like, handed to whoever is to be told; until then they end the process at once."""

    def __init__(self) -> None:
        self.status = _INTERRUPTED
        self.told: Callable[[int], None] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in ending_signals(with_hangup=True):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _frame: object) -> None:
        if self.told is None:
            # While a model is loaded: nothing is lost, and the engine may be in the middle of a long step.
            os._exit(128 + number)
        self.told(number)


@contextmanager
def _place_of(asked: Asked) -> Generator[_Place]:
    config = configured({"port": 0, "log_level": "error"} | asked.settings)
    if asked.url is not None:
        yield _running(EMULATOR_ENDPOINT if asked.url == EMULATOR_ALIAS else asked.url, config)
    elif not asked.settings and os.environ.get(_ENDPOINT, "").strip():
        shown = _shown(os.environ[_ENDPOINT])
        yield _Place("", _ENDPOINT, f"asked is {_ENDPOINT}: {shown}")
    elif not asked.settings and (found := port_in_use()) is not None:
        yield _running(found, config)
    else:
        with _own(obtain_model(config, yes=asked.yes)) as place:
            yield place


def _running(url: str, config: EmulatorConfig) -> _Place:
    """What runs at a URL: an emulator of this machine, whose key is the one of the settings, or another endpoint."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise click.UsageError(f"give a URL such as {EMULATOR_ENDPOINT}, or `{EMULATOR_ALIAS}`") from None
    try:
        model = model_of(parts) if is_loopback(host) and "@" not in parts.netloc else None
    except ConnectionRefusedError:
        where = f"{host}:{port}" if port else host
        raise click.ClickException(
            f"nothing listens at {where}: start `phi-emulator serve`, or leave `--url` out"
        ) from None
    if model is None:
        return _Place(url, host, f"asked is {_shown(url)}")
    try:
        dialect = resolve_endpoint(url, None).dialect.name
    except EndpointError:
        dialect = config.dialect
    key = config.key_of(dialect)
    return _Place(
        url, model, f"{model} at {_shown(url)}", key, model if SURFACES[dialect].needs_model else None
    )


def _shown(endpoints: str) -> str:
    """Endpoints without what may be a secret in them: a user's name and password, and a query."""
    shown: list[str] = []
    for word in endpoints.split():
        whole, _, _ = word.partition("?")
        scheme, mark, rest = whole.partition("://")
        host, slash, path = rest.partition("/")
        shown.append(f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}")
    return printable(" ".join(shown), 200)


@contextmanager
def _own(config: EmulatorConfig) -> Generator[_Place]:
    """An emulator that is there as long as the talk."""
    from phi_emulator.emulator import Emulator, EmulatorError  # noqa: PLC0415 - where none runs

    emulator = Emulator(config)
    try:
        with _telling("loading the model", sys.stderr):
            emulator.start()
    except EmulatorError as error:
        raise click.ClickException(printable(str(error))) from error
    try:
        info = emulator.info
        named = next(iter(config.deployments), info.model)
        said = f"{info.model} on this machine ({info.execution_provider})"
        said += f": {emulator.description}" if emulator.description and config.model is None else ""
        needs_model = SURFACES[config.dialect].needs_model
        yield _Place(emulator.endpoint, info.model, said, emulator.key, named if needs_model else None)
    finally:
        emulator.stop(drain_seconds=0)


@contextmanager
def _telling(what: str, out: TextIO) -> Generator[None]:
    """Tell that something takes its time, each second on a terminal, once elsewhere."""
    done = threading.Event()
    begun = time.monotonic()

    def tell() -> None:
        is_told = False
        while not done.wait(_TELL_AFTER_S):
            if out.isatty():
                print(f"\r{what}: {time.monotonic() - begun:.0f} s ", end="", file=out, flush=True)
            elif not is_told:
                print(f"phi-emulator: {what} …", file=out, flush=True)
            is_told = True
        if is_told and out.isatty():
            print(f"\r{' ' * (len(what) + 12)}\r", end="", file=out, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


@contextmanager
def _environment(place: _Place) -> Generator[None]:
    """The variables as a client of this place needs them: those that were set for another one are away."""
    before = dict(os.environ)
    if place.key is not None:
        changed = client_environment(before, endpoint=place.endpoint, key=place.key, model=place.model)
        os.environ.clear()
        os.environ.update(changed)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def _talk(asked: Asked, place: _Place, signals: _Signals) -> int:
    from phi_client import AsyncPhiClient, errors  # noqa: PLC0415 - for this command alone

    told: list[Callable[[str], None]] = []

    def on_retry(event: RetryEvent) -> None:
        from phi_emulator.chat.asking import retry_line  # noqa: PLC0415 - few are tried again

        for tell in told:
            tell(retry_line(event))

    try:
        client = AsyncPhiClient(place.endpoint or None, on_retry=on_retry)
    except errors.ConfigurationError as error:
        raise click.UsageError(printable(str(error))) from error
    async with client:
        return await _Talk(asked, place, signals, client, told).run()


class _Talk:
    """One run of the command, with a client."""

    def __init__(
        self,
        asked: Asked,
        place: _Place,
        signals: _Signals,
        client: AsyncPhiClient,
        told: list[Callable[[str], None]],
    ) -> None:
        from phi_emulator.chat.conversation import NUMBERS, Conversation  # noqa: PLC0415

        self._asked, self._place, self._signals, self._client, self._told = (
            asked,
            place,
            signals,
            client,
            told,
        )
        options = {name: value for name in NUMBERS if (value := getattr(asked, name)) is not None}
        self._conversation = Conversation(asked.system or "", options)
        self._loop = asyncio.get_running_loop()

    async def run(self) -> int:
        """The exit status."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._on_signal(lambda _number: task.cancel())
        asked = self._asked
        out = sys.stdout
        if asked.as_json and asked.question is not None:
            from phi_emulator.chat.one_shot import answer_as_json, exit_status  # noqa: PLC0415

            turn = await answer_as_json(
                self._client, self._conversation, asked.question, out, self._shown_endpoint
            )
            if turn.problem:
                click.echo(f"phi-emulator: {turn.problem}", err=True)
            return exit_status(turn)
        is_capable = out.isatty() and (os.name == "nt" or os.environ.get("TERM", "") not in _DUMB)
        if is_capable and (asked.question is not None or sys.stdin.isatty()):
            return await self._on_screen()
        return await self._in_lines()

    async def _in_lines(self) -> int:
        from phi_emulator.chat.one_shot import PipeFace  # noqa: PLC0415
        from phi_emulator.chat.plain import PlainFace  # noqa: PLC0415

        if self._asked.question is not None and not sys.stdout.isatty():
            return await self._one_question(PipeFace(sys.stdout, sys.stderr))
        face = PlainFace(sys.stdin, sys.stdout, sys.stderr)
        face.folds = face.folds or self._asked.thoughts == "fold"
        if self._asked.question is not None:
            return await self._one_question(face)
        return await self._session(face, face.stop)

    async def _on_screen(self) -> int:
        from prompt_toolkit.input import create_input, create_pipe_input  # noqa: PLC0415 - for terminals
        from prompt_toolkit.output import create_output  # noqa: PLC0415
        from prompt_toolkit.output.vt100 import Vt100_Output  # noqa: PLC0415

        from phi_emulator.chat.screen import Screen  # noqa: PLC0415

        output = create_output(sys.stdout)
        if isinstance(output, Vt100_Output):
            output.enable_cpr = False  # nothing here has to know where the cursor is
        folds = self._asked.thoughts == "fold"
        if self._asked.question is not None:
            # The terminal's input is left alone: what is typed meanwhile is for the shell, and Ctrl-C a signal.
            with create_pipe_input() as source:
                async with Screen(source, output, has_input=False, folds=folds) as screen:
                    return await self._one_question(screen)
        screen = Screen(create_input(), output, folds=folds, history=self._history())
        async with screen:
            await screen.say(
                self._place.said, '/help lists commands, Ctrl-D leaves, """ begins several lines'
            )
            return await self._session(screen, screen.stop)

    def _history(self) -> Any:
        from prompt_toolkit.history import InMemoryHistory  # noqa: PLC0415

        from phi_emulator.chat.history import QuestionHistory, history_file  # noqa: PLC0415

        if self._asked.no_history:
            return InMemoryHistory()
        secrets = [
            value for name, value in os.environ.items() if name.upper().endswith(_SECRET_NAMES) and value
        ]
        return QuestionHistory(history_file(), secrets)

    async def _session(self, face: Any, stop: Callable[[], None]) -> int:
        from phi_emulator.chat.session import Session  # noqa: PLC0415

        session = Session(self._client, face, self._conversation, facts=self._facts())
        face.interrupt = session.interrupt
        face.about = lambda: [
            session.facts["model"],
            *(f"{name} {value}" for name, value in session.conversation.options.items()),
            f"{session.conversation.tokens:,} tokens so far",
            "/help",
        ]
        self._told.append(face.notice)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._on_signal(lambda number: stop() if number == signal.SIGINT else task.cancel())
        await session.run()
        return 0

    async def _one_question(self, face: Face) -> int:
        from phi_emulator.chat.one_shot import exit_status  # noqa: PLC0415
        from phi_emulator.chat.session import Session  # noqa: PLC0415

        session = Session(self._client, face, self._conversation, facts=self._facts())
        self._told.append(face.notice)
        self._on_signal(lambda _number: session.interrupt())
        assert self._asked.question is not None  # noqa: S101 - asked before
        turn: Turn = await session.ask(self._asked.question)
        return self._signals.status if turn.is_stopped else exit_status(turn)

    def _on_signal(self, act: Callable[[int], object]) -> None:
        def told(number: int) -> None:
            self._signals.status = 128 + number
            self._loop.call_soon_threadsafe(act, number)

        self._signals.told = told

    @property
    def _shown_endpoint(self) -> str:
        return _shown(self._place.endpoint or os.environ.get(_ENDPOINT, ""))

    def _facts(self) -> Mapping[str, str]:
        return {"model": self._place.name, "endpoint": self._shown_endpoint}
