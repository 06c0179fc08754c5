"""Connections: whose they are, when they are made, and that none outlives its client, process or loop."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import certifi
import pytest
import trustme

from phi_client import APIConnectionError, APITimeoutError, AsyncPhiClient, PhiClient, Timeout
from phi_client._call.fork_lock import ForkSafeLock
from phi_client._wire.http import AsyncPool, Pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "https://phi.eastus2.models.ai.azure.com"
BODY = b'{"choices":[{"message":{"content":"42"},"finish_reason":"stop"}]}'


class Answering(BaseHTTPRequestHandler):
    """Answers every request, and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a service on a real socket."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


def test_no_client_of_httpx_is_made_before_it_is_needed() -> None:
    with PhiClient("emulator") as client:
        assert client._lanes[0].pool._own is None


def test_a_pool_of_its_own_is_closed_by_the_with_statement_but_not_by_a_copy() -> None:
    with PhiClient("emulator") as client:
        http = client._lanes[0].pool.get()
        client.with_options(seed=1).close()
        was_closed_by_the_copy = http.is_closed
    assert not was_closed_by_the_copy
    assert http.is_closed
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.complete("x")


def tls_context(client: PhiClient) -> Any:
    transport: Any = client._lanes[0].pool.get()._transport
    return transport._pool._ssl_context


def test_clients_share_one_tls_context_until_the_environment_names_other_certificates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with PhiClient(URL, "k") as one, PhiClient(URL, "k") as other:
        shared = tls_context(one)
        assert tls_context(other) is shared
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    with PhiClient(URL, "k") as third:
        assert tls_context(third) is not shared
        assert tls_context(third).verify_mode is ssl.CERT_REQUIRED


def test_over_plain_http_no_certificates_are_read() -> None:
    with PhiClient("http://127.0.0.1:1", "k") as client:
        context = tls_context(client)
        assert context.get_ca_certs() == []
        assert context.verify_mode is ssl.CERT_REQUIRED


def test_as_many_connections_are_kept_as_worked_at_once(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # None is answered before all have come, so none can use another's connection.
    all_came = threading.Barrier(30, timeout=30)
    answer = Answering.do_POST
    monkeypatch.setattr(Answering, "do_POST", lambda self: (all_came.wait(), answer(self)))

    async def ask() -> int:
        async with AsyncPhiClient(server, "k") as client:
            await asyncio.gather(*[client.complete("x") for _ in range(30)])
            transport: Any = client._lanes[0].pool.get()._transport
            return len(transport._pool._idle)

    assert asyncio.run(ask()) == 30


def test_a_closed_async_client_says_so() -> None:
    async def use_after_close() -> None:
        async with AsyncPhiClient("emulator") as client:
            http = client._lanes[0].pool.get()
        assert http.is_closed
        with pytest.raises(RuntimeError, match="the client is closed"):
            await client.complete("x")

    asyncio.run(use_after_close())


def test_the_environments_proxy_gets_nothing_that_stays_on_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    with PhiClient("emulator") as local, PhiClient(URL, "k") as hosted:
        assert not any(local._lanes[0].pool.get()._mounts.values())
        assert any(hosted._lanes[0].pool.get()._mounts.values())


def test_several_event_loops_one_after_the_other_have_connections_of_their_own(server: str) -> None:
    client = AsyncPhiClient(server, "k")

    async def ask() -> str:
        content = (await client.complete("x")).content
        pool = client._lanes[0].pool
        await pool.get().aclose()
        return content

    assert [asyncio.run(ask()) for _ in range(3)] == ["42"] * 3


def test_many_threads_get_one_pool() -> None:
    pool = Pool(None, is_loopback=True)
    together = threading.Barrier(8)
    got: list[object] = []

    def get() -> None:
        together.wait()
        got.append(pool.get())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in got}) == 1
    pool.close()


