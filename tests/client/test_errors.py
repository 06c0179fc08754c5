"""Errors are one line, without secrets, and survive being pickled."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from typing import TYPE_CHECKING

import httpx
import pytest

from phi_client import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ContentFilterError,
    ErrorBody,
    PermissionDeniedError,
    PhiError,
    RateLimitError,
    StreamInterruptedError,
)
from phi_client._call.completion import Completion
from phi_client._call.errors import class_for_status
from phi_client._call.log import LOGGER, apply_log_level, safe_url

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


def test_the_line_says_what_happened() -> None:
    assert [str(error) for error in ERRORS] == [
        "429: slow (after 3 attempts)",
        "late (the service may have done the work, after 3 attempts)",
        "cut (kept 2 characters of reasoning and 1 of content in `partial`, request id r-1, after 3 attempts)",
        "lost (the request was not sent, after 3 attempts)",
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
