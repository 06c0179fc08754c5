"""What a service says with a status that does not fit it, an error with 200 or a page of a proxy, is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from phi_client.contract.error_body import ErrorBody, read_error_body, read_misfit
from phi_client.contract.score import completion_of_score

PAGE = """<!DOCTYPE html>
<html><head><title>Sign in</title><style>p { color: red }</style><script>let x = "<p>no</p>";</script></head>
<body><h1>Your session &amp; token</h1><p>have <b>expired</b>.</p></body></html>"""


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"code": "429", "message": "Rate limit is exceeded."}}, "Rate limit is exceeded.", "429"),
        ({"error": "Downstream unavailable"}, "Downstream unavailable", None),
        ({"detail": "Not Found"}, "Not Found", None),
        ({"statusCode": 401, "message": "Access denied"}, "Access denied", None),
        ({"object": "error", "message": "it broke", "code": 500}, "it broke", "500"),
        ({"error": {"message": "it broke"}, "choices": []}, "it broke", None),
        ({"error": {"code": "overloaded"}}, "", "overloaded"),
        ({"choices": None, "message": "it is overloaded"}, "it is overloaded", None),
        ([{"error": {"message": "a list of one"}}], "a list of one", None),
        ("upstream connect error", "upstream connect error", None),
        (PAGE, "Sign in Your session & token have expired .", None),
        ("<html", "<html", None),
    ],
)
def test_what_the_service_says_is_read(body: Any, message: str, code: str | None) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    for given in (text, text.encode()):
        read = read_misfit(given)
        assert read is not None
        assert (read.message, read.code) == (message, code)


@pytest.mark.parametrize(
    "body",
    [
        "", "  ", "{}", "[]", '{"output": null}', '{"output": null, "message": "what the model wrote"}',
        '{"choices": [{"message": {"content": ["what the model wrote"]}}]}',
        '{"choices": 5, "message": "what the model wrote"}',
        '{"choices": [{"message": {"content": "what the model wro',
        'data: {"choices": [{"delta": {"content": "what the model wrote"}}]}\n\n',
        ": a comment\n\n", '{"response": "what the model wrote"}',
    ],
)  # fmt: skip
def test_what_the_model_wrote_is_no_word_of_the_service(body: str) -> None:
    assert read_misfit(body) is None


@pytest.mark.parametrize("error", [{"message": "out of memory", "code": "oom"}, {"body": "out of memory"}])
def test_an_error_on_the_score_route_keeps_its_words(error: dict[str, str]) -> None:
    read = completion_of_score(json.dumps({"error": error}).encode())
    assert isinstance(read, ErrorBody)
    assert (read.message, read.code) == ("out of memory", error.get("code"))


def test_a_page_with_an_error_status_is_read_as_what_it_shows() -> None:
    read = read_error_body("<html><body><center><h1>502 Bad Gateway</h1></center><hr>nginx</body></html>")
    assert read.message == "502 Bad Gateway nginx"
    assert read.raw.startswith("<html>")


@pytest.mark.parametrize(
    "body", ["<html>" + "<" * 60_000, "<html>" + "<script>" * 8000, "<html>" + "<a " * 20_000]
)
def test_a_page_takes_no_time(body: str) -> None:
    assert isinstance(read_error_body(body).message, str)
