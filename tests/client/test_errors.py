"""Errors are one line, without secrets, and survive being pickled."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    ErrorBody,
    ModelContextLengthError,
    ModelError,
    PermissionDeniedError,
    PhiError,
    RateLimitError,
    StreamInterruptedError,
)
from phi_client._call.completion import Completion
from phi_client._call.errors import class_for_status
from phi_client._call.log import LOGGER, apply_log_level, safe_url
from phi_client.contract.error_body import read_error_body

if TYPE_CHECKING:
    from tests.conftest import Driver

PARTIAL = Completion(
    content="c", reasoning="rr", finish_reason=None, usage=None, request_id="r-1", model=None, raw={}
)
ERRORS: list[PhiError] = [
    RateLimitError("slow", status_code=429, body=ErrorBody(message="slow", code="429"), retry_after=4.0),
    APITimeoutError("late", phase="read", limit_s=3.0, request_sent=True),
    StreamInterruptedError("cut", partial=PARTIAL),
    APIConnectionError("lost", request_sent=False),
    ModelContextLengthError("long", status_code=424, body=ErrorBody(message="long", status=400)),
    APIResponseError(
        "odd", request_id="r-2", body=ErrorBody(message="down"), status_code=200, headers={"a": "b"}
    ),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_and_copying(error: PhiError) -> None:
    error.attempts = 3
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


def test_a_verdict_of_the_filter_makes_a_content_filter_error_of_a_400_only() -> None:
    body = ErrorBody(message="m", code="content_filter")
    assert class_for_status(400, body) is ContentFilterError
    assert class_for_status(403, body) is PermissionDeniedError


TOO_LONG = [
    {
        "object": "error",
        "message": "This model's maximum context length is 4096 tokens. However, …",
        "code": 400,
    },
    {"error": {"code": "context_length_exceeded", "message": "…"}},
    {"error": {"message": "…", "type": "invalid_request_error", "code": "context_length_exceeded"}},
    {"error": {"message": "…", "type": "exceed_context_size_error", "code": 400}},
    {"error": {"code": "BadRequest", "message": "…", "innererror": {"code": "context_length_exceeded"}}},
    {"error": {"code": "Bad Request", "message": '{"message": "maximum context length is 4096 tokens"}'}},
    {"error": {"code": "tokens_limit_reached", "message": "Request body too large for this model."}},
    {"detail": "The decoder prompt (length 5000) is longer than the maximum model length of 4096."},
    {"error": {"message": "Your input exceeds the context window of this model."}},
    {"message": "You requested 6 output tokens. However, the model's context length is only 7."},
    {"message": "input length and `max_tokens` exceed context limit: 5 + 5 > 8"},
    "the prompt exceeded the max context length by 3 tokens",
    {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096"},
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
]


@pytest.mark.parametrize("status", [400, 413, 422, 424])
@pytest.mark.parametrize("said", TOO_LONG, ids=str)
def test_a_prompt_that_is_too_long_has_a_class_of_its_own(phi: Driver, said: Any, status: int) -> None:
    route = phi.answer(httpx.Response(status, content=said if isinstance(said, str) else json.dumps(said)))
    with pytest.raises(ContextLengthError) as caught:
        phi.open().complete()
    assert isinstance(caught.value, BadRequestError)
    assert isinstance(caught.value, ModelError) is (status == 424)
    assert caught.value.status_code == status
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, {"error": {"message": "max_tokens is too large"}}, BadRequestError),
        (400, {"error": {"code": ["context_length_exceeded"], "message": "x"}}, BadRequestError),
        (424, {"error": {"message": "the model failed"}}, ModelError),
        (403, {"error": {"code": "context_length_exceeded", "message": "x"}}, PermissionDeniedError),
    ],
)
def test_another_refusal_is_none(status: int, said: Any, kind: type[APIStatusError]) -> None:
    assert class_for_status(status, read_error_body(json.dumps(said))) is kind


def test_the_line_says_what_happened() -> None:
    for error in ERRORS:
        error.attempts = 3
    assert [str(error) for error in ERRORS] == [
        "429: slow (after 3 attempts)",
        "late (the service may have done the work, after 3 attempts)",
        "cut (kept 2 characters of reasoning and 1 of content in `partial`, request id r-1, after 3 attempts)",
        "lost (the request was not sent, after 3 attempts)",
        "424: long (after 3 attempts)",
        "odd; the service says: down (request id r-2, after 3 attempts)",
    ]


def test_a_long_message_of_several_lines_becomes_one_short_line() -> None:
    error = APIStatusError("a\n\nb " * 1000, status_code=500, body=ErrorBody(message=""))
    assert str(error).startswith("500: a b a b")
    assert "\n" not in str(error)
    assert len(str(error)) <= 500


def test_neither_key_nor_prompt_is_in_errors_and_logs(phi: Driver, caplog: pytest.LogCaptureFixture) -> None:
    details = [{"type": "enum", "loc": ["body"], "msg": "m", "input": "the-secret-prompt"}]
    body = {
        "error": {
            "code": "Invalid input",
            "status": 422,
            "message": "invalid input error",
            "details": details,
        }
    }
    phi.answer(httpx.Response(422, json=body))
    with caplog.at_level(logging.DEBUG, "phi_client"), pytest.raises(APIStatusError) as caught:
        phi.open().complete("the-secret-prompt")
    shown = (
        "".join(traceback.format_exception(caught.value))
        + str(caught.value)
        + repr(caught.value)
        + caplog.text
    )
    assert "answered 422" in caplog.text
    for secret in ("the-secret-prompt", "a-key-that-must-never-be-shown"):
        # The source line of this very test may show in the traceback.
        lines = [line for line in shown.splitlines() if secret in line and "phi.open()" not in line]
        assert lines == []
    assert caught.value.body.details == [{**details[0], "input": "[prompt]"}]


def test_a_logged_url_has_no_query_and_no_user() -> None:
    assert safe_url("https://me:pw@host.example:8443/a/b?code=secret") == "https://host.example:8443/a/b"


def test_phi_log_shows_the_log_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOGGER, "handlers", [])
    level = LOGGER.level
    try:
        apply_log_level({})
        apply_log_level({"PHI_LOG": "nonsense"})
        assert LOGGER.handlers == []
        apply_log_level({"PHI_LOG": "Debug"})
        apply_log_level({"PHI_LOG": "debug"})
        assert (len(LOGGER.handlers), LOGGER.level) == (1, logging.DEBUG)
        apply_log_level({"PHI_LOG": "error"})
        assert LOGGER.level == logging.ERROR
    finally:
        LOGGER.setLevel(level)
