"""The public names, the equality of the two clients, and the tree of errors."""

from __future__ import annotations

import inspect
import re

import pytest

import phi_client
from phi_client import AsyncChatStream, AsyncPhiClient, ChatStream, PhiClient, PhiError, errors

TWINS = [(PhiClient, AsyncPhiClient), (ChatStream, AsyncChatStream)]
ASYNC_NAMES = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__anext__": "__next__",
    "__aiter__": "__iter__",
}


def public(cls: type) -> dict[str, inspect.Signature]:
    """The methods that a user calls, under the names that they have when sync."""
    members = inspect.getmembers(cls, inspect.isfunction)
    names = {name: ASYNC_NAMES.get(name, name) for name, _ in members}
    return {
        names[name]: inspect.signature(member)
        for name, member in members
        if not name.startswith("_") or name in ("__init__", *ASYNC_NAMES, *ASYNC_NAMES.values())
    }


def test_the_public_names_are_sorted_and_there() -> None:
    assert phi_client.__all__ == sorted(phi_client.__all__)
    assert all(hasattr(phi_client, name) for name in phi_client.__all__)


def test_every_public_class_of_errors_is_exported() -> None:
    raised = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, PhiError)
    }
    assert raised <= set(phi_client.__all__)


@pytest.mark.parametrize(("sync", "twin"), TWINS)
def test_sync_and_async_have_the_same_methods(sync: type, twin: type) -> None:
    assert public(sync).keys() == public(twin).keys()


@pytest.mark.parametrize(("sync", "twin"), TWINS)
def test_sync_and_async_take_the_same_arguments(sync: type, twin: type) -> None:
    def as_sync(annotation: object) -> str:
        text = str(annotation).replace("Async", "").replace("phi_client._async_", "phi_client._")
        return re.sub(r"collections\.abc\.Awaitable\[(.*)\]", r"\1", text)

    for name, signature in public(sync).items():
        other = public(twin)[name]
        assert [(one.name, one.kind, one.default) for one in signature.parameters.values()] == [
            (one.name, one.kind, one.default) for one in other.parameters.values()
        ]
        for one in signature.parameters.values():
            assert as_sync(one.annotation) == as_sync(other.parameters[one.name].annotation)
        assert as_sync(signature.return_annotation) == as_sync(other.return_annotation)


def test_the_tree_of_errors_is_the_one_drawn() -> None:
    drawn = re.findall(r"^    ([│ ]*[├└]── )?(\w+)$", errors.__doc__ or "", re.MULTILINE)
    parents: list[str] = []
    for lead, name in drawn:
        depth = len(lead) // 4
        del parents[depth:]
        cls = getattr(errors, name)
        assert cls.__bases__[0].__name__ == (parents[-1] if parents else "Exception")
        parents.append(name)
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, PhiError)
    }
    assert {name for _, name in drawn} == defined


@pytest.mark.parametrize("name", phi_client.__all__)
def test_each_public_class_has_a_docstring(name: str) -> None:
    value = getattr(phi_client, name)
    if isinstance(value, type):
        assert value.__doc__
        for method, member in inspect.getmembers(value, inspect.isfunction):
            if not method.startswith("_") and member.__module__.startswith("phi_client"):
                assert member.__doc__, f"{name}.{method}"
