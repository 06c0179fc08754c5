# ruff: noqa: INP001  # a folder of commands, no package
"""How near the tokens of an emulator come to the profile of latency that it imitates.

python -m benchmarks.latency [--streams 1,16,64] [--tokens 120] [--rate 40] [--model] [--strict]

A reader in a process of its own asks for so many streams at once over real sockets, each with a seed of its own, and
notes when each token is there. A cell is the difference between the time from one token to the next and that of the
profile. The answers are from a script, with the real tokenizer, and with `--model` from the bundled model too.
`--strict` exits with status 1 if the 95th percentile at 64 streams is above 2 ms. It wants a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import queue
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.latency.language import read_line
from phi_emulator.latency.profile import Profile

BAR_MS: Final = 2.0
AT: Final = 64
LIMIT_S: Final = 60.0
HOST: Final = "127.0.0.1"
JITTERS: Final = (0.0, 0.2)
FIRST_MS: Final = 1000
"""Time for all requests to be there before the first token of any is due."""
_QUESTION: Final = "What is 12 + 30?"


def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--streams", default="1,16,64")
    options.add_argument("--tokens", type=int, default=120)
    options.add_argument("--rate", type=float, default=40.0)
    options.add_argument("--model", action="store_true")
    options.add_argument("--strict", action="store_true")
    options.add_argument("--read", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.read:
        print(json.dumps(read(json.loads(given.read))))
        return
    print("| answers from | streams | jitter | p50 ms | p95 ms | max ms | tokens | late |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    holds = True
    for what, place in sources(given.tokens, with_model=given.model):
        for streams in map(int, given.streams.split(",")):
            for jitter in JITTERS:
                scope = f"{streams}-{jitter}"
                profile = f"first={FIRST_MS}ms, rate={given.rate}/s, jitter={jitter}"
                off = measure(place, profile, streams=streams, tokens=given.tokens, scope=scope)
                p95 = statistics.quantiles(off, n=20, method="inclusive")[18]
                late = "" if place.emulator is None else place.emulator.latency.count(scope=scope).late_tokens
                print(
                    f"| {what} | {streams} | {jitter} | {statistics.median(off):.2f} | {p95:.2f} | {max(off):.2f} | "
                    f"{len(off) + streams} | {late} |",
                    flush=True,
                )
                holds = holds and (p95 <= BAR_MS or streams != AT or place.emulator is None)
    if given.strict and not holds:
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to ask; without an emulator it is a server that does nothing but wait and write."""

    port: int
    key: str
    emulator: Emulator | None = None


def sources(tokens: int, *, with_model: bool) -> Iterator[tuple[str, Place]]:
    """What answers, one after the other."""
    with bare_server(tokens) as port:
        yield "a bare server", Place(port, "")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "answers.toml")
        words = " ".join(f"{number % 10}" for number in range(tokens))
        script.write_text(f'[[rule]]\nanswer = "{words}"\n', encoding="utf-8")
        models = {"a script": f"scripted:{script}"} | ({"the bundled model": None} if with_model else {})
        for what, model in models.items():
            with Emulator(EmulatorConfig(port=0, model=model, max_running=64, log_level="error")) as emulator:
                yield what, Place(int(emulator.root.rpartition(":")[2]), emulator.key, emulator)


def measure(place: Place, profile: str, *, streams: int, tokens: int, scope: str) -> list[float]:
    """By how many milliseconds the time from each token to the next is off, of so many streams."""
    lines = [f"{profile}, seed={seed}" for seed in range(streams)]
    job = {"port": place.port, "key": place.key, "lines": lines, "tokens": tokens, "scope": scope}
    command = [sys.executable, "-m", "benchmarks.latency", "--read", json.dumps(job)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S)  # noqa: S603
    return [
        abs((later - earlier) - (due_later - due_earlier)) * 1000
        for line, arrived in zip(lines, json.loads(done.stdout), strict=True)
        for (earlier, later), (due_earlier, due_later) in zip(
            pairwise(arrived), pairwise(due_times(line)), strict=False
        )
    ]


@contextmanager
def bare_server(tokens: int) -> Generator[int]:
    """A server on a thread of its own that waits for each token's time and writes it: the machine's own part."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        begun = time.monotonic()
        for due in islice(due_times(head.partition("x-phi-latency: ")[2].partition("\r\n")[0]), tokens):
            await asyncio.sleep(begun + due - time.monotonic())
            writer.write(b'data: {"content":"1"}\n\n')
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, HOST, 0)
        over = asyncio.Event()
        started.put((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), over))
        await over.wait()
        server.close()

    started = queue.SimpleQueue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]]()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, loop, over = started.get()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


def due_times(line: str) -> Iterator[float]:
    """When the tokens of the answer to a request with that header are due."""
    return (read_line(line) or Profile()).due_times(0, 1)


def read(job: dict[str, Any]) -> list[list[float]]:
    """Ask for the streams, and note when each token comes."""
    selector = selectors.DefaultSelector()
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": _QUESTION}],
            "stream": True,
            "temperature": 1,
            "seed": 1,
            "max_tokens": job["tokens"],
        }
    )
    arrived: list[list[float]] = [[] for _ in job["lines"]]
    rests = [b""] * len(arrived)
    sockets = list[socket.socket]()
    for number, line in enumerate(job["lines"]):
        one = socket.create_connection((HOST, job["port"]), timeout=LIMIT_S)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.sendall(
            (
                f"POST /chat/completions HTTP/1.1\r\nHost: {HOST}:{job['port']}\r\n"
                f"Authorization: Bearer {job['key']}\r\nContent-Type: application/json\r\n"
                f"x-phi-latency: {line}\r\nx-phi-scope: {job['scope']}\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
        one.setblocking(False)  # noqa: FBT003 - the standard library's
        selector.register(one, selectors.EVENT_READ, number)
        sockets.append(one)
    open_ = len(arrived)
    while open_:
        for key, _ in selector.select(LIMIT_S):
            now = time.perf_counter()
            number = int(key.data)
            data = sockets[number].recv(1 << 16)
            if not data:
                selector.unregister(sockets[number])
                open_ -= 1
                continue
            *events, rests[number] = (rests[number] + data).split(b"\n\n")
            texts = sum(b'"content":"' in event and b'"content":""' not in event for event in events)
            arrived[number] += [now] * texts
    return arrived


if __name__ == "__main__":
    main()
