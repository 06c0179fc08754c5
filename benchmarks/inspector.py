# ruff: noqa: INP001  # a folder of commands, no package
"""What looking on costs the engine: the rate of streams while the feeds are open, and while they are closed, in turns.

python -m benchmarks.inspector [PAIRS]

Open are the list of all exchanges and the tokens of one that runs, in a process of their own, as a browser has them.
Both are measured in one run, one after the other, so that a machine that gets slower gets slower for both.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from phi_emulator import Emulator, EmulatorConfig

_PAIRS: Final = 12
_TOKENS: Final = 300
_STREAMS: Final = (4, 1)
_BAR: Final = 0.02

# Reads the list, and of each exchange that begins while it follows none the tokens.
_ONLOOKER: Final = """
import http.client, json, sys, threading
host, key = sys.argv[1:]
headers = {"Authorization": "Bearer " + key}
def lines(path):
    connection = http.client.HTTPConnection(host)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    while line := answer.readline():
        yield line
following = threading.Semaphore(1)
def follow(request_id):
    for _ in lines("/_emulator/journal/" + request_id + "/events"):
        pass
    following.release()
for line in lines("/_emulator/events"):
    if line.startswith(b'data: {"last"'):
        print("open", flush=True)
        for one in json.loads(line[6:])["exchanges"]:
            if one["ending"] == "running" and following.acquire(blocking=False):
                threading.Thread(target=follow, args=(one["id"],), daemon=True).start()
"""


@contextmanager
def onlooker(emulator: Emulator) -> Iterator[None]:
    """While it is entered, somebody looks on."""
    host = emulator.root.removeprefix("http://")
    looking = subprocess.Popen(  # noqa: S603 - this program
        [sys.executable, "-c", _ONLOOKER, host, emulator.key], stdout=subprocess.PIPE, text=True
    )
    assert looking.stdout is not None  # noqa: S101 - a pipe was asked for
    looking.stdout.readline()
    drain = threading.Thread(target=looking.stdout.read, daemon=True)
    drain.start()
    try:
        yield
    finally:
        looking.kill()
        looking.wait()
        drain.join()
        looking.stdout.close()


def stream(emulator: Emulator, number: int) -> int:
    """Ask for a stream and read it to its end; how many tokens it had."""
    connection = http.client.HTTPConnection(emulator.root.removeprefix("http://"), timeout=120)
    body = {
        "messages": [{"role": "user", "content": f"What is 12345 * {6789 + number}?"}],
        "max_tokens": _TOKENS,
        "stream": True,
        "seed": number,
        "temperature": 1,
    }
    headers = {"Authorization": f"Bearer {emulator.key}", "Content-Type": "application/json"}
    connection.request("POST", "/chat/completions", json.dumps(body), headers)
    said = connection.getresponse().read()
    connection.close()
    return said.count(b'"content":"')


def rate(emulator: Emulator, streams: int, rounds: int) -> float:
    """Tokens a second of so many streams side by side."""
    counted: list[int] = []

    def ask(number: int) -> None:
        counted.extend(stream(emulator, 100 * number + one) for one in range(rounds))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(streams)]
    begun = time.perf_counter()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return sum(counted) / (time.perf_counter() - begun)


def main(pairs: int) -> None:
    """Measure and print."""
    with Emulator(EmulatorConfig(port=0, journal_texts=True)) as emulator:
        for streams in _STREAMS:
            rounds = max(1, 6 // streams)
            rate(emulator, streams, rounds)
            closed: list[float] = []
            opened: list[float] = []
            for pair in range(pairs):
                for is_open in (False, True) if pair % 2 else (True, False):
                    if is_open:
                        with onlooker(emulator):
                            opened.append(rate(emulator, streams, rounds))
                    else:
                        closed.append(rate(emulator, streams, rounds))
            ratio = statistics.median(one / other for one, other in zip(opened, closed, strict=True))
            print(
                f"{streams} streams: {statistics.median(closed):6.0f} tokens a second closed, "
                f"{statistics.median(opened):6.0f} open: {100 * (ratio - 1):+.1f} % "
                f"({'holds' if ratio > 1 - _BAR else 'does not hold'}: at most {100 * _BAR:.0f} % less)",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _PAIRS)
