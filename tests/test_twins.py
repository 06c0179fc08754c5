"""The async files of the client are the sync ones with `await`: held by turning one into the other.

An async file is read as a tree, its async forms are made sync, and the words below are replaced. What is left must be
the sync file, but for comments, line breaks and the docstring of the module. Each table is as small as it can be: a
word that no file needs fails a test too.
"""

from __future__ import annotations

import ast
import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT = Path(__file__).parents[1] / "phi_client"
PAIRS = [
    ("_client.py", "_async_client.py"),
    ("_helpers.py", "_async_helpers.py"),
    ("_stream.py", "_async_stream.py"),
    ("_wire/driving.py", "_wire/async_driving.py"),
]

# Names by their form: `AsyncClient`, `_async_helpers`, `sleep_async`, `__aenter__`.
FORMS = [
    (re.compile(r"\bAsync(?=[A-Z])"), ""),
    (re.compile(r"\b(_?)async_(?=[a-z])"), r"\1"),
    (re.compile(r"(?<=[a-z])_async\b"), ""),
    (re.compile(r"\b__a(?=(enter|exit|iter|next)__)"), "__"),
]
WORDS = {
    "StopAsyncIteration": "StopIteration",
    "aclosing": "closing",
    "in_tasks": "in_threads",
}
# In docstrings and messages, blanks made one.
PHRASES = {
    "an async client": "a sync client",
    "an `async with`": "a `with`",
    "async with": "with",
    "an async credential (`azure.identity.aio`)": "a sync credential of azure-identity",
    "any number of tasks, and several event loops one after the other or at once, each with connections of its own; so "
    "it goes on working in a forked child.": "any number of threads, and goes on working in a forked child, with "
    "connections of its own.",
    ", at the latest when the event loop ends; at once inside `with contextlib.aclosing(…)`.": ".",
}
# Modules and names that only one side needs to import.
IMPORTS = {"asyncio", "contextlib.closing"}


def renamed(name: str) -> str:
    """A name, or a dotted one, as the sync side has it."""
    for pattern, stand_in in FORMS:
        name = pattern.sub(stand_in, name)
    return ".".join(WORDS.get(part, part) for part in name.split("."))


def rephrased(text: str) -> str:
    """A docstring or a message as the sync side has it."""
    text = " ".join(text.split())
    for phrase, stand_in in PHRASES.items():
        text = text.replace(phrase, stand_in)
    return FORMS[0][0].sub("", text)


class Plain(ast.NodeTransformer):
    """A tree without what no run sees: its imports at the top, and the breaks of lines in its docstrings."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(" ".join(node.value.split())) if isinstance(node.value, str) else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        rest = node.body[1:] if ast.get_docstring(node) is not None else node.body
        node.body = [one for one in rest if not isinstance(one, ast.Import | ast.ImportFrom)]
        return self.generic_visit(node)


class Sync(ast.NodeTransformer):
    """A tree with its async forms made sync."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit(_as(ast.FunctionDef, node))  # type: ignore[no-any-return]

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self.visit(_as(ast.For, node))  # type: ignore[no-any-return]

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        """`async with aclosing(x) as y: async for item in y: yield item` is `yield from x`."""
        match node:
            case ast.AsyncWith(
                items=[ast.withitem(ast.Call(ast.Name("aclosing"), [source]), ast.Name(every))],
                body=[ast.AsyncFor(ast.Name(one), ast.Name(each), [ast.Expr(ast.Yield(ast.Name(given)))])],
            ) if (every, one) == (each, given):
                return ast.Expr(ast.YieldFrom(self.visit(source)))
        return self.visit(_as(ast.With, node))  # type: ignore[no-any-return]

    def visit_Await(self, node: ast.Await) -> ast.AST:
        """`await asyncio.to_thread(f, x)` is `f(x)`."""
        match node.value:
            case ast.Call(ast.Attribute(ast.Name("asyncio"), "to_thread"), [function, *arguments], keywords):
                return self.visit(ast.Call(function, arguments, keywords))  # type: ignore[no-any-return]
        return self.visit(node.value)  # type: ignore[no-any-return]

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        """`[item async for item in items]` is `items`."""
        match node:
            case ast.ListComp(ast.Name(one), [ast.comprehension(ast.Name(each), source, [], 1)]) if (
                one == each
            ):
                return self.visit(source)  # type: ignore[no-any-return]
        return self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        node.is_async = 0
        return self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        return (
            ast.keyword("is_async", ast.Constant(False))
            if node.arg == "is_async"
            else self.generic_visit(node)
        )

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(rephrased(node.value)) if isinstance(node.value, str) else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name in ("name", "id", "attr", "module"):
            value = getattr(node, name, None)
            if isinstance(value, str):
                setattr(node, name, renamed(value))
        return super().generic_visit(node)


