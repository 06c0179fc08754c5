"""Each example, as a user runs it: a process of its own under `phi-emulator exec`, with the bundled model."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from phi_emulator import Emulator, EmulatorConfig

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPECTED = {
    "quickstart.py": ["answer:    408"],
    "async_stream.py": ["steps: 5 ", "steps: 138 ", "steps: 8 "],
    "04_batch.py": ["right: 100 of 100", "failed: 0", "cost: 0.00"],
    "05_batch_on_ray.py": ["right: 64 of 64"],
    "switch_to_azure.py": ["phi-tiny-arith by", "answer: 177"],
}
NEEDS = {"05_batch_on_ray.py": "ray"}


def run(command: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PHI_")} | (environment or {})
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_runs_under_exec_and_prints_the_right_answer(name: str) -> None:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is large and needed by this example alone; install it to run this test")
    # No usage statistics of anybody leave a test.
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-m", "phi_emulator", "exec", "--", sys.executable, str(EXAMPLES / name)]
    done = run(command, quiet)
    assert done.returncode == 0, done.stderr
    for line in EXPECTED[name]:
        assert line in done.stdout


@pytest.mark.parametrize("path", ["", "/serverless", "/managed-compute", "/managed-compute/score"])
def test_the_same_code_runs_on_each_surface_by_environment_alone(path: str) -> None:
    with Emulator(EmulatorConfig(port=0)) as emulator:
        environment = {"PHI_ENDPOINT": emulator.endpoint + path, "PHI_API_KEY": emulator.key}
        done = run([sys.executable, str(EXAMPLES / "switch_to_azure.py")], environment)
    assert done.returncode == 0, done.stderr
    assert "answer: 177" in done.stdout


def test_a_batch_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    with Emulator(EmulatorConfig(port=0)) as emulator:
        environment = {"PHI_ENDPOINT": emulator.endpoint, "PHI_API_KEY": emulator.key}
        command = [sys.executable, str(EXAMPLES / "04_batch.py"), str(tmp_path / "answers.jsonl")]
        assert "restored: 0, failed: 0" in run(command, environment).stdout
        assert "restored: 100, failed: 0" in run(command, environment).stdout
