"""Keys and tokens: what travels, how often a token is asked for, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
from azure.identity import ManagedIdentityCredential
from azure.identity.aio import ManagedIdentityCredential as AsyncManagedIdentityCredential

from phi_client import AsyncPhiClient, AuthenticationError, ConfigurationError, CredentialError, PhiClient
from phi_client.testing import with_clock

if TYPE_CHECKING:
    from tests.conftest import Driver

OK = {"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]}
URL = "https://phi.eastus2.models.ai.azure.com"


@dataclass
class Token:
    token: str
    expires_on: int


@dataclass
class Credential:
    """Gives tokens `t1`, `t2` …; `fails` makes it raise instead."""

    lifetime: int = 3600
    now: float = 1000.0
    fails: bool = False
    asked: list[tuple[tuple[str, ...], dict[str, Any]]] = field(default_factory=list[Any])

    def get_token(self, *scopes: str, **kwargs: Any) -> Token:
        self.asked.append((scopes, kwargs))
        if self.fails:
            raise RuntimeError("no luck\nsecond line")
        return Token(f"t{len(self.asked)}", int(self.now) + self.lifetime)


@dataclass
class AsyncCredential:
    """The same, async."""

    inner: Credential

    async def get_token(self, *scopes: str, **kwargs: Any) -> Token:
        await asyncio.sleep(0)
        return self.inner.get_token(*scopes, **kwargs)


def with_credential(phi: Driver, credential: Credential) -> Driver:
    right: Any = AsyncCredential(credential) if phi.is_async else credential
    phi.open(api_key=None, credential=right)
    assert phi.client is not None
    with_clock(phi.client, replace(phi.time.clock(), unix=lambda: credential.now))
    return phi


def bearers(phi: Driver) -> list[str]:
    return [call.request.headers["authorization"] for call in phi.router.calls]


def answer_ok(phi: Driver, times: int = 9) -> None:
    phi.answer(*[httpx.Response(200, json=OK)] * times)


def test_a_token_is_asked_for_once_with_the_scope_of_the_surface(phi: Driver) -> None:
    credential = Credential()
    answer_ok(phi)
    with_credential(phi, credential)
    phi.complete()
    phi.complete()
    assert credential.asked == [(("https://ml.azure.com/.default",), {})]
    assert bearers(phi) == ["Bearer t1", "Bearer t1"]


def test_a_token_is_renewed_before_it_expires(phi: Driver) -> None:
    credential = Credential()
    answer_ok(phi)
    with_credential(phi, credential)
    phi.complete()
    credential.now += 3600 - 299
    phi.complete()
    assert bearers(phi) == ["Bearer t1", "Bearer t2"]


def test_while_renewing_fails_a_token_that_is_still_good_serves(phi: Driver) -> None:
    credential = Credential()
    answer_ok(phi)
    with_credential(phi, credential)
    phi.complete()
    credential.now += 3600 - 10
    credential.fails = True
    phi.complete()
    credential.now += 20
    with pytest.raises(CredentialError):
        phi.complete()
    assert bearers(phi) == ["Bearer t1", "Bearer t1"]


def test_without_a_token_nothing_is_sent(phi: Driver) -> None:
    with_credential(phi, Credential(fails=True))
    with pytest.raises(CredentialError, match="RuntimeError: no luck") as caught:
        phi.complete()
    assert "second line" not in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert phi.router.calls.call_count == 0


CLAIMS = '{"access_token":{"nbf":{"essential":true}}}'
ENCODED = base64.urlsafe_b64encode(CLAIMS.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("challenge", "arguments"),
    [
        (f'Bearer error="insufficient_claims", claims="{ENCODED}"', {"claims": CLAIMS}),
        ('Bearer error="invalid_token"', {}),
    ],
)
def test_a_challenge_gets_one_more_try_with_a_new_token(
    phi: Driver, challenge: str, arguments: dict[str, str]
) -> None:
    credential = Credential()
    # The two attempts share one request object, so its header is noted while it is sent.
    noted: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        noted.append(request.headers["authorization"])
        is_first = len(noted) == 1
        return (
            httpx.Response(401, headers={"WWW-Authenticate": challenge})
            if is_first
            else httpx.Response(200, json=OK)
        )

    phi.router.route().mock(side_effect=reply)
    assert with_credential(phi, credential).complete().content == "42"
    assert noted == ["Bearer t1", "Bearer t2"]
    assert credential.asked[1][1] == arguments


def test_serverless_says_that_a_token_is_invalid_without_a_challenge(phi: Driver) -> None:
    invalid = httpx.Response(401, headers={"x-ms-error-reason": "Invalid JWT."}, json={"statusCode": 401})
    credential = Credential()
    phi.answer(invalid, httpx.Response(200, json=OK))
    assert with_credential(phi, credential).complete().content == "42"
    assert len(credential.asked) == 2


INVALID_TOKEN = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


@dataclass
class CachingCredential(Credential):
    """Gives the same token until it is asked with claims; `knows_claims` makes that bring another one."""

    knows_claims: bool = True

    def get_token(self, *scopes: str, **kwargs: Any) -> Token:
        self.asked.append((scopes, kwargs))
        is_new = bool(kwargs) and self.knows_claims
        return Token("new" if is_new else "cached", int(self.now) + self.lifetime)


def test_a_credential_that_repeats_the_refused_token_is_asked_past_its_cache(phi: Driver) -> None:
    credential = CachingCredential()
    phi.answer(httpx.Response(401, headers=INVALID_TOKEN), httpx.Response(200, json=OK))
    assert with_credential(phi, credential).complete().content == "42"
    claims = json.loads(credential.asked[2][1]["claims"])
    assert claims == {"access_token": {"nbf": {"essential": True, "value": "1000"}}}
    assert bearers(phi)[-1] == "Bearer new"


def test_a_refused_token_is_not_sent_again_when_there_is_no_other(phi: Driver) -> None:
    phi.answer(httpx.Response(401, headers=INVALID_TOKEN), httpx.Response(200, json=OK))
    with pytest.raises(AuthenticationError):
        with_credential(phi, CachingCredential(knows_claims=False)).complete()
    assert phi.router.calls.call_count == 1


def test_a_credential_that_takes_no_claims_leaves_the_refusal_as_the_answer(phi: Driver) -> None:
    class Refusing(CachingCredential):
        def get_token(self, *scopes: str, **kwargs: Any) -> Token:
            if kwargs:
                raise RuntimeError("log in again")
            return super().get_token(*scopes)

    phi.answer(httpx.Response(401, headers=INVALID_TOKEN))
    with pytest.raises(AuthenticationError):
        with_credential(phi, Refusing()).complete()


def test_managed_identity_of_azure_identity_brings_another_token_than_the_refused_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with TokenService() as tokens:
        monkeypatch.setenv("IDENTITY_ENDPOINT", tokens.url)
        monkeypatch.setenv("IDENTITY_HEADER", "secret")
        seen: list[str] = []

        def refuse_the_first(request: httpx.Request) -> httpx.Response:
            seen.append(request.headers["authorization"])
            return (
                httpx.Response(401, headers=INVALID_TOKEN) if len(seen) == 1 else httpx.Response(200, json=OK)
            )

        transport = httpx.MockTransport(refuse_the_first)
        with (
            ManagedIdentityCredential() as credential,
            PhiClient(URL, credential=credential, http_client=httpx.Client(transport=transport)) as client,
        ):
            assert client.complete("hi").content == "42"
    assert seen == ["Bearer token-1", "Bearer token-2"]


def test_the_async_managed_identity_brings_another_token_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[str]:
        seen: list[str] = []

        def refuse_the_first(request: httpx.Request) -> httpx.Response:
            seen.append(request.headers["authorization"])
            return (
                httpx.Response(401, headers=INVALID_TOKEN) if len(seen) == 1 else httpx.Response(200, json=OK)
            )

        http_client = httpx.AsyncClient(transport=httpx.MockTransport(refuse_the_first))
        async with (
            AsyncManagedIdentityCredential() as credential,
            AsyncPhiClient(URL, credential=credential, http_client=http_client) as client,
        ):
            assert (await client.complete("hi")).content == "42"
        return seen

    with TokenService() as tokens:
        monkeypatch.setenv("IDENTITY_ENDPOINT", tokens.url)
        monkeypatch.setenv("IDENTITY_HEADER", "secret")
        assert asyncio.run(run()) == ["Bearer token-1", "Bearer token-2"]


class TokenService:
    """The endpoint that App Service gives to managed identities, on loopback: `token-1`, `token-2` …"""

    def __enter__(self) -> Self:
        given = iter(range(1, 9))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = {
                    "access_token": f"token-{next(given)}",
                    "expires_on": str(int(time.time()) + 3600),
                    "resource": "https://ml.azure.com",
                    "token_type": "Bearer",
                }
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_after_a_renewal_that_failed_the_old_token_serves_for_a_while_unasked(phi: Driver) -> None:
    credential = Credential()
    answer_ok(phi)
    with_credential(phi, credential).complete()
    credential.now += 3600 - 200
    credential.fails = True
    for _ in range(3):
        phi.complete()
    assert len(credential.asked) == 2
    credential.now += 31
    credential.fails = False
    phi.complete()
    assert len(credential.asked) == 3
    assert bearers(phi) == ["Bearer t1"] * 4 + ["Bearer t3"]


def test_a_token_with_a_short_life_serves_for_half_of_it(phi: Driver) -> None:
    credential = Credential(lifetime=100)
    answer_ok(phi)
    with_credential(phi, credential).complete()
    credential.now += 49
    phi.complete()
    assert len(credential.asked) == 1
    credential.now += 2
    phi.complete()
    assert len(credential.asked) == 2


def test_a_token_that_no_header_can_carry_is_refused_unseen(phi: Driver) -> None:
    credential = Credential()
    credential.get_token = lambda *_, **__: Token("very-secret\n", 4_000_000_000)  # type: ignore[method-assign]
    with pytest.raises(CredentialError, match="no header can carry") as caught:
        with_credential(phi, credential).complete()
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "scope"),
    [
        (URL, "https://ml.azure.com/.default"),
        ("https://phi.westus.inference.ml.azure.com/score", "https://ml.azure.com/.default"),
        ("https://phi.services.ai.azure.com/models", "https://cognitiveservices.azure.com/.default"),
        ("https://phi.services.ai.azure.com/openai/v1", "https://ai.azure.com/.default"),
    ],
)
def test_the_scope_is_that_of_the_dialect(phi: Driver, endpoint: str, scope: str) -> None:
    credential = Credential()
    right: Any = AsyncCredential(credential) if phi.is_async else credential
    answer_ok(phi)
    phi.answer(httpx.Response(200, json=OK | {"output": "42"}))
    phi.open(endpoint, None, credential=right, model="phi").complete()
    assert credential.asked[0][0] == (scope,)


@pytest.mark.parametrize(
    ("endpoint", "header", "value"),
    [
        (URL, "authorization", "Bearer the-key"),
        ("https://phi.westus.inference.ml.azure.com", "authorization", "Bearer the-key"),
        ("https://phi.services.ai.azure.com/models", "api-key", "the-key"),
        ("https://phi.openai.azure.com", "api-key", "the-key"),
    ],
)
def test_the_key_travels_as_the_dialect_wants_it(phi: Driver, endpoint: str, header: str, value: str) -> None:
    answer_ok(phi)
    phi.open(endpoint, "the-key", model="phi").complete()
    sent = phi.router.calls.last.request.headers
    assert {name: sent.get(name) for name in ("authorization", "api-key")} == {
        "authorization": None, "api-key": None, header: value
    }  # fmt: skip


def test_a_second_refusal_is_the_answer(phi: Driver) -> None:
    refusal = httpx.Response(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    phi.answer(refusal, refusal)
    with pytest.raises(AuthenticationError):
        with_credential(phi, Credential()).complete()


@pytest.mark.parametrize("challenge", [None, "Basic", "Bearer", 'Bearer claims="%%%"'])
def test_a_401_that_asks_for_nothing_is_the_answer_at_once(phi: Driver, challenge: str | None) -> None:
    credential = Credential()
    phi.answer(httpx.Response(401, headers={} if challenge is None else {"WWW-Authenticate": challenge}))
    with pytest.raises(AuthenticationError):
        with_credential(phi, credential).complete()
    assert len(credential.asked) == 1


def test_a_token_that_was_refused_never_serves_again(phi: Driver) -> None:
    credential = Credential()
    answer_ok(phi, 1)
    with_credential(phi, credential).complete()
    credential.fails = True
    phi.router.route().mock(
        side_effect=[httpx.Response(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})]
    )
    with pytest.raises(CredentialError):
        phi.complete()


def test_many_threads_share_one_request_for_a_token() -> None:
    credential = Credential()
    credential.now = 4_000_000_000
    together = threading.Barrier(8)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=OK))
    with httpx.Client(transport=transport) as http:
        client = PhiClient(URL, credential=credential, http_client=http)

        def call(_: int) -> str:
            together.wait()
            return client.complete("x").content

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(call, range(8))) == ["42"] * 8
    assert len(credential.asked) == 1


def test_many_tasks_share_one_request_for_a_token() -> None:
    credential = Credential()
    credential.now = 4_000_000_000
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=OK))

    async def calls() -> list[str]:
        async with httpx.AsyncClient(transport=transport) as http:
            client = AsyncPhiClient(URL, credential=AsyncCredential(credential), http_client=http)
            done = await asyncio.gather(*(client.complete("x") for _ in range(8)))
        return [one.content for one in done]

    assert asyncio.run(calls()) == ["42"] * 8
    assert len(credential.asked) == 1


def test_without_a_key_the_default_credential_is_used(phi: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    credential = Credential()
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", lambda: credential)
    answer_ok(phi)
    phi.open(api_key=None).complete()
    assert bearers(phi) == ["Bearer t1"]


def test_a_credential_of_the_other_kind_is_refused(phi: Driver) -> None:
    wrong: Any = Credential() if phi.is_async else AsyncCredential(Credential())
    with pytest.raises(ConfigurationError, match=r"needs a credential of `azure\.identity"):
        phi.open(api_key=None, credential=wrong)


def test_what_is_no_credential_is_refused(phi: Driver) -> None:
    with pytest.raises(ConfigurationError, match="no `get_token`"):
        phi.open(api_key=None, credential="a key")


def test_key_and_credential_together_are_refused(phi: Driver) -> None:
    with pytest.raises(ConfigurationError, match="give one of them"):
        phi.open(api_key="k", credential=Credential())


def test_an_http_client_of_the_other_kind_is_refused() -> None:
    with httpx.Client() as http, pytest.raises(ConfigurationError, match=r"httpx\.AsyncClient"):
        AsyncPhiClient("emulator", http_client=http)  # type: ignore[arg-type]  # the mistake itself
    with pytest.raises(ConfigurationError, match=r"httpx\.Client"):
        PhiClient("emulator", http_client=httpx.AsyncClient())  # type: ignore[arg-type]  # the mistake itself


def test_a_key_never_goes_over_plain_http_but_to_this_machine(phi: Driver) -> None:
    with pytest.raises(ConfigurationError, match="use `https`"):
        phi.open("http://phi.eastus2.models.ai.azure.com")
    answer_ok(phi)
    assert phi.open("http://127.0.0.1:16180").complete().content == "42"


def test_a_redirect_is_not_followed_and_takes_no_key_along(phi: Driver) -> None:
    phi.answer(httpx.Response(307, headers={"Location": "https://evil.example/chat/completions"}))
    with pytest.raises(Exception, match="redirects are not followed"):
        phi.open().complete()
    assert [call.request.url.host for call in phi.router.calls] == ["phi.eastus2.models.ai.azure.com"]


def test_the_credentials_of_azure_identity_are_taken_by_their_kind() -> None:
    sync = importlib.import_module("azure.identity")
    with PhiClient(URL, credential=sync.ManagedIdentityCredential()):
        pass
    with pytest.raises(ConfigurationError, match=r"azure\.identity\.aio"):
        AsyncPhiClient(URL, credential=sync.AzureCliCredential())
    # The async package needs aiohttp for its transport only; its classes can be asked without.
    sources = importlib.import_module("azure.identity.aio")
    AsyncPhiClient(URL, credential=sources.AzureCliCredential())
    with pytest.raises(ConfigurationError, match=r"credential of `azure\.identity`"):
        PhiClient(URL, credential=sources.AzureCliCredential())
