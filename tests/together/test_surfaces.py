"""What a surface sends and no other does: headers, routes, and the shape of its streams, as bytes on a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from phi_emulator.engine.machine.builds import has_engine_api

from tests.emulator.engine.conftest import NO_ENGINE, make_ort

if TYPE_CHECKING:
    from tests.together.conftest import Running

    StartEmulator = Callable[..., Running]

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "six times seven"}]}
VERSION = {"api-version": "2024-05-01-preview"}
MANAGED, MODELS, V1 = "/managed-compute", "/models", "/openai/v1"
CHAT = {path: f"{path}/chat/completions" for path in ("", MANAGED, MODELS, V1)}


def ask(running: Running, path: str, *, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    keyed = {"api-key": running.emulator.key} | (headers or {})
    return running.http.post(CHAT[path], json=ASK | fields, params=VERSION, headers=keyed)


def chunks(running: Running, path: str, **fields: Any) -> list[dict[str, Any]]:
    lines = ask(running, path, stream=True, **fields).text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_managed_compute_names_the_deployment_that_answered(start_emulator: StartEmulator) -> None:
    header = "azureml-model-deployment"
    some = start_emulator(deployments=("blue", "green"))
    assert ask(some, MANAGED).headers[header] == "blue"
    assert ask(some, MANAGED, headers={header: "green"}).headers[header] == "green"
    missing = ask(some, MANAGED, headers={header: "red"})
    assert missing.status_code == 404
    assert missing.text.startswith("No valid deployments to route to.")
    any_name = start_emulator()
    assert ask(any_name, MANAGED).headers[header] == "phi-emulator-1"
    assert ask(any_name, MANAGED, headers={header: "red"}).headers[header] == "red"
    assert header not in ask(any_name, "").headers


def test_v1_names_the_deployment_that_answered(running: Running) -> None:
    assert ask(running, V1).headers["x-ms-deployment-name"] == "m"


def test_managed_compute_describes_its_routes(running: Running) -> None:
    document = running.http.get("/managed-compute/swagger.json").json()
    assert set(document["paths"]) == {"/chat/completions", "/v1/chat/completions", "/score", "/"}
    request = document["components"]["schemas"]["ChatRequest"]
    assert request["required"] == ["messages"]
    assert "#/components/schemas/ChatMessage" in json.dumps(request)
    assert running.http.get("/swagger.json").status_code == 404
    assert (
        running.http.get("/managed-compute/swagger.json", headers={"Authorization": "no"}).status_code == 401
    )


def test_a_foundry_resource_takes_ten_headers_of_a_callers_own(running: Running) -> None:
    own = {f"x-mine-{number}": "1" for number in range(10)}
    known = {f"x-stainless-{number}": "1" for number in range(10)} | {"x-ms-client-request-id": "1"}
    for path in (MODELS, V1):
        assert ask(running, path, headers=own | known).status_code == 200
        assert ask(running, path, headers=own | {"x-mine-too": "1"}).status_code == 431
    assert ask(running, "", headers=own | {"x-mine-too": "1"}).status_code == 200


@pytest.mark.parametrize(
    ("limit", "path", "sent"),
    [
        ("tokens_per_minute", V1, {"policy-id", "x-ratelimit-reset-tokens"}),
        ("tokens_per_minute", MODELS, {"policy-id", "x-ratelimit-reset-tokens"}),
        ("requests_per_minute", V1, {"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"}),
        ("tokens_per_minute", "", set[str]()),
        ("tokens_per_minute", MANAGED, set[str]()),
    ],
)
def test_a_refusal_for_a_limit_has_the_headers_of_its_surface(
    start_emulator: StartEmulator, limit: str, path: str, sent: set[str]
) -> None:
    running = start_emulator(**{limit: 1})
    assert ask(running, path).status_code == 200
    refused = ask(running, path)
    assert refused.status_code == 429
    names = {name for name in refused.headers if name.startswith("x-ratelimit") or name == "policy-id"}
    assert names == sent
    assert 0 < int(refused.headers["retry-after"]) <= 60


@pytest.mark.parametrize("path", CHAT)
def test_requests_at_once_are_refused(start_emulator: StartEmulator, path: str) -> None:
    running = start_emulator(max_concurrent=1)
    running.gate.close()
    keyed = {"api-key": running.emulator.key}
    body = ASK | {"stream": True}
    with running.http.stream("POST", CHAT[path], json=body, params=VERSION, headers=keyed) as first:
        assert first.status_code == 200
        second = ask(running, path)
        running.gate.allow()
    assert second.status_code == 429
    assert second.headers["retry-after"] == "1"
    reason = "too_many_pending_request" if path == MANAGED else None
    assert second.headers.get("ms-azureml-model-error-reason") == reason


def test_a_filtered_prompt_counts_for_its_own_tokens(start_emulator: StartEmulator) -> None:
    running = start_emulator(content_filter="default", tokens_per_minute=1000)
    blocked: dict[str, Any] = {
        "messages": [{"role": "user", "content": "phi-filter-hate"}],
        "max_tokens": 900,
    }
    for _ in range(3):
        assert ask(running, "", **blocked).status_code == 400


def test_a_hosted_cap_ends_the_answer(start_emulator: StartEmulator) -> None:
    capped = ask(start_emulator(max_output_tokens=3), "", max_tokens=900).json()
    assert capped["choices"][0]["finish_reason"] == "length"
    assert capped["usage"]["completion_tokens"] == 3


def test_serverless_streams_usage_with_the_finish_reason(running: Running) -> None:
    first, *_, last = chunks(running, "")
    assert first["choices"][0]["delta"] == {"content": "", "role": "assistant"}
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["completion_tokens"] > 0
    assert "usage" not in first
    assert "prompt_filter_results" not in first


def test_models_streams_empty_keys_in_every_chunk(running: Running) -> None:
    first, *_, last = chunks(running, MODELS)
    assert first["usage"] is None
    assert last["usage"]["completion_tokens"] > 0
    for chunk in (first, last):
        assert {"logprobs", "matched_stop"} <= chunk["choices"][0].keys()
        assert set(chunk["choices"][0]["delta"]) == {"content", "role", "tool_calls"}


def test_v1_streams_annotations_first_and_usage_on_request(running: Running) -> None:
    first, second, *_, last = chunks(running, V1)
    assert first["choices"] == []
    assert first["prompt_filter_results"][0]["content_filter_results"]["hate"]["severity"] == "safe"
    assert second["choices"][0]["content_filter_results"] == {}
    assert last["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in last
    *others, last = chunks(running, V1, stream_options={"include_usage": True})
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > 0
    assert [chunk["usage"] for chunk in others[1:]] == [None] * len(others[1:])


def test_annotations_tell_what_was_found_and_passed(start_emulator: StartEmulator) -> None:
    running = start_emulator("a phi-note-sexual answer", content_filter="default")
    noted: dict[str, Any] = {"messages": [{"role": "user", "content": "phi-note-hate"}]}
    low = {"filtered": False, "severity": "low"}
    for path in ("", MODELS, V1):
        body = ask(running, path, **noted).json()
        assert body["prompt_filter_results"][0]["content_filter_results"]["hate"] == low
        assert body["choices"][0]["content_filter_results"]["sexual"] == low
        assert body["choices"][0]["finish_reason"] == "stop"
    first, *_, last = chunks(running, V1, **noted)
    assert first["prompt_filter_results"][0]["content_filter_results"]["hate"] == low
    assert last["choices"][0]["content_filter_results"]["sexual"] == low


def test_a_blocked_answer_is_not_sent_at_all(start_emulator: StartEmulator) -> None:
    running = start_emulator("a phi-filter-sexual answer", content_filter="default")
    for path in ("", MODELS, V1):
        choice = ask(running, path).json()["choices"][0]
        assert choice["finish_reason"] == "content_filter"
        assert "content" not in choice["message"]
        assert choice["content_filter_results"]["sexual"] == {"filtered": True, "severity": "medium"}


@pytest.fixture
def real(start_emulator: StartEmulator) -> Running:
    """An emulator with the bundled model, run by GenAI's Engine."""
    if not has_engine_api():
        pytest.skip(NO_ENGINE)
    return start_emulator(wrap=lambda _scripted: make_ort())


