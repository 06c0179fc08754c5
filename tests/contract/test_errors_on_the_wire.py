"""Every envelope that Azure was seen to send is read; what is written is read back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi_client.contract.error_body import HELP_TEXT, read_error_body
from phi_client.contract.service import MANAGED_COMPUTE, SERVERLESS, SURFACES, Surface
from phi_client.contract.service.refusals import Refusal, container_error, detail, invalid_input

BOTH = pytest.mark.parametrize("dialect", SURFACES.values(), ids=SURFACES.keys())


@pytest.mark.parametrize("suffix", ["", HELP_TEXT], ids=["bare", "with help text"])
@pytest.mark.parametrize(
    ("body", "code", "status", "message"),
    [
        ({"error": {"code": "429", "message": "slow"}}, "429", None, "slow"),
        ({"error": {"code": "x", "message": "m", "details": "m"}}, "x", None, "m"),
        (
            {"error": {"code": "Invalid input", "status": 422, "message": "m", "details": []}},
            "Invalid input",
            422,
            "m",
        ),
        ({"statusCode": 401, "message": "no"}, None, 401, "no"),
        ({"status": "no header"}, None, None, "no header"),
        ({"detail": "not so"}, None, None, "not so"),
        ({"object": "error", "message": "m", "type": "T", "param": None, "code": 400}, "400", 400, "m"),
        ({"error": "Downstream unavailable"}, None, None, "Downstream unavailable"),
        (
            {"error": {"code": "Bad Request", "status": 400, "message": '{"message": "deep"}'}},
            "Bad Request",
            400,
            "deep",
        ),
        ({"error": {"message": '{"detail": [{"loc": ["x"]}]}'}}, None, None, '{"detail": [{"loc": ["x"]}]}'),
        ({"error": None, "message": "m", "status": 404}, None, 404, "m"),
        ({}, None, None, ""),
    ],
)
def test_an_envelope_is_read(
    body: dict[str, Any], code: str | None, status: int | None, message: str, suffix: str
) -> None:
    read = read_error_body(json.dumps(body) + suffix)
    assert (read.code, read.status, read.message) == (code, status, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"key_auth_access_denied", "key_auth_access_denied"),
        (b"NOT FOUND", "NOT FOUND"),
        (("upstream request timeout" + HELP_TEXT).encode(), "upstream request timeout"),
        (HELP_TEXT.encode(), ""),
        (b"", ""),
        (b"[1, 2]", "[1, 2]"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_a_body_that_is_no_object_is_a_text(body: bytes, message: str) -> None:
    assert read_error_body(body).message == message


def test_details_of_a_validation_error_are_kept() -> None:
    details = [{"type": "enum", "loc": ["body", "messages", 0, "role"], "msg": "m", "input": "developer"}]
    assert read_error_body(json.dumps(invalid_input(details).body)).details == details


@pytest.mark.parametrize("key", ["content_filter_result", "content_filter_results"])
def test_both_spellings_of_the_filter_verdict_are_known(key: str) -> None:
    verdict = {"jailbreak": {"filtered": True, "detected": True}}
    body = {"error": {"code": "content_filter", "message": "m", "innererror": {key: verdict}}}
    assert read_error_body(json.dumps(body)).content_filter == verdict


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_body_makes_reading_fail(body: bytes) -> None:
    read_error_body(body)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda deep: st.dictionaries(
    st.sampled_from(["error", "message", "detail", "details", "code", "status", "innererror"]), deep, max_size=4
), max_leaves=8))  # fmt: skip
def test_no_object_makes_reading_fail(value: Any) -> None:
    read_error_body(json.dumps(value))


@BOTH
@pytest.mark.parametrize("status", [400, 404, 405, 422, 500, 503])
def test_a_models_error_keeps_its_own_status(dialect: Surface, status: int) -> None:
    answer = dialect.write_error(container_error(status, "why"))
    read = dialect.read_error(answer.status, answer.headers, answer.body)
    assert answer.status == (424 if dialect.wraps_model_errors else status)
    assert (read.status, read.message) == (status, "why")


@BOTH
def test_what_the_front_door_says_is_never_wrapped(dialect: Surface) -> None:
    of_tokens = dialect.token_rules
    for refusal in (
        dialect.missing_key, dialect.wrong_key, dialect.rate_limited(7, limit="requests"), dialect.timed_out,
        of_tokens.wrong_token, of_tokens.wrong_tenant("t"), of_tokens.no_role,
    ):  # fmt: skip
        answer = dialect.write_error(refusal)
        assert answer.status == refusal.status
        assert "ms-azureml-model-error-statuscode" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"MS-AzureML-Model-Error-StatusCode": "429"}, 429),
        ({"ms-azureml-model-error-reason": "too_many_pending_request"}, 429),
        ({"ms-azureml-model-error-reason": "model_not_ready"}, 503),
        ({"ms-azureml-model-error-statuscode": "many"}, None),
        ({}, None),
    ],
)
def test_the_status_behind_a_424_is_recovered(headers: dict[str, str], status: int | None) -> None:
    assert MANAGED_COMPUTE.read_error(424, headers, b"").status == status


def test_a_text_is_sent_as_text_and_an_object_as_json() -> None:
    assert (
        SERVERLESS.write_error(SERVERLESS.unknown_route).headers["Content-Type"]
        == "text/plain; charset=utf-8"
    )
    assert SERVERLESS.write_error(detail(400, "x")).headers["Content-Type"] == "application/json"


def test_a_score_refusal_is_a_200_with_an_empty_object() -> None:
    answer = MANAGED_COMPUTE.write_error(Refusal(200, {}))
    assert (answer.status, answer.body, answer.headers) == (200, b"{}", {"Content-Type": "application/json"})


@BOTH
def test_a_long_prompt_is_refused_with_the_limit_in_words(dialect: Surface) -> None:
    answer = dialect.write_error(dialect.context_exceeded(4096, 5000))
    read = dialect.read_error(answer.status, answer.headers, answer.body)
    assert "4096" in read.message
    assert "5000" in read.message
    assert read.status == 400


@BOTH
@pytest.mark.parametrize("status", [400, 422, 500])
def test_the_help_text_after_a_models_error_hides_nothing(dialect: Surface, status: int) -> None:
    answer = replace(dialect, has_help_text=True).write_error(container_error(status, "why"))
    assert answer.body.endswith(HELP_TEXT.encode())
    read = dialect.read_error(answer.status, answer.headers, answer.body)
    assert (read.status, read.message) == (status, "why")


@BOTH
def test_the_help_text_does_not_follow_what_the_front_door_says(dialect: Surface) -> None:
    answer = replace(dialect, has_help_text=True).write_error(dialect.wrong_key)
    assert answer == dialect.write_error(dialect.wrong_key)
