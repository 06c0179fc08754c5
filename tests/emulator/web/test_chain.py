"""The chain around an exchange: what the next links need, tried with toys of them on real sockets.

A recording, faults and a delay see, change, hold and cut everything from where they stand, and nothing else is needed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import pytest
from phi_emulator import EmulatorConfig
from phi_emulator.service.errors import ServiceError
from phi_emulator.web.chain import Step, abort
from phi_emulator.web.exchange import Exchange
from starlette.types import Message, Receive, Send

from phi_client.contract.clock.base import Clock
from tests.emulator.web.serving import ASK, CHAT, SECONDS, STREAM, listen, serving


class Recording:
    """A toy of the recording: every byte both ways, with its time."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.clock = clock
        self.told: list[tuple[float, str, Any]] = []
        self.over = threading.Event()

    def note(self, kind: str, what: object) -> None:
        self.told.append((self.clock(), kind, what))

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        scope = exchange.request.scope
        self.note("head", (scope["method"], scope["raw_path"], dict(scope["headers"])))

        async def heard() -> Message:
            message = await receive()
            self.note(message["type"], message.get("body"))
            return message

        async def said(message: Message) -> None:
            what = {name: value for name, value in message.items() if name != "type"}
            self.note(message["type"], what)
            await send(message)

        try:
            await following(exchange, heard, said)
        finally:
            self.note("end", exchange.status)
            self.over.set()

    def of(self, kind: str) -> list[Any]:
        assert self.over.wait(SECONDS)
        return [what for _, one, what in self.told if one == kind]

    @property
    def request(self) -> bytes:
        return b"".join(self.of("http.request"))

    @property
    def answer(self) -> bytes:
        return b"".join(what["body"] for what in self.of("http.response.body"))


class CutAt:
    """A toy of a fault: the connection is cut after so many bytes of the answer; before its head for -1."""

    def __init__(self, place: int, *, reset: bool) -> None:
        self.place, self.reset = place, reset

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        left = self.place

        async def said(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.body":
                kept = message["body"][:left]
                left -= len(kept)
                if not left:
                    await send({**message, "body": kept, "more_body": True})
                    await abort(exchange, send, reset=self.reset)
            await send(message)

        if self.place < 0:
            await abort(exchange, send, reset=self.reset)
        await following(exchange, receive, said)


class Delay:
    """A toy of a delay: each piece of the answer waits until it is let through."""

    def __init__(self) -> None:
        self.allowed = threading.Semaphore(0)
        self.held: list[bytes] = []
        self.holds = threading.Semaphore(0)

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        async def said(message: Message) -> None:
            if message.get("body"):
                self.held.append(message["body"])
                self.holds.release()
                await asyncio.to_thread(self.allowed.acquire, timeout=SECONDS)
            await send(message)

        await following(exchange, receive, said)


class Failing:
    """A link with a mistake in it, before or after the answer."""

    def __init__(self, *, after: bool) -> None:
        self.after = after

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        async def said(message: Message) -> None:
            await send({**message, "more_body": True})

        if self.after:
            await following(exchange, receive, said)
        raise RuntimeError("a secret")


class Replacing:
    """Other bodies, both ways."""

    def __init__(self, request: tuple[bytes, bytes], answer: tuple[bytes, bytes]) -> None:
        self.request, self.answer = request, answer

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        async def heard() -> Message:
            message = await receive()
            return {**message, "body": message.get("body", b"").replace(*self.request)}

        async def said(message: Message) -> None:
            if "body" in message:
                message["body"] = message["body"].replace(*self.answer)
            await send(message)

        await following(exchange, heard, said)


class Refusing:
    """A fault that is an answer of the service's."""

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        raise ServiceError(exchange.dialect.rate_limited(7, limit="requests"))


class Counting:
    """How often an exchange came so far."""

    times = 0

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        self.times += 1
        await following(exchange, receive, send)


@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "stream"])
def test_every_byte_passes_both_ways_and_has_a_time(body: bytes) -> None:
    ticks = iter(range(1000))
    recording = Recording(lambda: next(ticks))
    with serving(outer=[recording]) as served:
        heard = served.ask(served.whole(body))
    assert heard.status == 200
    assert recording.request == body
    assert recording.answer == heard.body
    ((method, path, headers),) = recording.of("head")
    assert (method, path, headers[b"host"]) == ("POST", CHAT.encode(), b"127.0.0.1")
    assert [time for time, _, _ in recording.told] == list(range(len(recording.told)))
    assert recording.of("end") == [200]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"path": "/nowhere"}, 404),
        ({"path": CHAT + "?api-version=2099-01-01"}, 400),
        ({"path": CHAT, "method": "PUT"}, 405),
    ],
)
def test_refusals_pass_outer_links_and_not_inner_ones(change: dict[str, str], status: int) -> None:
    recording, inner = Recording(), Counting()
    with serving(outer=[recording], inner=[inner]) as served:
        heard = served.ask(served.whole(ASK, **change))
    assert heard.status == status
    assert recording.answer == heard.body
    assert not inner.times


