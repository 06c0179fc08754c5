"""Planted keys and prompts are searched for wherever an application might show or keep something."""

from __future__ import annotations

import json
import logging
import pickle
import re
import traceback
from html import escape, unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi_client import ConfigurationError, ContentFilterError, ContextLengthError, PhiClient, PhiError
from phi_client._call.exchange import MAX_ANSWER_BYTES
from phi_client._call.secrets import Secrets
from phi_client.contract.secrets import all_letters, credentials_in, placed_letters

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Driver, Pieces

KEY = "planted-key-0123456789abcdef"
PROMPT = "planted prompt: my bank account holds 1234 dollars"
OTHER = "planted answer of an earlier turn"
MESSAGES = [
    {"role": "assistant", "content": OTHER},
    {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
]


def echo(request: httpx.Request) -> httpx.Response:
    """A service that repeats all that it was sent, in words and in details."""
    said = f"cannot work with {dict(request.headers)} and {request.content.decode()}: {PROMPT} and {OTHER}"
    body = {
        "error": {"code": "bad", "message": said, "details": [{"loc": ["body"], "msg": "m", "input": said}]}
    }
    return httpx.Response(418, json=body, headers={"x-request-id": "r-1"})


def echo_event(request: httpx.Request) -> httpx.Response:
    said = json.dumps({"error": {"message": f"{request.headers.get('authorization')} {PROMPT}"}})
    return httpx.Response(200, content=b"data: " + said.encode() + b"\n\n")


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def break_protocol(request: httpx.Request) -> httpx.Response:
    raise httpx.LocalProtocolError(f"Illegal header value {request.headers['authorization']!r}")


def nonsense(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text=f"{request.headers['authorization']} is no JSON")


def shown(error: BaseException) -> str:
    """All that is commonly shown or kept of an error: its text, its reprs, its traceback."""
    return "\n".join((str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))))


def variables(error: BaseException | None) -> str:
    """The variables of the frames that an error holds, but for those of the test's own."""
    held: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                held += (repr(value) for value in frame.f_locals.values())
        error = error.__cause__ or error.__context__
    return "\n".join(held)


@pytest.mark.parametrize("reply", [echo, refuse, break_protocol, nonsense])
def test_no_error_shows_the_key_or_the_prompt(
    phi: Driver, reply: Any, caplog: pytest.LogCaptureFixture
) -> None:
    phi.router.route().mock(side_effect=reply)
    with caplog.at_level(logging.DEBUG), pytest.raises(PhiError) as caught:
        phi.open(api_key=KEY, max_retries=0).complete(MESSAGES)
    for text in (shown(caught.value), caplog.text, repr(phi.client), repr(vars(phi.client or object()))):
        for planted in (KEY, PROMPT, OTHER):
            assert planted not in text
    assert KEY not in variables(caught.value)
    assert KEY.encode() not in pickle.dumps(caught.value)


def test_the_debug_log_tells_ids_and_sizes_and_no_more(phi: Driver, caplog: pytest.LogCaptureFixture) -> None:
    answer = {"choices": [{"message": {"content": OTHER}, "finish_reason": "stop"}]}
    phi.answer(httpx.Response(200, json=answer, headers={"x-request-id": "r-1"}))
    with caplog.at_level(logging.DEBUG, logger="phi_client"):
        phi.open(api_key=KEY).complete(PROMPT, headers={"x-ms-client-request-id": "mine", "x-other": KEY})
    size = len(phi.router.calls.last.request.content)
    url = "https://phi.eastus2.models.ai.azure.com/chat/completions"
    assert [record.getMessage() for record in caplog.records if record.name == "phi_client"] == [
        f"POST {url}: {size} bytes, as mine", f"{url} answered 200 to mine, request id r-1"
    ]  # fmt: skip
    for planted in (KEY, PROMPT, OTHER):
        assert planted not in caplog.text