def test_tasks_of_one_loop_get_one_pool() -> None:
    async def get_twice() -> bool:
        pool = AsyncPool(None, is_loopback=True)
        same = pool.get() is pool.get()
        await pool.aclose()
        return same

    assert asyncio.run(get_twice())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_goes_on_with_connections_of_its_own(server: str) -> None:
    # In a process of its own: the suite has threads, and forking a process with threads warns.
    script = f"""
import os, sys
from phi_client import PhiClient
client = PhiClient({server!r}, "k")
client.complete("x")
parent = client._lanes[0].pool.get()
child = os.fork()
if child == 0:
    ok = client.complete("x").content == "42" and client._lanes[0].pool.get() is not parent
    os._exit(0 if ok else 1)
status = os.waitpid(child, 0)[1]
ok = client.complete("x").content == "42" and client._lanes[0].pool.get() is parent
sys.exit(status or not ok)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)


def test_a_lock_that_a_thread_of_the_parent_held_is_free_in_the_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock = ForkSafeLock()
    with lock:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        entered = threading.Event()

        def enter() -> None:
            with lock:
                entered.set()

        child = threading.Thread(target=enter)
        child.start()
        child.join(10)
        assert entered.is_set()
        held = lock._lock
        held.acquire()  # so that leaving the outer block releases what it finds


@pytest.mark.parametrize("leaves", ["client", "stream"])
def test_an_interpreter_ends_quietly_whatever_was_left_open(server: str, leaves: str) -> None:
    script = f"""
from phi_client import PhiClient
client = PhiClient({server!r}, "k")
client.complete("x")
if {leaves == "stream"}:
    client.stream("x").__enter__()
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        check=True,
        timeout=60,
        capture_output=True,
    )
    assert done.stderr == b""


def test_a_kept_connection_that_has_expired_is_closed_and_never_used_again(server: str) -> None:
    async def ask_twice() -> tuple[int, int]:
        async with AsyncPhiClient(server, "k") as client:
            await client.complete("x")
            transport: Any = client._lanes[0].pool.get()._transport
            (kept,) = transport._pool._idle
            await kept.aclose()
            content = (await client.complete("x")).content
            assert content == "42"
            return len(transport._pool._idle), transport._pool.busy

    assert asyncio.run(ask_twice()) == (1, 0)


def test_async_calls_wait_for_a_free_connection_and_say_so_when_none_comes(server: str) -> None:
    async def ask() -> None:
        async with AsyncPhiClient(server, "k", timeout=Timeout(pool=0.01), max_retries=0) as client:
            transport: Any = client._lanes[0].pool.get()._transport
            for _ in range(100):
                await transport._pool._places.acquire()
            with pytest.raises(APITimeoutError) as caught:
                await client.complete("x")
            assert (caught.value.phase, caught.value.request_sent) == ("pool", False)
            transport._pool._places.release()
            assert (await client.complete("x")).content == "42"

    asyncio.run(ask())


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_over_tls_the_authorities_that_the_environment_names_are_trusted(
    is_async: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as listening:
        listening.daemon_threads = True
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"https://localhost:{listening.server_address[1]}"
        try:
            with pytest.raises(APIConnectionError, match="certificate"):
                ask_once(url, is_async=is_async)
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
            assert ask_once(url, is_async=is_async) == "42"
        finally:
            listening.shutdown()
            thread.join()


def ask_once(url: str, *, is_async: bool) -> str:
    options: dict[str, Any] = {"api_key": "a-key", "dialect": "serverless", "max_retries": 0}
    if not is_async:
        with PhiClient(url, **options) as client:
            return client.complete("x").content

    async def ask() -> str:
        async with AsyncPhiClient(url, **options) as client:
            return (await client.complete("x")).content

    return asyncio.run(ask())


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_no_cookie_is_kept(is_async: bool) -> None:
    class Baking(Answering):
        def end_headers(self) -> None:
            got.append(self.headers["cookie"])
            self.send_header("set-cookie", "session=1")
            super().end_headers()

    got: list[str | None] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Baking) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            ask_twice(f"http://127.0.0.1:{listening.server_address[1]}", is_async=is_async)
        finally:
            listening.shutdown()
            thread.join()
    assert got == [None, None]


def ask_twice(url: str, *, is_async: bool) -> None:
    if not is_async:
        with PhiClient(url, "a-key", dialect="serverless") as client:
            client.complete("x")
            client.complete("x")
        return

    async def ask() -> None:
        async with AsyncPhiClient(url, "a-key", dialect="serverless") as client:
            await client.complete("x")
            await client.complete("x")

    asyncio.run(ask())