@pytest.mark.parametrize("body", [ASK, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("place", [-1, 0, 1, 150])
@pytest.mark.parametrize("reset", [True, False])
def test_a_connection_is_cut_at_any_byte(body: bytes, place: int, reset: bool) -> None:
    recording, inside = Recording(), Recording()
    with serving(outer=[recording, CutAt(place, reset=reset)], inner=[inside]) as served:
        heard = served.ask(served.whole(body))
        assert heard.was_reset is reset
        if place < 0:
            assert heard.data == b""
        else:
            assert (heard.status, len(heard.body)) == (200, place)
            assert inside.answer.startswith(heard.body)
            assert recording.answer == heard.body
        assert recording.of("phi_emulator.abort") == [{"reset": reset, "last": b""}]
        # Whoever makes the answer is told that nobody listens, if it was asked at all.
        assert inside.over.wait(SECONDS) if place >= 0 else not inside.told
        served.wait_until_idle()


@pytest.mark.parametrize(("place", "told"), [(5, "200 cut off"), (-1, "cut off")])
def test_a_cut_answer_is_told_in_the_log_and_no_error(
    place: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "phi_emulator.web")
    with serving(outer=[CutAt(place, reset=True)]) as served:
        served.ask(served.whole(STREAM))
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert line.startswith(f"POST {CHAT} {told} ")


def test_bytes_of_an_error_can_be_cut_too() -> None:
    with serving(inner=[CutAt(3, reset=True)]) as served:
        heard = served.ask(served.whole(b"{}"))
    assert (heard.status, heard.body, heard.was_reset) == (422, b'{"e', True)


def test_a_link_holds_each_piece_back_and_others_are_served_meanwhile() -> None:
    delay, others = Delay(), Counting()
    with serving(outer=[others], inner=[delay]) as served, served.connect() as connection:
        connection.sendall(served.whole(STREAM))
        got = b""
        for number in range(3):
            assert delay.holds.acquire(timeout=SECONDS)
            assert len(delay.held) == number + 1
            assert delay.held[-1] not in got
            assert served.ask(served.whole(b"", method="GET", path="/_emulator/x")).status == 404
            delay.allowed.release()
            while delay.held[number] not in got:
                got += connection.recv(65536)
        delay.allowed.release(1000)
        got += listen(connection).data
    assert got.endswith(b"0\r\n\r\n")
    assert others.times == 4


def test_bodies_are_replaced_both_ways() -> None:
    broken = Replacing((b"six", b'six"'), (b'"detail"', b'"detail'))
    with serving(outer=[broken]) as served:
        assert served.ask(served.whole(ASK)).status == 422
        events = served.ask(served.whole(STREAM.replace(b"six", b"6"))).body
    assert events.endswith(b"data: [DONE]\n\n")
    garbled = Replacing((b"", b""), (b"data: {", b"data: {{"))
    with serving(inner=[garbled]) as served:
        first = served.ask(served.whole(STREAM)).body.partition(b"\n")[0]
    with pytest.raises(ValueError, match="Expecting property name"):
        json.loads(first.removeprefix(b"data: "))


def test_a_link_refuses_in_the_words_of_the_surface_and_outer_links_see_it() -> None:
    recording = Recording()
    with serving(outer=[recording], inner=[Refusing()]) as served:
        heard = served.ask(served.whole(ASK))
        foundry = served.ask(served.whole(ASK, f"api-key: {served.key}", path="/openai/v1/chat/completions"))
    assert (heard.status, b"retry-after: 7" in heard.data.lower()) == (429, True)
    assert recording.answer == heard.body + foundry.body
    assert (b"\r\napim-request-id" in foundry.data, b"\r\napim-request-id" in heard.data) == (True, False)
    assert recording.of("end") == [429, 429]


@pytest.mark.parametrize("where", ["outer", "inner"])
def test_a_link_that_fails_ends_one_exchange_and_tells_no_value(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    for after in (False, True):
        caplog.clear()
        links: dict[str, Any] = {where: [Failing(after=after)]}
        with serving(**links) as served:
            heard = served.ask(served.whole(ASK))
            assert (heard.status, heard.was_reset) == (200 if after else 500, False)
            served.wait_until_idle()
        assert "secret" not in caplog.text + heard.data.decode()
        assert "builtins.RuntimeError at phi_emulator/web/chain.py" in caplog.text
        assert "Traceback" not in caplog.text
        assert ("was broken off" in caplog.text) is after


def test_the_elapsed_time_in_the_log_is_of_the_clock_that_was_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "phi_emulator.web")
    seconds = chain([100.0], repeat(112.5))
    with serving(clock=Clock(now=lambda: next(seconds))) as served:
        served.ask(served.whole(ASK))
    assert f"POST {CHAT} 200 12500 ms tokens=2+5" in caplog.text


def test_an_answer_beyond_its_time_is_broken_off_wherever_it_is_held(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Still:
        async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
            async def said(message: Message) -> None:
                await send(message)
                if message.get("body"):
                    await asyncio.Event().wait()

            await following(exchange, receive, said)

    config = EmulatorConfig(request_timeout_ms=100)
    with serving(inner=[Still()], config=config) as served:
        heard = served.ask(served.whole(STREAM))
        served.wait_until_idle()
    assert (heard.status, heard.was_reset) == (200, False)
    assert b"[DONE]" not in heard.body
    assert "was broken off: it took longer than 0.1 s" in caplog.text


def test_whoever_is_held_when_the_service_stops_is_told_so() -> None:
    class Held:
        reached = threading.Event()

        async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
            self.reached.set()
            await asyncio.Event().wait()

    link = Held()
    with serving(outer=[link]) as served:
        connection = served.connect()
        connection.sendall(served.whole(ASK))
        assert link.reached.wait(SECONDS)
    with connection:
        heard = listen(connection)
    assert (heard.status, b"The service is stopping." in heard.body) == (503, True)
