"""One driver that speaks to `PhiClient` or `AsyncPhiClient`, so that each client test runs for both.

It must not patch anything: a respx router is the client's transport, and time is the client's clock.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest
import respx
from pydantic import BaseModel

from phi_client import (
    AsyncPhiClient,
    Completion,
    CompletionChunk,
    MapItem,
    MapResult,
    ModelInfo,
    ParsedCompletion,
    PhiClient,
    Solution,
)
from phi_client.testing import Clock, with_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

# Signals, forks, terminals, inherited descriptors and resets of connections, as they are on Linux and macOS.
collect_ignore = (
    [
        "client/test_pool.py",
        "emulator/models/test_killed.py",
        "emulator/test_platforms.py",
        "together/test_exec.py",
        "together/test_map.py",
        "together/test_mixed_requests.py",
        "together/test_real_model.py",
        "together/test_stopping.py",
    ]
    if sys.platform == "win32"
    else []
)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background jobs. Processes that tests start would inherit it, and hear no Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

needs_uvloop = pytest.mark.skipif(sys.platform == "win32", reason="uvloop has no build for Windows")

ENDPOINT = "https://phi.eastus2.models.ai.azure.com"
KEY = "a-key-that-must-never-be-shown-00"


@dataclass
class FakeTime:
    """Time that passes only when somebody waits, and chance that is always one half."""

    seconds: float = 1000.0
    waits: list[float] = field(default_factory=list[float])

    def clock(self) -> Clock:
        """The clock to give to a client."""
        return Clock(
            now=lambda: self.seconds, sleep=self.wait, sleep_async=self.wait_async, random=lambda: 0.5
        )

    def wait(self, seconds: float) -> None:
        """Let time pass, and remember it."""
        self.waits.append(seconds)
        self.seconds += seconds

    async def wait_async(self, seconds: float) -> None:
        """As `wait`."""
        self.wait(seconds)


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces: bytes are sent, an exception is raised, a function is called in between."""

    def __init__(self, *pieces: bytes | Exception | Callable[[], None]) -> None:
        self.pieces = pieces
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if callable(piece):
                piece()
            else:
                yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True


