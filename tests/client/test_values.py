"""Whatever is given as an option, an argument or a variable is used, or a `ConfigurationError` says what to give."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import fractions
import json
from typing import TYPE_CHECKING, Any

import h11
import httpx
import pytest
from azure.core.credentials import AzureKeyCredential
from hypothesis import given, settings
from hypothesis import strategies as st

from phi_client import AsyncPhiClient, CompletionOptions, ConfigurationError, PhiClient, Timeout
from phi_client._call.targets import VARIABLES, resolve_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Driver

URL = "https://phi.eastus2.models.ai.azure.com"
KEY = "a-key-that-must-never-be-shown-00"
OK = {"choices": [{"message": {"content": "42"}, "finish_reason": "stop"}]}
OPTIONS = sorted(CompletionOptions.__annotations__)
DEFAULTS = ("timeout", "max_retries", "deadline", "headers")
ARGUMENTS = (
    "endpoint", "api_key", "credential", "dialect", "model", "deployment", "api_version", "credential_scope",
    "allow_http", "fallback_on", "on_retry", *DEFAULTS,
)  # fmt: skip


class Odd:
    """Of no use to anybody, and its text must not be shown."""

    def __repr__(self) -> str:
        return KEY


def generator() -> Iterator[int]:
    yield 1


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(2**3000),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["5", "raise", "none", "http://10.0.0.9", URL, "https://[::1", "\ud800", "\x00", "a\nb", " "]
    ),
    st.binary(max_size=3),
    st.decimals(),
    st.fractions(),
    st.complex_numbers(),
    st.timedeltas(),
    st.builds(Odd),
    st.builds(object),
    st.sampled_from([Odd, int, len, lambda: KEY, float("inf"), Timeout(read=-1), httpx.Timeout(0), ...]),
    st.builds(generator),
)
HASHABLE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.binary(max_size=2)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.sets(HASHABLE, max_size=3),
    ),
    max_leaves=5,
)


def strictly(content: bytes) -> Any:
    """The JSON of a body, without the constants that Python alone reads."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(content, parse_constant=refuse)


