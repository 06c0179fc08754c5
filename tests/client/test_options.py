"""Where settings come from, which wins, and what is said when one can't work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from azure.core.credentials import AccessToken, AzureKeyCredential
from pydantic import BaseModel

from phi_client import AsyncPhiClient, ConfigurationError, Timeout
from phi_client.contract.emulator import EMULATOR_KEY

if TYPE_CHECKING:
    from tests.conftest import Driver

OK = {"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]}
URL = "https://phi.eastus2.models.ai.azure.com"
FOUNDRY = "https://phi.services.ai.azure.com"
MANAGED = "https://phi.westus.inference.ml.azure.com"


class Scopes:
    """A credential that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.asked += scopes
        return AccessToken("a-token", 2**31)


class AsyncScopes(Scopes):
    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:  # type: ignore[override]
        return super().get_token(*scopes)


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
        ({"deployment": "a\r\nb"}, "`deployment`"),
        ({"deployment": "é"}, "`deployment`"),
        ({"model": "a\nb"}, "`model`"),
        ({"model": ["a", "b"]}, "`model` has 2 words for 1 endpoints"),
        ({"endpoint": []}, "empty list"),
        ({"endpoint": 5}, "`endpoint`"),
        ({"endpoint": [5]}, "URL as a string"),
        ({"endpoint": [URL, URL]}, "`api_key` has 1 words for 2 endpoints"),
        ({"api_key": b"key"}, "of type `bytes`"),
        ({"api_key": lambda: "k"}, "pass `credential=`"),
        ({"api_key": None, "credential": "a key"}, "given as `api_key`"),
        ({"api_key": None, "credential": lambda: "token"}, "a function that gives tokens is not needed"),
        ({"api_key": None, "credential": Scopes}, "an instance of it"),
        ({"timeout": Timeout}, "`timeout`"),
        ({"credential_scope": "a b"}, "`credential_scope`"),
        ({"allow_http": "yes"}, "True or False"),
        ({"allow_http": 1}, "True or False"),
        ({"fallback_on": [200]}, "300 to 599"),
        ({"fallback_on": [True]}, "300 to 599"),
        ({"fallback_on": ["timeouts"]}, "'timeout'"),
        ({"fallback_on": 5.0}, "`fallback_on`"),
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


def test_endpoints_in_a_list_have_their_settings_in_lists(phi: Driver) -> None:
    endpoints: Any = [URL, MANAGED]
    keys: Any = ["k-1", AzureKeyCredential("k-2")]
    settings: Any = vars(phi.open(endpoints, keys, model=["a", None]).client)
    first, second = settings["_settings"].targets
    assert (first.api_key, second.api_key) == ("k-1", "k-2")
    assert (first.model, second.model) == ("a", None)
    assert "k-2" not in repr(settings["_settings"])


@pytest.mark.parametrize(
    ("endpoint", "key"), [((URL, MANAGED), "k-1 k-2"), (f"{URL} {MANAGED}", ("k-1", "k-2")), ([URL], ["k-1"])]
)
def test_lists_and_words_say_the_same(phi: Driver, endpoint: Any, key: Any) -> None:
    assert request_after(phi, endpoint, key, model=["m"]).headers["authorization"] == "Bearer k-1"


@pytest.mark.parametrize("endpoint", [URL, MANAGED, f"{MANAGED}/score", FOUNDRY, f"{FOUNDRY}/models"])
def test_a_calls_model_wins_at_every_endpoint(phi: Driver, endpoint: str) -> None:
    phi.answer(*[httpx.Response(200, json={**OK, "output": "42"})] * 9)
    phi.open(endpoint, model="mine").complete("x", model="other")
    client = phi.client
    assert client is not None
    phi.client = client.with_options(model="third")
    phi.complete("x")
    phi.complete("x", model=None)
    bodies = [json.loads(call.request.content) for call in phi.router.calls]
    bodies = [body.get("input_data", {}).get("parameters", body) for body in bodies]
    assert [body["model"] for body in bodies] == ["other", "third", "mine"]


