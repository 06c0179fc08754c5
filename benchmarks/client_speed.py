"""What a client costs beside bare httpx: processor time, memory and time to the first chunk, as ratios of one run.

    python -m benchmarks.client_speed [--rounds 5]

Each round starts two fresh processes for each client, one after the other: one imports, makes a client and asks
once; the other asks often. All ask the same fixed upstream, a process of its own on this machine. A cell is the median
over the rounds of the client's figure by that of bare httpx in the same round, so what else the machine does touches
both.
Clients that are not installed are left out. All times are processor time of the client's process, but for the time to
the first chunk, of which the shortest of a hundred counts.
"""
# ruff: noqa: INP001  # commands beside one another, no package

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

BASE: Final = "httpx"
# Name as in the table, the module that must be there, and the distribution whose version is printed.
CLIENTS: Final = {
    BASE: ("httpx", "httpx"),
    "phi-client": ("phi_client", ""),
    "openai": ("openai", "openai"),
    "azure-ai-inference": ("azure.ai.inference", "azure-ai-inference"),
    "httpx2": ("httpx2", "httpx2"),
}
# Figure, what it is in words, what ours may be at most, unit and factor of the absolute figure of bare httpx.
FIGURES: Final = (
    ("import", "import", 1.9, "ms", 1e3),
    ("cold", "cold start: import, construct, first reply", 1.5, "ms", 1e3),
    ("memory", "peak memory after the first reply", 1.4, "MB", 1.0),
    ("second", "constructing a second client", 0.05, "ms", 1e3),
    ("request", "a request, one after the other", 1.6, "µs", 1e6),
    ("async", "a request, async, 64 at once", 0.35, "µs", 1e6),
    ("chunk", "a chunk of a stream of 2,000", 2.0, "µs", 1e6),
    ("chunk_async", "a chunk of a stream of 2,000, async", 2.0, "µs", 1e6),
    ("first_chunk", "time to the first chunk", 1.4, "µs", 1e6),
)


@contextmanager
def upstream() -> Generator[str]:
    """The URL of the fixed upstream while it runs."""
    command = [sys.executable, "-m", "benchmarks.fixed_upstream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None  # noqa: S101  # it was asked for
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def measure(part: str, client: str, url: str) -> dict[str, float]:
    """The figures of one fresh process."""
    command = [sys.executable, "-m", "benchmarks.speed_of_one", part, client, url]
    # A proxy of the environment would stand between a client and the upstream.
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    # Users have bytecode; some developers forbid Python to write it.
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)  # noqa: S603
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def table(rounds: list[dict[str, dict[str, float]]], clients: list[str]) -> str:
    """The ratios in markdown."""
    others = [client for client in clients if client != BASE]
    lines = [
        f"| Figure | at most | {' | '.join(others)} | bare httpx |",
        f"|---|---|{'---|' * len(others)}---|",
    ]
    for name, words, bar, unit, factor in FIGURES:
        cells: list[str] = []
        for client in others:
            ratio = statistics.median(one[client][name] / one[BASE][name] for one in rounds)
            is_over = client == "phi-client" and ratio > bar
            cells.append(f"{ratio:.3g}{' (over)' if is_over else ''}")
        absolute = statistics.median(one[BASE][name] for one in rounds) * factor
        lines.append(f"| {words} | {bar:g} | {' | '.join(cells)} | {absolute:.0f} {unit} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*CLIENTS], help="compare these clients with bare httpx")
    options = parser.parse_args()
    wanted = [BASE, *options.only] if options.only else [*CLIENTS]
    clients = [client for client in CLIENTS if client in wanted and _is_there(CLIENTS[client][0])]
    if "azure-ai-inference" in clients and not _is_there("aiohttp"):
        clients.remove("azure-ai-inference")
        print(
            "left out: azure-ai-inference, which needs `pip install aiohttp` for its async client",
            file=sys.stderr,
        )
    rounds: list[dict[str, dict[str, float]]] = []
    with upstream() as url:
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            rounds.append(
                {client: measure("start", client, url) | measure("steady", client, url) for client in clients}
            )
    print(table(rounds, clients))
    versions = ", ".join(f"{name} {version(name)}" for _, name in map(CLIENTS.__getitem__, clients) if name)
    print(
        f"\n{options.rounds} rounds, {os.cpu_count()} cores, Python {platform.python_version()}; {versions}"
    )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    main()
