# ruff: noqa: INP001  # a folder of commands, no package
"""Thousands of mixed exchanges with a served emulator, after which it must be well and idle.

python -m benchmarks.mixed_requests [--requests 10000] [--seed N] [--first N] [--side-by-side 8]

The emulator is a process of its own with the bundled model and `--extensions`. Exchange N of a seed is always the same,
so `--first N --requests 1` repeats one. Exits 1 when something is not as it must be, and says what.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from benchmarks.mixed_exchanges import MARK, Exchange, draw
from phi_client import PhiClient
from phi_client.contract.emulator import EMULATOR_KEY

LIMIT_S: Final = 120.0
"""How long an exchange, the start and the end may take on a machine that is busy with other things."""
HALF_SENT_S: Final = 0.5
"""After which the client of a request that may have no end says that nothing follows."""
MOST_TOKENS: Final = 400
"""Of an answer: what is thought to be refused and is not has no budget of its own."""
MOST_GROWTH_MB: Final = 200.0
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_WITHIN: Final = re.compile(
    rb"model-error-statuscode: 5|^(event: error|data: {\"error\")", re.MULTILINE | re.IGNORECASE
)
"""A 500 in the clothes of a 424, or the end of a stream."""
_ERROR_WITHIN: Final = "error within"
_UNDONE: Final = "no answer in time"


@dataclass(frozen=True, slots=True)
class Size:
    """What the emulator holds; `helpers` are the megabytes of the processes that it starts, which come and go."""

    megabytes: float
    helpers: float
    threads: int
    sockets: int


class Served:
    """A `phi-emulator serve` of one's own, with its log in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self.url = ""

    def log(self) -> str:
        """All that it has said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> None:
        """Until it listens.

        Raises:
            RuntimeError: it ended, or did not listen in time.
        """
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end and self._process.poll() is None:
            if found := re.search(r"listens on (http://\S+)", self.log()):
                self.url = found[1]
                return
            time.sleep(0.05)
        raise RuntimeError(f"the emulator does not listen:\n{self.log()}")

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return self._process.poll() is not None

    def ask(self, route: str) -> Any:
        """The JSON of a control route."""
        return httpx.get(self.url + route, trust_env=False, timeout=LIMIT_S).json()

    def size(self) -> Size:
        """Of the process and its children."""
        parent = psutil.Process(self._process.pid)
        megabytes, *helpers = (
            process.memory_info().rss / 1e6 for process in (parent, *parent.children(recursive=True))
        )
        return Size(megabytes, sum(helpers), parent.num_threads(), len(parent.net_connections()))

    def control(self) -> str:
        """A greedy text, which must not change."""
        with PhiClient(self.url, EMULATOR_KEY) as client:
            done = client.complete("What is 17 * 24?", temperature=0, max_tokens=200)
            return f"{done.reasoning} {done.content}"


@contextmanager
def serving() -> Iterator[Served]:
    """A served emulator, stopped at the end."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        command = [
            sys.executable,
            "-m",
            "phi_emulator",
            "serve",
            "--port",
            "0",
            "--extensions",
            "--max-output-tokens",
            str(MOST_TOKENS),
            "--log-level",
            "debug",
        ]
        with (
            log.open("wb") as out,
            subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process,  # noqa: S603
        ):
            served = Served(process, log)
            try:
                served.wait()
                yield served
            finally:
                process.terminate()
                process.wait(LIMIT_S)


@dataclass(slots=True)
class Counts:
    """What the exchanges came to."""

    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)
    health_ms: float = 0.0
    """The longest that the health route took meanwhile."""


