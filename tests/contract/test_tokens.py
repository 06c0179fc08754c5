"""What is a token and what is a key, and for whom a token is."""

from __future__ import annotations

import pytest

from phi_client.contract.service import SURFACES, Surface
from phi_client.contract.service.tokens import read_token
from phi_client.contract.tokens import audience_of, is_token

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln-_"


@pytest.mark.parametrize("value", [TOKEN, "eyJhbGciOiJub25lIn0.e30."])
def test_a_signed_token_is_known_by_its_form(value: str) -> None:
    assert is_token(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "key",
        "a.b.c",
        "eyJhbGciOiJSUzI1NiJ9",
        "eyJh.e30",
        TOKEN + ".more",
        TOKEN + "=",
        TOKEN + "\n",
        "eyJh.ä.c",
    ],
)
def test_everything_else_is_a_key(value: str) -> None:
    assert not is_token(value)


@pytest.mark.parametrize("header", ["Authorization", "authorization"])
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_a_token_is_read_from_the_bearer_header(header: str, scheme: str) -> None:
    assert read_token({header: scheme + TOKEN}) == TOKEN


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": TOKEN}, {"Authorization": f"Basic {TOKEN}"}, {"api-key": TOKEN}]
)
def test_a_token_is_read_from_nowhere_else(headers: dict[str, str]) -> None:
    assert read_token(headers) is None


@pytest.mark.parametrize(
    "scope", ["https://ml.azure.com/.default", "https://ml.azure.com//.default", "https://ml.azure.com"]
)
def test_the_audience_is_the_scope_without_its_end(scope: str) -> None:
    assert audience_of(scope) == "https://ml.azure.com"


@pytest.mark.parametrize("dialect", SURFACES.values(), ids=SURFACES.keys())
def test_a_refused_token_is_read_as_what_it_means(dialect: Surface) -> None:
    rules = dialect.token_rules
    for refusal in (rules.wrong_token, rules.wrong_tenant("t-1"), rules.no_role):
        answer = dialect.write_error(refusal)
        read = dialect.read_error(answer.status, answer.headers, answer.body)
        assert read.message
        assert answer.status in (400, 401, 403)
