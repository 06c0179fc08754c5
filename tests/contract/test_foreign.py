"""Whatever a service sends is read or refused as a `ContractError`: nothing foreign escapes from a reader."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi_client._call.building import CompletionBuilder
from phi_client._call.completion import Origin, completion_of
from phi_client._call.errors import class_for_status
from phi_client.contract.answers import AnswerView, view_answer
from phi_client.contract.dialects import DIALECTS, Dialect
from phi_client.contract.error_body import ErrorBody, read_error_body, read_misfit
from phi_client.contract.events import ServerSentEvent
from phi_client.contract.wire import ContractError

NAMES = [
    "choices", "message", "delta", "content", "reasoning", "reasoning_content", "usage", "prompt_tokens", "index",
    "completion_tokens_details", "reasoning_tokens", "finish_reason", "tool_calls", "function", "name", "arguments",
    "logprobs", "token", "logprob", "bytes", "top_logprobs", "error", "code", "status", "details", "detail",
    "innererror", "content_filter_result", "object", "output", "body", "status_code", "model", "id", "data", "type",
]  # fmt: skip
ORIGIN = Origin("r-1", "c-1", "https://x", {})
DIALECTS_AND_ROUTES = [
    (dialect, route) for dialect in DIALECTS.values() for route in (None, dialect.score_route)
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**30),
    st.floats(),
    st.sampled_from(
        ["", "stop", "length", "<think>a</think>b", "\ud800", "7", "error", "content_filter", "{", "[{}]"]
    ),
    st.text(st.characters(), max_size=4),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "index": values,
        "finish_reason": st.none() | st.text(max_size=3),
        "logprobs": st.none() | st.fixed_dictionaries({"content": st.lists(values, max_size=3)}),
        **dict.fromkeys(
            ("message", "delta"),
            st.fixed_dictionaries(
                {},
                optional={
                    "content": st.none() | st.sampled_from(["a", "<think>", "</think>", "\udfff"]),
                    "reasoning": values,
                    "tool_calls": st.lists(
                        values | st.fixed_dictionaries({"index": values, "id": values, "function": values}),
                        max_size=3,
                    ),
                },
            ),
        ),
    },
)
answers = st.fixed_dictionaries(
    {"choices": st.lists(choices, max_size=3)},
    optional={"usage": values, "model": values, "id": values, "error": values},
)
bodies = st.one_of(
    (values | answers).map(lambda value: json.dumps(value).encode()),
    (values | answers).map(
        lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
    ),
    st.binary(max_size=20),
    st.text('{}[]",:0123456789.eE+-<>/!doctype html\\u', max_size=30).map(str.encode),
)


def look_at(view: AnswerView | ErrorBody) -> None:
    """All that a caller may ask of what was read."""
    if isinstance(view, ErrorBody):
        assert isinstance(view.message, str)
        _ = (
            view.content_filter,
            view.exceeds_context,
            [class_for_status(status, view) for status in (400, 424, 500)],
        )
        return
    completion = completion_of(view, ORIGIN) if view.choices else CompletionBuilder(ORIGIN).build()
    assert completion.logprobs is None or isinstance(completion.logprobs, tuple)
    _ = (completion.answer, completion.message, repr(completion), completion.ends_in_reasoning)
    assert len(completion.alternatives) == max(len(view.choices) - 1, 0)
    _ = [(choice.answer, choice.tool_calls, repr(choice)) for choice in completion.alternatives]
    assert isinstance(json.dumps(completion.to_dict(), allow_nan=False), str)
    builder = CompletionBuilder(ORIGIN)
    assert isinstance(builder.add(view).tool_calls, tuple)
    builder.finish()
    assert isinstance(builder.build().content, str)


@given(st.sampled_from(DIALECTS_AND_ROUTES), bodies)
def test_an_answer_is_read_or_refused(where: tuple[Dialect, str | None], body: bytes) -> None:
    dialect, route = where
    try:
        look_at(dialect.read_completion(body, route=route))
    except ContractError:
        misfit = read_misfit(body)
        assert misfit is None or misfit.message or misfit.code


@given(st.sampled_from(list(DIALECTS.values())), bodies, st.sampled_from(["message", "error"]))
def test_an_event_is_read_or_refused(dialect: Dialect, body: bytes, name: str) -> None:
    with contextlib.suppress(ContractError):
        look_at(dialect.read_event(ServerSentEvent(body.decode(errors="replace"), name)))


@given(
    st.sampled_from(list(DIALECTS.values())), bodies, st.sampled_from([400, 424, 500]), st.text(max_size=4)
)
def test_an_error_is_read(dialect: Dialect, body: bytes, status: int, named: str) -> None:
    look_at(dialect.read_error(status, {"ms-azureml-model-error-statuscode": named}, body))


@given(st.sampled_from(list(DIALECTS.values())), bodies)
def test_an_answer_of_the_info_route_is_read_or_refused(dialect: Dialect, body: bytes) -> None:
    with contextlib.suppress(ContractError):
        dialect.read_info(body)


DEEP = 100_000
PITS = [
    b"[" * DEEP, b'{"a":' * DEEP, b'{"choices": ' + b"[" * DEEP, b'{"error": {"message": "' + b"{" * DEEP,
    b'{"choices": [{"message": {"tool_calls": [' + b"[" * 900 + b"]" * 900 + b"]}}]}",
    b'{"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": ' + b"[" * 900 + b"]" * 900
    + b"}}]}}]}",
    b'{"choices": [{"logprobs": {"content": [' + b'{"top_logprobs": [' * 400 + b"]}" * 400 + b"]}}]}",
    b'{"choices": [{"index": ' + b"9" * 5000 + b"}]}", b'{"choices": [], "usage": {"total_tokens": 1e999}}',
    b'{"choices": [{"index": 1e300}]}', b'{"error": {"code": ' + b"9" * 4000 + b"}}", b"\xff\xfe{", b"\xef\xbb\xbf{}",
    b'{"choices": [{"message": {"content": "\\ud83d"}}], "choices": 5}', b'{"a": NaN, "choices": [{"index": NaN}]}',
]  # fmt: skip


@pytest.mark.parametrize("body", PITS, ids=range(len(PITS)))
@pytest.mark.parametrize(("dialect", "route"), DIALECTS_AND_ROUTES)
def test_what_is_deep_huge_or_odd_is_read_or_refused(
    dialect: Dialect, route: str | None, body: bytes
) -> None:
    look_at(read_error_body(body))
    look_at(dialect.read_error(424, {"ms-azureml-model-error-statuscode": "9" * 5000}, body))
    read_misfit(body)
    readers: list[Any] = [
        lambda: dialect.read_completion(body, route=route),
        lambda: dialect.read_event(ServerSentEvent(body.decode(errors="replace"))),
    ]
    for read in readers:
        with contextlib.suppress(ContractError):
            look_at(read())


@given(answers)
def test_a_view_of_any_json_is_one_or_refused(raw: dict[str, Any]) -> None:
    with contextlib.suppress(ContractError):
        look_at(view_answer(raw, "message"))
