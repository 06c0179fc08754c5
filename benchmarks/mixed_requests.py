# ruff: noqa: INP001  # a folder of commands, no package
"""Thousands of mixed exchanges with a served emulator, after which it must be well and idle.

python -m benchmarks.mixed_requests [--requests 10000] [--seed N] [--first N] [--side-by-side 8]

The emulator is a process of its own with the bundled model and `--extensions`. Exchange N of a seed is always the same, so
`--first N --requests 1` repeats one. Exits 1 when something is not as it must be, and says what.
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
MOST_GROWTH_MB: Final = 200.0
_STATUS: Final = re.compile(rb"(?:^|\r\n)HTTP/1\.1 ([0-9]{3}) ")
_INFORMATIONAL: Final = 200
_SERVER_ERROR: Final = 500
_UNDONE: Final = "no answer in time"


@dataclass(frozen=True, slots=True)
class Size:
    """What the emulator's processes hold."""

    megabytes: float
    threads: int
    sockets: int

    def __str__(self) -> str:
        return f"{self.megabytes:.0f} MB, {self.threads} threads, {self.sockets} sockets"


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
        family = [parent, *parent.children(recursive=True)]
        memory = sum(process.memory_info().rss for process in family) / 1e6
        return Size(memory, parent.num_threads(), len(parent.net_connections()))

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
            "--log-level",
            "debug",
        ]
        with (
            log.open("wb") as out,
            subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process,
        ):  # noqa: S603
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
    failures: list[str] = field(default_factory=list)
    health_ms: float = 0.0
    """The longest that the health route took meanwhile."""


async def exchange(port: int, sent: Exchange) -> list[str]:
    """The status of each answer; without one, what became of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    got = b""
    with suppress(ConnectionError):
        try:
            for part in sent.parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(sent.pause_s)
            while sent.reads is None or len(got) < sent.reads:
                try:
                    async with asyncio.timeout(HALF_SENT_S if sent.is_half_sent else None):
                        part = await reader.read(65_536)
                except TimeoutError:
                    writer.write_eof()
                    part = await reader.read(65_536)
                if not part:
                    break
                got += part
        finally:
            if sent.resets:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
    statuses = [int(status) for status in _STATUS.findall(got)]
    final = [str(status) for status in statuses if status >= _INFORMATIONAL]
    return final or ["left" if sent.reads is not None else "closed"]


async def converse(served: Served, *, seed: int, numbers: range, side_by_side: int) -> Counts:
    """Send all of them, some side by side."""
    counts = Counts()
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
            counts.failures += [
                f"{number} ({sent.kind}): {end}"
                for end in ends
                if end == _UNDONE or (end.isdigit() and int(end) >= _SERVER_ERROR)
            ]

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
    return counts


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
    """What was found: the counts, sizes before and after, and all that is not as it must be."""

    counts: Counts
    before: Size
    after: Size
    seconds: float
    wrong: list[str]


def run(*, requests: int, seed: int, first: int = 0, side_by_side: int = 8) -> Report:
    """Serve, converse, and look at what is left."""
    with serving() as served:
        text = served.control()
        warm = range(first, first + requests // 10)
        began = time.monotonic()
        counts = asyncio.run(converse(served, seed=seed, numbers=warm, side_by_side=side_by_side))
        before = served.size()
        rest = range(warm.stop, first + requests)
        more = asyncio.run(converse(served, seed=seed, numbers=rest, side_by_side=side_by_side))
        seconds = time.monotonic() - began
        for kind, ends in more.statuses.items():
            counts.statuses[kind].update(ends)
        counts.health_ms = max(counts.health_ms, more.health_ms)
        wrong = counts.failures = [*counts.failures, *more.failures]
        if served.has_ended:
            return Report(
                counts, before, before, seconds, [*wrong, "the emulator ended:", served.log()[-2_000:]]
            )
        status, health = wait_until_idle(served), served.ask("/_emulator/health")
        after = served.size()
        log = served.log()
        checks = {
            f"it is not idle: {status}": status["running"] == 0 and status["waiting"] == 0,
            f"it is not well, or was loaded again: {health}": health == {"status": "healthy"},
            "its log has a traceback": "Traceback" not in log,
            "its log has the text of a prompt": MARK not in log,
            f"it has grown by more than {MOST_GROWTH_MB:.0f} MB": after.megabytes - before.megabytes
            < MOST_GROWTH_MB,
            "its greedy text has changed": served.control() == text,
        }
        return Report(
            counts, before, after, seconds, wrong + [what for what, holds in checks.items() if not holds]
        )


def print_report(report: Report) -> None:
    """A table by kind and end, the sizes, and what is wrong."""
    ends = sorted({end for counter in report.counts.statuses.values() for end in counter})
    print("| Kind | " + " | ".join(ends) + " |")
    print("|---|" + "---|" * len(ends))
    for kind, counter in sorted(report.counts.statuses.items()):
        print(f"| {kind} | " + " | ".join(str(counter[end] or "") for end in ends) + " |")
    print(f"\n{report.seconds:.0f} s; the health route took {report.counts.health_ms:.0f} ms at most")
    print(f"after a tenth of them: {report.before}; at the end: {report.after}")
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
