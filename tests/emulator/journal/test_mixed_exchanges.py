"""Whatever is asked and however it ends, the journal has it once, and its times add up to the whole."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from phi_emulator import EmulatorConfig
from phi_emulator.copies import COPIES, CopyError
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.web.app import App
from phi_emulator.web.chain import Step
from phi_emulator.web.exchange import Exchange
from starlette.types import Message, Receive, Send

from tests.emulator.web import serving as served_by
from tests.emulator.web.serving import SECONDS, Served, listen, serving

PATHS = [
    "/serverless/chat/completions",
    "/openai/v1/chat/completions",
    "/managed_compute/score",
    "/models/chat/completions?api-version=2024-05-01-preview",
]
FAULTS = [
    "wait seconds=0.02",
    "stall tokens=1 seconds=0.02",
    "slow tokens=1 seconds=0.01",
    "cut_head",
    "cut_body",
    "no_end",
    "error error=rate_limited",
    "malformed_event",
    "finish",
    "not_a_completion",
    "comments_only every=0.01 seconds=0.03",
]
BODIES = [b"{", b'{"messages": []}', b'{"messages":[{"role":"user","content":"six"}],"presence_penalty":1}']


class Watched:
    """How long each exchange takes, seen from inside of the journal and from outside of the application."""

    def __init__(self) -> None:
        self.inside: dict[str, float] = {}
        self.outside: dict[str, float] = {}

    async def link(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        exchange.request.scope["asked_as"] = exchange.request_id
        begun = time.monotonic()

        async def sent(message: Message) -> None:
            self.inside[exchange.request_id] = time.monotonic() - begun
            await send(message)

        await following(exchange, receive, sent)

    def around(self, patch: pytest.MonkeyPatch) -> None:
        answer = App.__call__

        async def timed(app: App, scope: Any, receive: Receive, send: Send) -> None:
            begun = time.monotonic()
            try:
                await answer(app, scope, receive, send)
            finally:
                self.outside[scope.get("asked_as", "")] = time.monotonic() - begun

        patch.setattr(App, "__call__", timed)


def ask(served: Served, seed: int) -> str:
    """One request, drawn; how it was meant to go."""
    draw = random.Random(seed)
    path = draw.choice(PATHS)
    kind = draw.choice(["answer", "fault", "fault", "wrong", "key", "path", "leave", "leave early"])
    stream = b"true" if draw.random() < 0.6 and "score" not in path else b"false"
    body = b'{"model":"phi","messages":[{"role":"user","content":"six"}],"stream":' + stream + b"}"
    if "score" in path:
        body = b'{"input_data":{"input_string":[{"role":"user","content":"six"}],"parameters":{}}}'
    lines = [f"x-phi-scope: {kind}", f"api-key: {'wrong' if kind == 'key' else served.key}"]
    if kind == "fault":
        lines.append(f"x-phi-fault: {draw.choice(FAULTS)}")
    if kind == "wrong":
        body = draw.choice(BODIES)
    if kind == "path":
        path = "/serverless/nowhere"
    sent = served.whole(body, *lines, path=path)
    if kind == "key":
        sent = sent.replace(f"Bearer {served.key}".encode(), b"Bearer wrong-wrong-wrong")
    with served.connect() as connection:
        if kind == "leave early":
            connection.sendall(sent[: -draw.randint(1, len(body) - 1)])
            connection.shutdown(socket.SHUT_WR)
        else:
            connection.sendall(sent)
        if kind == "leave":
            connection.recv(draw.randint(1, 300))
        else:
            listen(connection)
    return kind


@pytest.mark.parametrize("seed", [1, 2])
def test_the_times_of_each_exchange_add_up_to_the_whole(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum lies between what takes place within the journal and what takes place around it."""
    watched, tick = Watched(), threading.Event()

    def hold() -> None:
        tick.wait(0.001)

    watched.around(monkeypatch)
    monkeypatch.setattr(
        served_by,
        "ScriptedEngine",
        lambda reply: ScriptedEngine(reply, max_running=2, before_step=hold),
    )
    count = 120
    with serving(outer=[watched.link], config=EmulatorConfig(max_body_bytes=100_000)) as served:
        with ThreadPoolExecutor(8) as pool:
            kinds = list(pool.map(lambda number: ask(served, 1000 * seed + number), range(count)))
        entries = served.app.journal.wait_for(count, seconds=SECONDS)
    assert len({one.id for one in entries}) == len(entries) == count
    assert [one.number for one in entries] == list(range(1, count + 1))
    assert sorted(one.scope for one in entries) == sorted(kinds)
    assert {one.ending for one in entries} >= {"answered", "refused", "cut", "hung up"}
    for one in entries:
        spent = one.spent
        parts = (spent.queue_ms, spent.prefill_ms, spent.decode_ms, spent.web_ms, spent.client_ms)
        assert min(parts) >= 0
        assert sum(parts) == pytest.approx(spent.total_ms, rel=0.05)
        assert sum(part.share for part in one.why_slow.parts) == pytest.approx(1.0)
        assert one.why_slow.text
        assert (one.fault_at is None) or (one.fault is not None and 0 <= one.fault_at.ms <= spent.total_ms)
        assert [token.kind for token in one.tokens].count("fault") == (one.fault_at is not None)
        for form in COPIES.values():
            with contextlib.suppress(CopyError):
                assert form(one, "http://127.0.0.1:1")
        assert watched.inside.get(one.id, 0.0) * 1000 <= spent.total_ms <= watched.outside[one.id] * 1000, one
        # A piece goes out before its exchange is over; the engine's time is within that of the exchange.
        assert all(0 <= chunk.ms <= spent.total_ms for chunk in one.timeline)
        assert sum(chunk.size for chunk in one.timeline) == one.response_bytes
        if one.scope in ("wrong", "key", "path"):
            assert (one.ending, one.usage) == ("refused", None)
            assert spent.web_ms + spent.client_ms == spent.total_ms
    assert any(one.spent.queue_ms > 0 for one in entries)
    assert any(one.spent.decode_ms > one.spent.web_ms for one in entries)
