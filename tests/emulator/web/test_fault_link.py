"""The link that carries faults out waits by the clock that it is given, and not for a client that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from phi_emulator.faults.rules import read_rule
from phi_emulator.faults.state import FaultState
from phi_emulator.service.behaviour import Behaviour
from phi_emulator.web.exchange import Exchange, Place
from phi_emulator.web.fault_link import FaultLink
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Send

from phi_client.contract.clock.base import Clock
from phi_client.contract.service import SERVERLESS
from phi_client.contract.service.chat import ChatRequest

STREAM = ChatRequest.model_validate({"messages": [{"role": "user", "content": "x"}], "stream": True})
EVENT = b'data: {"choices":[{"delta":{"content":"a"},"index":0}]}\n\n'


def exchange_with(table: dict[str, Any], method: str = "POST") -> Exchange:
    scope = {
        "type": "http",
        "method": method,
        "headers": [],
        "path": "/",
        "extensions": {"phi_emulator.abort": {}},
    }
    behaviour = replace(Behaviour(), faults=(read_rule(table),))
    return Exchange(
        Request(scope),
        Place(SERVERLESS, "/chat/completions", {}),
        SERVERLESS,
        behaviour,
        "s",
        Clock(now=lambda: 0.0),
    )


async def stream_of_three(exchange: Exchange, receive: Receive, send: Send) -> None:
    """What answers in the place of the emulator."""
    await exchange.when_asked(STREAM)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    )
    for _ in range(3):
        await send({"type": "http.response.body", "body": EVENT, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def stay() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("nobody leaves")


async def leave() -> Message:
    return {"type": "http.disconnect"}


def carried(
    table: dict[str, Any],
    sleep: Callable[[float], Awaitable[None]] | None = None,
    receive: Receive = stay,
    *,
    is_cut: bool = False,
) -> list[object]:
    """What was sent and waited for, in its order."""
    done: list[object] = []

    async def note(seconds: float) -> None:
        done.append(seconds)

    async def send(message: Message) -> None:
        done.append(message.get("body", message["type"]))

    async def run() -> None:
        link = FaultLink(FaultState(), Clock(sleep_async=sleep or note))
        async with asyncio.timeout(20):
            await link(stream_of_three, exchange_with(table), receive, send)

    with pytest.raises(ClientDisconnect) if is_cut else nullcontext():
        asyncio.run(run())
    return done


def test_waits_are_between_what_is_sent() -> None:
    start = "http.response.start"
    assert carried({"effect": "wait", "seconds": 7}) == [7, start, EVENT, EVENT, EVENT, b""]
    assert carried({"effect": "stall", "tokens": 2, "seconds": 7}) == [start, EVENT, EVENT, 7, EVENT, b""]
    assert carried({"effect": "slow", "seconds": 7}) == [start, 7, EVENT, 7, EVENT, 7, EVENT, b""]


def test_nobody_waits_for_a_client_that_is_gone() -> None:
    async def for_ever(seconds: float) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ClientDisconnect):
        carried({"effect": "wait"}, for_ever, leave)


def test_after_a_cut_nothing_is_sent() -> None:
    cut = "phi_emulator.abort"
    assert carried({"effect": "cut_head"}, is_cut=True) == [cut]
    sent = carried({"effect": "cut_body", "bytes": len(EVENT)}, is_cut=True)
    assert sent == ["http.response.start", EVENT, cut]


def test_an_answer_that_ends_early_ends_once() -> None:
    sent = carried({"effect": "error_in_stream", "tokens": 1})
    assert sent[:2] == ["http.response.start", EVENT]
    assert sent[-1] == b""
    assert sent.count(b"") == 1


def test_others_have_their_turn_between_two_pieces() -> None:
    async def run() -> list[str]:
        done: list[str] = []

        async def send(message: Message) -> None:
            done.append("piece")

        async def others() -> None:
            while done.count("piece") < 100:
                done.append("other")
                await asyncio.sleep(0)

        link = FaultLink(FaultState())
        exchange = exchange_with({"effect": "split"})
        await asyncio.gather(link(stream_of_three, exchange, stay, send), others())
        return done

    done = asyncio.run(run())
    assert done.count("other") > 50
