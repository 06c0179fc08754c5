"""The documentation: its Python runs, its links lead somewhere, and nothing public goes unmentioned."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from opentelemetry.util._once import Once
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.command_line.model_commands import models

import phi_client
from phi_client import (
    AsyncPhiClient,
    Completion,
    CompletionChunk,
    CompletionOptions,
    MapItem,
    MapResult,
    ParsedCompletion,
    PhiClient,
    Solution,
)
from phi_client._call.targets import VARIABLES

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
    # A block may set OpenTelemetry's provider, which a process can do once, and which must not outlive the block.
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", None)
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER_SET_ONCE", Once())
    # The alias stands for a fixed port, which a test can't take: the emulator of this test answers in its place.
    source = block.replace('endpoint="emulator"', "")
    exec(compile(source, "block", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def described(page: str, heading: str | None = None) -> set[str]:
    """The names in headings and in the first cells of rows, of a page or of one of its sections."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if heading is not None:
        text = re.split(r"^#", text.partition(f"## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    places = re.findall(r"^(?:#+ (.*)|\| ([^|]*) \|.*)$", text, re.MULTILINE)
    return {name for place in places for name in re.findall(r"`(\w+)[^`]*`", "".join(place))}


def public_members(cls: type) -> set[str]:
    """What a user can read from a result."""
    names = {name for name, member in vars(cls).items() if isinstance(member, property)}
    return {name for name in {*names, *(one.name for one in fields(cls))} if not name.startswith("_")}


def test_every_option_of_a_call_has_a_row() -> None:
    assert set(CompletionOptions.__annotations__) <= described(
        "docs/reference/client.md", "Options of a call"
    )


@pytest.mark.parametrize("client", [PhiClient, AsyncPhiClient])
def test_every_argument_of_the_constructor_has_a_row(client: type) -> None:
    parameters = inspect.signature(client).parameters.values()
    arguments = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
    assert arguments <= described("docs/reference/client.md", "Constructor")


def test_every_method_has_a_row() -> None:
    methods = {name for name, _ in inspect.getmembers(PhiClient, inspect.isfunction) if name[0] != "_"}
    assert methods <= described("docs/reference/client.md", "Methods")


@pytest.mark.parametrize("cls", [Completion, CompletionChunk])
def test_every_member_of_a_result_has_a_row(cls: type) -> None:
    assert public_members(cls) <= described("docs/reference/client.md", "What comes back")


HELPERS = "What `parse`, `solve` and `map` give"


@pytest.mark.parametrize("cls", [ParsedCompletion, Solution, MapItem, MapResult])
def test_every_member_of_a_helpers_result_has_a_row(cls: type) -> None:
    assert public_members(cls) <= described("docs/reference/client.md", HELPERS)


def test_every_argument_of_map_has_a_row() -> None:
    arguments = set([*inspect.signature(PhiClient.map).parameters][1:-1])
    assert "checkpoint" in arguments
    assert arguments <= described("docs/reference/client.md", HELPERS)


def test_every_error_has_a_row() -> None:
    errors = {name for name in phi_client.__all__ if name.endswith("Error")}
    assert errors <= described("docs/reference/errors.md")


def test_every_environment_variable_has_a_row() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "phi_client").rglob("*.py"))
    used = set(re.findall(r'"((?:PHI|OTEL)_[A-Z_]+)"', sources))
    assert {"PHI_LOG", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"} <= used
    assert used | set(VARIABLES) <= described("docs/reference/client.md", "Environment")


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    assert [name for name in phi_client.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if f"({page})" not in readme] == []


def test_every_command_on_models_is_in_the_emulators_reference() -> None:
    text = (ROOT / "emulator/README.md").read_text(encoding="utf-8")
    assert [name for name in models.commands if f"`phi-emulator models {name}" not in text] == []


def test_ci_runs_the_commands_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for marker in ("answer", "test"):
        assert f"<!-- ci: {marker} -->\n```bash\n" in readme
        assert f"readme_command {marker}" in ci


INSTALL = re.compile(
    r'python -m pip install (-U |--find-links FOLDER )?("phi-client\[[a-z-]+\]"|phi-client)(?![\w-])'
)
TOLD = [
    *(page for page in PAGES if page.name != "CHANGELOG.md"),
    *(path for folder in ("phi_client", "emulator/phi_emulator") for path in (ROOT / folder).rglob("*.py")),
]


def test_the_package_is_installed_by_one_line_wherever_it_is_told() -> None:
    told = [line for page in TOLD for line in page.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in told if re.search(r"pip install[^`]*phi.client", line)]
    assert len(lines) > 10
    assert [line for line in lines if not INSTALL.search(line)] == []


def test_from_a_clone_it_is_installed_on_the_pages_of_those_who_have_one() -> None:
    pages = [page for page in TOLD if re.search(r"pip install[^`\n]* \"\.", page.read_text(encoding="utf-8"))]
    assert {str(page.relative_to(ROOT)) for page in pages} == {
        "README.md",
        "docs/how-to/upgrade-and-uninstall.md",
    }


def test_no_page_says_that_the_package_is_unpublished() -> None:
    says = re.compile(r"(not|never|isn't) (yet )?(on PyPI|been published)|\bunpublished\b|from PyPI once")
    assert [str(page) for page in TOLD if says.search(page.read_text(encoding="utf-8"))] == []