def test_no_error_in_a_stream_shows_the_key_or_the_prompt(
    phi: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    phi.router.route().mock(side_effect=echo_event)
    with caplog.at_level(logging.DEBUG), pytest.raises(PhiError) as caught:
        phi.open(api_key=KEY).stream(MESSAGES)
    assert "[secret]" in str(caught.value)
    for planted in (KEY, PROMPT, OTHER):
        assert planted not in shown(caught.value) + caplog.text


def test_a_failed_connection_leaves_no_key_in_the_variables_of_any_frame() -> None:
    # A real transport, whose frames hold the headers while it sends.
    with PhiClient("http://127.0.0.1:1", KEY, max_retries=0) as client, pytest.raises(PhiError) as caught:
        client.complete(PROMPT)
    held = variables(caught.value)
    assert "Exchange(" in held
    assert KEY not in held


def test_a_key_in_the_wrong_place_is_not_repeated(phi: Driver) -> None:
    for endpoint, key in (
        (f"https://user:{KEY}@phi.eastus2.models.ai.azure.com", "k"),
        (f"https://phi.eastus2.models.ai.azure.com?key={KEY}", "k"),
        ("https://phi.eastus2.models.ai.azure.com", f"{KEY}\n{KEY}"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            phi.open(endpoint, key)
        assert KEY not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        phi.open().complete("x", headers={"x-key": KEY + "\n"})
    assert KEY not in str(caught.value)


def test_a_validation_error_says_where_and_what_but_not_the_value(phi: Driver) -> None:
    details = [
        {
            "type": "less_than_equal",
            "loc": ["body", "temperature"],
            "msg": "Input should be <= 1",
            "input": PROMPT,
        }
    ]
    body = {
        "error": {
            "code": "Invalid input",
            "status": 422,
            "message": "invalid input error",
            "details": details,
        }
    }
    phi.answer(httpx.Response(422, json=body))
    with pytest.raises(PhiError, match=r"temperature: Input should be <= 1") as caught:
        phi.open().complete(PROMPT)
    assert PROMPT not in shown(caught.value)


def test_short_words_of_a_prompt_are_left_in_a_message() -> None:
    request = json.dumps({"messages": [{"role": "user", "content": "is"}]}).encode()
    assert Secrets((), request).scrub("this is it") == "this is it"
    assert Secrets((), b"no json").scrub("this is it") == "this is it"


def dotnet(text: str) -> str:
    """As System.Text.Json writes text by default."""
    return "".join(one if one.isalnum() or one in " .,;" else f"\\u{ord(one):04X}" for one in text)


ESCAPES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    ".NET": dotnet,
    "PHP": lambda text: text.replace("/", r"\/"),
    "percent": lambda text: quote(text, safe=""),
    "entities": lambda text: escape(text).replace("+", "&#43;").replace("/", "&#x2F;"),
    "JSON": json.dumps,
    "JSON twice": lambda text: json.dumps(json.dumps(text)),
    "repr": repr,
    "bytes": lambda text: repr(text.encode()),
    "IIS": lambda text: "".join(
        one if one.isalnum() and one.isascii() else f"%u{ord(one):04X}" for one in text
    ),
    "every character": lambda text: "".join(f"\\u{ord(one):04x}" for one in text),
}
keys = st.text(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-.", min_size=20, max_size=90
).filter(lambda key: sum(one.isalnum() for one in key) >= 14)
ordinary = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("the answer is not 42.", max_size=40),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
)
words = st.lists(st.from_regex(r"[a-zäöü]{2,9}", fullmatch=True), min_size=8, max_size=20)


@given(key=keys, how=st.sampled_from(sorted(ESCAPES)), before=st.sampled_from(["", "the key ", "'"]))
def test_no_escape_hides_a_key(key: str, how: str, before: str) -> None:
    said = {"message": f"{before}{ESCAPES[how](key)} is wrong", "details": [{"input": ESCAPES[how](key)}]}
    shown = letters(json.dumps(Secrets((key,)).scrub(said)))
    assert not [run for run in runs_of(letters(key), 12) if run in shown]


@given(
    words=words,
    how=st.sampled_from(sorted(ESCAPES)),
    glue=st.sampled_from([" ", "\n", ", ", ' "', "  "]),
    data=st.data(),
)
def test_a_prompt_is_recognised_when_cut_escaped_or_wrapped(
    words: list[str], how: str, glue: str, data: st.DataObject
) -> None:
    prompt = glue.join(words)
    start = data.draw(st.integers(0, len(prompt) // 4))
    end = data.draw(st.integers(len(prompt) // 2 + len(prompt) // 4, len(prompt)))
    cut = prompt[start:end]
    echoed = data.draw(st.sampled_from([cut, cut.upper(), " ".join(cut.split())]))
    request = json.dumps({"messages": [{"role": "user", "content": prompt}]}).encode()
    shown = letters(Secrets((), request).scrub(f"can't work with {ESCAPES[how](echoed)}…"))
    assert not [run for run in runs_of(letters(prompt), 16) if run in shown]


@given(ordinary)
def test_what_holds_no_secret_is_left_as_it_is(said: object) -> None:
    request = json.dumps(
        {"messages": [{"role": "user", "content": "Is there a largest prime number at all?"}]}
    ).encode()
    assert Secrets((KEY,), request).scrub(said) == said


def test_a_short_key_is_taken_out_where_it_is_a_word_of_its_own() -> None:
    assert (
        Secrets(("k", "x")).scrub("the key k of xk is x, (k)")
        == "the key [secret] of xk is [secret], ([secret])"
    )


@pytest.mark.parametrize(
    "escaped", [r"\ud835\udc07", r"\U0001D407", r"\u{1d407}", r"\xf0\x9d\x90\x87", "&#x1D407;"]
)
def test_an_escape_of_a_rare_letter_hides_no_prompt(escaped: str) -> None:
    request = json.dumps({"messages": [{"role": "user", "content": "\U0001d407" * 20}]}).encode()
    assert Secrets((), request).scrub(f"no {escaped * 20} here") == "no [prompt] here"


@pytest.mark.parametrize("part", ["type", "code", "param", "innererror"])
def test_no_part_of_an_error_body_shows_a_key(phi: Driver, part: str) -> None:
    phi.answer(httpx.Response(401, json={"error": {"message": "no", part: KEY}}))
    with pytest.raises(PhiError) as caught:
        phi.open(api_key=KEY, max_retries=0).complete()
    assert KEY not in shown(caught.value)


def test_a_key_that_is_a_number_is_taken_out_of_numbers() -> None:
    said = {"input": 1234567890123, "limit": 123, "list": [True, 10**200, 1.5]}
    assert Secrets(("1234567890123",)).scrub(said) == {**said, "input": "[secret]"}


def test_the_headers_of_an_error_show_no_secret_and_no_prompt(phi: Driver) -> None:
    echoed = {"x-said": json.dumps(PROMPT), KEY.upper(): "1", "retry-after": "5"}
    phi.answer(httpx.Response(503, headers=echoed))
    with pytest.raises(PhiError) as caught:
        phi.open(api_key=KEY, max_retries=0).complete(PROMPT)
    for planted in (KEY, PROMPT):
        assert planted not in shown(caught.value)
    assert Secrets(("5",)).scrub_headers({"retry-after": "5"}, of_answer=False) == {"retry-after": "5"}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"choices": [], "error": {"message": f"{KEY} {PROMPT}"}}),
        json.dumps({"error": {"message": f"{KEY} {PROMPT}"}}),
        f"data: {json.dumps({'error': {'message': f'{KEY} {PROMPT}'}})}\n\n",
        f"data: {KEY} {PROMPT}\n\n",
    ],
)
def test_what_fits_no_contract_is_in_no_variable_of_a_traceback(phi: Driver, body: str) -> None:
    kind = "text/event-stream" if body.startswith("data") else "application/json"
    phi.answer(httpx.Response(200, text=body, headers={"content-type": kind}))
    phi.open(api_key=KEY, max_retries=0)
    with pytest.raises(PhiError) as caught:
        phi.stream(OTHER) if body.startswith("data") else phi.complete(OTHER)
    assert KEY not in variables(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "prompt", "kind"),
    [
        (400, {"message": "The maximum context length is 9"}, "your maximum context length?", ContextLengthError),
        (400, {"code": "content_filter", "message": "no"}, "content_filter", ContentFilterError),
    ],
)  # fmt: skip
def test_a_prompt_in_the_services_own_words_does_not_change_the_error(
    phi: Driver, status: int, body: dict[str, str], prompt: str, kind: type[PhiError]
) -> None:
    phi.answer(httpx.Response(status, json={"error": body}))
    with pytest.raises(kind):
        phi.open(max_retries=0).complete(prompt)


