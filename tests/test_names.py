"""No two things of the client have one name: whoever reads of a class knows which one is meant."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "phi_client"


def defined_in(path: Path) -> set[str]:
    """The public classes of a module, and its public names for types and unions of types."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    # A class begins with a capital and has small letters; a constant has none.
    return {name for name in names if name[0].isupper() and name != name.upper()}


def test_no_two_classes_have_one_name() -> None:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(CLIENT.rglob("*.py")):
        for name in defined_in(path):
            homes[name].append(str(path.relative_to(CLIENT)))
    assert homes["Usage"] == ["contract/answers.py"]
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}