def test_v1_names_its_engine_and_counts_cached_tokens(real: Running) -> None:
    question = {
        "role": "user",
        "content": "Tom has 12 apples and buys 30 more. How many apples does he have?",
    }
    whole = ask(real, V1, messages=[question], max_tokens=4).json()
    assert whole["system_fingerprint"] == real.emulator.info.fingerprint
    assert whole["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    again = ask(real, V1, messages=[question], max_tokens=4).json()["usage"]
    block = real.emulator.info.block_size
    assert (
        again["prompt_tokens_details"]["cached_tokens"] >= again["prompt_tokens"] // block * block - block > 0
    )
    streamed = chunks(real, V1, messages=[question], max_tokens=4, stream_options={"include_usage": True})
    assert {chunk["system_fingerprint"] for chunk in streamed[1:]} == {whole["system_fingerprint"]}
    assert streamed[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    counts = real.status()["counts"]
    assert counts["ended"] == 3
    assert counts["cached_prompt_tokens"] > 0


@pytest.mark.parametrize("path", ["", MANAGED, MODELS])
def test_other_surfaces_name_no_engine(running: Running, path: str) -> None:
    answer = ask(running, path).json()
    assert "system_fingerprint" not in answer
    assert answer["usage"].get("prompt_tokens_details") is None
