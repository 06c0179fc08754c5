# ruff: noqa: INP001  # a folder of commands, no package
"""How long `phi-emulator serve` takes from the start of its process to the first token of a streamed answer.

python -m benchmarks.startup [--runs 5]
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time

import httpx

from phi_client import PhiClient
from phi_client.contract.emulator import EMULATOR_KEY

LIMIT_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for_first_token(url: str) -> None:
    """Ask as soon as anything listens, and read until text comes.

    Raises:
        TimeoutError: nothing listened in time.
    """
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        try:
            httpx.get(f"{url}/_emulator/health", trust_env=False)
        except httpx.ConnectError:
            time.sleep(0.01)
            continue
        with (
            PhiClient(url, EMULATOR_KEY) as client,
            client.stream("What is 17 * 24?", temperature=0) as stream,
        ):
            next(stream)
        return
    raise TimeoutError(f"the emulator did not listen within {LIMIT_S} s")


def measure() -> float:
    """Seconds of one start."""
    port = free_port()
    started = time.monotonic()
    command = [sys.executable, "-m", "phi_emulator", "serve", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            wait_for_first_token(f"http://127.0.0.1:{port}")
            return time.monotonic() - started
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    runs = [measure() for _ in range(parser.parse_args().runs)]
    print(f"start to first token, {os.cpu_count()} cores, {len(runs)} runs:", end=" ")
    print(f"median {statistics.median(runs):.2f} s, slowest {max(runs):.2f} s")


if __name__ == "__main__":
    main()
