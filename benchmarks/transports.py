"""What carries async requests best behind httpx's seam: processor time, and connections lost under cancellation.

    python -m benchmarks.transports [--rounds 5]

Each round starts a fresh process for each transport; all ask the same fixed upstream, a process of its own on this
machine, through httpx's client. A cell is the median over the rounds of the transport's figure by that of httpcore's
pool in the same round, so what else the machine does touches both. For the connections, tasks are cancelled at seeded
moments; then as many requests as before go out at once. What is open beyond those is lost; with a pool of 20, so are
the places of requests that then find none.
"""
# ruff: noqa: INP001  # commands beside one another, no package

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.client_speed import upstream
from phi_client import Timeout
from phi_client._call.deadline import Deadline, Limits
from phi_client._call.secrets import Secrets
from phi_client._wire.async_own_connections import AsyncOwn
from phi_client._wire.async_transport import AsyncTransport
from phi_client._wire.faults import Attempt
from phi_client._wire.transport_facts import ATTEMPT
from phi_client.contract.dialects import resolve_endpoint

BASE: Final = "httpcore"
TRANSPORTS: Final = {
    BASE: "httpcore",
    "ours": "httpcore",
    "ours on uvloop": "uvloop",
    "httpcore on uvloop": "uvloop",
    "aiohttp": "aiohttp",
    "httpx2": "httpx2",
}
FIGURES: Final = (
    ("one", "a request, one after the other", "µs"),
    ("many", "a request, 64 at once", "µs"),
    ("chunk", "a chunk of a stream of 2,000", "µs"),
)
COUNTS: Final = (
    ("lost", "connections lost"),
    ("failed", "of 20 requests at once with a pool of 20, without a place"),
    ("left", "descriptors left after closing"),
)
AT_ONCE: Final = 64
CHUNKS: Final = 2000
CANCELLED: Final = 2000
SEED: Final = 20_260_416
PLACES: Final = 20
WHOLE: Final = json.dumps({"messages": [{"role": "user", "content": "17 * 24?"}]}).encode()
STREAM: Final = json.dumps({"stream": True, "max_tokens": CHUNKS}).encode()

Send = Callable[[bytes], Awaitable[None]]


class Aiohttp(httpx.AsyncBaseTransport):
    """aiohttp behind httpx's seam."""

    def __init__(self, limit: int) -> None:
        import aiohttp  # noqa: PLC0415  # only where it is compared

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit), auto_decompress=False
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send."""
        response = await self._session.request(
            request.method,
            str(request.url),
            headers=request.headers.multi_items(),
            data=await request.aread(),
            allow_redirects=False,
        )
        return httpx.Response(response.status, headers=response.raw_headers, stream=_AiohttpBody(response))

    async def aclose(self) -> None:
        """Close."""
        await self._session.close()


class _AiohttpBody(httpx.AsyncByteStream):
    def __init__(self, response: Any) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data, _ in self._response.content.iter_chunks():
            yield data

    async def aclose(self) -> None:
        self._response.close()


class Ours(AsyncTransport):
    """Our transport, closed as httpx closes one."""

    def __init__(self, url: str) -> None:
        self._own = AsyncOwn(resolve_endpoint(url, "serverless"))
        super().__init__(self._own.lines)

    async def aclose(self) -> None:
        """Close."""
        self._own.close()


def made(name: str, url: str, places: int | None) -> tuple[Any, Callable[[], dict[str, Any]]]:
    """A client over the transport, and the extensions of a request."""
    if name.startswith("ours"):
        return httpx.AsyncClient(transport=Ours(url), timeout=5), _attempt
    if name == "aiohttp":
        return httpx.AsyncClient(transport=Aiohttp(places or 0), timeout=5), dict
    library: Any = importlib.import_module("httpx2" if name == "httpx2" else "httpx")
    limits = library.Limits(max_connections=places, max_keepalive_connections=places)
    return library.AsyncClient(limits=limits, timeout=library.Timeout(5, pool=1), trust_env=False), dict


def _attempt() -> dict[str, Any]:
    limits = Limits(Timeout(), Deadline.of(None, time.monotonic))
    return {ATTEMPT: Attempt(limits, Secrets())}


def sender(client: Any, extensions: Callable[[], dict[str, Any]], url: str) -> Send:
    """What sends one request and reads the answer to its end."""
    timeout = {"timeout": {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 1.0}}

    async def send(content: bytes) -> None:
        options = extensions() | timeout
        async with client.stream("POST", url, content=content, extensions=options) as response:
            async for _ in response.aiter_raw():
                pass

    return send


async def processor_time(work: Callable[[], Awaitable[object]], times: int, parts: int = 1) -> float:
    """Microseconds of processor time for one part."""
    for _ in range(2):
        await work()
    began = time.process_time()
    for _ in range(times):
        await work()
    return (time.process_time() - began) / times / parts * 1e6


async def storm(send: Send, turns: random.Random) -> None:
    """Requests that are cancelled after some turns of the loop."""

    async def one() -> None:
        task = asyncio.ensure_future(send(WHOLE))
        for _ in range(turns.randint(0, 40)):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task

    for _ in range(CANCELLED // AT_ONCE):
        await asyncio.gather(*[one() for _ in range(AT_ONCE)])


def open_sockets() -> int:
    """How many sockets this process has."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += os.readlink(entry).startswith("socket:")  # noqa: PTH115  # its target is no path
    return count


