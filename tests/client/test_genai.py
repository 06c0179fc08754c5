"""The words of the GenAI conventions: right for what people send, and harmless for whatever else they may send."""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from phi_client._call import genai
from phi_client._call.completion import Completion, Origin, completion_of
from phi_client._call.telemetry import CallTrace
from phi_client.contract.answers import Usage, view_answer
from phi_client.contract.genai import CONTENT_VARIABLE, asked, content_of_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phi_client._call.exchange import Exchange

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
ADD = {"name": "add", "description": "adds", "parameters": {"type": "object"}}
PLANTED = "planted prompt: my bank account holds 1234 dollars"
KEY = "planted-key-0123456789abcdef"
HERE = Origin(request_id="r-1", client_request_id="c-1", endpoint="https://phi.example", headers={})


def plain(text: str) -> str:
    return text


def whole(raw: dict[str, Any]) -> Completion:
    return completion_of(view_answer(raw, "message"), HERE)


def messages_of(request: Mapping[str, Any]) -> Any:
    return json.loads(content_of_request(request, plain)["gen_ai.input.messages"])


def choices_of(done: Completion, *, has_failed: bool = False) -> Any:
    told = genai.content_of_answer(done, plain, has_failed=has_failed)
    return json.loads(told["gen_ai.output.messages"])


def test_tools_and_their_results_are_parts() -> None:
    history = [
        {"role": "system", "content": "be short"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "1 + 1?"}, {"type": "image", "image": {"a": 1}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {"role": "assistant", "content": "two", "name": "ann"},
    ]
    assert messages_of({"messages": history}) == [
        {"role": "system", "parts": [{"type": "text", "content": "be short"}]},
        {
            "role": "user",
            "parts": [{"type": "text", "content": "1 + 1?"}, {"type": "image", "image": {"a": 1}}],
        },
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "2"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "two"}], "name": "ann"},
    ]


def test_the_definitions_of_tools_are_told_with_the_content() -> None:
    told = content_of_request({"messages": [], "tools": [{"type": "function", "function": ADD}]}, plain)
    assert json.loads(told["gen_ai.tool.definitions"]) == [{"type": "function", **ADD}]
    assert "gen_ai.tool.definitions" not in content_of_request({"messages": []}, plain)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [('{"a": 1}', {"a": 1}), ('{"a": ', '{"a": '), ("", ""), (None, None), ({"a": 1}, {"a": 1})],
)
def test_arguments_that_are_no_json_are_told_as_they_came(arguments: object, told: object) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    (message,) = messages_of({"messages": [{"role": "assistant", "tool_calls": [call]}]})
    assert message["parts"][0]["arguments"] == told


def test_each_choice_is_a_message_in_the_order_of_its_index() -> None:
    raw = {
        "choices": [
            {"index": 1, "message": {"content": "<think>b</think>two"}, "finish_reason": "length"},
            {"index": 0, "message": {"content": None, "tool_calls": [CALL]}, "finish_reason": "tool_calls"},
        ]
    }
    part = {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1}}
    thought, text = {"type": "reasoning", "content": "b"}, {"type": "text", "content": "two"}
    assert choices_of(whole(raw)) == [
        {"role": "assistant", "parts": [part], "finish_reason": "tool_call"},
        {"role": "assistant", "parts": [thought, text], "finish_reason": "length"},
    ]
    told = genai.answered(whole(raw), plain)
    assert told["gen_ai.response.finish_reasons"] == ["tool_calls", "length"]


def test_an_answer_that_was_cut_short_has_a_reason_that_says_so() -> None:
    done = whole({"choices": [{"message": {"content": "so f"}}]})
    assert [one["finish_reason"] for one in choices_of(done)] == ["unknown"]
    assert [one["finish_reason"] for one in choices_of(done, has_failed=True)] == ["error"]
    assert "gen_ai.response.finish_reasons" not in genai.answered(done, plain)


@pytest.mark.parametrize(
    ("response_format", "told"),
    [
        ({"type": "text"}, "text"),
        ({"type": "json_object"}, "json"),
        ({"type": "JSON_OBJECT"}, "json"),
        ({"type": "json_schema", "json_schema": {}}, "json"),
        ({"type": "regex", "regex": "a"}, "text"),
        ({"type": "xml"}, None),
        ({"type": None}, None),
        ("json", None),
        (None, None),
    ],
)
def test_the_type_of_the_output_is_what_was_asked_for(response_format: object, told: str | None) -> None:
    assert asked({"response_format": response_format}).get("gen_ai.output.type") == told