class Recorder:
    """A service that answers all, and keeps what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.client = PhiClient(
            URL, KEY, http_client=httpx.Client(transport=httpx.MockTransport(self.answer)), max_retries=0
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content)
        return httpx.Response(200, json=OK)


def refused(work: Callable[[], object]) -> str | None:
    """What is said where it is refused; other errors are not caught."""
    said = None
    try:
        work()
    except ConfigurationError as error:
        said = str(error)
    assert KEY not in (said or "")
    return said


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_any_value_is_used_or_refused_before_anything_is_sent(name: str) -> None:
    recorder = Recorder()

    @settings(deadline=None, max_examples=50)
    @given(value=ANYTHING)
    def check(value: Any) -> None:
        recorder.bodies.clear()
        option: Any = {name: value}
        said = refused(lambda: recorder.client.with_options(**option))
        if said is not None:
            assert name in said or name == "headers"
            assert refused(lambda: recorder.client.complete("x", **option)) == said
            assert refused(lambda: recorder.client.stream("x", **option)) == said
            assert not recorder.bodies
        elif name not in ("timeout", "deadline"):
            recorder.client.with_options(**option).complete("x")
            assert strictly(recorder.bodies[0])["messages"] == [{"role": "user", "content": "x"}]

    check()


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("client", [PhiClient, AsyncPhiClient])
def test_an_argument_of_any_value_is_used_or_refused(
    client: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)

    @settings(deadline=None, max_examples=25)
    @given(value=ANYTHING)
    def check(value: Any) -> None:
        arguments = {"endpoint": URL, **({} if name == "credential" else {"api_key": KEY}), name: value}
        refused(lambda: client(**arguments))

    check()


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_of_any_value_is_used_or_named(name: str) -> None:
    @settings(deadline=None, max_examples=80)
    @given(
        value=st.one_of(
            st.text(max_size=12), st.sampled_from(["http://host", "-", "a b", "1", "no", "999", "\x7f"])
        )
    )
    def check(value: str) -> None:
        environ = {"PHI_ENDPOINT": f"{URL} {URL}", "PHI_API_KEY": "a b", name: value}
        said = refused(lambda: resolve_settings(environ=environ))
        assert said is None or name in said or name == "PHI_ENDPOINT"

    check()


@settings(deadline=None, max_examples=150)
@given(headers=st.dictionaries(st.text(min_size=1, max_size=6), st.text(max_size=6), max_size=3))
def test_headers_that_are_taken_can_be_sent(headers: dict[str, str]) -> None:
    recorder = Recorder()
    if refused(lambda: recorder.client.complete("x", headers=headers)) is None:
        sent = [(name, value.strip(" \t")) for name, value in headers.items()]
        h11.Request(method="GET", target="/", headers=[("Host", "x"), *sent])


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"timeout": "5"}, "`timeout`"),
        ({"timeout": True}, "`timeout`"),
        ({"timeout": (3, 27)}, r"Timeout\(connect="),
        ({"timeout": float("inf")}, "None for no limit"),
        ({"timeout": 1e12}, "None for no limit"),
        ({"timeout": httpx.Timeout(5, read=0)}, "`read`"),
        ({"timeout": Timeout(connect=float("nan"))}, "`connect`"),
        ({"timeout": Timeout(pool=-1)}, "`pool`"),
        ({"timeout": Timeout(write="5")}, "`write`"),  # type: ignore[arg-type]
        ({"deadline": "5"}, "`deadline`"),
        ({"deadline": True}, "`deadline`"),
        ({"deadline": float("inf")}, "`deadline`"),
        ({"deadline": dt.timedelta(seconds=5)}, "`deadline`"),
        ({"max_retries": None}, "`max_retries`"),
        ({"max_retries": True}, "`max_retries`"),
        ({"max_retries": 2.0}, "`max_retries`"),
        ({"max_retries": -1}, "`max_retries`"),
        ({"temperature": float("nan")}, "`temperature`"),
        ({"temperature": "hot"}, "`temperature`"),
        ({"temperature": True}, "`temperature`"),
        ({"temperature": decimal.Decimal(1)}, "`temperature`"),
        ({"max_tokens": 1.5}, "whole number"),
        ({"max_tokens": 10**5000}, "`max_tokens`"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "both"),
        ({"seed": "7"}, "`seed`"),
        ({"stop": 5}, "`stop`"),
        ({"stop": [5]}, "`stop`"),
        ({"stop": b"x"}, "`stop`"),
        ({"logprobs": 5}, "True or False"),
        ({"response_format": Odd}, r"parse\(messages, Odd\)"),
        ({"tools": [len]}, "describe it"),
        ({"tools": {"type": "function"}}, "list of tools"),
        (
            {"tools": [{"type": "function", "function": {"x": float("nan")}}]},
            r"`tools`\[0\]\['function'\]\['x'\]",
        ),
        ({"tool_choice": 5}, "`tool_choice`"),
        ({"extra": {"a": [float("inf")]}}, r"`extra`\['a'\]\[0\]"),
        ({"extra": {"a": b"x"}}, "JSON"),
        ({"extra": {"model": "b"}}, "`model=`"),
        ({"extra": {"temperature": 1}}, "`temperature=`"),
        ({"extra": [("a", 1)]}, "mapping"),
        ({"model": 5}, "`model`"),
        ({"model": ""}, "`model`"),
        ({"model": Odd}, "second argument of `parse"),
        ({"headers": {"x": 5}}, "'x'"),
        ({"headers": {5: "x"}}, "int"),
        ({"headers": {"x": None}}, "'x'"),
        ({"headers": {"x-a": "1", "X-A": "2"}}, "twice"),
        ({"headers": {"Content-Length": "5"}}, "leave it out"),
        ({"headers": [("x", "y")]}, "mapping"),
        ({"on_truncation": "ignore"}, "'raise' or 'return'"),
        ({"on_truncation": None}, "'raise' or 'return'"),
    ],
)
def test_a_value_that_can_not_be_meant_is_named_alike_wherever_it_is_given(
    phi: Driver, option: dict[str, Any], says: str
) -> None:
    phi.answer(httpx.Response(200, json=OK))
    client = phi.open().client
    assert client is not None
    works: list[Callable[[], object]] = [
        lambda: phi.complete("x", **option),
        lambda: phi.stream("x", **option),
        lambda: phi.solve("x", **option),
        lambda: phi.map(["x"], **option),
        lambda: client.with_options(**option),
    ]
    if set(option) <= set(DEFAULTS):
        works.append(lambda: phi.open(**option))
    for work in works:
        with pytest.raises(ConfigurationError, match=says):
            work()
    assert not phi.router.calls


def test_what_holds_itself_is_refused(phi: Driver) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ConfigurationError, match=r"`extra`.*holds itself"):
        phi.open().complete("x", extra={"a": endless})


def test_a_mapping_that_fails_is_refused(phi: Driver) -> None:
    class Failing(dict[str, Any]):
        def items(self) -> Any:
            raise OSError(KEY)

    for option in ({"extra": Failing(a=1)}, {"headers": Failing(a=1)}, {"response_format": Failing(a=1)}):
        with pytest.raises(ConfigurationError, match="OSError") as caught:
            phi.open().complete("x", **option)
        assert KEY not in str(caught.value)


def sent_after(phi: Driver, **options: Any) -> Any:
    phi.answer(httpx.Response(200, json=OK))
    phi.complete("x", **options)
    return strictly(phi.router.calls.last.request.content)


@pytest.mark.parametrize(
    ("option", "sent"),
    [
        ({"max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5, "max_tokens": None}, {"max_tokens": 5}),
        ({"max_tokens": 1e4}, {"max_tokens": 10000}),
        ({"temperature": fractions.Fraction(1, 2)}, {"temperature": 0.5}),
        ({"stop": ("a", "b")}, {"stop": ["a", "b"]}),
        ({"response_format": "json_object"}, {"response_format": {"type": "json_object"}}),
        ({"extra": {"logit_bias": {50256: -100}}}, {"logit_bias": {"50256": -100}}),
        ({"model": " n "}, {"model": "n"}),
    ],
)
def test_a_value_whose_meaning_is_plain_is_taken(
    phi: Driver, option: dict[str, Any], sent: dict[str, Any]
) -> None:
    body = sent_after(phi.open(), **option)
    assert {name: body.get(name) for name in sent} == sent
    assert "max_completion_tokens" not in body


def test_without_a_budget_none_is_sent_under_either_word(phi: Driver) -> None:
    assert "max_tokens" not in sent_after(phi.open(), max_completion_tokens=None)


@pytest.mark.parametrize(
    ("given_", "limits"),
    [
        (httpx.Timeout(7), {"connect": 7, "read": 7, "write": 7, "pool": 7}),
        (httpx.Timeout(7, connect=2), {"connect": 2, "read": 7, "write": 7, "pool": 7}),
        (httpx.Timeout(None, read=9), {"connect": None, "read": 9, "write": None, "pool": None}),
    ],
)
def test_the_limits_of_httpx_are_taken(
    phi: Driver, given_: httpx.Timeout, limits: dict[str, float | None]
) -> None:
    sent_after(phi.open(), timeout=given_)
    assert phi.router.calls.last.request.extensions["timeout"] == limits
    sent_after(phi.open(timeout=given_))
    assert phi.router.calls.last.request.extensions["timeout"] == limits


def test_a_header_is_sent_without_white_space_around_its_value(phi: Driver) -> None:
    sent_after(phi.open(), headers={"x-a": " 1\t"})
    assert phi.router.calls.last.request.headers["x-a"] == "1"


@pytest.mark.parametrize("as_credential", [True, False])
def test_a_key_in_an_object_is_a_key(phi: Driver, as_credential: bool) -> None:
    key: Any = AzureKeyCredential("the-key-0123456789")
    if as_credential:
        phi.open(URL, None, credential=key)
    else:
        phi.open(URL, key)
    sent_after(phi)
    assert phi.router.calls.last.request.headers["authorization"] == "Bearer the-key-0123456789"
    assert "the-key" not in repr(vars(phi.client))


def test_nothing_is_read_of_a_generator_of_messages(phi: Driver) -> None:
    messages = ({"role": "user", "content": "x"} for _ in range(1))
    with pytest.raises(ConfigurationError, match="list of messages"):
        phi.open().complete(messages)
    assert next(messages)


def test_a_hook_that_is_no_function_is_refused(phi: Driver) -> None:
    with pytest.raises(ConfigurationError, match="`on_retry`"):
        phi.open(on_retry=5)


def test_clients_that_were_only_made_need_no_closing() -> None:
    async def main() -> str:
        return repr(AsyncPhiClient(URL, KEY))

    assert KEY not in asyncio.run(main())
