"""What stands in files for CI services is what these services take; `make ci-snippets` runs their steps."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from phi_emulator.command_line.commands import phi_emulator

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CI_FILES = script("ci_files")
FILES: list[Any] = CI_FILES.ci_files()
ACTION = next(file for file in FILES if file.schema == "vendor.github-actions")
COMPOSE = next(file for file in FILES if file.schema == "vendor.compose-spec").document["services"]


def test_all_are_found() -> None:
    assert sorted(file.schema.partition(".")[2] for file in FILES) == [
        "azure-pipelines", "compose-spec", "github-actions", "github-workflows", "github-workflows",
        "github-workflows", "github-workflows", "gitlab-ci", "gitlab-ci",
    ]  # fmt: skip


@pytest.mark.parametrize("schema", sorted({file.schema for file in FILES}))
def test_its_service_takes_it(schema: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.yaml" for number, _ in enumerate(FILES)]
    of_it = [(path, file) for path, file in zip(paths, FILES, strict=True) if file.schema == schema]
    for path, file in of_it:
        path.write_text(file.text, encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run(
        [*command, *(str(path) for path, _ in of_it)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_a_shell_runs_is_shell(file: Any) -> None:
    if file.schema == "vendor.compose-spec":
        return
    for step in CI_FILES.shell_steps(file):
        done = subprocess.run(["bash", "-n"], input=step, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_no_input_of_the_action_is_pasted_into_its_shell() -> None:
    # It would be run: an input reaches a step as a variable.
    assert not [step for step in CI_FILES.shell_steps(ACTION) if "${{" in step]


def test_the_action_reads_each_input_and_nothing_else() -> None:
    used = set(re.findall(r"\$\{\{ inputs\.(\w+) \}\}", ACTION.text))
    assert used == set(ACTION.document["inputs"])
    told = (ROOT / "docs/how-to/test-in-ci.md").read_text(encoding="utf-8")
    assert [name for name in used if f"| `{name}` |" not in told] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_command_of_the_emulator_is_one(file: Any) -> None:
    assert set(re.findall(r"phi-emulator\"? (serve|exec|wait|\w+ --)", file.text)) <= set(
        phi_emulator.commands
    )


def test_the_compose_file_gives_both_containers_one_key_and_the_client_its_word() -> None:
    emulator, app = COMPOSE["phi-emulator"], COMPOSE["app"]
    assert emulator["environment"]["PHI_EMULATOR_KEY"] == app["environment"]["PHI_API_KEY"]
    assert app["environment"]["PHI_ALLOW_HTTP"] == "1"
    assert app["environment"]["PHI_ENDPOINT"] == "http://phi-emulator:16180"
    assert all(port.startswith("127.0.0.1:") for port in emulator["ports"])


def test_the_dockerfile_copies_no_more_than_the_wheel_is_made_of() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    taken = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert all((ROOT / path).exists() for path in taken)
    assert taken == {"LICENSE", "README.md", "pyproject.toml", *packages}