def loop_factory(kind: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop for a kind of client."""
    if kind != "uvloop":
        return None
    import uvloop  # noqa: PLC0415  # not on Windows

    return uvloop.new_event_loop


class Driver:
    """A client of either kind behind one sync face."""

    def __init__(self, kind: str, time: FakeTime) -> None:
        self.kind = kind
        self.is_async = kind != "sync"
        self.time = time
        self.router = respx.MockRouter(assert_all_called=False, assert_all_mocked=True)
        self.client: PhiClient | AsyncPhiClient | None = None
        self._runner = asyncio.Runner(loop_factory=loop_factory(kind))
        self._http: list[httpx.Client | httpx.AsyncClient] = []

    def open(self, endpoint: str | None = ENDPOINT, api_key: str | None = KEY, **arguments: Any) -> Driver:
        """Make the client, with the router as its transport."""
        if self.is_async:
            http = httpx.AsyncClient(transport=httpx.MockTransport(self.router.async_handler))
            self._http.append(http)
            self.client = AsyncPhiClient(endpoint, api_key, http_client=http, **arguments)
        else:
            plain = httpx.Client(transport=httpx.MockTransport(self.router.handler))
            self._http.append(plain)
            self.client = PhiClient(endpoint, api_key, http_client=plain, **arguments)
        with_clock(self.client, self.time.clock())
        return self

    def answer(self, *answers: httpx.Response | Exception) -> respx.Route:
        """Let the service give these answers in turn."""
        return self.router.route().mock(side_effect=list(answers))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on this driver's loop."""
        return self._runner.run(work)

    def complete(self, messages: Any = "What is 6 * 7?", **options: Any) -> Completion:
        """`complete()` of the client."""
        if isinstance(self.client, AsyncPhiClient):
            return self.run(self.client.complete(messages, **options))
        assert self.client is not None
        return self.client.complete(messages, **options)

    def get_model_info(self) -> ModelInfo:
        """`get_model_info()` of the client."""
        if isinstance(self.client, AsyncPhiClient):
            return self.run(self.client.get_model_info())
        assert self.client is not None
        return self.client.get_model_info()

    def stream(
        self, messages: Any = "What is 6 * 7?", *, leave_after: int | None = None, **options: Any
    ) -> tuple[list[CompletionChunk], Completion | None]:
        """The chunks and the completion; with `leave_after` the stream is left after so many chunks."""
        chunks: list[CompletionChunk] = []
        client = self.client
        if isinstance(client, AsyncPhiClient):

            async def read() -> Completion | None:
                async with client.stream(messages, **options) as stream:
                    async for chunk in stream:
                        chunks.append(chunk)
                        if len(chunks) == leave_after:
                            return None
                return stream.completion

            return chunks, self.run(read())
        assert client is not None
        with client.stream(messages, **options) as stream:
            for chunk in stream:
                chunks.append(chunk)
                if len(chunks) == leave_after:
                    return chunks, None
        return chunks, stream.completion

    def parse(self, messages: Any, model: type[M], **options: Any) -> ParsedCompletion[M]:
        """`parse()` of the client."""
        if isinstance(self.client, AsyncPhiClient):
            return self.run(self.client.parse(messages, model, **options))
        assert self.client is not None
        return self.client.parse(messages, model, **options)

    def solve(self, problem: Any = "What is 6 * 7?", samples: int = 1, **options: Any) -> Solution:
        """`solve()` of the client."""
        if isinstance(self.client, AsyncPhiClient):
            return self.run(self.client.solve(problem, samples, **options))
        assert self.client is not None
        return self.client.solve(problem, samples, **options)

    def map(self, inputs: Any, **options: Any) -> MapResult[Any]:
        """`map()` of the client."""
        if isinstance(self.client, AsyncPhiClient):
            return self.run(self.client.map(inputs, **options))
        assert self.client is not None
        return self.client.map(inputs, **options)

    def map_as_completed(
        self, inputs: Any, *, leave_after: int | None = None, **options: Any
    ) -> list[MapItem[Any]]:
        """The items of `map_as_completed()`; with `leave_after` the loop is left after so many."""
        items: list[MapItem[Any]] = []
        client = self.client
        if isinstance(client, AsyncPhiClient):

            async def read() -> None:
                async with aclosing(client.map_as_completed(inputs, **options)) as found:
                    async for item in found:
                        items.append(item)
                        if len(items) == leave_after:
                            return

            self.run(read())
            return items
        assert client is not None
        with closing(client.map_as_completed(inputs, **options)) as found:
            for item in found:
                items.append(item)
                if len(items) == leave_after:
                    break
        return items

    def close(self) -> None:
        """Close what was opened."""
        for http in self._http:
            if isinstance(http, httpx.AsyncClient):
                self.run(http.aclose())
            else:
                http.close()
        self._runner.close()


@pytest.fixture
def fake_time() -> FakeTime:
    """Time that passes only when somebody waits."""
    return FakeTime()


@pytest.fixture(params=["sync", "async", pytest.param("uvloop", marks=needs_uvloop)])
def phi(
    request: pytest.FixtureRequest, fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Driver]:
    """A driver for each kind of client, without the environment of whoever runs the tests."""
    for name in ("ENDPOINT", "API_KEY", "DIALECT", "MODEL", "DEPLOYMENT", "API_VERSION", "LOG"):
        monkeypatch.delenv(f"PHI_{name}", raising=False)
    driver = Driver(request.param, fake_time)
    yield driver
    driver.close()


@pytest.fixture
def pieces() -> type[Pieces]:
    """A body in pieces."""
    return Pieces
