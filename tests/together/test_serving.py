"""What goes over the socket: whole answers, streams, both dialects, several callers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from phi_emulator.engine.protocol import Step
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.restarts import MOST_RESTARTS

from phi_client.contract.events import DONE, EventDecoder

if TYPE_CHECKING:
    from tests.together.conftest import Running, StartEmulator

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "six times seven"}]}
TEXT = "<think>6 times 7</think>The answer is \\boxed{42}."
CHAT_PATHS = [
    prefix + route
    for prefix in ("", "/serverless", "/managed-compute")
    for route in ("/chat/completions", "/v1/chat/completions")
]


def events(answer: httpx.Response) -> list[str]:
    return [event.data for event in EventDecoder().feed(answer.content)]


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    *data, done = events(answer)
    assert done == DONE
    return [json.loads(item) for item in data]


def text_of(found: Iterable[dict[str, Any]]) -> str:
    return "".join(chunk["choices"][0]["delta"]["content"] for chunk in found)


@pytest.mark.parametrize("path", CHAT_PATHS)
def test_every_chat_route_answers(running: Running, path: str) -> None:
    answer = running.http.post(path, json=ASK)
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert body["choices"][0]["message"]["content"] == TEXT
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["model"] == "scripted"
    counts = {name: body["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    steps = running.engine.steps - 1  # the last step only ends the sequence
    assert counts == {"prompt_tokens": 6, "completion_tokens": steps, "total_tokens": 6 + steps}


@pytest.mark.parametrize("path", CHAT_PATHS)
def test_every_chat_route_streams_the_same_text(running: Running, path: str) -> None:
    answer = running.http.post(path, json=ASK | {"stream": True})
    first, *middle, last = chunks(answer)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert first["choices"][0]["delta"] == {"content": "", "role": "assistant"}
    assert len(middle) == running.engine.steps - 1
    assert text_of([first, *middle, last]) == TEXT
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["completion_tokens"] == len(middle)
    assert all("usage" not in chunk for chunk in [first, *middle])


def test_a_chunk_is_sent_before_the_next_step_is_taken(running: Running) -> None:
    running.gate.close()
    with running.http.stream("POST", "/chat/completions", json=ASK | {"stream": True}) as answer:
        received = answer.iter_bytes()
        assert b'"role":"assistant"' in next(received)
        running.gate.allow(1)
        assert b'"content":"<"' in next(received)
        running.gate.allow(1)
        assert b'"content":"think"' in next(received)
        assert running.engine.steps == 2
        running.gate.allow()
        assert b"".join(received).endswith(b"data: [DONE]\n\n")


def test_serverless_sends_its_headers(running: Running) -> None:
    answer = running.http.post("/chat/completions", json=ASK)
    assert answer.json()["id"] == "chatcmpl-" + answer.headers["X-Request-ID"]
    assert answer.headers["prompt_token_len"] == "6"
    assert answer.headers["sampling_token_len"] == str(running.engine.steps - 1)
    assert answer.headers["azureml-model-session"].startswith("dep-scripted-")
    assert "server" not in answer.headers


def test_a_stream_has_no_token_headers(running: Running) -> None:
    answer = running.http.post("/chat/completions", json=ASK | {"stream": True})
    assert "X-Request-ID" in answer.headers
    assert "prompt_token_len" not in answer.headers


def test_connections_send_without_delay(running: Running) -> None:
    # Connections inherit the option. From outside it shows in time alone: 40 ms for each answer but the first.
    listening = running.emulator._socket
    assert listening is not None
    assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_managed_compute_sends_its_headers(running: Running) -> None:
    answer = running.http.post("/managed-compute/chat/completions", json=ASK)
    assert answer.headers.get_list("server") == ["azureml-frontdoor"]
    assert "prompt_token_len" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [
        {"input_data": {"input_string": ASK["messages"], "parameters": {"max_new_tokens": 3}}},
        {"input_data": ["six times seven"], "params": {"max_tokens": 3}},
    ],
    ids=["chat form", "text form"],
)
def test_score_answers_both_forms(running: Running, body: dict[str, Any]) -> None:
    answer = running.http.post("/managed-compute/score", json=body).json()
    assert answer["output"] == "<think>"
    assert answer["finish_reason"] == "length"
    assert answer["usage"] == {"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9}


def test_score_answers_200_and_an_empty_object_to_what_it_can_not_read(running: Running) -> None:
    answer = running.http.post("/managed-compute/score", json={"messages": []})
    assert (answer.status_code, answer.json()) == (200, {})


def test_score_answers_200_with_the_reason_for_a_prompt_that_is_too_long(
    start_emulator: StartEmulator,
) -> None:
    running = start_emulator(engine={"context_length": 6})
    answer = running.http.post("/managed-compute/score", json={"input_data": ["six times seven"]})
    body = answer.json()
    assert (answer.status_code, body["output"], body["error"]["status_code"]) == (200, None, 400)


def test_info_names_the_model_that_answers(running: Running) -> None:
    assert (
        running.http.get("/info", params={"api-version": "2024-05-01-preview"}).json()["model_name"]
        == "scripted"
    )


def test_the_older_container_has_an_info_route_and_answers_score_with_the_text_alone(
    start_emulator: StartEmulator,
) -> None:
    older = start_emulator(image="older").http
    info = older.get("/managed-compute/info")
    assert list(info.json()) == ["model_type", "model_provider_name", "model_name"]
    score = older.post("/managed-compute/score", json={"input_data": ["six times seven"]})
    assert list(score.json()) == ["output"]
    refused = older.post("/managed-compute/chat/completions", json=ASK | {"n": 1})
    assert (refused.status_code, refused.headers["ms-azureml-model-error-statuscode"]) == (424, "400")


def test_the_newer_container_has_no_info_route_and_passes_unknown_keys_on(running: Running) -> None:
    info = running.http.get("/managed-compute/info")
    assert (info.status_code, info.headers["ms-azureml-model-error-statuscode"]) == (424, "404")
    assert running.http.post("/managed-compute/chat/completions", json=ASK | {"n": 1}).status_code == 200


@pytest.mark.parametrize("path", ["/managed-compute", "/managed-compute/"])
def test_managed_compute_says_that_it_is_healthy(running: Running, path: str) -> None:
    assert running.http.get(path).content == b'"healthy"'


def test_the_root_speaks_the_dialect_of_the_configuration(start_emulator: StartEmulator) -> None:
    running = start_emulator(dialect="managed_compute")
    assert running.http.get("/").content == b'"healthy"'
    assert running.http.post("/score", json={"input_data": ["six"]}).json()["output"] == TEXT
    assert running.emulator.endpoint == running.emulator.root + "/managed-compute"
    assert running.emulator.endpoint_of("serverless") == running.emulator.root + "/serverless"


def test_control_routes_need_no_key(running: Running) -> None:
    answer = httpx.get(running.emulator.root + "/_emulator/status", trust_env=False)
    assert answer.json() == {
        "healthy": True,
        "model": "scripted",
        "source": "a function of the program that started it",
        "execution_provider": "none",
        "context_length": 4096,
        "batching": "continuous",
        "max_running": 4,
        "threads": None,
        "tokens_a_second": {},
        "weights_bytes": 0,
        "cache_bytes": 0,
        "running": 0,
        "waiting": 0,
        "fingerprint": "",
        "counts": {
            "ended": 0,
            "cancelled": 0,
            "refused": 0,
            "prompt_tokens": 0,
            "cached_prompt_tokens": 0,
            "completion_tokens": 0,
            "drafted_tokens": 0,
            "accepted_tokens": 0,
            "steps": 0,
        },
        "extensions": False,
    }
    assert httpx.get(running.emulator.root + "/_emulator/health", trust_env=False).json() == {
        "status": "healthy"
    }


def test_small_writes_do_not_wait_for_the_callers_acknowledgement(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seen at the server's end: what it looks like to a caller is 40 ms now and then, which no test can tell from load.
    accepted: list[socket.socket] = []
    accept = socket.socket.accept

    def remember(listening: socket.socket) -> tuple[socket.socket, Any]:
        connection, address = accept(listening)
        accepted.append(connection)
        return connection, address

    monkeypatch.setattr(socket.socket, "accept", remember)
    running.http.get("/_emulator/health")
    assert [c.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for c in accepted] == [1]


def test_a_stop_string_and_a_limit_end_the_answer(running: Running) -> None:
    stopped = running.http.post("/chat/completions", json=ASK | {"stop": ["</think>"]}).json()["choices"][0]
    assert (stopped["message"]["content"], stopped["finish_reason"]) == ("<think>6 times 7", "stop")
    limited = running.http.post("/chat/completions", json=ASK | {"max_tokens": 4}).json()
    assert limited["choices"][0]["message"]["content"] == "<think>6"
    assert limited["choices"][0]["finish_reason"] == "length"
    assert limited["usage"]["completion_tokens"] == 4


def test_callers_at_the_same_time_each_get_their_own_answer(start_emulator: StartEmulator) -> None:
    running = start_emulator(lambda messages: " ".join([messages[-1].content] * 5))

    def ask(number: int) -> str:
        body = {"messages": [{"role": "user", "content": f"n{number}"}], "stream": number % 2 == 0}
        answer = running.http.post("/chat/completions", json=body)
        return (
            text_of(chunks(answer)) if body["stream"] else answer.json()["choices"][0]["message"]["content"]
        )

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == [" ".join([f"n{number}"] * 5) for number in range(12)]
    assert running.status()["running"] == 0


class _Breaking(ScriptedEngine):
    """Breaks down at its third step."""

    def step(self) -> list[Step]:
        if self.steps == 2:
            raise RuntimeError("a secret of the engine")
        return list(super().step())


def _breaking(scripted: ScriptedEngine) -> _Breaking:
    return _Breaking(lambda _messages: TEXT)


@pytest.mark.parametrize("path", ["/chat/completions", "/managed-compute/chat/completions"])
def test_a_stream_says_that_the_engine_broke_down_and_ends(start_emulator: StartEmulator, path: str) -> None:
    running = start_emulator(wrap=_breaking)
    answer = running.http.post(path, json=ASK | {"stream": True})
    assert answer.status_code == 200
    assert answer.content.endswith(
        b"event: error\ndata: Error parsing decoded stream: the engine broke down\n\ndata: [DONE]\n\n"
    )


def test_an_engine_that_breaks_is_loaded_again_until_it_has_broken_too_often(
    start_emulator: StartEmulator,
) -> None:
    running = start_emulator(wrap=_breaking)
    for _ in range(MOST_RESTARTS + 2):
        answer = running.http.post("/chat/completions", json=ASK)
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "broke down" in answer.json()["error"]["message"]
    health = running.http.get("/_emulator/health")
    assert health.status_code == 503
    assert health.json() == {"status": "broken", "reloads": MOST_RESTARTS, "trouble": "RuntimeError in step"}
    assert running.http.post("/managed-compute/chat/completions", json=ASK).status_code == 424


def test_an_engine_that_broke_once_answers_the_next_and_says_so(start_emulator: StartEmulator) -> None:
    engines = [_Breaking(lambda _messages: TEXT), ScriptedEngine(lambda _messages: TEXT)]
    running = start_emulator(wrap=lambda _scripted: engines.pop(0))
    assert running.http.get("/_emulator/health").json() == {"status": "healthy"}
    assert running.http.post("/chat/completions", json=ASK).status_code == 500
    assert running.http.post("/chat/completions", json=ASK).status_code == 200
    health = running.http.get("/_emulator/health")
    assert health.status_code == 200
    assert health.json() == {"status": "healthy", "reloads": 1, "trouble": "RuntimeError in step"}
