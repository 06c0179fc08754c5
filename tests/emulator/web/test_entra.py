"""The routes of the local authority, and how a request gets in with a key or a token."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from phi_emulator import EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service.chat import ChatService
from phi_emulator.service.entra import CLIENT_ID, DEFAULT_TENANT, NO_ROLE_CLIENT_ID, Authority
from phi_emulator.web.app import App

from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.service import SURFACES as SPOKEN

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "six times seven"}]}
CHATS = {
    "serverless": "/serverless/chat/completions",
    "managed_compute": "/managed-compute/chat/completions",
    "foundry_models": "/models/chat/completions?api-version=2024-05-01-preview",
    "openai_v1": "/openai/v1/chat/completions",
}
SURFACES = pytest.mark.parametrize("surface", CHATS)
TENANT = f"/_emulator/entra/{DEFAULT_TENANT}"
IMDS = "/_emulator/entra/metadata/identity/oauth2/token"
APP_SERVICE = "/_emulator/entra/msi/token"
ML = "https://ml.azure.com"
CREDENTIALS = {
    "grant_type": "client_credentials",
    "client_id": "mine",
    "client_secret": "any",
    "scope": f"{ML}/.default",
}


class Web:
    """The application without a socket."""

    def __init__(
        self, key: str = EMULATOR_KEY, surface_keys: dict[str, tuple[str, ...]] | None = None
    ) -> None:
        self.worker = Worker(lambda: ScriptedEngine(lambda _: "42"))
        self.worker.start()
        self.authority = Authority()
        self.app = App(
            ChatService(self.worker),
            EmulatorConfig(key=key, surface_keys=surface_keys or {}, max_body_bytes=1000),
            authority=self.authority,
        )

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:16180") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def chat(self, surface: str, token: str) -> httpx.Response:
        return self("POST", CHATS[surface], json=ASK, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.worker.stop()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Web]:
    """With a key of its own."""
    made = Web("its-own-key", {"managed_compute": ("primary", "secondary"), "openai_v1": ("resource",)})
    yield made
    made.worker.stop()


def audience(surface: str) -> str:
    return SPOKEN[surface].token_scope.removesuffix("/.default")


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


@SURFACES
def test_a_token_opens_its_surface(web: Web, surface: str) -> None:
    answer = web.chat(surface, web.authority.issue(audience(surface)).value)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "42"


@pytest.mark.parametrize(
    ("surface", "status", "body"),
    [
        ("serverless", 401, {"statusCode": 401, "message": "Auth token validation failed. Please provide a valid key "
                             "or a valid AAD token"}),
        ("managed_compute", 401, "key_auth_access_denied"),
        ("foundry_models", 401, {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, "
                                 "audience is incorrect (https://cognitiveservices.azure.com), or have expired."}),
        ("openai_v1", 401, {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, "
                            "audience is incorrect (https://cognitiveservices.azure.com), or have expired."}),
    ],
)  # fmt: skip
def test_a_token_for_something_else_is_a_401(web: Web, surface: str, status: int, body: Any) -> None:
    answer = web.chat(surface, web.authority.issue("https://management.azure.com").value)
    assert answer.status_code == status
    assert (answer.text if isinstance(body, str) else answer.json()) == body
    assert ("apim-request-id" in answer.headers) == (surface in ("foundry_models", "openai_v1"))
    assert ("x-ms-error-reason" in answer.headers) == (surface == "serverless")
    assert "ms-azureml-model-error-statuscode" not in answer.headers


@pytest.mark.parametrize(
    ("surface", "status", "text"),
    [
        ("serverless", 401, "Auth token validation failed"),
        ("managed_compute", 403, "Tenant mismatch: Token tenant does not match resource tenant"),
        ("foundry_models", 400, "Token tenant contoso.example does not match resource tenant."),
        ("openai_v1", 400, "Token tenant contoso.example does not match resource tenant."),
    ],
)
def test_a_token_of_another_tenant(web: Web, surface: str, status: int, text: str) -> None:
    answer = web.chat(surface, web.authority.issue(audience(surface), tenant="contoso.example").value)
    assert answer.status_code == status
    assert text in answer.text


@pytest.mark.parametrize(
    ("surface", "text"),
    [
        ("serverless", "Auth token validation failed"),
        ("managed_compute", "key_auth_access_denied"),
        ("foundry_models", "Principal does not have access to API/Operation."),
        ("openai_v1", "Principal does not have access to API/Operation."),
    ],
)
def test_an_identity_without_a_role_is_a_401(web: Web, surface: str, text: str) -> None:
    token = web.authority.issue(audience(surface), client_id=NO_ROLE_CLIENT_ID).value
    answer = web.chat(surface, token)
    assert answer.status_code == 401
    assert text in answer.text
    # It is a good token, and another would not help.
    assert "x-ms-error-reason" not in answer.headers


def test_a_token_is_refused_with_the_reason_in_the_log_and_never_itself(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # The tests of commands set the level of the emulator's own log.
    caplog.set_level(logging.DEBUG, "phi_emulator")
    token = web.authority.issue("https://elsewhere.example").value
    web.chat("serverless", token)
    assert "token refused on serverless: its audience is 'https://elsewhere.example'" in caplog.text
    web("POST", f"{TENANT}/oauth2/v2.0/token", data=CREDENTIALS | {"client_secret": "hush-hush"})
    assert token not in caplog.text
    assert "hush-hush" not in caplog.text


@SURFACES
def test_what_has_not_the_form_of_a_token_is_a_key(web: Web, surface: str) -> None:
    answer = web(
        "POST", CHATS[surface], json=ASK, headers={"Authorization": "Bearer a.b.c", "api-key": "a.b.c"}
    )
    assert answer.status_code == 401
    assert "apim-request-id" not in answer.headers


def test_the_metadata_leads_to_the_key_and_to_tokens(web: Web) -> None:
    for path in ("/.well-known/openid-configuration", "/v2.0/.well-known/openid-configuration"):
        known = web("GET", TENANT + path).json()
        assert known["issuer"] == f"https://sts.windows.net/{DEFAULT_TENANT}/"
    answer = web("POST", known["token_endpoint"], data=CREDENTIALS)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    assert (given["token_type"], given["expires_in"], given["ext_expires_in"]) == ("Bearer", 3600, 3600)
    keys = jwt.PyJWKSet.from_dict(web("GET", known["jwks_uri"]).json())
    key = keys[jwt.get_unverified_header(given["access_token"])["kid"]]
    claims = jwt.decode(given["access_token"], key, algorithms=["RS256"], audience=ML, issuer=known["issuer"])
    assert (claims["appid"], claims["tid"], claims["appidacr"]) == ("mine", DEFAULT_TENANT, "1")
    assert web.chat("managed_compute", given["access_token"]).status_code == 200


def test_the_tenant_in_the_path_issues_the_token(web: Web) -> None:
    known = web("GET", "/_emulator/entra/Contoso.example/v2.0/.well-known/openid-configuration").json()
    answer = web("POST", known["token_endpoint"], data=CREDENTIALS)
    claims = claims_of(answer.json()["access_token"])
    assert (claims["tid"], claims["iss"]) == ("contoso.example", known["issuer"])
    imds = web(
        "GET",
        "/_emulator/entra/contoso.example/metadata/identity/oauth2/token",
        params={"resource": ML},
        headers={"Metadata": "true"},
    )
    assert claims_of(imds.json()["access_token"])["tid"] == "contoso.example"


@pytest.mark.parametrize(
    ("change", "status", "error", "number"),
    [
        ({"grant_type": None}, 400, "invalid_request", 900144),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"client_id": None}, 400, "invalid_request", 900144),
        ({"client_id": ""}, 400, "invalid_request", 900144),
        ({"scope": None}, 400, "invalid_request", 900144),
        ({"scope": ML}, 400, "invalid_scope", 1002012),
        ({"scope": "/.default"}, 400, "invalid_scope", 1002012),
        ({"scope": f"{ML}/.default openid"}, 400, "invalid_scope", 1002012),
        ({"client_secret": None}, 401, "invalid_client", 7000216),
    ],
)
def test_a_token_request_that_is_none(
    web: Web, change: dict[str, str | None], status: int, error: str, number: int
) -> None:
    fields = {name: value for name, value in (CREDENTIALS | change).items() if value is not None}
    answer = web("POST", f"{TENANT}/oauth2/v2.0/token", data=fields)
    assert answer.status_code == status
    said = answer.json()
    assert (said["error"], said["error_codes"]) == (error, [number])
    assert said["error_description"].startswith(f"AADSTS{number}: ")
    assert "access_token" not in said


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"&" * 900, b"a=1&" * 200, b"{}"])
def test_a_token_request_of_any_bytes_is_refused_in_entras_words(web: Web, body: bytes) -> None:
    answer = web("POST", f"{TENANT}/oauth2/v2.0/token", content=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_token_request_that_is_too_large(web: Web) -> None:
    assert web("POST", f"{TENANT}/oauth2/v2.0/token", content=b"a" * 70_000).status_code == 413


def test_the_identity_endpoint_answers_as_imds_does(web: Web) -> None:
    answer = web(
        "GET", IMDS, params={"resource": ML, "api-version": "2018-02-01"}, headers={"Metadata": "True"}
    )
    given = answer.json()
    assert (given["resource"], given["token_type"], given["client_id"]) == (ML, "Bearer", CLIENT_ID)
    assert given["expires_in"] == "3600"
    assert int(given["expires_on"]) - int(given["not_before"]) == 3600
    claims = claims_of(given["access_token"])
    assert (claims["aud"], claims["appid"], claims["appidacr"]) == (ML, CLIENT_ID, "2")


@pytest.mark.parametrize(
    ("query", "headers"),
    [({"resource": ML}, {}), ({"resource": ML}, {"Metadata": "no"}), ({}, {"Metadata": "true"})],
)
def test_an_identity_request_that_is_none_is_a_400(web: Web, query: Any, headers: Any) -> None:
    # Clients of IMDS wait and ask again after a 404.
    answer = web("GET", IMDS, params=query, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_user_assigned_identity_is_always_the_same(web: Web) -> None:
    def identity(**query: str) -> tuple[str, str]:
        answer = web("GET", IMDS, params={"resource": ML} | query, headers={"Metadata": "true"}).json()
        claims = claims_of(answer["access_token"])
        return claims["appid"], claims["oid"]

    assert identity(client_id="mine")[0] == "mine"
    assert identity(object_id="x") == identity(object_id="x")
    assert (
        len({identity(), identity(client_id="mine"), identity(object_id="x"), identity(msi_res_id="/y")}) == 4
    )


def test_the_identity_endpoint_answers_as_app_service_does(web: Web) -> None:
    given = web("GET", APP_SERVICE, params={"resource": ML}, headers={"X-IDENTITY-HEADER": "any"}).json()
    assert set(given) == {"access_token", "client_id", "expires_on", "not_before", "resource", "token_type"}
    assert claims_of(given["access_token"])["aud"] == ML
    for headers, query in (({}, {"resource": ML}), ({"X-IDENTITY-HEADER": "any"}, {})):
        refused = web("GET", APP_SERVICE, params=query, headers=headers)
        assert (refused.status_code, refused.json()["statusCode"]) == (400, 400)


def test_with_a_key_of_its_own_the_emulator_gives_no_token_to_others(guarded: Web) -> None:
    answer = guarded("POST", f"{TENANT}/oauth2/v2.0/token", data=CREDENTIALS)
    assert (answer.status_code, answer.json()["error_codes"]) == (401, [7000215])
    machine = guarded("GET", IMDS, params={"resource": ML}, headers={"Metadata": "true"})
    assert machine.status_code == 400
    assert "IDENTITY_HEADER" in machine.json()["error_description"]
    for given in ("any", EMULATOR_KEY, "primary"):
        service = guarded("GET", APP_SERVICE, params={"resource": ML}, headers={"X-IDENTITY-HEADER": given})
        assert service.status_code == 400
        assert "access_token" not in service.text


def test_with_a_key_of_its_own_the_emulator_gives_tokens_to_whoever_has_it(guarded: Web) -> None:
    answer = guarded(
        "POST", f"{TENANT}/oauth2/v2.0/token", data=CREDENTIALS | {"client_secret": "its-own-key"}
    )
    assert guarded.chat("managed_compute", answer.json()["access_token"]).status_code == 200
    headers = {"X-IDENTITY-HEADER": "its-own-key"}
    service = guarded("GET", APP_SERVICE, params={"resource": ML}, headers=headers)
    assert guarded.chat("serverless", service.json()["access_token"]).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{TENANT}/oauth2/v2.0/token", 405),
        ("POST", IMDS, 405),
        ("POST", f"{TENANT}/discovery/v2.0/keys", 405),
        ("GET", f"{TENANT}/nothing", 400),
        ("GET", "/_emulator/entra/..%2f/discovery/keys", 400),
        ("GET", f"/_emulator/entra/{'t' * 65}/discovery/keys", 400),
    ],
)
def test_a_path_or_method_that_is_not_there(web: Web, method: str, path: str, status: int) -> None:
    # 400 is what serverless says to an unknown path without a key.
    assert web(method, path).status_code == status


@pytest.mark.parametrize("extra", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", IMDS), ("POST", f"{TENANT}/oauth2/v2.0/token"), ("GET", APP_SERVICE)]
)
def test_no_web_page_gets_a_token(web: Web, method: str, path: str, extra: dict[str, str]) -> None:
    headers = {"Metadata": "true", "X-IDENTITY-HEADER": "any"} | extra
    answer = web(method, path, params={"resource": ML}, data=CREDENTIALS, headers=headers)
    assert answer.status_code == 403
    assert "access_token" not in answer.text


@pytest.mark.parametrize(
    ("surface", "key", "is_taken"),
    [
        ("managed_compute", "primary", True),
        ("managed_compute", "secondary", True),
        ("managed_compute", "resource", False),
        ("managed_compute", "its-own-key", False),
        ("openai_v1", "resource", True),
        ("openai_v1", "primary", False),
        ("openai_v1", "its-own-key", False),
        ("serverless", "its-own-key", True),
        ("serverless", "primary", False),
        ("foundry_models", "its-own-key", True),
        ("foundry_models", "resource", False),
    ],
)
def test_a_key_opens_its_own_surface_alone(guarded: Web, surface: str, key: str, is_taken: bool) -> None:
    headers = dict([SPOKEN[surface].write_key(key)])
    answer = guarded("POST", CHATS[surface], json=ASK, headers=headers)
    if is_taken:
        assert answer.status_code == 200
        return
    refusal = SPOKEN[surface].write_error(SPOKEN[surface].wrong_key)
    assert (answer.status_code, answer.content) == (refusal.status, refusal.body)


def test_the_root_takes_the_key_of_the_surface_that_it_speaks() -> None:
    web = Web("its-own-key", {"serverless": ("mine",)})
    try:
        for key, status in (("mine", 200), ("its-own-key", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            assert web("POST", "/chat/completions", json=ASK, headers=headers).status_code == status
    finally:
        web.worker.stop()
