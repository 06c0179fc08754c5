"""Signing in through azure-identity, as it comes from PyPI, against a real emulator and with no network."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.ai.inference.models import ChatRequestMessage, UserMessage
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ServiceRequestError
from azure.identity import (
    ClientSecretCredential,
    CredentialUnavailableError,
    DefaultAzureCredential,
    ManagedIdentityCredential,
)
from azure.identity.aio import ManagedIdentityCredential as AsyncManagedIdentityCredential
from openai import OpenAI
from phi_emulator.service.entra import NO_ROLE_CLIENT_ID

from phi_client import (
    APIStatusError,
    AsyncPhiClient,
    AuthenticationError,
    BadRequestError,
    Completion,
    CredentialError,
    PermissionDeniedError,
    PhiClient,
)
from phi_client.contract.clock.base import Clock

if TYPE_CHECKING:
    from phi_emulator import Emulator

    from tests.together.conftest import StartEmulator

QUESTION = "six times seven"
SURFACES = pytest.mark.parametrize("path", ["/serverless", "/managed-compute", "/models", "/openai/v1"])
KINDS = pytest.mark.parametrize("kind", ["sync", "async"])
IDENTITY_VARIABLES = (
    "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID",
    "AZURE_TOKEN_CREDENTIALS", "AZURE_POD_IDENTITY_AUTHORITY_HOST", "IDENTITY_ENDPOINT", "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET",
)  # fmt: skip

SignIn = Callable[..., None]


@pytest.fixture
def sign_in(monkeypatch: pytest.MonkeyPatch) -> SignIn:
    """Leads azure-identity to an emulator, as a user does it: by the environment."""
    names = ("ENDPOINT", "API_KEY", "DIALECT", "MODEL", "DEPLOYMENT", "API_VERSION")
    for name in (*IDENTITY_VARIABLES, *(f"PHI_{name}" for name in names)):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")

    def lead(emulator: Emulator, *, tenant: str = "", key: str | None = None) -> None:
        url = emulator.entra_url + (f"/{tenant}" if tenant else "")
        if key is None:
            monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        else:
            monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
            monkeypatch.setenv("IDENTITY_HEADER", key)

    return lead


def complete(
    kind: str,
    endpoint: str,
    *,
    times: int = 1,
    before_last: Callable[[], None] = lambda: None,
    **identity: Any,
) -> Completion:
    """Ask with a client and a credential made for it, and give the last answer."""
    if kind == "sync":
        with (
            ManagedIdentityCredential(**identity) as credential,
            PhiClient(endpoint, credential=credential, model="any") as client,
        ):
            for _ in range(times - 1):
                client.complete(QUESTION)
            before_last()
            return client.complete(QUESTION)

    async def ask() -> Completion:
        async with (
            AsyncManagedIdentityCredential(**identity) as credential,
            AsyncPhiClient(endpoint, credential=credential, model="any") as client,
        ):
            for _ in range(times - 1):
                await client.complete(QUESTION)
            before_last()
            return await client.complete(QUESTION)

    return asyncio.run(ask())


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


@KINDS
@SURFACES
def test_a_managed_identity_signs_in(
    start_emulator: StartEmulator, sign_in: SignIn, kind: str, path: str
) -> None:
    emulator = start_emulator().emulator
    sign_in(emulator)
    assert complete(kind, emulator.root + path).answer == "42"


@KINDS
def test_a_managed_identity_signs_in_as_on_app_service(
    start_emulator: StartEmulator, sign_in: SignIn, kind: str
) -> None:
    emulator = start_emulator(key="its-own-key").emulator
    sign_in(emulator, key="its-own-key")
    assert complete(kind, emulator.root).answer == "42"
    sign_in(emulator, key="another-key")
    with pytest.raises(CredentialError):
        complete(kind, emulator.root)


@KINDS
def test_with_a_key_of_its_own_the_emulator_lets_no_identity_in_without_it(
    start_emulator: StartEmulator, sign_in: SignIn, kind: str
) -> None:
    emulator = start_emulator(key="its-own-key").emulator
    sign_in(emulator)
    with pytest.raises(CredentialError, match="IDENTITY_HEADER") as caught:
        complete(kind, emulator.root)
    assert isinstance(caught.value.__cause__, CredentialUnavailableError)


def test_the_default_credential_signs_in(start_emulator: StartEmulator, sign_in: SignIn) -> None:
    emulator = start_emulator().emulator
    sign_in(emulator)
    only_machines: dict[str, Any] = {
        f"exclude_{name}_credential": True
        for name in (
            "cli",
            "developer_cli",
            "powershell",
            "visual_studio_code",
            "shared_token_cache",
            "broker",
        )
    }
    with (
        DefaultAzureCredential(**only_machines) as credential,
        PhiClient(emulator.root, credential=credential) as client,
    ):
        assert client.complete(QUESTION).answer == "42"


@KINDS
def test_an_identity_of_another_tenant(start_emulator: StartEmulator, sign_in: SignIn, kind: str) -> None:
    emulator = start_emulator().emulator
    sign_in(emulator, tenant="contoso.example")
    foreign = "Token tenant contoso.example does not match resource tenant"
    refused: tuple[tuple[str, type[APIStatusError], str], ...] = (
        ("/serverless", AuthenticationError, "Auth token validation failed"),
        ("/managed-compute", PermissionDeniedError, "Tenant mismatch"),
        ("/models", BadRequestError, foreign),
        ("/openai/v1", BadRequestError, foreign),
    )
    for path, error, text in refused:
        with pytest.raises(error, match=text):
            complete(kind, emulator.root + path)
    moved = start_emulator(tenant="contoso.example").emulator
    sign_in(moved)
    assert complete(kind, moved.root).answer == "42"


@KINDS
def test_an_identity_without_a_role(start_emulator: StartEmulator, sign_in: SignIn, kind: str) -> None:
    emulator = start_emulator().emulator
    sign_in(emulator)
    for path, text in (
        ("/serverless", "Auth token validation failed"),
        ("/managed-compute", "key_auth_access_denied"),
        ("/models", "Principal does not have access"),
        ("/openai/v1", "Principal does not have access"),
    ):
        with pytest.raises(AuthenticationError, match=text):
            complete(kind, emulator.root + path, client_id=NO_ROLE_CLIENT_ID)


@KINDS
def test_a_token_is_used_until_its_time_is_over_and_then_renewed(
    start_emulator: StartEmulator, sign_in: SignIn, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.INFO, "phi_emulator.web")
    behind_s = [0.0]
    running = start_emulator(clock=Clock(unix=lambda: time.time() - behind_s[0]))
    sign_in(running.emulator, key="any")

    def tokens_asked_for() -> int:
        return caplog.text.count("/msi/token 200")

    complete(kind, running.emulator.root, times=2)
    assert tokens_asked_for() == 1
    # To this emulator's clock its tokens are good; to the client's they were over when they came.
    behind_s[0] = 3700
    complete(kind, running.emulator.root, times=2)
    assert tokens_asked_for() == 3


@KINDS
def test_a_token_that_the_service_calls_expired_is_renewed_past_the_credentials_cache(
    start_emulator: StartEmulator, sign_in: SignIn, kind: str
) -> None:
    ahead_s = [0.0]
    running = start_emulator(token_seconds=3600, clock=Clock(unix=lambda: time.time() + ahead_s[0]))
    sign_in(running.emulator)

    def an_hour_passes() -> None:
        # For the emulator alone: the credential still thinks well of its token, and would give it again.
        ahead_s[0] = 3601

    complete(kind, running.emulator.root, times=2, before_last=an_hour_passes)


def test_an_expired_token_is_refused(start_emulator: StartEmulator, sign_in: SignIn) -> None:
    ahead_s = [0.0]
    running = start_emulator(token_seconds=3600, clock=Clock(unix=lambda: time.time() + ahead_s[0]))
    sign_in(running.emulator)
    with ManagedIdentityCredential() as credential:
        token = credential.get_token("https://ml.azure.com/.default").token
    with PhiClient(running.emulator.root, token) as client:
        assert client.complete(QUESTION).answer == "42"
        ahead_s[0] = 3601
        with pytest.raises(AuthenticationError, match="valid AAD token"):
            client.complete(QUESTION)


def test_openai_signs_in_with_a_token(start_emulator: StartEmulator, sign_in: SignIn) -> None:
    emulator = start_emulator().emulator
    sign_in(emulator)
    with ManagedIdentityCredential() as credential:
        token = credential.get_token("https://ai.azure.com/.default").token
    assert claims_of(token)["aud"] == "https://ai.azure.com"
    with OpenAI(base_url=f"{emulator.root}/openai/v1/", api_key=token, max_retries=0) as client:
        done = client.chat.completions.create(model="m", messages=[{"role": "user", "content": QUESTION}])
    assert str(done.choices[0].message.content).endswith("\\boxed{42}.")


def test_azure_ai_inference_sends_no_token_over_plain_http(
    start_emulator: StartEmulator, sign_in: SignIn
) -> None:
    emulator = start_emulator().emulator
    sign_in(emulator)
    messages: list[ChatRequestMessage] = [UserMessage(QUESTION)]
    scopes = ["https://ml.azure.com/.default"]
    with ManagedIdentityCredential() as credential:
        token = credential.get_token(*scopes).token
        with ChatCompletionsClient(emulator.root, credential, credential_scopes=scopes) as client:  # noqa: SIM117
            with pytest.raises(ServiceRequestError, match="not permitted for non-TLS protected"):
                client.complete(messages=messages)
    # As a key it sends the same token, and the emulator takes it.
    with ChatCompletionsClient(emulator.root, AzureKeyCredential(token)) as client:
        done = client.complete(messages=messages)
    assert done.choices[0].message.content.endswith("\\boxed{42}.")


def test_a_client_secret_credential_wants_an_authority_with_https(start_emulator: StartEmulator) -> None:
    emulator = start_emulator().emulator
    with pytest.raises(ValueError, match="must be a TLS protected"):
        ClientSecretCredential("tenant", "client", "secret", authority=emulator.entra_url)


def test_a_key_per_surface(start_emulator: StartEmulator) -> None:
    running = start_emulator(surface_keys={"openai_v1": ("resource-1", "resource-2")})
    emulator = running.emulator
    assert (emulator.key_of("openai_v1"), emulator.key_of("serverless")) == ("resource-1", emulator.key)
    for key in ("resource-1", "resource-2"):
        with PhiClient(emulator.endpoint_of("openai_v1"), key, model="any") as client:
            assert client.complete(QUESTION).answer == "42"
    for endpoint, key, text in (
        (emulator.endpoint_of("openai_v1"), emulator.key, "invalid subscription key"),
        (emulator.root, "resource-1", "valid key"),
        (emulator.root + "/managed-compute", "resource-1", "key_auth_access_denied"),
    ):
        with (
            PhiClient(endpoint, key, model="any") as client,
            pytest.raises(AuthenticationError, match=text),
        ):
            client.complete(QUESTION)
