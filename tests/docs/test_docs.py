"""The documentation: its Python runs, its links lead somewhere, and nothing public goes unmentioned."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.config import environment_name
from phi_emulator.model_commands import models

import phi_client
from phi_client import CompletionOptions

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "emulator").rglob("README.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(EmulatorConfig(port=0)) as emulator:
        yield emulator


@pytest.mark.parametrize("block", BLOCKS)
def test_a_python_block_runs(
    block: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Files that a block writes are not the repository's.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHI_ENDPOINT", emulator.endpoint)
    monkeypatch.setenv("PHI_API_KEY", emulator.key)
    # The alias stands for a fixed port, which a test can't take: the emulator of this test answers in its place.
    source = block.replace('endpoint="emulator"', "")
    exec(compile(source, "block", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def test_every_option_of_a_call_is_in_the_reference() -> None:
    text = (ROOT / "docs/reference/client.md").read_text(encoding="utf-8")
    assert [name for name in CompletionOptions.__annotations__ if f"`{name}`" not in text] == []


def test_every_method_of_a_client_is_in_the_reference() -> None:
    text = (ROOT / "docs/reference/client.md").read_text(encoding="utf-8")
    methods = [name for name in dir(phi_client.PhiClient) if not name.startswith("_")]
    assert [name for name in methods if f"`{name}(" not in text] == []


def test_every_argument_of_map_is_in_the_reference() -> None:
    text = (ROOT / "docs/reference/client.md").read_text(encoding="utf-8")
    arguments = [*inspect.signature(phi_client.PhiClient.map).parameters][1:-1]
    assert "checkpoint" in arguments
    assert [name for name in arguments if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    "kind", [phi_client.ParsedCompletion, phi_client.Solution, phi_client.MapItem, phi_client.MapResult]
)
def test_every_field_of_a_result_is_in_the_reference(kind: type) -> None:
    text = (ROOT / "docs/reference/client.md").read_text(encoding="utf-8")
    properties = [name for name, value in vars(kind).items() if isinstance(value, property)]
    names = [*(field.name for field in dataclasses.fields(kind)), *properties]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_error_is_in_the_reference() -> None:
    text = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    errors = [name for name in phi_client.__all__ if name.endswith("Error") and name != "PhiError"]
    assert [name for name in errors if f"`{name}`" not in text] == []


def test_every_environment_variable_is_in_the_reference() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "phi_client").glob("*.py"))
    text = (ROOT / "docs/reference/client.md").read_text(encoding="utf-8")
    used = set(re.findall(r'"(PHI_[A-Z_]+)"', sources))
    assert used
    assert {name for name in used if f"`{name}`" not in text} == set()


def test_every_command_on_models_is_in_the_emulators_reference() -> None:
    text = (ROOT / "emulator/README.md").read_text(encoding="utf-8")
    assert [name for name in models.commands if f"`phi-emulator models {name}" not in text] == []


def test_every_setting_of_the_emulator_is_in_its_reference() -> None:
    text = (ROOT / "emulator/README.md").read_text(encoding="utf-8")
    assert [
        field.name
        for field in fields(EmulatorConfig)
        if field.init and f"`{environment_name(field.name)}`" not in text
    ] == []


def test_ci_runs_the_commands_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for marker in ("answer", "test"):
        assert f"<!-- ci: {marker} -->\n```bash\n" in readme
        assert f"readme_command {marker}" in ci