async def exchange(port: int, sent: Exchange) -> list[str]:
    """The status of each answer; without one, what became of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = bytearray()

    async def send() -> None:
        for part in sent.parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(sent.pause_s)

    async def receive() -> None:
        while sent.reads is None or len(got) < sent.reads:
            try:
                async with asyncio.timeout(HALF_SENT_S if sent.is_half_sent else None):
                    part = await reader.read(65_536)
            except TimeoutError:
                writer.write_eof()
                part = await reader.read(65_536)
            if not part:
                return
            got.extend(part)

    try:
        # Side by side: a body that is too large is answered before its end.
        await asyncio.gather(send(), receive(), return_exceptions=True)
    finally:
        if sent.resets:
            lingers_for_nothing = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, lingers_for_nothing
            )
        writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    if _WITHIN.search(got):
        return [_ERROR_WITHIN]
    statuses = [status.decode() for status in _STATUS.findall(got) if not status.startswith(b"1")]
    return statuses or ["closed" if sent.reads is None else "left"]


def complaint(sent: Exchange, ends: list[str]) -> str | None:
    """What is wrong with the answers; None where nothing is."""
    if any(end in (_UNDONE, _ERROR_WITHIN) or end.startswith("5") for end in ends):
        return f"{ends}"
    if sent.answers is not None and len(ends) != sent.answers:
        return f"{ends} in the place of {sent.answers} answers"
    if sent.succeeds and set(ends) != {"200"}:
        return f"{ends} in the place of 200"
    return None


async def converse(served: Served, counts: Counts, *, seed: int, numbers: range, side_by_side: int) -> None:
    """Send all of them, some side by side, and count."""
    port = httpx.URL(served.url).port or 0
    left = iter(numbers)

    async def work() -> None:
        for number in left:
            sent = draw(seed, number)
            try:
                async with asyncio.timeout(LIMIT_S):
                    ends = await exchange(port, sent)
            except TimeoutError:
                ends = [_UNDONE]
            counts.statuses[sent.kind].update(ends)
            if (wrong := complaint(sent, ends)) is not None:
                counts.wrong.append(f"{number} ({sent.kind}): {wrong}")

    async def watch() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=LIMIT_S) as client:
            while True:
                began = time.perf_counter()
                await client.get(f"{served.url}/_emulator/health")
                counts.health_ms = max(counts.health_ms, (time.perf_counter() - began) * 1_000)
                await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(work() for _ in range(side_by_side)))
    watching.cancel()


def wait_until_idle(served: Served) -> dict[str, Any]:
    """The status once nothing runs or waits, or the last one in time."""
    end = time.monotonic() + LIMIT_S
    while True:
        status: dict[str, Any] = served.ask("/_emulator/status")
        if (status["running"] == 0 and status["waiting"] == 0) or time.monotonic() > end:
            return status
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found: the counts, the sizes after each tenth, and all that is not as it must be."""

    counts: Counts
    sizes: list[Size]
    seconds: float
    wrong: list[str]


def run(*, requests: int, seed: int, first: int = 0, side_by_side: int = 8) -> Report:
    """Serve, converse, and look at what is left."""
    counts, sizes = Counts(), list[Size]()
    edges = [first + requests * tenth // 10 for tenth in range(11)]
    with serving() as served:
        text = served.control()
        began = time.monotonic()
        for start, end in pairwise(edges):
            asyncio.run(
                converse(served, counts, seed=seed, numbers=range(start, end), side_by_side=side_by_side)
            )
            if served.has_ended:
                gone = f"the emulator ended:\n{served.log()[-2_000:]}"
                return Report(counts, sizes, time.monotonic() - began, [*counts.wrong, gone])
            status = wait_until_idle(served)
            sizes.append(served.size())
        seconds = time.monotonic() - began
        health, log = served.ask("/_emulator/health"), served.log()
        grown = sizes[-1].megabytes - sizes[0].megabytes
        checks = {
            f"it is not idle: {status}": status["running"] == 0 and status["waiting"] == 0,
            f"it is not well, or was loaded again: {health}": health == {"status": "healthy"},
            "its log has a traceback": "Traceback" not in log,
            "its log has the text of a prompt": MARK not in log,
            f"it has grown by {grown:.0f} MB": grown < MOST_GROWTH_MB,
            "its greedy text has changed": served.control() == text,
        }
    return Report(
        counts, sizes, seconds, counts.wrong + [what for what, holds in checks.items() if not holds]
    )


def print_report(report: Report) -> None:
    """A table by kind and end, the sizes, and what is wrong."""
    statuses = report.counts.statuses
    ends = sorted({end for counter in statuses.values() for end in counter})
    print("| Kind | " + " | ".join(ends) + " |")
    print("|---|" + "---|" * len(ends))
    for kind, counter in sorted(statuses.items()):
        print(f"| {kind} | " + " | ".join(str(counter[end] or "") for end in ends) + " |")
    print(f"\n{report.seconds:.0f} s; the health route took {report.counts.health_ms:.0f} ms at most")
    for name in ("megabytes", "helpers", "threads", "sockets"):
        print(f"{name} after each tenth: " + " ".join(f"{getattr(size, name):.0f}" for size in report.sizes))
    print("\n".join(["", "NOT WELL:", *report.wrong]) if report.wrong else "well and idle")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first exchange")
    parser.add_argument("--side-by-side", type=int, default=8)
    asked = parser.parse_args()
    report = run(requests=asked.requests, seed=asked.seed, first=asked.first, side_by_side=asked.side_by_side)
    print_report(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