def test_parameters_have_the_types_of_the_conventions() -> None:
    told = asked(
        {"temperature": 0, "top_k": 5, "max_tokens": 9, "seed": -1, "n": 3, "stream": True, "stop": "."}
    )
    assert told == {
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_k": 5.0,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.seed": -1,
        "gen_ai.request.choice.count": 3,
        "gen_ai.request.stream": True,
        "gen_ai.request.stop_sequences": ["."],
    }
    assert isinstance(told["gen_ai.request.temperature"], float)


@pytest.mark.parametrize("value", ["hot", True, None, [1], math.nan, math.inf, 10**400])
def test_a_parameter_of_another_type_is_left_out(value: object) -> None:
    request = dict.fromkeys(("temperature", "top_p", "max_tokens", "seed", "n", "stop"), value)
    assert set(asked(request)) <= {"gen_ai.request.stop_sequences"}
    assert asked({"stop": ["a", 1]}) == {} == asked({"n": 1, "stream": False, "stop": []})


@dataclass(frozen=True)
class WideUsage(Usage):
    """As a service tells it that counts reasoning and knows a cache."""

    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


def test_tokens_of_reasoning_and_of_the_cache_are_told_where_the_wire_has_them() -> None:
    usage = WideUsage(
        prompt_tokens=9, completion_tokens=5, total_tokens=14, reasoning_tokens=3, cached_tokens=4
    )
    told = genai.answered(replace(whole({"choices": [{"message": {}}]}), usage=usage), plain)
    assert {name.removeprefix("gen_ai.usage."): value for name, value in told.items()} == {
        "input_tokens": 9, "output_tokens": 5, "reasoning.output_tokens": 3, "cache_read.input_tokens": 4
    }  # fmt: skip
    bare = genai.answered(whole({"choices": [{"message": {}}], "usage": {"prompt_tokens": 9}}), plain)
    assert set(bare) == {"gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"}


@dataclass
class Dialect:
    telemetry_name: str = "azure.ai.inference"


@dataclass
class AnExchange:
    """What a trace looks at in an exchange."""

    request: Mapping[str, Any]
    method: str = "POST"
    url: str = "https://phi.example/chat/completions?key=planted"
    dialect: Dialect = field(default_factory=Dialect)

    def request_id(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("x-request-id")


class Watched:
    """A trace of one call, and all that is told of it."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.exchange = cast("Exchange", AnExchange(request))
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        meters = MeterProvider(metric_readers=[self._reader], shutdown_on_exit=False)
        self.trace = CallTrace(self.exchange, lambda: 7.0, tracers, meters, may_hop=True)

    def schemas(self) -> set[str | None]:
        """The versions of the conventions that spans name."""
        scopes = [span.instrumentation_scope for span in self._exporter.get_finished_spans()]
        return {scope.schema_url for scope in scopes if scope}

    def all_told(self) -> list[tuple[str, Any]]:
        """Each attribute of each span and metric, and the metrics' names."""
        told = [
            pair for span in self._exporter.get_finished_spans() for pair in (span.attributes or {}).items()
        ]
        data = self._reader.get_metrics_data()
        scopes = [scope for one in data.resource_metrics for scope in one.scope_metrics] if data else []
        for metric in (metric for scope in scopes for metric in scope.metrics):
            told.append((metric.name, None))
            told += [pair for point in metric.data.data_points for pair in (point.attributes or {}).items()]
        assert [span.to_json() for span in self._exporter.get_finished_spans()]
        return told


FULL_REQUEST: dict[str, Any] = {
    "model": "phi", "temperature": 1, "top_p": 1, "top_k": 1, "max_tokens": 1, "seed": 1, "n": 2, "stop": ".",
    "presence_penalty": 1, "frequency_penalty": 1, "stream": True, "response_format": {"type": "text"},
    "messages": [{"role": "user", "content": PLANTED}], "tools": [{"type": "function", "function": ADD}],
}  # fmt: skip
FULL_ANSWER: dict[str, Any] = {
    "id": "i", "model": "phi", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}  # fmt: skip


def test_the_names_are_those_of_the_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = vars(importlib.import_module("opentelemetry.semconv.schemas").Schemas)
    if "V1_42_0" not in schemas:
        pytest.skip("the conventions that are installed are older")
    monkeypatch.setenv(CONTENT_VARIABLE, "true")
    watched = Watched(FULL_REQUEST)
    done = replace(whole(FULL_ANSWER), usage=WideUsage(1, 1, 2, 1, 1))
    watched.trace.finish(done, ValueError(), chunk_times=[8, 9])
    known: set[str] = set()
    for module in ("attributes.gen_ai", "attributes.server", "attributes.error", "metrics.gen_ai"):
        kind = module.partition(".")[0]
        names = importlib.import_module(f"opentelemetry.semconv._incubating.{module}_{kind}")
        known |= {value for value in vars(names).values() if isinstance(value, str)}
    assert watched.schemas() == {schemas["V1_42_0"].value}
    told = {name for name, _ in watched.all_told()}
    assert len(told) > 30
    assert told <= known


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**90), 2**90) | st.floats()
    | st.text(st.characters(), max_size=12) | st.sampled_from(["text", "tool", "assistant", "json_object"])
)  # fmt: skip
NAMES = st.sampled_from(
    [
        *FULL_REQUEST, *FULL_ANSWER, "role", "content", "type", "text", "tool_calls", "function", "name", "arguments",
        "index", "message", "finish_reason", "prompt_tokens", "cached_tokens", "prompt_tokens_details",
    ]
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=8)


