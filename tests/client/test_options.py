"""Where settings come from, which wins, and what is said when one can't work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import AsyncPhiClient, ConfigurationError, Timeout
from phi_client.contract.emulator import EMULATOR_KEY

if TYPE_CHECKING:
    from tests.conftest import Driver

OK = {"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]}
URL = "https://phi.eastus2.models.ai.azure.com"
MANAGED = "https://phi.westus.inference.ml.azure.com"


def request_after(
    phi: Driver, endpoint: str | None = None, api_key: str | None = None, **arguments: Any
) -> httpx.Request:
    phi.answer(httpx.Response(200, json=OK))
    phi.open(endpoint, api_key, **arguments).complete()
    request: httpx.Request = phi.router.calls.last.request
    return request


def test_no_endpoint_names_both_ways_out(phi: Driver) -> None:
    with pytest.raises(ConfigurationError, match=r"`PHI_ENDPOINT`.*`phi-emulator serve`"):
        phi.open(None)


def test_the_environment_alone_is_enough(phi: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ENDPOINT": "https://gateway.example.com", "API_KEY": "k-1", "DIALECT": "managed_compute",
        "MODEL": "phi-4", "DEPLOYMENT": "blue", "API_VERSION": "2024-04-01-preview",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"PHI_{name}", value)
    request = request_after(phi)
    assert str(request.url) == "https://gateway.example.com/chat/completions"
    assert request.headers["authorization"] == "Bearer k-1"
    assert request.headers["azureml-model-deployment"] == "blue"
    assert json.loads(request.content)["model"] == "phi-4"


def test_arguments_win_over_the_environment(phi: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "API_KEY", "DIALECT", "MODEL", "DEPLOYMENT", "API_VERSION"):
        monkeypatch.setenv(f"PHI_{name}", "wrong")
    monkeypatch.setenv("PHI_DIALECT", "serverless")
    request = request_after(phi, URL, "k-2", api_version="2024-04-01-preview", model="m")
    assert request.headers["authorization"] == "Bearer k-2"
    assert request.url.params["api-version"] == "2024-04-01-preview"
    assert json.loads(request.content)["model"] == "m"


@pytest.mark.parametrize("by_environment", [True, False])
def test_the_word_emulator_stands_for_its_address_and_key(
    phi: Driver, monkeypatch: pytest.MonkeyPatch, by_environment: bool
) -> None:
    monkeypatch.setenv("PHI_API_KEY", "a key meant for Azure")
    if by_environment:
        monkeypatch.setenv("PHI_ENDPOINT", "emulator")
    request = request_after(phi, None if by_environment else "emulator")
    assert (request.url.host, request.url.port) == ("127.0.0.1", 16180)
    assert request.headers["authorization"] == f"Bearer {EMULATOR_KEY}"


def test_a_key_that_is_given_wins_over_the_emulators(phi: Driver) -> None:
    assert request_after(phi, "emulator", "mine").headers["authorization"] == "Bearer mine"


def test_an_address_on_this_machine_implies_no_key(phi: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", lambda: None)
    with pytest.raises(Exception, match="no token from"):
        request_after(phi, "http://127.0.0.1:16180")


def test_the_api_version_of_the_url_is_used(phi: Driver) -> None:
    request = request_after(phi, f"{URL}/chat/completions?api-version=2024-04-01-preview", "k")
    assert request.url.params["api-version"] == "2024-04-01-preview"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"endpoint": "phi.models.ai.azure.com"}, "no scheme"),
        ({"dialect": "openai"}, "`dialect`"),
        ({"api_version": "latest"}, "`api_version`"),
        ({"api_version": "2024-05-01&x=1"}, "`api_version`"),
        ({"api_key": "two words"}, "API key"),
        ({"api_key": "line\nbreak"}, "API key"),
        ({"api_key": ""}, "API key"),
        ({"deployment": "a\r\nb"}, "'deployment'"),
        ({"headers": {"a b": "c"}}, "'a b'"),
        ({"headers": {"x": "a\nb"}}, "'x'"),
        ({"headers": {"x": "é"}}, "'x'"),
        ({"headers": {"Authorization": "Bearer x"}}, "give it there"),
        ({"headers": {"API-Key": "x"}}, "give it there"),
        ({"timeout": 0}, "`timeout`"),
        ({"timeout": -1}, "`timeout`"),
        ({"deadline": 0}, "`deadline`"),
        ({"deadline": float("nan")}, "`deadline`"),
        ({"max_retries": -1}, "`max_retries`"),
    ],
)
def test_a_setting_that_can_not_work_is_named(phi: Driver, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        phi.open(**arguments)
    assert says in str(caught.value)
    assert "two words" not in str(caught.value)
    assert "Bearer x" not in str(caught.value)


@pytest.mark.parametrize("name", ["messages", "stream"])
def test_extra_can_not_replace_what_the_call_sets(phi: Driver, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        phi.open().complete("x", extra={name: 1})


@pytest.mark.parametrize(
    ("timeout", "limits"),
    [
        (None, {"connect": None, "read": None, "write": None, "pool": None}),
        (30, {"connect": 10, "read": 30, "write": 30, "pool": 30}),
        (5, {"connect": 5, "read": 5, "write": 5, "pool": 5}),
        (900, {"connect": 10, "read": 900, "write": 60, "pool": 60}),
        (Timeout(read=7), {"connect": 10, "read": 7, "write": 60, "pool": 60}),
    ],
)
def test_limits_by_phase(phi: Driver, timeout: Any, limits: dict[str, float | None]) -> None:
    assert request_after(phi, URL, "k", timeout=timeout).extensions["timeout"] == limits


def test_a_copy_has_other_defaults_and_the_same_connections(phi: Driver) -> None:
    phi.answer(*[httpx.Response(200, json=OK)] * 9)
    phi.open(headers={"x-a": "1"})
    original = phi.client
    assert original is not None
    phi.client = original.with_options(temperature=0, extra={"top_k": 1}, headers={"x-b": "2"})
    phi.complete("x", extra={"min_p": 0})
    request = phi.router.calls.last.request
    body = json.loads(request.content)
    assert (body["temperature"], body["top_k"], body["min_p"], body["top_p"]) == (0, 1, 0, 0.95)
    assert (request.headers["x-a"], request.headers["x-b"]) == ("1", "2")
    phi.client = original
    phi.complete()
    assert json.loads(phi.router.calls.last.request.content)["temperature"] == 0.8


def test_a_header_of_the_call_replaces_one_of_the_client_whatever_its_case(phi: Driver) -> None:
    phi.answer(httpx.Response(200, json=OK))
    phi.open(headers={"X-A": "1", "user-agent": "mine"}).complete("x", headers={"x-a": "2"})
    request = phi.router.calls.last.request
    assert request.headers.get_list("x-a") == ["2"]
    assert request.headers.get_list("user-agent") == ["mine"]


def test_closing_leaves_a_client_that_was_passed_in_open(phi: Driver) -> None:
    client = phi.open().client
    if isinstance(client, AsyncPhiClient):
        phi.run(client.close())
    elif client is not None:
        client.close()
    assert not phi._http[0].is_closed


def test_repr_shows_no_key(phi: Driver) -> None:
    client = phi.open().client
    shown = repr(client) + repr(vars(client))
    assert "a-key-that-must-never-be-shown" not in shown
    assert URL in repr(client)
