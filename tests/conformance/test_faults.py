"""Each fault over a real socket, met by clients that know nothing of it: openai and azure-ai-inference.

What is asserted is what they do, right or wrong: docs/reference/faults.md says what they should.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import AzureError, HttpResponseError
from openai import OpenAI
from phi_emulator.faults.catalogue import EFFECTS, ERRORS

from phi_client.contract.dialects import DIALECTS
from phi_client.contract.service import SURFACES
from tests.together.conftest import REASONED, Running

Outcome = tuple[str | None, str | None] | Exception
Ask = Callable[[Running, str, bool], Outcome]

SAME = (REASONED, "stop")
UNFINISHED = (REASONED, None)
HALF = ("<think>6 times 7</think>", None)
NOTHING = ("", None)
BROKEN = ValueError
"""What neither client makes an error of its own of."""
LOST = openai.APIConnectionError

# For openai and azure-ai-inference, whole and as a stream; `None` where there is no such fault.
CASES: dict[str, tuple[Any, Any, Any, Any]] = {
    "wait seconds=0.01": (SAME, SAME, SAME, SAME),
    "stall seconds=0.01": (None, SAME, None, SAME),
    "slow seconds=0.001": (None, SAME, None, SAME),
    "comments_only seconds=0.02 every=0.01": (None, SAME, None, BROKEN),
    "cut_head how=reset": (LOST, LOST, AzureError, AzureError),
    "cut_head how=end": (LOST, LOST, AzureError, AzureError),
    "cut_head how=reset bytes=40": (LOST, LOST, AzureError, AzureError),
    "cut_head how=end bytes=40": (LOST, LOST, BROKEN, NOTHING),
    "cut_body how=reset bytes=900": (LOST, LOST, AzureError, AzureError),
    "cut_body how=end bytes=900": (LOST, LOST, AzureError, AzureError),
    "no_end without=both": (None, UNFINISHED, None, UNFINISHED),
    "no_end without=finish_reason": (None, UNFINISHED, None, UNFINISHED),
    "no_end without=done": (None, SAME, None, SAME),
    "malformed_event": (None, BROKEN, None, BROKEN),
    "oversized_event": (None, SAME, None, SAME),
    "error_in_stream form=object": (None, openai.APIError, None, ("<think>", None)),
    "error_in_stream form=event": (None, BROKEN, None, BROKEN),
    "finish reason=length tokens=1": (("<think>6", "length"), ("<", "length")) * 2,
    "finish reason=content_filter tokens=1": (("<think>6", "content_filter"), ("<", "content_filter")) * 2,
    "split": (SAME, SAME, SAME, SAME),
    "other_sse form=crlf": (None, SAME, None, BROKEN),
    "other_sse form=cr": (None, SAME, None, NOTHING),
    "other_sse form=multi_line": (None, SAME, None, BROKEN),
    "other_sse form=bom": (None, SAME, None, BROKEN),
    "other_sse form=comments": (None, SAME, None, BROKEN),
    "content_type": (SAME, SAME, SAME, SAME),
    "header_twice": (SAME, SAME, HttpResponseError, SAME),
    "header_missing": (SAME, SAME, SAME, SAME),
    "not_a_completion form=empty": (BROKEN, NOTHING, BROKEN, NOTHING),
    "not_a_completion form=empty_object": ((None, None), NOTHING, (None, None), NOTHING),
    "not_a_completion form=html": (AttributeError, NOTHING, BROKEN, NOTHING),
    "not_a_completion form=null_choices": ((None, None), NOTHING, (None, None), NOTHING),
    "not_a_completion form=no_choices": ((None, None), NOTHING, (None, None), NOTHING),
    "not_a_completion form=truncated": (BROKEN, ("<think>6 times 7</think", None), HttpResponseError, HALF),
    "content_length off=100": (LOST, SAME, AzureError, AzureError),
    "content_length off=-20": (BROKEN, UNFINISHED, HttpResponseError, UNFINISHED),
}
BY_HEADERS_AND_RULES = {"error", "retry_after", "expired_token"}


def by_openai(running: Running, line: str, streams: bool, key: str | None = None) -> Outcome:
    """What `OpenAI` gives or raises; it must not try again, so that one request meets the fault."""
    messages: Any = [{"role": "user", "content": "What is 6 * 7?"}]
    headers = {"x-phi-fault": line}
    url, key = f"{running.emulator.root}/openai/v1", key or running.emulator.key
    try:
        with OpenAI(base_url=url, api_key=key, max_retries=0, default_headers=headers) as client:
            if not streams:
                return _whole(client.chat.completions.create(model="m", messages=messages))
            with client.chat.completions.create(model="m", messages=messages, stream=True) as chunks:
                return _streamed(chunks)
    except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
        return error


def by_azure(running: Running, line: str, streams: bool, key: str | None = None) -> Outcome:
    """What `ChatCompletionsClient` gives or raises."""
    credential = AzureKeyCredential(key or running.emulator.key)
    headers = {"x-phi-fault": line}
    try:
        with ChatCompletionsClient(running.emulator.root, credential, retry_total=0) as client:
            messages: Any = [{"role": "user", "content": "What is 6 * 7?"}]
            if not streams:
                return _whole(client.complete(messages=messages, headers=headers))
            updates: Any = client.complete(messages=messages, stream=True, headers=headers)
            with updates:
                return _streamed(updates)
    except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
        return error


def _whole(answer: Any) -> Outcome:
    if not answer.choices:
        return None, None
    return answer.choices[0].message.content, answer.choices[0].finish_reason


def _streamed(chunks: Any) -> Outcome:
    choices = [choice for chunk in chunks for choice in chunk.choices]
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    return "".join(choice.delta.content or "" for choice in choices), reasons[-1] if reasons else None


def test_each_effect_is_met() -> None:
    assert {line.split()[0] for line in CASES} | BY_HEADERS_AND_RULES == set(EFFECTS)
    words = {f"{name} {one.name}={word}" for name, effect in EFFECTS.items() for one in effect.parameters
             for word in one.choices if name not in BY_HEADERS_AND_RULES}  # fmt: skip
    assert {word for word in words if not any(line.startswith(word) for line in CASES)} == set()


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("ask", "place"), [(by_openai, 0), (by_azure, 2)])
@pytest.mark.parametrize("line", CASES)
def test_a_foreign_client_meets_a_fault(
    line: str, ask: Ask, place: int, streams: bool, scripted: Running
) -> None:
    expected = CASES[line][place + streams]
    outcome = ask(scripted, line, streams)
    if expected is None:
        assert isinstance(outcome, openai.BadRequestError | HttpResponseError)
        assert "is a fault of streams" in str(outcome)
    elif isinstance(expected, tuple):
        assert outcome == expected
    else:
        assert isinstance(outcome, expected)


@pytest.mark.parametrize(
    ("name", "surface"), [(name, surface) for name, row in ERRORS.items() for surface in row.surfaces]
)
def test_an_error_comes_as_its_surface_writes_it(name: str, surface: str, scripted: Running) -> None:
    dialect, spoken = DIALECTS[surface], SURFACES[surface]
    header, value = dialect.write_key(scripted.emulator.key)
    answer = httpx.post(
        scripted.emulator.root + dialect.emulator_prefix + dialect.chat_routes[0],
        params={} if dialect.api_version is None else {"api-version": dialect.api_version},
        headers={header: value, "x-phi-fault": f"error error={name}"},
        json={"model": "m", "messages": [{"role": "user", "content": "x"}]},
        trust_env=False,
    )
    written = spoken.write_error(ERRORS[name].refusal(spoken))
    assert (answer.status_code, answer.content) == (written.status, written.body)
    assert {key: answer.headers.get(key) for key in written.headers} == dict(written.headers)


@pytest.mark.parametrize("name", [name for name, row in ERRORS.items() if "openai_v1" in row.surfaces])
def test_openai_reads_the_status_of_an_error(name: str, scripted: Running) -> None:
    outcome = by_openai(scripted, f"error error={name}", False)
    assert isinstance(outcome, openai.APIStatusError)
    assert outcome.status_code == ERRORS[name].refusal(SURFACES["openai_v1"]).status


@pytest.mark.parametrize("name", [name for name, row in ERRORS.items() if "serverless" in row.surfaces])
def test_azure_reads_the_status_of_an_error(name: str, scripted: Running) -> None:
    outcome = by_azure(scripted, f"error error={name}", False)
    assert isinstance(outcome, HttpResponseError)
    assert outcome.status_code == ERRORS[name].refusal(SURFACES["serverless"]).status


@pytest.mark.parametrize(("ask", "surface"), [(by_openai, "openai_v1"), (by_azure, "serverless")])
def test_a_token_expires_and_a_key_does_not(
    ask: Callable[..., Outcome], surface: str, scripted: Running
) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": "any",
        "scope": DIALECTS[surface].token_scope,
    }
    url = f"{scripted.emulator.entra_url}/{scripted.emulator.config.tenant}/oauth2/v2.0/token"
    token = httpx.post(url, data=form, trust_env=False).json()["access_token"]
    outcome = ask(scripted, "expired_token", False, token)
    assert isinstance(outcome, openai.AuthenticationError | HttpResponseError)
    assert outcome.status_code == 401
    outcome = ask(scripted, "expired_token", False)
    assert isinstance(outcome, openai.BadRequestError | HttpResponseError)
    assert "a fault of requests with a token" in str(outcome)


def counted(running: Running, scope: str) -> list[tuple[int, int]]:
    """What the rules of a scope have met: calls, and faults among them."""
    counts = running.emulator.faults.counts(scope=scope)
    return [(one.calls, one.faults) for one in counts if one.rule["when"] == {"scope": scope}]


def test_openai_takes_two_429s_for_what_they_are(scripted: Running) -> None:
    scripted.emulator.faults.add("retry_after", form="ms", seconds=0.001, times=2, when={"scope": "openai"})
    with OpenAI(
        base_url=f"{scripted.emulator.root}/openai/v1",
        api_key=scripted.emulator.key,
        default_headers={"x-phi-scope": "openai"},
    ) as client:
        done = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert done.choices[0].message.content == REASONED
    assert counted(scripted, "openai") == [(3, 2)]


def test_azure_retries_after_the_seconds_that_it_is_told(scripted: Running) -> None:
    scripted.emulator.faults.add("retry_after", seconds=0, times=1, when={"scope": "azure"})
    with ChatCompletionsClient(
        scripted.emulator.root, AzureKeyCredential(scripted.emulator.key), retry_backoff_factor=0
    ) as client:
        done = client.complete(
            messages=[{"role": "user", "content": "x"}],
            headers={"x-phi-scope": "azure"},
        )
    assert done.choices[0].message.content == REASONED
    assert counted(scripted, "azure") == [(2, 1)]
