"""The local authority: what it signs it takes, by its own clock, and nothing else."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.service.entra import (
    CLIENT_ID,
    DEFAULT_TENANT,
    NO_ROLE_CLIENT_ID,
    Authority,
    Identity,
    TokenError,
    check_token,
)
from phi_emulator.service.errors import ServiceError

from phi_client.contract.service import SURFACES

ML = "https://ml.azure.com"
BOTH = pytest.mark.parametrize("dialect", SURFACES.values(), ids=SURFACES.keys())
START = 1_800_000_000.5


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()
AUTHORITY = Authority(lifetime_s=60, clock=CLOCK)
TOKEN = AUTHORITY.issue(ML).value


@pytest.fixture(autouse=True)
def _reset_clock() -> None:
    CLOCK.now = START


def encoded(value: dict[str, Any] | bytes) -> str:
    text = json.dumps(value).encode() if isinstance(value, dict) else value
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


def public_pem(authority: Authority) -> bytes:
    key = jwt.PyJWK(authority.key_set()["keys"][0]).key
    return bytes(
        key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def test_a_token_says_whom_it_speaks_for() -> None:
    assert AUTHORITY.verify(TOKEN, {ML}) == Identity(DEFAULT_TENANT, CLIENT_ID)
    mine = AUTHORITY.issue(ML, client_id="mine")
    assert AUTHORITY.verify(mine.value, {ML}) == Identity(DEFAULT_TENANT, "mine")


def test_a_token_has_the_claims_of_entra() -> None:
    claims = claims_of(TOKEN)
    assert claims["aud"] == ML
    assert claims["iss"] == f"https://sts.windows.net/{DEFAULT_TENANT}/"
    assert claims["iat"] == claims["nbf"] == int(START)
    assert claims["exp"] == int(START) + 60
    assert (claims["tid"], claims["appid"], claims["ver"], claims["idtyp"]) == (
        DEFAULT_TENANT, CLIENT_ID, "1.0", "app",
    )  # fmt: skip
    assert claims["oid"] == claims["sub"] == claims_of(AUTHORITY.issue(ML).value)["oid"]
    assert claims["uti"] != claims_of(AUTHORITY.issue(ML).value)["uti"]


def test_anybody_can_verify_a_token_with_the_published_key() -> None:
    (key,) = AUTHORITY.key_set()["keys"]
    assert jwt.get_unverified_header(TOKEN)["kid"] == key["kid"]
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
    # The signature alone: the clock of this test is not the library's.
    assert json.loads(jwt.PyJWS().decode(TOKEN, jwt.PyJWK(key).key, algorithms=["RS256"]))["aud"] == ML


@pytest.mark.parametrize(("after_s", "is_good"), [(0, True), (59.4, True), (59.5, False), (3600, False)])
def test_a_token_is_good_until_it_expires(after_s: float, is_good: bool) -> None:
    CLOCK.now = START + after_s
    if is_good:
        assert AUTHORITY.verify(TOKEN, {ML})
        return
    with pytest.raises(TokenError, match="it expired"):
        AUTHORITY.verify(TOKEN, {ML})


def test_a_token_is_not_good_before_its_time() -> None:
    CLOCK.now = START - 10
    with pytest.raises(TokenError, match="good only in 10 s"):
        AUTHORITY.verify(TOKEN, {ML})


def test_a_token_for_another_audience_is_refused_with_both_names() -> None:
    with pytest.raises(TokenError, match=r"'https://ml\.azure\.com', not https://a or https://b") as caught:
        AUTHORITY.verify(TOKEN, {"https://b", "https://a"})
    assert caught.value.tenant is None


@pytest.mark.parametrize("audience", [ML + "/", ML + "//"])
def test_a_slash_after_the_audience_does_no_harm(audience: str) -> None:
    assert AUTHORITY.verify(AUTHORITY.issue(audience).value, {ML})


def test_a_token_of_another_tenant_is_refused_by_name() -> None:
    other = AUTHORITY.issue(ML, tenant="Contoso.example")
    with pytest.raises(TokenError, match=r"its tenant is 'contoso\.example'") as caught:
        AUTHORITY.verify(other.value, {ML})
    assert caught.value.tenant == "contoso.example"
    assert AUTHORITY.verify(AUTHORITY.issue(ML, tenant=DEFAULT_TENANT.upper()).value, {ML})


def forgeries() -> dict[str, str]:
    head, body, signature = TOKEN.split(".")
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = claims_of(TOKEN)
    later = encoded(claims | {"exp": claims["exp"] + 9999})
    # PyJWT refuses to sign with a public key as a secret, so the forger does it by hand.
    confused = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{body}"
    secret = hmac.digest(public_pem(AUTHORITY), confused.encode(), "sha256")
    return {
        "changed claims": f"{head}.{later}.{signature}",
        "changed signature": f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        "no signature": f"{head}.{body}.",
        "alg none": f"{encoded({'alg': 'none'})}.{body}.",
        "alg None": f"{encoded({'alg': 'None'})}.{body}.",
        "no alg": f"{encoded({'typ': 'JWT'})}.{body}.{signature}",
        "alg of a list": f"{encoded({'alg': ['RS256']})}.{body}.{signature}",
        "key confusion": f"{confused}.{encoded(secret)}",
        "another key": jwt.encode(claims, other, algorithm="RS256"),
        "another algorithm": jwt.encode(claims, other, algorithm="PS256"),
        "another process": Authority(clock=CLOCK).issue(ML).value,
        "deep head": f"{encoded(b'{' + b'[' * 40_000)}.{body}.{signature}",
        "head is no object": f"{encoded(b'[]')}.{body}.{signature}",
        "claims are no JSON": f"{head}.{encoded(b'nonsense')}.{signature}",
        "two parts": f"{head}.{body}",
    }


FORGERIES = forgeries()


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_token_is_refused(forged: str) -> None:
    with pytest.raises(TokenError, match="not signed by this emulator"):
        AUTHORITY.verify(forged, {ML})


@given(st.text(max_size=60) | st.from_regex(r"eyJ[\w-]{0,20}\.[\w-]{1,20}\.[\w-]{0,20}", fullmatch=True))
def test_no_text_makes_verifying_fail_otherwise(text: str) -> None:
    with pytest.raises(TokenError):
        AUTHORITY.verify(text, {ML})


def test_an_authority_that_issued_nothing_takes_nothing() -> None:
    with pytest.raises(TokenError, match="has issued none"):
        Authority(clock=CLOCK).verify(TOKEN, {ML})


def test_one_key_is_made_whoever_asks_first() -> None:
    authority = Authority(clock=CLOCK)
    tokens: list[str] = []
    threads = [threading.Thread(target=lambda: tokens.append(authority.issue(ML).value)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(authority.verify(token, {ML}) for token in tokens)
    assert len(tokens) == 4


def test_a_token_is_not_shown() -> None:
    token = AUTHORITY.issue(ML)
    assert token.value not in repr(token)
    with pytest.raises(TokenError) as caught:
        AUTHORITY.verify(token.value, {"https://other"})
    assert token.value not in str(caught.value)


@BOTH
def test_each_surface_takes_tokens_of_its_own_scope(dialect: Any) -> None:
    check_token(AUTHORITY, dialect, AUTHORITY.issue(dialect.token_scope.removesuffix("/.default")).value)
    with pytest.raises(ServiceError) as caught:
        check_token(AUTHORITY, dialect, AUTHORITY.issue("https://management.azure.com").value)
    assert caught.value.refusal == dialect.token_rules.wrong_token


@BOTH
def test_each_surface_has_its_own_answer_to_another_tenant_and_a_missing_role(dialect: Any) -> None:
    audience = dialect.token_scope.removesuffix("/.default")
    with pytest.raises(ServiceError) as caught:
        check_token(AUTHORITY, dialect, AUTHORITY.issue(audience, tenant="t-1").value)
    assert caught.value.refusal == dialect.token_rules.wrong_tenant("t-1")
    with pytest.raises(ServiceError) as caught:
        check_token(AUTHORITY, dialect, AUTHORITY.issue(audience, client_id=NO_ROLE_CLIENT_ID).value)
    assert caught.value.refusal == dialect.token_rules.no_role


@pytest.mark.parametrize(
    ("audience", "takers"),
    [
        ("https://ml.azure.com", {"serverless", "managed_compute"}),
        ("https://cognitiveservices.azure.com", {"foundry_models", "openai_v1"}),
        ("https://ai.azure.com", {"openai_v1"}),
    ],
)
def test_an_audience_opens_the_surfaces_that_azure_gives_it(audience: str, takers: set[str]) -> None:
    token = AUTHORITY.issue(audience).value

    def is_taken(name: str) -> bool:
        try:
            check_token(AUTHORITY, SURFACES[name], token)
        except ServiceError:
            return False
        return True

    assert {name for name in SURFACES if is_taken(name)} == takers