def is_writable(value: object) -> bool:
    """Whether any exporter can write the value."""
    if isinstance(value, tuple):
        return all(isinstance(one, str) and is_writable(one) for one in value)
    if isinstance(value, str):
        return value.encode() is not None
    is_small = isinstance(value, int) and -(2**63) <= value < 2**63
    return is_small or (isinstance(value, float) and math.isfinite(value))


@given(
    request=OBJECTS, messages=st.lists(OBJECTS | JSON, max_size=3) | JSON, raw=OBJECTS, captures=st.booleans()
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_and_answered_is_told_without_a_complaint(
    request: dict[str, Any],
    messages: Any,
    raw: dict[str, Any],
    captures: bool,
    *,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.clear()
    monkeypatch.setenv(CONTENT_VARIABLE, str(captures))
    if isinstance(messages, list):
        messages = [{"role": "user", "content": PLANTED}, *messages]
    watched = Watched({**request, "messages": messages})
    usage = Usage(raw.get("prompt_tokens", 1), raw.get("completion_tokens", 1))
    done = Completion(
        content=PLANTED, reasoning=PLANTED, finish_reason=raw.get("finish_reason"), usage=usage,
        request_id=None, model=raw.get("model"), raw=raw,
    )  # fmt: skip
    with watched.trace.attempt(watched.exchange):
        pass
    watched.trace.finish(done)
    told = watched.all_told()
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []
    assert [(name, value) for name, value in told if value is not None and not is_writable(value)] == []
    values = dict(told)
    if not captures:
        assert PLANTED not in repr(told)
        return
    for name in ("gen_ai.input.messages", "gen_ai.output.messages"):
        for message in json.loads(values[name]):
            assert isinstance(message["role"], str)
            for part in message["parts"]:
                assert isinstance(part["type"], str)
                assert part["type"] != "text" or isinstance(part["content"], str)
                assert part["type"] != "tool_call" or isinstance(part["name"], str)


def test_what_is_too_deep_to_write_is_not_told() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    request = {"messages": [{"role": "tool", "content": deep}]}
    assert content_of_request(request, plain) == {"gen_ai.input.messages": "[]"}


@pytest.mark.parametrize("captures", ["true", "false"])
def test_a_credential_is_told_nowhere(captures: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONTENT_VARIABLE, captures)
    watched = Watched({"messages": [{"role": "user", "content": f"my key is {KEY}"}]})
    with watched.trace.attempt(watched.exchange) as attempt:
        attempt.inject({"api-key": KEY, "Authorization": f"Bearer {KEY}", "X-Name": "phi"})
        attempt.note(200, {"x-request-id": f"r-{KEY}"})
    long = "word " * 60_000
    said = {"content": f"{long}{KEY}", "tool_calls": [{"function": {"name": KEY, "arguments": f'["{KEY}"]'}}]}
    raw = {"id": KEY, "model": KEY, "choices": [{"message": said, "finish_reason": KEY}]}
    watched.trace.finish(whole(raw))
    told = watched.all_told()
    assert "planted-key" not in repr(told)
    assert ("azure.service.request.id", "r-[secret]") in told
    if captures == "true":
        assert len(dict(told)["gen_ai.output.messages"]) > len(long), "a long answer is told whole"


def test_a_short_credential_is_a_word_like_any_other() -> None:
    watched = Watched({"messages": []})
    with watched.trace.attempt(watched.exchange) as attempt:
        attempt.inject({"api-key": "stop"})
    watched.trace.finish(whole(FULL_ANSWER))
    assert dict(watched.all_told())["gen_ai.response.finish_reasons"] == ("stop",)


def test_a_second_end_is_none(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched({"messages": []})
    watched.trace.finish(None, KeyboardInterrupt())
    watched.trace.finish(whole(FULL_ANSWER))
    assert dict(watched.all_told())["error.type"] == "KeyboardInterrupt"
    assert caplog.records == []