def test_every_way_to_ask_takes_a_model(phi: Driver) -> None:
    class Answer(BaseModel):
        value: int

    done = {"choices": [{"message": {"content": '{"value": 42}'}, "finish_reason": "stop"}]}
    phi.answer(*[httpx.Response(200, json=done)] * 9)
    client = phi.open(model="mine").client
    if isinstance(client, AsyncPhiClient):
        assert phi.run(client.parse("x", Answer, model="other")).parsed.value == 42
    elif client is not None:
        assert client.parse("x", Answer, model="other").parsed.value == 42
    phi.solve("x", model="other")
    phi.map(["x"], model="other")
    assert {json.loads(call.request.content)["model"] for call in phi.router.calls} == {"other"}


def test_a_foundry_resource_takes_its_model_from_the_call_alone(phi: Driver) -> None:
    phi.answer(httpx.Response(200, json=OK))
    phi.open(FOUNDRY)
    with pytest.raises(ConfigurationError, match="`model=`, to the client or to the call"):
        phi.complete("x")
    with pytest.raises(ConfigurationError, match="`PHI_MODEL`"):
        phi.stream("x")
    assert not phi.router.calls
    phi.complete("x", model="my-deployment")
    assert json.loads(phi.router.calls.last.request.content)["model"] == "my-deployment"


@pytest.mark.parametrize("by_environment", [True, False])
def test_the_audience_of_a_token_can_be_set(
    phi: Driver, monkeypatch: pytest.MonkeyPatch, by_environment: bool
) -> None:
    scope = "https://cognitiveservices.azure.us/.default"
    monkeypatch.setenv("PHI_CREDENTIAL_SCOPE", scope if by_environment else "wrong")
    credential = AsyncScopes() if phi.is_async else Scopes()
    own = {} if by_environment else {"credential_scope": scope}
    request = request_after(phi, URL, None, credential=credential, **own)
    assert request.headers["authorization"] == "Bearer a-token"
    assert credential.asked == [scope]


@pytest.mark.parametrize(
    "host", ["emulator:16180", "host.docker.internal:16180", "10.0.0.4", "[fd00::4]:8000"]
)
def test_plain_http_beyond_this_machine_needs_a_word_for_it(
    phi: Driver, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"unencrypted.*`allow_http=True`.*`PHI_ALLOW_HTTP=1`"):
        phi.open(f"http://{host}")
    assert str(request_after(phi, f"http://{host}", "k", allow_http=True).url).startswith(f"http://{host}/")
    monkeypatch.setenv("PHI_ALLOW_HTTP", "true")
    assert request_after(phi, f"http://{host}", "k").headers["authorization"] == "Bearer k"
    with pytest.raises(ConfigurationError, match="unencrypted"):
        phi.open(f"http://{host}", allow_http=False)
    with pytest.raises(ConfigurationError, match="use `https`"):
        phi.open("http://phi.eastus2.models.ai.azure.com")


@pytest.mark.parametrize(
    ("given", "failures"),
    [
        ((401, "timeout"), {401, "timeout"}),
        ([404, "404", "Response"], {404, "response"}),
        ("401, 403 timeout", {401, 403, "timeout"}),
        (403, {403}),
        ((), set[Any]()),
        (None, set[Any]()),
    ],
)
def test_which_failures_go_on_to_the_next_endpoint_is_chosen(
    phi: Driver, monkeypatch: pytest.MonkeyPatch, given: Any, failures: set[int | str]
) -> None:
    assert vars(phi.open(fallback_on=given).client)["_settings"].fallback_on == failures
    monkeypatch.setenv("PHI_FALLBACK_ON", "500 timeout")
    wanted = {500, "timeout"} if given is None else failures
    assert vars(phi.open(fallback_on=given).client)["_settings"].fallback_on == wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENDPOINT", "http://gateway.example.com"),
        ("ENDPOINT", "phi.models.ai.azure.com"),
        ("ENDPOINT", f"{URL}?api-version=latest"),
        ("API_KEY", "two words"),
        ("DIALECT", "openai"),
        ("MODEL", "a\tb"),
        ("DEPLOYMENT", "é"),
        ("API_VERSION", "latest"),
        ("CREDENTIAL_SCOPE", "é"),
        ("ALLOW_HTTP", "perhaps"),
        ("FALLBACK_ON", "401 sometimes"),
    ],
)
def test_a_variable_that_can_not_work_is_named(
    phi: Driver, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for variable, right in {"ENDPOINT": URL, "API_KEY": "k", name: value}.items():
        monkeypatch.setenv(f"PHI_{variable}", right)
    with pytest.raises(ConfigurationError, match=f"`PHI_{name}`"):
        phi.open(None, None)
