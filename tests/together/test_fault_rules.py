"""Faults are asked for by a header, a file, the control routes and from Python; each scope has its own."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from phi_emulator import EmulatorConfig
from phi_emulator.config import ConfigError
from phi_emulator.emulator import Emulator, EmulatorError
from phi_emulator.faults.rules import FaultError

from phi_client.contract.dialects import DIALECTS

if TYPE_CHECKING:
    from tests.together.conftest import Running, StartEmulator

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
OVERLOADED = {"effect": "error", "error": "engine_failed"}


def asked(
    running: Running, path: str = "/chat/completions", body: Any = ASK, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return running.http.post(path, json=body, headers=named)


def statuses(running: Running, count: int, **headers: str) -> list[int]:
    return [asked(running, **headers).status_code for _ in range(count)]


def test_a_budget_is_used_up(running: Running) -> None:
    running.emulator.faults.add("error", error="engine_failed", times=2)
    assert statuses(running, 4) == [500, 500, 200, 200]
    (count,) = running.emulator.faults.counts()
    assert (count.calls, count.faults) == (4, 2)
    assert count.rule == OVERLOADED | {"times": 2}


def test_conditions_are_those_of_the_exchange(start_emulator: StartEmulator) -> None:
    running = start_emulator()
    faults = running.emulator.faults
    faults.add("error", error="engine_failed", when={"surface": "foundry_models", "deployment": "phi"})
    faults.add("error", error="rate_limited", when={"route": "/v1/*"})
    faults.add("error", error="context", when={"headers": {"X-Test": "a"}})
    models, key = "/models/chat/completions?api-version=2024-05-01-preview", running.emulator.key
    assert asked(running, models, api_key=key).status_code == 200
    assert asked(running, models, ASK | {"model": "phi"}, api_key=key).status_code == 500
    assert (
        asked(running, "/openai/deployments/phi/chat/completions?api-version=2024-10-21").status_code == 200
    )
    assert asked(running, "/v1/chat/completions").status_code == 429
    assert asked(running, x_test="a").status_code == 400
    assert asked(running, x_test="b").status_code == 200


def test_a_deployment_is_known_wherever_it_is_named(start_emulator: StartEmulator) -> None:
    running = start_emulator(deployments=("phi", "other"))
    running.emulator.faults.add("error", error="timed_out", when={"deployment": "phi"})
    older = "/openai/deployments/{}/chat/completions?api-version=2024-10-21"
    assert asked(running, older.format("phi")).status_code == 408
    assert asked(running, older.format("other")).status_code == 200
    managed = "/managed-compute/chat/completions"
    assert asked(running, managed, azureml_model_deployment="other").status_code == 200
    assert asked(running, managed, azureml_model_deployment="phi").status_code == 408


def test_what_a_request_does_wrong_itself_is_refused_and_not_counted(running: Running) -> None:
    running.emulator.faults.add("error", error="engine_failed", times=1)
    assert asked(running, body={"messages": []}).status_code == 422
    assert (
        running.http.post("/chat/completions", json=ASK, headers={"Authorization": "Bearer no"}).status_code
        == 401
    )
    assert running.http.get("/chat/completions").status_code == 405
    assert asked(running, "/nowhere").status_code == 404
    assert statuses(running, 2) == [500, 200]


def test_a_route_without_a_question_meets_faults_too(running: Running) -> None:
    running.emulator.faults.add("error", error="engine_failed", when={"route": "/info"}, times=1)
    assert [running.http.get("/info").status_code for _ in range(2)] == [500, 200]


def test_the_emulators_own_routes_meet_none(running: Running) -> None:
    running.emulator.faults.add("cut_head")
    for path in ("/_emulator/health", "/_emulator/status", "/_emulator/faults", "/"):
        assert running.http.get(path).status_code == 200
    assert running.http.post("/_emulator/faults/reset").status_code == 200


def test_an_error_on_the_score_route_has_its_form(start_emulator: StartEmulator) -> None:
    running = start_emulator(image="older")
    body = {"input_data": {"input_string": [{"role": "user", "content": "x"}], "parameters": {}}}
    managed = DIALECTS["managed_compute"]
    assert managed.score_route is not None
    path = managed.emulator_prefix + managed.score_route
    real = asked(running, path, {"input_data": {"input_string": 3}})
    fault = asked(running, path, body, x_phi_fault="error error=validation")
    assert fault.status_code == real.status_code


def test_a_header_is_for_one_request_and_is_counted_by_no_rule(running: Running) -> None:
    running.emulator.faults.add("error", error="engine_failed", when={"call": 2})
    assert asked(running, x_phi_fault="error error=timed_out").status_code == 408
    assert statuses(running, 2) == [200, 500]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("stal", "x-phi-fault: effect: `stal` is no effect: did you mean `stall`?"),
        ("stall", "x-phi-fault: `stall` is a fault of streams, and this request asks for a whole answer"),
        ("expired_token", "x-phi-fault: `expired_token` is a fault of requests with a token"),
        ("error error=no_model", "x-phi-fault: `no_model` is said by foundry_models, openai_v1"),
    ],
)
def test_a_header_that_asks_for_no_fault_is_refused(line: str, said: str, running: Running) -> None:
    answer = asked(running, x_phi_fault=line)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(said)


def test_the_emulators_headers_are_none_of_a_callers_own(running: Running) -> None:
    mine = {f"x_mine_{number}": "1" for number in range(10)}
    assert asked(running, "/openai/v1/chat/completions", x_phi_scope="a", **mine).status_code == 200


def test_scopes_do_not_meet(running: Running) -> None:
    running.emulator.faults.add("error", error="engine_failed", times=1)
    running.emulator.faults.add("error", error="timed_out", times=1, when={"scope": "a"})
    assert statuses(running, 3, x_phi_scope="a") == [500, 408, 200]
    assert statuses(running, 2, x_phi_scope="b") == [500, 200]
    assert statuses(running, 2) == [500, 200]


# Control routes


def told(running: Running, **headers: str) -> list[dict[str, Any]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return list(running.http.get("/_emulator/faults", headers=named).json()["faults"])


def test_rules_are_set_listed_and_reset_over_http(running: Running) -> None:
    rule = OVERLOADED | {"times": 1, "when": {"call": "2-", "surface": "serverless"}}
    answer = running.http.post("/_emulator/faults", json={"faults": [rule]})
    assert answer.json() == {"faults": [rule | {"counted": {"calls": 0, "faults": 0}}]}
    assert statuses(running, 3) == [200, 500, 200]
    assert told(running) == [rule | {"counted": {"calls": 3, "faults": 1}}]
    assert running.http.post("/_emulator/faults/reset").json() == {"faults": []}
    assert statuses(running, 2) == [200, 200]


def test_a_scopes_rules_are_set_and_reset_alone(running: Running) -> None:
    running.emulator.faults.add("error", error="timed_out", when={"scope": "other"})
    mine = {"x-phi-scope": "mine"}
    running.http.post("/_emulator/faults", json={"faults": [OVERLOADED]}, headers=mine)
    assert told(running, x_phi_scope="mine")[0]["when"] == {"scope": "mine"}
    assert statuses(running, 1, x_phi_scope="mine") == [500]
    assert statuses(running, 1) == [200]
    running.http.post("/_emulator/faults/reset", headers=mine)
    assert statuses(running, 1, x_phi_scope="mine") == [200]
    assert statuses(running, 1, x_phi_scope="other") == [408]


def test_changing_needs_the_key_and_listing_shows_no_value_of_a_header(running: Running) -> None:
    running.emulator.faults.add("error", error="context", when={"headers": {"Authorization": "a secret"}})
    root = running.emulator.root
    for path in ("/_emulator/faults", "/_emulator/faults/reset"):
        assert httpx.post(root + path, json={"faults": []}, trust_env=False).status_code == 400
    listed = httpx.get(f"{root}/_emulator/faults", trust_env=False)
    assert "secret" not in listed.text
    assert listed.json()["faults"][0]["when"] == {"headers": {"authorization": "…"}}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"faults": [{"effect": "stal"}]}', "faults[0].effect: `stal` is no effect: did you mean `stall`?"),
        (b'{"fault": []}', "a list of rules is expected under `faults`"),
        (b"[]", "a list of rules is expected under `faults`"),
        (b"{", "Expecting property name"),
    ],
)
def test_rules_that_cannot_be_are_refused_and_change_nothing(
    body: bytes, said: str, running: Running
) -> None:
    running.emulator.faults.add("error", error="engine_failed")
    answer = running.http.post(
        "/_emulator/faults", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(said)
    assert statuses(running, 1) == [500]


# Files and Python


def test_rules_come_from_a_file_and_a_reset_brings_them_back(
    tmp_path: Path, start_emulator: StartEmulator
) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('[[faults]]\neffect = "error"\nerror = "engine_failed"\ntimes = 1\n')
    running = start_emulator(faults=str(path))
    assert statuses(running, 2) == [500, 200]
    running.emulator.faults.set([])
    assert statuses(running, 1) == [200]
    running.emulator.faults.reset()
    assert statuses(running, 2) == [500, 200]


def test_a_bad_file_is_refused_with_its_line_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('[[faults]]\neffect = "stall"\ntoken = 2\n')
    with pytest.raises(ConfigError, match=r"faults\.toml:3: faults\[0\]\.token: .* did you mean `tokens`\?"):
        EmulatorConfig(faults=str(path))


def test_python_is_told_what_can_not_be(running: Running) -> None:
    with pytest.raises(FaultError, match="did you mean `tokens`"):
        running.emulator.faults.add("stall", token=3)
    assert running.emulator.faults.counts() == []
    with pytest.raises(EmulatorError, match="was not started"):
        _ = Emulator(EmulatorConfig(port=0)).faults


# What is on the wire


def raw(running: Running, fault: str, *, streams: bool = False) -> bytes:
    """All bytes that come back on a connection of its own, whether it ends with FIN or RST."""
    body = b'{"messages":[{"role":"user","content":"x"}],"stream":%s}' % (b"true" if streams else b"false")
    head = (
        f"POST /chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {running.emulator.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nx-phi-fault: {fault}\r\n"
        "Connection: close\r\n\r\n"
    )
    url = httpx.URL(running.emulator.root)
    got = b""
    with socket.create_connection((url.host, url.port or 0), timeout=20) as connection:
        connection.sendall(head.encode() + body)
        try:
            while part := connection.recv(65536):
                got += part
        except ConnectionResetError:
            return got + b"<reset>"
    return got


@pytest.mark.parametrize(("how", "end"), [("reset", b"<reset>"), ("end", b"")])
def test_a_connection_ends_at_its_byte_with_a_reset_or_without(
    how: str, end: bytes, running: Running
) -> None:
    assert raw(running, f"cut_head how={how}") == end
    assert raw(running, f"cut_head how={how} bytes=12") == b"HTTP/1.1 200" + end
    for streams in (False, True):
        got = raw(running, f"cut_body how={how} bytes=50", streams=streams)
        head, _, body = got.removesuffix(end).partition(b"\r\n\r\n")
        assert got.endswith(end)
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert len(body.replace(b"\r\n", b"").removeprefix(b"32")) == 50 or not streams
        assert len(body) == 50 or streams


def test_what_is_beyond_a_length_comes_after_the_answer(running: Running) -> None:
    got = raw(running, "content_length off=-7")
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert len(body) == length + 7


def test_a_header_comes_twice(running: Running) -> None:
    assert raw(running, "header_twice").lower().count(b"\r\ncontent-type: application/json") == 2


def test_an_engine_is_not_asked_for_an_answer_that_is_none(running: Running) -> None:
    running.gate.close()
    assert asked(running, x_phi_fault="error error=rate_limited").status_code == 429
    assert raw(running, "cut_head") == b"<reset>"
    assert running.engine.steps == 0
