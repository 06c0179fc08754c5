"""Connections: whose they are, when they are made, and that none outlives its client, process or loop."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import APIConnectionError, ConfigurationError, Timeout
from phi_client._call.fork_lock import ForkSafeLock
from phi_client._wire.connections import AsyncConnections, Connections, check_client
from phi_client.contract.dialects import resolve_endpoint
from tests.wire import (
    BODY,
    CHUNKED,
    LIMIT_S,
    WHOLE,
    Peer,
    Wire,
    answer,
    ask_async,
    listening,
    read_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
HAS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

LOOPS: dict[str, Any] = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop
ON_LOOPS = pytest.mark.parametrize("factory", LOOPS.values(), ids=LOOPS.keys())


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A service that answers."""
    with listening(answer) as peer:
        yield peer


def settled(count: Callable[[], int], wanted: int) -> int:
    """`count()`, once it is as wanted or it is certain that it will not be: the peer's end closes a little later."""
    end = time.monotonic() + LIMIT_S / 10
    while count() > wanted and time.monotonic() < end:
        gc.collect()
        threading.Event().wait(0.01)
    return count()


@BOTH
def test_a_connection_serves_one_request_after_the_other(peer: Peer, is_async: bool) -> None:
    with Wire(peer.url, is_async=is_async) as wire:
        assert [wire.ask().body for _ in range(3)] == [BODY] * 3
    assert peer.connections == 1


@BOTH
def test_a_closed_client_says_so_and_so_does_one_that_never_was_used(peer: Peer, is_async: bool) -> None:
    for is_used in (False, True):
        wire = Wire(peer.url, is_async=is_async)
        if is_used:
            wire.ask()
        if is_async:
            wire.run(wire.connections.close())
        else:
            wire.connections.close()
        with pytest.raises(ConfigurationError, match="the client is closed"):
            wire.ask()
        with pytest.raises(ConfigurationError, match="the client is closed"):
            wire.connections.twin()
        wire.close()


@BOTH
def test_a_twin_has_connections_of_its_own(peer: Peer, is_async: bool) -> None:
    with Wire(peer.url, is_async=is_async) as wire:
        wire.ask()
        first, wire.connections = wire.connections, wire.connections.twin()
        wire.ask()
        assert peer.connections == 2
        if is_async:
            wire.run(first.close())
        else:
            first.close()
        assert wire.ask().body == BODY


def test_more_than_a_hundred_calls_work_at_once_each_on_its_own_connection() -> None:
    # None is answered before all have come, so none can use another's connection.
    calls = 150
    all_came = threading.Barrier(calls, timeout=LIMIT_S)

    def meet(peer: Peer, sock: socket.socket, number: int) -> None:
        while read_request(sock) is not None:
            all_came.wait()
            sock.sendall(WHOLE)

    async def ask_all(wire: Wire) -> None:
        for _ in range(2):
            step = [wire.step(timeout=Timeout(pool=0.001)) for _ in range(calls)]
            await asyncio.gather(*[ask_async(wire.connections, one) for one in step])

    with listening(meet) as peer:
        with Wire(peer.url, is_async=True) as wire:
            wire.run(ask_all(wire))
            # Kept, all of them.
            assert peer.connections == calls
        with Wire(peer.url, is_async=False) as wire:
            threads = [threading.Thread(target=wire.ask) for _ in range(calls)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LIMIT_S)
            assert peer.connections == 2 * calls


@BOTH
def test_what_waits_is_ended_from_another_thread_and_the_next_call_works(is_async: bool) -> None:
    came = threading.Event()

    def stay_silent(peer: Peer, sock: socket.socket, number: int) -> None:
        while read_request(sock) is not None:
            if number > 1:
                sock.sendall(WHOLE)
            else:
                came.set()

    with listening(stay_silent) as peer, Wire(peer.url, is_async=is_async) as wire:

        def cut() -> None:
            came.wait(LIMIT_S)
            wire.connections.cut()

        thread = threading.Thread(target=cut)
        thread.start()
        with pytest.raises(APIConnectionError) as caught:
            wire.ask()
        thread.join()
        assert caught.value.request_sent
        assert wire.ask().body == BODY