def test_a_picture_of_a_prompt_is_not_shown() -> None:
    url = "https://example.org/private/my-cat.png"
    part = {"type": "image_url", "image_url": {"url": url}}
    request = json.dumps({"messages": [{"role": "user", "content": [part]}]}).encode()
    assert Secrets((), request).scrub(f"can't fetch {url}") == "can't fetch [prompt]"


def test_credentials_among_a_callers_headers_are_known_by_their_looks_too() -> None:
    headers = {
        "X-Gate": "hunter2Swordfish99",
        "X-Pass": "words",
        "X-Auth": "Basic Ym9iOmh1bnRlcjI=",
        "Cookie": "a=1; sid=q1w2e3r4t5",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "x-ms-client-request-id": "7f1f2a1e-6d0a-4c0e-9d3e-0c3f7f8f4c11",
        "User-Agent": "phi-client/1.2.3",
        "azureml-model-deployment": "phi-4-blue-2025",
        "X-Stage": "production",
    }
    assert set(credentials_in(headers)) == {
        "hunter2Swordfish99", "words", "Basic Ym9iOmh1bnRlcjI=", "Ym9iOmh1bnRlcjI=", "hunter2", "a=1; sid=q1w2e3r4t5",
        "q1w2e3r4t5",
    }  # fmt: skip


