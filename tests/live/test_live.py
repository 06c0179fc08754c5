"""The same questions to every deployment: the emulator's always, Azure's where the environment names one.

For the emulator this holds the golden files against what really goes over the wire; for Azure it shows where the
emulator, and with it the golden files, are wrong.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from phi_client import AsyncPhiClient, AuthenticationError, Completion, ModelError, PhiClient
from tests.live.scenarios import (
    MAX_TOKENS,
    NOBODYS_KEY,
    SCENARIOS,
    WIRE,
    Target,
    golden_of,
    read_golden,
    write_golden,
)

QUESTION = "What is 6 * 7?"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the settings of whoever runs the tests: a target says all that there is."""
    for name in ("ENDPOINT", "API_KEY", "DIALECT", "MODEL", "DEPLOYMENT", "API_VERSION", "LOG"):
        monkeypatch.delenv(f"PHI_{name}", raising=False)


def test_an_answer_is_as_its_golden_file_says(
    target: Target, scenario: str, pytestconfig: pytest.Config, today: str
) -> None:
    given = golden_of(SCENARIOS[scenario](target), target)
    path = WIRE / target.dialect.name / f"{scenario}.wire"
    folder: str | None = pytestconfig.getoption("--rewrite-golden", default=None)
    if folder is not None and target.name.startswith("azure"):
        write_golden(Path(folder) / target.dialect.name / path.name, given, day=today)
        return
    expected = read_golden(path)
    remedy = f"{path.relative_to(WIRE)} is wrong, or the answer; `--rewrite-golden` stores the latter"
    assert given.head == expected.head, remedy
    assert given.body == expected.body, remedy


def check(done: Completion) -> None:
    """What holds of any answer, finished or not."""
    assert done.finish_reason in ("stop", "length")
    assert done.reasoning or done.content
    assert done.usage is not None
    assert 0 < done.usage.completion_tokens <= MAX_TOKENS
    assert done.request_id


def test_the_client_gets_an_answer_whole_and_streamed(target: Target) -> None:
    with client_of(target) as client:
        check(client.complete(QUESTION, max_tokens=MAX_TOKENS, on_truncation="return"))
        with client.stream(QUESTION, max_tokens=MAX_TOKENS, on_truncation="return") as stream:
            pieces = [chunk.reasoning + chunk.content for chunk in stream]
        check(stream.completion)
        assert "".join(pieces)


def test_the_async_client_gets_an_answer(target: Target) -> None:
    async def main() -> Completion:
        async with AsyncPhiClient(
            url_of(target), target.key, dialect=target.dialect.name, model=target.model
        ) as client:
            return await client.complete(QUESTION, max_tokens=MAX_TOKENS, on_truncation="return")

    check(asyncio.run(main()))


def test_the_client_is_told_which_model_answers(target: Target) -> None:
    with client_of(target) as client:
        if target.dialect.name != "managed_compute":
            assert client.get_model_info().model_name
            return
        # Only the older image has the route.
        with suppress(ModelError):
            assert client.get_model_info().model_name


def test_a_wrong_key_is_named_as_such(target: Target) -> None:
    with (
        PhiClient(url_of(target), NOBODYS_KEY, dialect=target.dialect.name, model=target.model) as client,
        pytest.raises(AuthenticationError),
    ):
        client.complete(QUESTION, max_tokens=1)


def client_of(target: Target) -> PhiClient:
    """A client that is let in as the target says: by its key, or by Entra ID."""
    return PhiClient(url_of(target), target.key, dialect=target.dialect.name, model=target.model)


def url_of(target: Target) -> str:
    return target.endpoint.base_url + target.dialect.chat_routes[0]
