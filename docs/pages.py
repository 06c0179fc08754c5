"""What the pages that are written from data have in common. It must not know what is on one."""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

SURFACES: Final = {
    "serverless": "serverless",
    "managed_compute": "managed compute",
    "foundry_models": "`/models`",
    "openai_v1": "`/openai/v1`",
}


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def write_or_check(path: Path, text: str) -> int:
    """Write a page, or with `--check` on the command line see whether it is as it would be written: 1 if not."""
    if "--check" not in sys.argv[1:]:
        path.write_text(text, encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{path.name} is not current: run `python docs/{Path(sys.argv[0]).name}`\n")
    return 1


def said_of_fields(kind: type[Any]) -> Iterator[tuple[str, str]]:
    """The members of a class with what stands below them in the source, or in them: the fields of a dataclass."""
    tree = ast.parse(inspect.getsource(kind))
    [definition] = (node for node in tree.body if isinstance(node, ast.ClassDef))
    for one, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            is_said = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            said = str(following.value.value) if is_said else ""  # type: ignore[union-attr]
            yield one.target.id, " ".join(said.split())
        if isinstance(one, ast.FunctionDef):
            yield one.name, ast.get_docstring(one) or ""