def _as(kind: type[Any], node: ast.AST) -> Any:
    return kind(**dict(ast.iter_fields(node)), lineno=0, col_offset=0)


def body_of(source: str, *, is_async: bool) -> list[str]:
    """The lines of a file as it must read on either side."""
    tree = Plain().visit(ast.parse(source))
    if is_async:
        tree = Sync().visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree)).splitlines()


def imports_of(source: str, *, is_async: bool) -> set[str]:
    """What a file imports at its top, by full names."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        inside = node.body if isinstance(node, ast.If) else [node]
        for one in inside:
            if isinstance(one, ast.Import):
                found |= {alias.name for alias in one.names}
            elif isinstance(one, ast.ImportFrom):
                found |= {f"{one.module}.{alias.name}" for alias in one.names}
    return ({renamed(name) for name in found} if is_async else found) - IMPORTS


def differences(sync: str, other: str) -> str:
    """What is left of an async file beyond `await`, to be read by a person; nothing if it is a twin."""
    lines = difflib.unified_diff(
        body_of(sync, is_async=False), body_of(other, is_async=True), "sync", "async, made sync", lineterm=""
    )
    odd = imports_of(sync, is_async=False) ^ imports_of(other, is_async=True)
    return "\n".join([*lines, *(f"imported on one side only: {name}" for name in sorted(odd))])


def source_of(name: str) -> str:
    return (CLIENT / name).read_text(encoding="utf-8")


THERE = [pair for pair in PAIRS if all((CLIENT / name).exists() for name in pair)]


@pytest.mark.parametrize(("sync", "other"), THERE, ids=[pair[0] for pair in THERE])
def test_an_async_file_is_the_sync_one_with_await(sync: str, other: str) -> None:
    left = differences(source_of(sync), source_of(other))
    assert not left, f"{other} is {sync} with more than `await`:\n{left}"


def test_every_word_of_the_tables_is_needed() -> None:
    everything = " ".join("\n".join(source_of(other) for _, other in THERE).split())
    assert [word for word in WORDS if word not in everything] == []
    # A phrase is looked for after those before it.
    unused: list[str] = []
    for phrase, stand_in in PHRASES.items():
        if phrase not in everything:
            unused.append(phrase)
        everything = everything.replace(phrase, stand_in)
    assert unused == []


SYNC = '''
"""Sync."""
from contextlib import closing
from there import Thing

class Shell(Base):
    """One for a sync client."""
    def __enter__(self) -> Self:
        with self._lock:
            return self
    def run(self) -> Iterator[int]:
        """Call it in a `with` statement."""
        from x.driving import carry
        check(self, is_async=False)
        for one in things(self):
            yield self.twice(one)
        yield from things(self)
        raise StopIteration("AB")
    def all(self):
        """Give all."""
        self.clock.sleep(1)
        return sorted(things(self), key=graded(1, b=2))
'''
ASYNC = '''
"""Async."""
import asyncio
from contextlib import aclosing
from there import AsyncThing

class AsyncShell(AsyncBase):
    """One for
    an async client."""
    async def __aenter__(self) -> Self:
        async with self._lock:
            return self
    async def run(self) -> AsyncIterator[int]:
        """Call it in an
        `async with` statement."""
        from x.async_driving import carry
        check(self, is_async=True)
        async for one in things(self):
            yield await self.twice(one)
        async with aclosing(things(self)) as items:
            async for item in items:
                yield item
        raise StopAsyncIteration(
            "AB"
        )
    async def all(self):
        """Give all."""
        await self.clock.sleep_async(1)
        return sorted([one async for one in things(self)], key=await asyncio.to_thread(graded, 1, b=2))
'''


def test_async_forms_and_words_are_no_difference() -> None:
    assert differences(SYNC, ASYNC) == ""


def _changes() -> Iterator[tuple[str, str]]:
    """A change of the async sample that must show."""
    yield "await self.twice(one)", "await self.thrice(one)"
    yield "async for one in things(self)", "async for one in things(self, 2)"
    yield '"AB"', '"AC"'
    yield "Give all", "Give some"
    yield "async with self._lock", "async with self._other"
    yield "(1)\n", "(1)\n        self.more()\n"
    yield "[one async for one in", "[one + 1 async for one in"
    yield "graded, 1", "graded, 2"
    yield "AsyncThing", "AsyncOther"
    yield "yield item", "yield (item, 1)"
    yield "AsyncShell", "AsyncSnail"


@pytest.mark.parametrize(("now", "then"), list(_changes()))
def test_anything_else_is_a_difference(now: str, then: str) -> None:
    assert now in ASYNC
    assert differences(SYNC, ASYNC.replace(now, then)) != ""