@BOTH
def test_a_wait_for_dns_is_ended_too(is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, over = threading.Event(), threading.Event()

    def never(host: str, *_: Any, flags: int = 0, **__: Any) -> Any:
        if flags:
            raise socket.gaierror
        asked.set()
        over.wait(LIMIT_S)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", never)
    with Wire("https://phi.eastus2.models.ai.azure.com", is_async=is_async) as wire:

        def cut() -> None:
            asked.wait(LIMIT_S)
            wire.connections.cut()

        thread = threading.Thread(target=cut)
        thread.start()
        began = time.monotonic()
        with pytest.raises(APIConnectionError) as caught:
            wire.ask()
        thread.join()
        assert not caught.value.request_sent
        assert time.monotonic() - began < LIMIT_S / 4
    over.set()


@BOTH
def test_close_ends_what_runs_with_an_error_of_ours(is_async: bool) -> None:
    came = threading.Event()

    def stay_silent(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        came.set()
        peer.ended.wait(LIMIT_S)

    async def close_meanwhile(wire: Wire) -> None:
        asking = asyncio.create_task(ask_async(wire.connections, wire.step()))
        await asyncio.to_thread(came.wait, LIMIT_S)
        await wire.connections.close()
        with pytest.raises(APIConnectionError):
            await asking

    with listening(stay_silent) as peer, Wire(peer.url, is_async=is_async) as wire:
        if is_async:
            wire.run(close_meanwhile(wire))
            return

        def close() -> None:
            came.wait(LIMIT_S)
            wire.connections.close()

        thread = threading.Thread(target=close)
        thread.start()
        with pytest.raises(APIConnectionError):
            wire.ask()
        thread.join()


@BOTH
@pytest.mark.parametrize("ways", ["forgotten", "closed", "closed twice", "head only"])
def test_an_answer_that_is_left_leaves_no_connection(is_async: bool, ways: str) -> None:
    def stream(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(CHUNKED + b"1\r\na\r\n")
        sock.recv(1)  # until the client hangs up

    times = {"closed": 1, "closed twice": 2}.get(ways, 0)

    def leave(wire: Wire) -> None:
        reply = wire.connections.send(wire.step())
        assert ways == "head only" or reply.read() == b"a"
        for _ in range(times):
            reply.close()

    async def leave_async(wire: Wire) -> None:
        reply = await wire.connections.send(wire.step())
        assert ways == "head only" or await reply.read() == b"a"
        for _ in range(times):
            await reply.close()

    with listening(stream) as peer, Wire(peer.url, is_async=is_async) as wire:
        for _ in range(5):
            if is_async:
                wire.run(leave_async(wire))
            else:
                leave(wire)
        assert settled(lambda: client_sockets(peer), 0) == 0


@ON_LOOPS
@pytest.mark.parametrize("ends", ["run to its end", "only closed"])
def test_an_event_loop_leaves_nothing_behind(peer: Peer, factory: Any, ends: str) -> None:
    connections = AsyncConnections(None, resolve_endpoint(peer.url, "serverless"))
    wire = Wire(peer.url, is_async=False)
    wire.connections = connections
    loops: list[weakref.ref[object]] = []

    async def ask() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await asyncio.gather(*[ask_async(connections, wire.step()) for _ in range(3)])

    def run_once() -> None:
        if ends == "run to its end":
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(ask())
            return
        loop = factory()
        loop.run_until_complete(ask())
        loop.close()

    run_once()
    mine = client_sockets(peer)
    for _ in range(4):
        run_once()
    gc.collect()
    if ends == "run to its end":
        assert client_sockets(peer) == mine == 0
        assert not [loop for loop in loops if loop() is not None]
    else:
        # Those of the last loop, until another comes.
        assert client_sockets(peer) <= 3
        assert len([loop for loop in loops if loop() is not None]) <= 1


def client_sockets(peer: Peer) -> int:
    """How many sockets of this process are connected to `peer`."""
    count = 0
    for thing in gc.get_objects():
        if isinstance(thing, socket.socket) and thing.fileno() >= 0:
            try:
                count += thing.getpeername()[1] == peer.port
            except (OSError, IndexError):
                continue
    return count


@ON_LOOPS
def test_close_works_on_another_loop_and_is_never_half_done(peer: Peer, factory: Any) -> None:
    connections = AsyncConnections(None, resolve_endpoint(peer.url, "serverless"))
    wire = Wire(peer.url, is_async=False)
    wire.connections = connections

    async def ask_some() -> None:
        await asyncio.gather(*[ask_async(connections, wire.step()) for _ in range(5)])

    loop = factory()
    loop.run_until_complete(ask_some())
    assert client_sockets(peer) == 5

    async def close_and_be_cancelled() -> None:
        closing = asyncio.create_task(connections.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)

    asyncio.run(close_and_be_cancelled())
    assert client_sockets(peer) == 0
    loop.close()


def test_under_no_loop_of_asyncio_the_message_says_what_to_do(peer: Peer) -> None:
    connections = AsyncConnections(None, resolve_endpoint(peer.url, "serverless"))
    wire = Wire(peer.url, is_async=False)
    with pytest.raises(ConfigurationError, match="event loop of asyncio"):
        connections.send(wire.step()).send(None)


@BOTH
def test_a_kept_connection_that_its_peer_closed_is_not_used_again(is_async: bool) -> None:
    closed = threading.Event()

    def answer_once(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(WHOLE)
        sock.shutdown(socket.SHUT_RDWR)
        closed.set()

    with listening(answer_once) as peer, Wire(peer.url, is_async=is_async) as wire:
        for _ in range(3):
            closed.clear()
            assert wire.ask().body == BODY
            closed.wait(LIMIT_S)
    assert peer.connections == 3


@BOTH
def test_no_cookie_is_kept(is_async: bool) -> None:
    got: list[bytes] = []

    def bake(peer: Peer, sock: socket.socket, number: int) -> None:
        while request := read_request(sock):
            got.append(request)
            sock.sendall(WHOLE.replace(b"\r\n", b"\r\nset-cookie: session=1\r\n", 1))

    with listening(bake) as peer, Wire(peer.url, is_async=is_async) as wire:
        wire.ask()
        wire.ask()
    assert len(got) == 2
    assert not [request for request in got if b"cookie" in request.lower()]


@BOTH
def test_a_connection_asks_after_a_silent_peer_and_sends_at_once(is_async: bool) -> None:
    found: list[tuple[int, int, int]] = []

    def look(peer: Peer, sock: socket.socket, number: int) -> None:
        read_request(sock)
        for thing in gc.get_objects():
            if isinstance(thing, socket.socket) and thing.fileno() >= 0:
                try:
                    is_ours = thing.getpeername()[1] == peer.port
                except (OSError, IndexError):
                    continue
                if is_ours:
                    found.append(options_of(thing))
        sock.sendall(WHOLE)

    def options_of(sock: socket.socket) -> tuple[int, int, int]:
        idle: int = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", 0))
        return (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            sock.getsockopt(socket.IPPROTO_TCP, idle),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
        )

    with listening(look) as peer, Wire(peer.url, is_async=is_async) as wire:
        wire.ask()
    ((is_on, first_probe_s, sends_at_once),) = found
    assert is_on
    assert first_probe_s < 240
    assert sends_at_once


@BOTH
def test_limits_beyond_what_a_socket_takes_are_none(peer: Peer, is_async: bool) -> None:
    with Wire(peer.url, is_async=is_async) as wire:
        for limit in (1e12, float("inf"), 1e7, None):
            timeout = Timeout(connect=limit, read=limit, write=limit, pool=limit)
            assert wire.ask(timeout=timeout, deadline=limit).body == BODY


@BOTH
def test_where_no_thread_can_be_started_dns_is_asked_in_place(
    peer: Peer, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire(peer.url.replace("127.0.0.1", "localhost"), is_async=is_async) as wire:
        if is_async:
            wire.run(asyncio.sleep(0))

        start = threading.Thread.start

        def refuse(self: threading.Thread) -> None:
            if self.name.startswith("phi-client"):
                raise RuntimeError("can't start new thread")
            start(self)  # the peer's own

        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert wire.ask().body == BODY


def in_a_process(script: str, url: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own: this one has threads, and forking it would warn."""
    head = f"""
import asyncio, os, sys, threading, time
sys.path.insert(0, {str(Path.cwd())!r})
from tests.wire import Wire, BODY
URL = {url!r}
"""
    return subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore:This process:DeprecationWarning",
            "-c",
            head + script,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@HAS_FORK
@BOTH
def test_a_forked_child_goes_on_with_connections_of_its_own(peer: Peer, is_async: bool) -> None:
    done = in_a_process(
        f"""
wire = Wire(URL, is_async={is_async})
wire.ask()
child = os.fork()
if child == 0:
    fresh = wire if not wire.is_async else Wire(URL, is_async=True)
    fresh.connections = wire.connections
    ok = fresh.ask().body == BODY
    os._exit(0 if ok else 1)
status = os.waitpid(child, 0)[1]
ok = wire.ask().body == BODY
wire.close()
sys.exit(bool(status) or not ok)
""",
        peer.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert peer.connections == 2


@HAS_FORK
def test_children_of_a_parent_with_threads_work_and_end(peer: Peer) -> None:
    done = in_a_process(
        """
wire = Wire(URL, is_async=False)
wire.ask()
is_over = threading.Event()
def hammer():
    while not is_over.is_set():
        wire.ask()
threads = [threading.Thread(target=hammer, daemon=True) for _ in range(6)]
for thread in threads:
    thread.start()
children = []
for number in range(24):
    child = os.fork()
    if child == 0:
        if number % 2 and wire.ask().body != BODY:
            os._exit(3)
        sys.exit(0)
    children.append(child)
end = time.monotonic() + 20
while children and time.monotonic() < end:
    children = [child for child in children if os.waitpid(child, os.WNOHANG) == (0, 0)]
    time.sleep(0.005)
is_over.set()
for thread in threads:
    thread.join()
wire.close()
sys.exit(len(children))
""",
        peer.url,
    )
    assert (done.returncode, done.stderr) == (0, "")


@HAS_FORK
@pytest.mark.skipif("uvloop" not in LOOPS, reason="uvloop is not installed")
def test_a_child_of_a_parent_that_used_uvloop_ends_as_it_should(peer: Peer) -> None:
    # With the connect of uvloop the parent had threads of libuv, and each child crashed at its exit.
    done = in_a_process(
        """
import uvloop
with Wire(URL, is_async=True, factory=uvloop.new_event_loop) as wire:
    assert wire.ask().body == BODY
child = os.fork()
if child == 0:
    sys.exit(0)
sys.exit(os.waitpid(child, 0)[1])
""",
        peer.url,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("leaves", ["client", "reply", "a reply under way"])
@BOTH
def test_an_interpreter_ends_quietly_whatever_was_left_open(peer: Peer, is_async: bool, leaves: str) -> None:
    done = in_a_process(
        f"""
wire = Wire(URL, is_async={is_async})
wire.ask()
if {leaves != "client"}:
    sending = wire.connections.send(wire.step())
    reply = wire.run(sending) if wire.is_async else sending
    if {leaves != "reply"}:
        reading = reply.read()
        if wire.is_async:
            wire.run(reading)
""",
        peer.url,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_lock_that_a_thread_of_the_parent_held_is_free_in_the_child() -> None:
    lock = ForkSafeLock()
    entered: list[int] = []

    def enter(number: int) -> None:
        with lock:
            entered.append(number)

    with lock:
        lock.renew()  # what a fork does in the child
        threads = [threading.Thread(target=enter, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
        assert sorted(entered) == list(range(8))


def test_a_renewed_lock_still_lets_one_in_at_a_time() -> None:
    lock = ForkSafeLock()
    lock.renew()
    inside, most = 0, 0
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def enter() -> None:
        nonlocal inside, most
        for _ in range(200):
            with lock:
                inside += 1
                most = max(most, inside)
                sum(range(20))
                inside -= 1

    try:
        threads = [threading.Thread(target=enter) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
    finally:
        sys.setswitchinterval(before)
    assert most == 1


def test_a_client_of_another_kind_is_refused_by_name() -> None:
    check_client(None, httpx.Client)
    with httpx.Client() as http:
        check_client(http, httpx.Client)
        with pytest.raises(ConfigurationError, match=r"httpx\.AsyncClient.*not an `httpx\.Client`"):
            check_client(http, httpx.AsyncClient)

    class Other:
        """As a client of another package is."""

    Other.__module__ = "httpx2._client"
    with pytest.raises(ConfigurationError, match=r"httpx\.Client.*httpx2"):
        check_client(Other(), httpx.Client)


def test_a_sync_reply_may_be_left_to_any_thread(peer: Peer) -> None:
    connections = Connections(None, resolve_endpoint(peer.url, "serverless"))
    wire = Wire(peer.url, is_async=False)
    replies = [connections.send(wire.step())]
    thread = threading.Thread(target=replies.clear)
    thread.start()
    thread.join()
    assert settled(lambda: client_sockets(peer), 0) == 0
    connections.close()
