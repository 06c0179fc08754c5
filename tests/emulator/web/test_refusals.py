"""What each surface answers to a request that it does not take: status, headers and bytes."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from phi_emulator import EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service.chat import ChatService
from phi_emulator.web.app import App

KEY = "the-key"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "six times seven"}]}
MODEL_ERROR = "ms-azureml-model-error-statuscode"


def void(_: object) -> None:
    """Take a value, and give none."""


class Web:
    """The application without a socket, for answers that are not streams."""

    def __init__(
        self,
        *,
        before_step: Callable[[], object] = lambda: None,
        request_timeout_ms: int | None = None,
        deployments: tuple[str, ...] = (),
    ) -> None:
        def engine() -> ScriptedEngine:
            return ScriptedEngine(lambda _: "42", context_length=64, before_step=lambda: void(before_step()))

        self.worker = Worker(engine)
        self.worker.start()
        self.service = ChatService(self.worker)
        self.app = App(
            self.service,
            EmulatorConfig(
                key=KEY,
                max_body_bytes=1000,
                request_timeout_ms=request_timeout_ms,
                deployments=deployments,
            ),
        )

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:16180") as client:
                return await client.request(method, path, **({"headers": AUTHORIZED} | options))

        return asyncio.run(send())


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.worker.stop()


def test_serverless_without_a_key(web: Web) -> None:
    answer = web("POST", "/chat/completions", json=ASK, headers={"api-key": KEY})
    assert answer.status_code == 400
    assert answer.content == b'{"status":"Auth token must be passed as a header called Authorization"}'
    assert "X-Request-ID" not in answer.headers


@pytest.mark.parametrize("value", ["Bearer another", "Bearer ", "Basic dTpw", "Bearer k\u00e9y"])
def test_serverless_with_a_wrong_key(web: Web, value: str) -> None:
    answer = web("POST", "/chat/completions", json=ASK, headers={"authorization": value.encode()})
    assert answer.status_code == 401
    assert answer.json() == {
        "statusCode": 401,
        "message": "Auth token validation failed. Please provide a valid key or a valid AAD token",
    }
    assert answer.headers["x-ms-error-reason"] == "Invalid JWT."
    assert "X-Request-ID" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "key_auth_bad_header_forbidden"),
        ({"authorization": "nonsense"}, "key_auth_bad_header_forbidden"),
        ({"authorization": "Bearer another"}, "key_auth_access_denied"),
    ],
)
def test_managed_compute_without_the_key(web: Web, headers: dict[str, str], text: str) -> None:
    answer = web("POST", "/managed-compute/score", json={}, headers=headers)
    assert (answer.status_code, answer.text) == (401, text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert MODEL_ERROR not in answer.headers


@pytest.mark.parametrize(
    "path", ["/embeddings", "/", "/serverless/", "/serverless/score", "/serverlessly", "/_emulator/x"]
)
def test_an_unknown_path_on_serverless(web: Web, path: str) -> None:
    answer = web("POST", path, json={})
    assert (answer.status_code, answer.content) == (404, b"NOT FOUND")
    assert answer.headers[MODEL_ERROR] == "404"
    assert answer.headers["X-Request-ID"]


def test_an_unknown_path_needs_the_key_as_well(web: Web) -> None:
    assert web("POST", "/embeddings", json={}, headers={}).status_code == 400


def test_an_unknown_path_on_managed_compute(web: Web) -> None:
    answer = web("POST", "/managed-compute/score/chat/completions", json={})
    assert (answer.status_code, answer.content) == (424, b'{"detail":"Not Found"}')
    assert answer.headers[MODEL_ERROR] == "404"


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/chat/completions", 405, "POST"),
        ("POST", "/info", 405, "GET"),
        ("OPTIONS", "/managed-compute/score", 424, "POST"),
    ],
)
def test_a_wrong_method(web: Web, method: str, path: str, status: int, allowed: str) -> None:
    answer = web(method, path)
    assert (answer.status_code, answer.content) == (status, b'{"detail":"Method Not Allowed"}')
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_not_said_to_be_json(web: Web, content_type: str) -> None:
    headers = AUTHORIZED | {"content-type": content_type}
    answer = web("POST", "/chat/completions", content=json.dumps(ASK), headers=headers)
    assert answer.status_code == 415
    assert answer.json() == {"status": "Unsupported media type, use application/json"}


def test_json_with_a_charset_is_json(web: Web) -> None:
    headers = AUTHORIZED | {"content-type": "application/json; charset=utf-8"}
    assert web("POST", "/chat/completions", content=json.dumps(ASK), headers=headers).status_code == 200


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 400


def test_a_body_that_is_too_large(web: Web) -> None:
    headers = AUTHORIZED | {"content-type": "application/json"}
    answer = web("POST", "/chat/completions", content=_endless(), headers=headers)
    assert (answer.status_code, answer.json()) == (413, {"status": "Request body too large"})


def test_a_body_that_is_announced_as_too_large_is_not_read(web: Web) -> None:
    headers = AUTHORIZED | {"content-type": "application/json", "content-length": "1001"}
    assert web("POST", "/chat/completions", content=b"{}", headers=headers).status_code == 413


@pytest.mark.parametrize(
    ("body", "kind"),
    [("{", "json_invalid"), ("", "missing"), ("[]", "model_attributes_type"), ("{}", "missing")],
)
def test_a_body_that_is_no_request(web: Web, body: str, kind: str) -> None:
    headers = AUTHORIZED | {"content-type": "application/json"}
    answer = web("POST", "/chat/completions", content=body, headers=headers)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["message"], error["details"][0]["type"]) == (
        "Invalid input", "invalid input error", kind,
    )  # fmt: skip
    managed = web("POST", "/managed-compute/chat/completions", content=body, headers=headers)
    assert (managed.status_code, managed.headers[MODEL_ERROR]) == (424, "422")


def test_an_unknown_parameter(web: Web) -> None:
    answer = web("POST", "/chat/completions", json=ASK | {"n": 1})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Extra parameters ['n'] are not allowed")
    passed = web(
        "POST", "/chat/completions", json=ASK | {"n": 1}, headers=AUTHORIZED | {"extra-parameters": "drop"}
    )
    assert passed.status_code == 200
    assert web("POST", "/v1/chat/completions", json=ASK | {"n": 1}).status_code == 200


def test_what_is_not_emulated_is_refused_by_the_model(web: Web) -> None:
    answer = web("POST", "/managed-compute/chat/completions", json=ASK | {"presence_penalty": 1})
    assert (answer.status_code, answer.headers[MODEL_ERROR]) == (424, "400")
    assert answer.json()["error"]["code"] == "Bad Request"


def test_a_prompt_longer_than_the_context(web: Web) -> None:
    long = {"messages": [{"role": "user", "content": "six " * 40}]}
    answer = web("POST", "/chat/completions", json=long)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("This model's maximum context length is 64 tokens.")
    managed = web("POST", "/managed-compute/chat/completions", json=long)
    assert managed.status_code == 424
    assert json.loads(managed.json()["error"]["message"])["code"] == 400


@pytest.mark.parametrize("path", ["/chat/completions", "/_emulator/status"])
@pytest.mark.parametrize("extra", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
def test_a_foreign_host_or_origin(web: Web, path: str, extra: dict[str, str]) -> None:
    answer = web("GET", path, headers=AUTHORIZED | extra)
    assert answer.status_code == 403
    assert "evil.example" not in answer.text


def test_control_routes_can_only_be_read(web: Web) -> None:
    assert web("POST", "/_emulator/status", headers={}).status_code == 405


def test_an_error_of_ours_is_500_without_its_text(
    web: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(web.service, "answer", fail)
    answer = web("POST", "/chat/completions", json=ASK)
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "code": "Internal Server Error",
        "message": "An error occurred during the request processing.",
        "status": 500,
    }
    assert "a secret" not in caplog.text
    assert "RuntimeError at phi_emulator/web/chain.py:" in caplog.text
    assert answer.headers["X-Request-ID"] in caplog.text
    score = web("POST", "/managed-compute/score", json={"input_data": ["six"]})
    assert score.status_code == 424
    assert "secret" not in score.text


def test_a_request_is_logged_without_its_text_and_key(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "phi_emulator.web")
    web("POST", "/chat/completions?secret=query", json=ASK)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "phi_emulator.web"]
    assert line.startswith("POST /chat/completions 200 ")
    assert re.search(r" ms tokens=6\+1 waited=\d+ ms first=\d+ ms$", line)
    web("GET", "/a%0Ab")
    assert caplog.records[-1].getMessage().startswith("GET /a%0Ab 404 ")


KEYED = {"api-key": KEY}


@pytest.mark.parametrize(
    ("path", "version", "status"),
    [
        ("/chat/completions", None, 200),
        ("/chat/completions", "2024-05-01-preview", 200),
        ("/chat/completions", "2024-04-01-preview", 200),
        ("/chat/completions", "2099-01-01", 400),
        ("/managed-compute/chat/completions", "2099-01-01", 200),
        ("/openai/v1/chat/completions", "preview", 200),
        ("/models/chat/completions", "2024-05-01-preview", 200),
        ("/models/chat/completions", None, 404),
        ("/models/chat/completions", "2024-08-01-preview", 404),
        ("/openai/deployments/m/chat/completions", "2024-10-21", 200),
        ("/openai/deployments/m/chat/completions", None, 404),
        ("/openai/deployments/m/chat/completions", "2099-01-01", 400),
    ],
)
def test_the_api_version_is_judged_as_the_surface_does(
    web: Web, path: str, version: str | None, status: int
) -> None:
    query = {} if version is None else {"api-version": version}
    answer = web("POST", path, json=ASK | {"model": "m"}, params=query, headers=AUTHORIZED | KEYED)
    assert answer.status_code == status


def test_a_loose_emulator_takes_any_api_version(web: Web) -> None:
    web.app.behaviour.change(lambda now: replace(now, loose=True))
    try:
        query = {"api-version": "2099-01-01"}
        assert web("POST", "/chat/completions", json=ASK, params=query).status_code == 200
        missing = web("POST", "/models/chat/completions", json=ASK | {"model": "m"}, headers=KEYED)
        assert missing.status_code == 200
    finally:
        web.app.behaviour.change(lambda now: replace(now, loose=False))


@pytest.mark.parametrize("path", ["/chat/completions", "/models/chat/completions"])
def test_a_version_of_2025_has_the_reasoning_in_a_field_of_its_own(web: Web, path: str) -> None:
    web.app.behaviour.change(lambda now: replace(now, loose=True))
    try:
        query = {"api-version": "2025-04-01"}
        later = web("POST", path, json=ASK | {"model": "m"}, params=query, headers=AUTHORIZED | KEYED)
        first = web("POST", path, json=ASK | {"model": "m"}, headers=AUTHORIZED | KEYED)
    finally:
        web.app.behaviour.change(lambda now: replace(now, loose=False))
    # The scripted answer has no reasoning: an empty field says that there is one.
    assert later.json()["choices"][0]["message"]["reasoning_content"] == ""
    assert first.json()["choices"][0]["message"].get("reasoning_content") is None


def test_the_v1_routes_are_there_for_a_project_too(web: Web) -> None:
    path = "/api/projects/mine/openai/v1/chat/completions"
    assert web("POST", path, json=ASK | {"model": "m"}, headers=KEYED).status_code == 200
    assert web("POST", "/api/projects/mine/chat/completions", json=ASK).status_code == 404


def test_the_path_of_the_older_form_names_the_deployment(web: Web) -> None:
    query = {"api-version": "2024-10-21"}
    path = "/openai/deployments/a%20name/chat/completions"
    assert web("POST", path, json=ASK, params=query, headers=KEYED).status_code == 200
    answer = web("POST", "/openai/deployments/m/embeddings", json=ASK, params=query, headers=KEYED)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Resource not found")
    assert web("POST", "/serverless" + path, json=ASK, params=query).content == b"NOT FOUND"


@pytest.mark.parametrize(
    ("path", "asks", "comes_back"),
    [
        ("/chat/completions", False, False),
        ("/chat/completions", True, True),
        ("/managed-compute/chat/completions", True, False),
        ("/openai/v1/chat/completions", False, True),
    ],
)
def test_the_callers_own_id_comes_back_where_the_surface_sends_it(
    web: Web, path: str, asks: bool, comes_back: bool
) -> None:
    headers = AUTHORIZED | KEYED | {"x-ms-client-request-id": "mine-1"}
    headers |= {"x-ms-return-client-request-id": "true"} if asks else {}
    for body in (ASK | {"model": "m"}, {"model": "m"}):
        answer = web("POST", path, json=body, headers=headers)
        assert answer.headers.get("x-ms-client-request-id") == ("mine-1" if comes_back else None)


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/managed-compute/chat/completions", "/managed-compute/score"]
)
def test_an_answer_that_takes_too_long_is_a_408(path: str) -> None:
    over = threading.Event()
    slow = Web(before_step=over.wait, request_timeout_ms=1)
    body = ASK if path != "/managed-compute/score" else {"input_data": ["six"]}
    try:
        assert slow("POST", path, json=body).status_code == 408
    finally:
        over.set()
        slow.worker.stop()


@pytest.mark.parametrize("deployments", [(), ("mine", "other")])
def test_a_list_of_models_has_what_may_be_asked_for(deployments: tuple[str, ...]) -> None:
    listing = Web(deployments=deployments)
    try:
        answer = listing("GET", "/openai/v1/models", headers=KEYED)
        older = listing("GET", "/openai/models?api-version=2024-10-21", headers=KEYED)
        one = listing("GET", "/openai/v1/models/any%20name", headers=KEYED)
        unversioned = listing("GET", "/openai/models", headers=KEYED)
        info = listing("GET", "/serverless/info")
    finally:
        listing.worker.stop()
    listed = answer.json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == list(deployments or ("scripted",))
    assert older.json() == listed
    assert (one.json()["object"], one.json()["id"]) == ("model", "scripted")
    assert (unversioned.status_code, unversioned.json()["error"]["message"]) == (404, "Resource not found")
    assert info.json()["model_name"] == "scripted"


@pytest.mark.parametrize("path", ["/openai/responses", "/openai/v1/responses", "/api/projects/p/agents"])
@pytest.mark.parametrize("headers", [KEYED, AUTHORIZED])
def test_other_routes_of_a_resource_are_its_404_and_not_about_the_key(
    web: Web, path: str, headers: dict[str, str]
) -> None:
    answer = web("POST", path, json={}, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (
        404, {"code": "404", "message": "Resource not found"},
    )  # fmt: skip
