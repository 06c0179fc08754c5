"""What a checkpoint belongs to: all that changes an answer is in an item's key, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi_client import ChatMessage, ConfigurationError
from phi_client._call.targets import resolve_settings
from phi_client._map.keys import hosts_of, key_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Driver

HOST = "https://phi.services.ai.azure.com"
MESSAGE = {"role": "user", "content": "x"}
KEY = "a-key-of-sixteen"


def key(messages: Any = "x", *, endpoint: str = f"{HOST}/openai/v1", api_key: str = KEY, **given: Any) -> str:
    """The key of an item of a client with these settings."""
    settings = {"model": "phi-a", **given}
    names = ("dialect", "model", "deployment", "api_version")
    own = {name: settings.pop(name) for name in names if name in settings}
    resolved = resolve_settings(environ={}, endpoint=endpoint, api_key=api_key, **own)
    return key_of(messages, resolved.options.merged(settings), resolved.targets)


SAME = key()


@pytest.mark.parametrize(
    "other",
    [
        {"messages": "y"},
        {"messages": [MESSAGE, MESSAGE]},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": "\ud800"},
        {"model": "phi-b"},
        {"endpoint": f"{HOST}/models"},
        {"endpoint": f"{HOST}/models", "api_version": "2024-02-02"},
        {"endpoint": "https://phi.eastus2.inference.ml.azure.com"},
        {"endpoint": "https://phi.eastus2.inference.ml.azure.com/score"},
        {"endpoint": "https://phi.eastus2.inference.ml.azure.com", "deployment": "blue"},
        {"endpoint": "https://phi.eastus2.inference.ml.azure.com", "deployment": "green"},
        {"seed": 1},
        {"seed": 2},
        {"temperature": 0.1},
        {"temperature": None},
        {"max_tokens": 5},
        {"stop": ["a"]},
        {"extra": {"top_k": 1}},
        {"headers": {"extra-parameters": "drop"}, "endpoint": f"{HOST}/models"},
    ],
)
def test_all_that_changes_the_answer_changes_the_key(other: dict[str, Any]) -> None:
    assert key(**other) != SAME
    everything = [
        key(**value) for value in ({}, other, {"seed": 77}, {"model": "phi-77"}, {"messages": "\udc00"})
    ]
    assert len(set(everything)) == 5


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [MESSAGE]},
        {"messages": [ChatMessage.model_validate(MESSAGE)]},
        {"messages": ({"content": "x", "role": "user"},)},
        {"timeout": 3},
        {"deadline": 90},
        {"max_retries": 0},
        {"on_truncation": "return"},
        {"headers": {"x-trace": "17", "x-ms-client-request-id": "mine"}},
        {"api_key": "another-key-of-the-same"},
        {"endpoint": "https://other.services.ai.azure.com/openai/v1"},
        {"endpoint": f"{HOST}/openai/v1 https://b.services.ai.azure.com/openai/v1", "api_key": f"{KEY} -"},
    ],
)
def test_nothing_else_does(other: dict[str, Any]) -> None:
    assert key(**other) == SAME


def test_the_order_of_options_and_keys_does_not_count() -> None:
    one = key(seed=1, top_p=0.5, extra={"a": {"b": 1, "c": 2}, "d": 1})
    assert one == key(top_p=0.5, seed=1, extra={"d": 1, "a": {"c": 2, "b": 1}})


def test_each_endpoints_model_counts() -> None:
    both = {"endpoint": f"{HOST}/openai/v1 {HOST}/openai/v1", "api_key": f"{KEY} {KEY}"}
    assert len({key(**both, model=names) for names in ("a a", "a b", "b b", "c b")}) == 4
    assert key(**both, model="a b") == key(**both, model="b a")


def test_a_key_is_the_same_in_each_process() -> None:
    """Sets have another order in each; objects with a wire form have no other `repr` than their address."""
    script = """
from phi_client._call.targets import resolve_settings
from phi_client._map.keys import key_of
class Tool:
    def to_wire(self): return {"type": "function", "function": {"name": "f"}}
settings = resolve_settings(environ={}, endpoint="emulator")
options = {"stop": {"a", "b", "c"}, "tools": [Tool()], "extra": {"deep": [{"x": frozenset("qwertz")}]}}
print(key_of("x", settings.options.merged(options), settings.targets))
"""
    keys = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in "123"
    }
    assert len(keys) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def shuffled(value: Any) -> Any:
    """The same value, its objects' keys the other way round, its lists as tuples."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    return tuple(shuffled(one) for one in value) if isinstance(value, list) else value


@given(JSON, JSON)
def test_keys_are_equal_where_what_is_sent_is(one: Any, other: Any) -> None:
    def typed(value: Any) -> str:
        return repr(value) if not isinstance(value, dict | list) else repr(sorted(map(typed, _parts(value))))

    def _parts(value: Any) -> list[Any]:
        return (
            [f"{name}={typed(value[name])}" for name in value] if isinstance(value, dict) else [repr(value)]
        )

    first = key(extra={"x": one})
    assert first == key(extra={"x": shuffled(one)})
    if one != other and typed(one) != typed(other):
        assert first != key(extra={"x": other})


def test_a_prompt_that_can_not_be_sent_fails_by_itself(phi: Driver, tmp_path: Path) -> None:
    phi.open().answer()
    bad = [{"role": "user", "content": object()}]
    with pytest.raises(ConfigurationError, match="JSON can't carry"):
        phi.map([bad], checkpoint=tmp_path / "c.jsonl")
    settings = resolve_settings(environ={}, endpoint=HOST + "/openai/v1", api_key=KEY, model="m")
    targets, options = settings.targets, settings.options
    assert key_of(bad, options, targets) == key_of(bad, options, targets) != key_of("x", options, targets)
    assert hosts_of(targets) == ["phi.services.ai.azure.com"]


def test_a_checkpoint_of_one_model_is_refused_for_another(phi: Driver, tmp_path: Path) -> None:
    import httpx  # noqa: PLC0415

    body = {"choices": [{"index": 0, "message": {"content": "I am A"}, "finish_reason": "stop"}]}
    route = phi.open(f"{HOST}/openai/v1", model="phi-a").answer(httpx.Response(200, json=body))
    phi.map(["who?"], checkpoint=tmp_path / "c.jsonl")
    phi.open(f"{HOST}/openai/v1", model="phi-b")
    with pytest.raises(ConfigurationError, match="asked another model"):
        phi.map(["who?"], checkpoint=tmp_path / "c.jsonl")
    phi.open(f"{HOST}/openai/v1", model="phi-a")
    assert phi.map(["who?"], checkpoint=tmp_path / "c.jsonl")[0].is_restored
    assert route.call_count == 1


def test_an_older_format_is_refused_with_what_to_do(tmp_path: Path, phi: Driver) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"format": "phi_client.map/1", "hosts": ["this machine"]}\n')
    before = path.read_bytes()
    phi.open()
    with pytest.raises(ConfigurationError, match=r"another version of this package.*finish it with"):
        phi.map(["x"], checkpoint=path)
    assert path.read_bytes() == before
