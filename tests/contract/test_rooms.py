"""The contract has two halves: what a client needs, and `service`, which no client meets."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from phi_client.contract import dialects, service
from phi_client.contract.dialects import DIALECTS
from phi_client.contract.service import SURFACES

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "phi_client"
SERVICE = CLIENT / "contract" / "service"
FILES = sorted(path for path in CLIENT.rglob("*.py") if SERVICE not in path.parents)


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
    return named


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CLIENT)))
def test_no_client_meets_the_services_half(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith("phi_client.contract.service")]


def test_the_services_half_is_seen_by_these_rules() -> None:
    assert any(name.startswith("phi_client.contract.service") for name in imported(SERVICE / "serverless.py"))


@pytest.mark.parametrize("name", DIALECTS)
def test_each_fact_of_a_dialect_is_that_of_its_surface(name: str) -> None:
    spoken, surface = DIALECTS[name], SURFACES[name]
    assert list(DIALECTS) == list(SURFACES)
    assert {fact: getattr(surface, fact) for fact in vars(spoken)} == vars(spoken)
    if surface.versions is not None and spoken.api_version is not None:
        assert spoken.api_version in surface.versions.accepted
    assert getattr(dialects, name.upper()) is spoken
    assert getattr(service, name.upper()) is surface


def test_the_clients_half_loads_no_models() -> None:
    script = (
        "import types, pathlib, sys; package = types.ModuleType('phi_client'); "
        "package.__path__ = [str(pathlib.Path('phi_client').resolve())]; sys.modules['phi_client'] = package; "
        "import phi_client.contract.dialects; print('\\n'.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT
    )
    loaded = done.stdout.split()
    assert "phi_client.contract.dialects.serverless" in loaded
    assert not [name for name in loaded if name.startswith(("pydantic", "phi_client.contract.service"))]
