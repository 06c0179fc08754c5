"""Tries an image that `.ci/image` built: what it refuses, answers, survives and says, in containers that podman runs.

The one argument is a folder for files of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from phi_emulator.containers import ContainerError, PhiEmulatorContainer

from phi_client import PhiClient, RateLimitError

ROOT = Path(__file__).parents[1]
WORK = Path(sys.argv[1])
IMAGE = "localhost/phi-emulator"
KEY = "a-key-of-this-script-alone"
PORT = 26180
STOP_SECONDS = 8
URL = f"http://127.0.0.1:{PORT}"
# What a careful installation takes away. Checks of health are podman's by systemd, which needn't be here: see below.
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
SERVE = ("--no-healthcheck", "-p", f"127.0.0.1:{PORT}:16180", "-e", f"PHI_EMULATOR_KEY={KEY}")


def podman(*arguments: str, may_fail: bool = False) -> str:
    """What podman says on its standard output, with the status before it where it may fail."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=120, check=False)
    if may_fail:
        return f"{done.returncode} {done.stdout}{done.stderr}"
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def running(*options: str, is_awaited: bool = True) -> Iterator[str]:
    """A container, gone afterwards."""
    name = podman("run", "--detach", *SERVE, *options, IMAGE)
    try:
        if is_awaited:
            wait = [sys.executable, "-m", "phi_emulator", "wait", "--url", URL, "--timeout", "60"]
            subprocess.run(wait, check=True)
        yield name
    finally:
        podman("rm", "--force", name)


def said(what: str) -> None:
    """One line for each thing that held."""
    print(f"ok  {what}", flush=True)


def refuses_to_start_without_a_key() -> None:
    told = podman("run", "--rm", "--no-healthcheck", IMAGE, may_fail=True)
    assert told.startswith("2 "), told
    assert "PHI_EMULATOR_KEY" in told, told
    said("without a key it ends with status 2 and names PHI_EMULATOR_KEY")


def answers_with_nothing_to_write_to_and_no_rights() -> None:
    with running(*HARDENED) as name:
        with PhiClient(URL, KEY) as client:
            assert client.complete("What is 17 * 24?", temperature=0).answer == "408"
        assert podman("exec", name, "id", "-u") == "16180"
        said("read-only, without capabilities and as user 16180 it answers 408 to a client outside")
        config = json.loads(podman("image", "inspect", IMAGE))[0]
        health = [word for word in config["Healthcheck"]["Test"] if word != "CMD"]
        started = time.perf_counter()
        podman("exec", name, *health)
        assert podman("exec", "-e", "PHI_EMULATOR_PORT=1", name, *health, may_fail=True).startswith("1 ")
        took = f"{time.perf_counter() - started:.1f} s for two"
        said(f"its check of health, `{' '.join(health)}`, tells ready from not ({took})")


def lets_a_running_stream_end() -> None:
    heard: list[str] = []

    def listen() -> None:
        stall = {"x-phi-fault": "stall tokens=2 seconds=3"}
        with (
            PhiClient(URL, KEY, headers=stall) as client,
            client.stream("What is 17 * 24?", temperature=0) as stream,
        ):
            for chunk in stream:
                heard.append(chunk.content)
                begun.set()
            heard.append(str(stream.until_done().answer))

    begun = threading.Event()
    with running(*HARDENED) as name:
        thread = threading.Thread(target=listen)
        thread.start()
        assert begun.wait(30)
        podman("stop", "--time", "10", name)
        thread.join(30)
        assert heard[-1:] == ["408"], heard
        assert podman("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    said("told to stop while a stream runs, it lets the stream end and exits with 0")


def ends_when_told_while_it_starts() -> None:
    for after_s in (0.2, 0.6, 1.2):
        with running(is_awaited=False) as name:
            time.sleep(after_s)
            podman("kill", "--signal", "TERM", name)
            started = time.perf_counter()
            status = podman("wait", name)
            assert time.perf_counter() - started < STOP_SECONDS, f"SIGTERM after {after_s} s was lost"
            assert status in ("143", "0"), status
    said("told to stop while it starts, 0.2, 0.6 and 1.2 s after the beginning, it ends")


def is_asked_by_another_container_as_the_compose_file_says() -> None:
    services = yaml.safe_load((ROOT / "examples/docker/compose.yaml").read_text(encoding="utf-8"))["services"]
    app, key = services["app"], services["app"]["environment"]["PHI_API_KEY"].partition(":-")[2].rstrip("}")
    with running("-e", f"PHI_EMULATOR_KEY={key}", *HARDENED) as name:
        address = podman("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
        program, *rest = app["entrypoint"]
        variables = [
            word
            for name, value in (app["environment"] | {"PHI_API_KEY": key}).items()
            for word in ("-e", f"{name}={value}")
        ]
        told = podman(
            "run", "--rm", "--no-healthcheck", "--add-host", f"phi-emulator:{address}", *variables,
            "-v", f"{ROOT / 'examples'}:/examples:ro", "--entrypoint", program, IMAGE, *rest,
        )  # fmt: skip
        assert "answer:    408" in told, told
    said("another container calls it by the name of its service, with the environment of compose.yaml")


def serves_testcontainers() -> None:
    faults = WORK / "faults.toml"
    faults.write_text('[[faults]]\neffect = "error"\nerror = "rate_limited"\ntimes = 1\n', encoding="utf-8")
    options = {"healthcheck": {"test": ["NONE"]}}
    with PhiEmulatorContainer(IMAGE, **options).with_faults(faults) as emulator:
        os.environ |= emulator.environment
        with PhiClient(max_retries=0) as client:
            try:
                client.complete("What is 17 * 24?")
            except RateLimitError:
                assert client.complete("What is 17 * 24?", temperature=0).answer == "408"
            else:
                raise AssertionError("the rule for faults did not hold")
    said("PhiEmulatorContainer starts it, with rules for faults put into the container")
    faults.write_text('[[faults]]\neffect = "eror"\n', encoding="utf-8")
    told = ""
    try:
        PhiEmulatorContainer(IMAGE, **options).with_faults(faults).start()
    except ContainerError as error:
        told = str(error)
    assert "faults.toml" in told, told or "a bad file of faults was taken"
    said("PhiEmulatorContainer says at once what is wrong with a file of rules")


@contextmanager
def docker_api() -> Iterator[None]:
    """Podman's imitation of Docker's API, on a socket of its own, for testcontainers."""
    socket = WORK / "api.sock"
    service = subprocess.Popen(
        ["podman", "system", "service", "--time", "0", f"unix://{socket}"], stderr=subprocess.DEVNULL
    )
    try:
        while not socket.exists():
            time.sleep(0.05)
        os.environ["DOCKER_HOST"] = f"unix://{socket}"
        yield
    finally:
        service.terminate()
        service.wait()


def is_small() -> None:
    sizes = podman("images", "--format", "{{.Repository}} {{.Size}}").splitlines()
    own = podman("run", "--rm", "--no-healthcheck", "--entrypoint", "du", IMAGE, "-sm", "/opt/phi-emulator")
    said(
        f"sizes: {'; '.join(sorted(line for line in sizes if '<' not in line))}; /opt/phi-emulator {own.split()[0]} MB"
    )


refuses_to_start_without_a_key()
answers_with_nothing_to_write_to_and_no_rights()
lets_a_running_stream_end()
ends_when_told_while_it_starts()
is_asked_by_another_container_as_the_compose_file_says()
with docker_api():
    serves_testcontainers()
is_small()
