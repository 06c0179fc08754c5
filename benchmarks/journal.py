# ruff: noqa: INP001  # a folder of commands, no package
"""What the emulator's journal costs: the rate of a stream and of short answers with it and without it, in turns.

python -m benchmarks.journal [PAIRS]

Both are measured in one process, one after the other, so that a machine that gets slower gets slower for both.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine

_PAIRS: Final = 15
_SHORT: Final = 50
_MOST: Final = 1000


def ask(
    emulator: Emulator, connection: http.client.HTTPConnection, content: str, tokens: int, *, streams: bool
) -> int:
    """Ask once, and read the answer to its end; its bytes."""
    body = {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": tokens,
        "stream": streams,
        "seed": 1,
    }
    headers = {"Authorization": f"Bearer {emulator.key}", "Content-Type": "application/json"}
    connection.request("POST", "/chat/completions", json.dumps(body), headers)
    return len(connection.getresponse().read())


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def compared(emulator: Emulator, work: Callable[[], object], pairs: int) -> tuple[float, float, float]:
    """The middle of the seconds without and with the journal, and that of their ratio in each pair."""
    taken: dict[int, list[float]] = {0: [], _MOST: []}
    work()
    for pair in range(pairs):
        # In turns, which of the two is first.
        for most in (0, _MOST) if pair % 2 else (_MOST, 0):
            emulator.journal.most = most
            taken[most].append(seconds_of(work))
    ratios = [kept / bare for bare, kept in zip(taken[0], taken[_MOST], strict=True)]
    return statistics.median(taken[0]), statistics.median(taken[_MOST]), statistics.median(ratios)


def measure(name: str, emulator: Emulator, work: Callable[[], object], count: int, *, pairs: int) -> None:
    """Print one line."""
    bare, kept, ratio = compared(emulator, work, pairs)
    print(
        f"{name:<36} {count / bare:9.0f} a second without, {count / kept:9.0f} with: "
        f"takes {100 * (ratio - 1):+.1f} % longer",
        flush=True,
    )


def main(pairs: int) -> None:
    """Measure and print."""

    def connected(emulator: Emulator) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(emulator.root.removeprefix("http://"), timeout=60)

    words = " ".join(str(number) for number in range(1000))
    with Emulator(EmulatorConfig(port=0)) as emulator:
        connection = connected(emulator)

        def stream() -> None:
            for _ in range(5):
                ask(emulator, connection, "What is 1234 + 4321 + 17?", 200, streams=True)

        stream()
        [*_, entry] = emulator.journal.wait_for(5)
        tokens = 5 * (0 if entry.usage is None else entry.usage.completion)
        measure("tokens of the bundled model", emulator, stream, tokens, pairs=pairs)
    with Emulator(
        EmulatorConfig(port=0), make_engine=lambda: ScriptedEngine(lambda _: words, context_length=10_000)
    ) as emulator:
        connection = connected(emulator)
        measure(
            "tokens of a script",
            emulator,
            lambda: ask(emulator, connection, "x", 5000, streams=True),
            1999,
            pairs=pairs,
        )
    with Emulator(EmulatorConfig(port=0), make_engine=lambda: ScriptedEngine(lambda _: "42")) as emulator:
        connection = connected(emulator)

        def short() -> None:
            for _ in range(_SHORT):
                ask(emulator, connection, "x", 5, streams=False)

        measure("short answers", emulator, short, _SHORT, pairs=pairs)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _PAIRS)