async def figures_of(name: str, url: str) -> dict[str, float]:
    """All figures of one transport."""
    found: dict[str, float] = {}
    before = open_sockets()
    client, extensions = made(name, url, None)
    send = sender(client, extensions, url)

    async def many() -> None:
        await asyncio.gather(*[send(WHOLE) for _ in range(AT_ONCE)])

    found["one"] = await processor_time(lambda: send(WHOLE), 300)
    found["chunk"] = await processor_time(lambda: send(STREAM), 3, CHUNKS)
    found["many"] = await processor_time(many, 6, AT_ONCE)
    await storm(send, random.Random(SEED))  # noqa: S311  # the same in each run
    await many()
    found["lost"] = max(0, open_sockets() - before - AT_ONCE)
    await client.aclose()
    await asyncio.sleep(0.1)
    found["left"] = max(0, open_sockets() - before)
    client, extensions = made(name, url, PLACES)
    send = sender(client, extensions, url)
    await storm(send, random.Random(SEED))  # noqa: S311  # the same in each run
    outcomes = await asyncio.gather(*[send(WHOLE) for _ in range(PLACES)], return_exceptions=True)
    found["failed"] = sum(isinstance(outcome, Exception) for outcome in outcomes)
    await client.aclose()
    return found


def measured(name: str, url: str) -> dict[str, float]:
    """The figures of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.transports", "--one", name, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(rounds: list[dict[str, dict[str, float]]], names: list[str]) -> str:
    """The ratios and counts in markdown."""
    lines = [
        f"| Figure | {' | '.join(names)} | {BASE} in absolute terms |",
        f"|---|{'---|' * len(names)}---|",
    ]
    for figure, words, unit in FIGURES:
        cells = [
            f"{statistics.median(one[name][figure] / one[BASE][figure] for one in rounds):.2f}"
            for name in names
        ]
        absolute = statistics.median(one[BASE][figure] for one in rounds)
        lines.append(f"| {words} | {' | '.join(cells)} | {absolute:.0f} {unit} |")
    for figure, words in COUNTS:
        cells = [f"{statistics.median(one[name][figure] for one in rounds):.0f}" for name in names]
        lines.append(f"| {words} | {' | '.join(cells)} | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("NAME", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, url = options.one
        factory = importlib.import_module("uvloop").new_event_loop if "uvloop" in name else None
        with asyncio.Runner(loop_factory=factory) as runner:
            print(json.dumps(runner.run(figures_of(name, url))))
        return
    names = [name for name, module in TRANSPORTS.items() if importlib.util.find_spec(module) is not None]
    rounds: list[dict[str, dict[str, float]]] = []
    with upstream() as url:
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            rounds.append({name: measured(name, url) for name in names})
    print(table(rounds, names))
    versions = ", ".join(
        f"{module} {version(module)}" for module in sorted({*TRANSPORTS.values()} | {"httpx"})
    )
    print(
        f"\n{options.rounds} rounds, {os.cpu_count()} cores, Python {platform.python_version()}; {versions}"
    )


if __name__ == "__main__":
    main()
