"""Left in the middle, at any moment and in any way: no connection is lost, and the next exchange works."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phi_client import PhiError
from phi_client._wire.connection_pool import Lines
from phi_client._wire.connections import AsyncConnections
from phi_client.contract.dialects import resolve_endpoint
from tests.wire import BODY, CHUNKED, LIMIT_S, WHOLE, Peer, Wire, ask_async, listening, read_request

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPS: dict[str, Any] = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop
STREAM = CHUNKED + b"1\r\na\r\n"


def serve(peer: Peer, sock: socket.socket, number: int) -> None:
    """Answer at once, or in pieces."""
    while request := read_request(sock):
        if b"stream" in request:
            sock.sendall(STREAM)
            sock.sendall(b"1\r\nb\r\n")
            sock.sendall(b"0\r\n\r\n")
        else:
            sock.sendall(WHOLE)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """One for all."""
    with listening(serve) as peer:
        yield peer


def busy() -> int:
    """How many connections of this process carry a request."""
    return sum(thing.busy for thing in gc.get_objects() if isinstance(thing, Lines))


async def left_after(wire: Wire, *, is_stream: bool, turns: int) -> None:
    """Cancel an exchange after some turns of the loop."""
    content = b'{"stream":true}' if is_stream else b"{}"
    task = asyncio.ensure_future(ask_async(wire.connections, wire.step(content=content)))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("factory", LOOPS.values(), ids=LOOPS.keys())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments=st.lists(st.tuples(st.booleans(), st.integers(0, 30)), min_size=1, max_size=6))
def test_tasks_that_are_cancelled_at_any_moment_lose_nothing(
    peer: Peer, factory: Any, moments: list[tuple[bool, int]]
) -> None:
    async def run(wire: Wire) -> None:
        await asyncio.gather(
            *[left_after(wire, is_stream=is_stream, turns=turns) for is_stream, turns in moments]
        )
        assert busy() == 0
        reply = await ask_async(wire.connections, wire.step())
        assert reply.body == BODY
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with Wire(peer.url, is_async=True, factory=factory) as wire:
        wire.run(run(wire))


@pytest.mark.parametrize("is_debug", [False, True], ids=["", "debug"])
def test_tasks_that_begin_at_once_and_loops_that_look_closely_work_too(peer: Peer, is_debug: bool) -> None:
    eager: Any = getattr(asyncio, "eager_task_factory", None)
    if eager is None and not is_debug:
        pytest.skip("this Python has no eager tasks")

    async def run(wire: Wire) -> None:
        if eager is not None:
            asyncio.get_running_loop().set_task_factory(eager)
        asyncio.get_running_loop().set_debug(is_debug)
        asyncio.get_running_loop().slow_callback_duration = LIMIT_S
        replies = await asyncio.gather(*[ask_async(wire.connections, wire.step()) for _ in range(10)])
        assert [reply.body for reply in replies] == [BODY] * 10
        for turns in range(10):
            await left_after(wire, is_stream=True, turns=turns)
        assert busy() == 0

    with Wire(peer.url, is_async=True) as wire:
        wire.run(run(wire))


class Interrupt(BaseException):
    """Raised anywhere, as Ctrl-C is."""


def interrupted_after(steps: int, work: Any) -> bool:
    """Run `work`, and raise after `steps` lines of the wire's own code; false when it ended before."""
    count = 0
    has_raised = False

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal count, has_raised
        if "phi_client" not in frame.f_code.co_filename:
            return None
        if event == "line" and not has_raised:
            count += 1
            if count == steps:
                has_raised = True
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Interrupt:
        return True
    except PhiError:
        return has_raised
    finally:
        sys.settrace(before)
    return has_raised


@pytest.mark.timeout(60)
def test_an_interrupt_at_any_line_leaves_no_connection_at_work(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that falls into a `__del__` can only be printed, and pytest would keep it, with all that it holds.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    with Wire(peer.url, is_async=False) as wire:
        wire.ask()
        steps = 0
        while True:
            steps += 1
            if not interrupted_after(steps, wire.ask):
                break
        gc.collect()
        assert steps > 50
        assert busy() == 0
        assert wire.ask().body == BODY


def test_a_loop_that_is_closed_with_tasks_at_work_leaves_no_socket(peer: Peer) -> None:
    def sockets() -> int:
        gc.collect()
        count = 0
        for thing in gc.get_objects():
            if isinstance(thing, socket.socket) and thing.fileno() >= 0:
                try:
                    count += thing.getpeername()[1] == peer.port
                except (OSError, IndexError):
                    continue
        return count

    wire = Wire(peer.url, is_async=True)

    async def begin() -> None:
        reply = await wire.connections.send(wire.step(content=b'{"stream":true}'))
        assert await reply.read() == b"a"
        kept.append(reply)

    kept: list[Any] = []
    before = sockets()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    assert sockets() == before + 1
    loop.close()
    kept.clear()
    assert sockets() == before
    wire.close()


def test_a_stream_of_a_client_that_is_gone_can_be_read_on(peer: Peer) -> None:
    async def run() -> bytes:
        wire = Wire(peer.url, is_async=False)

        connections = AsyncConnections(None, resolve_endpoint(peer.url, "serverless"))
        reply = await connections.send(wire.step(content=b'{"stream":true}'))
        del connections
        gc.collect()
        body = b""
        while (data := await reply.read()) is not None:
            body += data
        return body

    assert asyncio.run(run()) == b"ab"


def test_threads_that_share_connections_mix_nothing_up() -> None:
    def echo(peer: Peer, sock: socket.socket, number: int) -> None:
        while request := read_request(sock):
            body = request.partition(b"\r\n\r\n")[2]
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    wrong: list[bytes] = []

    def ask_some(wire: Wire, thread: int) -> None:
        for number in range(50):
            content = b'{"n":"%d-%d"}' % (thread, number)
            if (body := wire.ask(content=content).body) != content:
                wrong.append(body)

    with listening(echo) as peer, Wire(peer.url, is_async=False) as wire:
        threads = [threading.Thread(target=ask_some, args=(wire, number)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
        assert not wrong
        assert peer.connections <= 16
