"""`PhiEmulatorContainer`: what it asks of Docker, what it waits for, and what it says where that doesn't come."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from phi_emulator.containers import ContainerError, PhiEmulatorContainer
from testcontainers.core.config import ConnectionMode, testcontainers_config

from phi_client import PhiClient, RateLimitError
from phi_client.contract.emulator import EMULATOR_KEY
from tests.emulator.docker_daemon import Daemon, docker_daemon


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    monkeypatch.setattr(testcontainers_config, "connection_mode_override", ConnectionMode.docker_host)
    monkeypatch.setattr(testcontainers_config, "tc_host_override", "127.0.0.1")
    with docker_daemon(tmp_path) as daemon:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{daemon.socket}")
        yield daemon


def test_a_client_is_pointed_at_it_by_its_variables_and_meets_its_faults(
    daemon: Daemon,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = tmp_path / "faults.toml"
    rules.write_text('[[faults]]\neffect = "error"\nerror = "rate_limited"\ntimes = 1\n', encoding="utf-8")
    with PhiEmulatorContainer().with_faults(rules) as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        with PhiClient(max_retries=0) as client:
            with pytest.raises(RateLimitError):
                client.complete("What is 12 + 30?")
            assert client.complete("What is 12 + 30?", temperature=0).answer == "42"
        [container] = daemon.containers.values()
        assert container.config["Image"] == "phi-emulator"
        assert container.config["ExposedPorts"] == {"16180/tcp": {}}
        assert emulator.key != EMULATOR_KEY
        assert emulator.key not in repr(emulator)
    assert not daemon.containers
    assert daemon.removed == [container]


def test_it_answers_what_a_script_says_under_a_key_of_ones_own(daemon: Daemon, tmp_path: Path) -> None:
    script = tmp_path / "answers.toml"
    script.write_text('[[rule]]\ncontains = "sky"\nanswer = "\\\\boxed{blue}"\n', encoding="utf-8")
    with (
        PhiEmulatorContainer(key="a-key-of-ones-own").with_script(script) as emulator,
        PhiClient(emulator.endpoint, "a-key-of-ones-own") as client,
    ):
        assert client.complete("What colour has the sky?").answer == "blue"
    assert len(daemon.removed) == 1


@pytest.mark.parametrize(
    ("seconds", "said"), [(60, r"ended by itself:.*faults\.toml.*"), (0, r"was not ready within 0 s")]
)
def test_one_that_does_not_come_is_told_with_its_last_words_and_is_removed(
    daemon: Daemon,
    tmp_path: Path,
    seconds: float,
    said: str,
) -> None:
    rules = tmp_path / "faults.toml"
    rules.write_text('[[faults]]\neffect = "eror"\n', encoding="utf-8")
    with pytest.raises(ContainerError, match=f"(?s){said}"):
        PhiEmulatorContainer(start_seconds=seconds).with_faults(rules).__enter__()
    assert len(daemon.removed) == 1


def test_a_docker_on_another_machine_is_asked_by_plain_http_only_by_its_variables(
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with PhiEmulatorContainer() as emulator:
        assert "PHI_ALLOW_HTTP" not in emulator.environment
        monkeypatch.setattr(testcontainers_config, "tc_host_override", "docker.example")
        assert emulator.environment["PHI_ALLOW_HTTP"] == "1"
        assert emulator.endpoint.startswith("http://docker.example:")
    assert len(daemon.removed) == 1


def test_importing_it_loads_nothing_of_the_emulator() -> None:
    script = "import sys, phi_emulator.containers; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"starlette", "uvicorn", "numpy", "phi_emulator.config"} & set(loaded)


def test_without_testcontainers_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['testcontainers'] = None; import phi_emulator.containers"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert 'python -m pip install "phi-client[containers]"' in done.stderr