def test_credentials_among_a_callers_headers_are_known_by_their_names() -> None:
    headers = {
        "Ocp-Apim-Subscription-Key": "s-1",
        "X-Api-Key": "s-2",
        "Cookie": "s-3",
        "X-Auth": "Basic s-4",
        "x-monkey": "no",
    }
    assert set(credentials_in(headers)) == {"s-1", "s-2", "s-3", "Basic s-4", "s-4"}


@pytest.mark.parametrize("key", ["token", "x", "k", "none", "stop", "ollama", "usage", "content", "1"])
def test_an_answer_is_the_callers_every_byte(phi: Driver, key: str) -> None:
    text = f"None of the x fit; the token count of {key} is \\boxed{{x+1}}"
    whole = {
        "id": key,
        "model": key,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    chunk = {**whole, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    headers = {"cache-control": "none", "x-stop": "stop"}
    events = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    phi.answer(
        httpx.Response(200, json=whole, headers=headers), httpx.Response(200, text=events, headers=headers)
    )
    done = phi.open(api_key=key).complete()
    assert done.raw == whole
    assert (done.headers["cache-control"], done.headers["x-stop"]) == ("none", "stop")
    assert phi.stream()[1] == done


def test_a_key_of_the_callers_headers_is_shown_nowhere(phi: Driver) -> None:
    def echo_key(request: httpx.Request) -> httpx.Response:
        given = request.headers["ocp-apim-subscription-key"]
        body = json.dumps(
            {"error": {"code": given, "message": given, "details": [given], "innererror": {given: given}}}
        )
        return httpx.Response(403, text=body.replace("+", r"\u002B"), headers={"x-key-seen": given})

    secret = "gateway+0123456789/abcdef"
    phi.router.route().mock(side_effect=echo_key)
    with pytest.raises(PhiError) as caught:
        phi.open(headers={"Ocp-Apim-Subscription-Key": secret}, max_retries=0).complete()
    assert not [run for run in runs_of(letters(secret), 12) if run in letters(shown(caught.value))]
    assert secret.encode() not in pickle.dumps(caught.value)


def letters(text: str) -> str:
    """What is left of a text whose escapes are read: its letters and digits, in one case."""
    for _ in range(4):
        text = re.sub(
            r"(?:\\+|%)u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), unescape(unquote(text))
        )
        text = re.sub(r"(?:\\+x[0-9a-f]{2})+", octets, text)
    return "".join(one for one in text if one.isalnum()).casefold()


def octets(found: re.Match[str]) -> str:
    return bytes.fromhex("".join(re.findall(r"x([0-9a-f]{2})", found[0]))).decode("utf-8", "replace")


def runs_of(text: str, size: int) -> set[str]:
    """All parts of a text that are so long."""
    return {text[place : place + size] for place in range(len(text) - size + 1)}


def test_an_answer_without_end_is_given_up(phi: Driver, pieces: type[Pieces]) -> None:
    block = b" " * (MAX_ANSWER_BYTES // 4)
    phi.answer(
        httpx.Response(200, stream=pieces(block, block, block, block, b" ", AssertionError("read on")))
    )
    with pytest.raises(PhiError, match="longer than"):
        phi.open().complete()


def test_a_chain_of_causes_that_is_a_ring_is_no_trap(phi: Driver) -> None:
    def ring(request: httpx.Request) -> httpx.Response:
        error = httpx.ConnectError("refused", request=request)
        raise error from error

    phi.router.route().mock(side_effect=ring)
    with pytest.raises(PhiError, match="the connection failed"):
        phi.open(max_retries=0).complete()


@given(st.text() | st.text("aßİ%u0041\\x&#;amp_ \n", max_size=40))
def test_letters_without_their_places_are_the_same(text: str) -> None:
    assert all_letters(text) == "".join(letter for letter, _, _ in placed_letters(text))
