"""Names that nobody thought of when HTTP's headers were made: in folders, deployments, models and ids."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.engine.protocol import EngineInfo
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.service.errors import log_unforeseen
from phi_emulator.web.header_values import header_value
from pydantic import BaseModel, ValidationError

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "six"}], "max_tokens": 2}
NAMES = [
    "\u6a21\u578b",
    "my model",
    "mod\u00e8le",
    "a\nb",
    "a\r\nX-Injected: b",
    "quo\"te'\\",
    "\U0001f600" * 500,
    "a" * 100_000,
    "nul\x00\x7f\x1b[31m",
    " edges ",
    "100%",
    "\u2028\ufeff",
]
# What a folder can be called beyond that: bytes that are no UTF-8.
FOLDERS = [*NAMES, "a\udcffb"]
PATHS = [
    "/serverless/chat/completions",
    "/managed-compute/v1/chat/completions",
    "/managed-compute/score",
    "/openai/v1/chat/completions",
    "/models/chat/completions?api-version=2024-05-01-preview",
    "/serverless/info",
    "/openai/v1/models",
    "/managed-compute/swagger.json",
    "/_emulator/status",
    "/",
]


class _Named(ScriptedEngine):
    """An engine with a model of any name."""

    name = "scripted"

    @property
    def info(self) -> EngineInfo:
        return replace(super().info, model=self.name)


@contextmanager
def serving(name: str) -> Iterator[httpx.Client]:
    """A client of an emulator whose model has that name."""
    engine = _Named(lambda _: "42")
    engine.name = name
    with Emulator(EmulatorConfig(port=0), make_engine=lambda: engine) as running:
        key = running.config.key
        headers = {"Authorization": f"Bearer {key}", "api-key": key}
        with httpx.Client(base_url=running.root, headers=headers, trust_env=False, timeout=20) as client:
            yield client


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """A client of an emulator that all tests may share."""
    with serving("scripted") as client:
        yield client


def ask(http: httpx.Client, path: str, **more: Any) -> httpx.Response:
    if path in PATHS[5:]:
        page = http.get(path, headers={"accept": "text/html"})
        return page if page.status_code != 200 else http.get(path)
    if path.endswith("/score"):
        body: dict[str, Any] = {"input_data": {"input_string": ASK["messages"], "parameters": {}}}
        return http.post(path, json=body)
    with http.stream("POST", path, json=ASK | {"model": "m"} | more) as answer:
        answer.read()
        return answer


@pytest.mark.parametrize("name", FOLDERS, ids=range(len(FOLDERS)))
def test_a_model_of_any_name_answers_on_every_route(name: str) -> None:
    with serving(name) as http:
        assert http.get("/_emulator/status").json()["model"] == name.replace("\udcff", "?")
        for path in PATHS:
            for stream in (False, True):
                answer = ask(http, path, stream=stream)
                assert answer.status_code == 200, path
                assert "x-injected" not in answer.headers


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_deployment_of_any_name_is_told_in_a_header(http: httpx.Client, name: str) -> None:
    for path in PATHS[:5]:
        answer = ask(http, path, model=name)
        assert answer.status_code == 200, path
        assert "x-injected" not in answer.headers
    told = ask(http, "/openai/v1/chat/completions", model=name).headers["x-ms-deployment-name"]
    assert told == header_value(name)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("phi-4-mini_reasoning.1", "phi-4-mini_reasoning.1"),
        ("\u6a21", "%E6%A8%A1"),
        ("a\r\nb", "a%0D%0Ab"),
        ('100% "it\'s"', '100% "it\'s"'),
        ("\ud800", "?"),
        ("\u00e9" * 300, "%C3%A9" * 42 + "%C3"),
        ("", ""),
    ],
)
def test_what_a_header_says(text: str, value: str) -> None:
    assert header_value(text) == value


def test_every_text_gives_a_header_that_can_be_sent() -> None:
    chance = random.Random(3)
    for _ in range(3000):
        text = "".join(
            chr(chance.choice([chance.randrange(0x110000), chance.randrange(128)])) for _ in range(9)
        )
        value = header_value(text * chance.choice([1, 1, 90]))
        assert len(value) <= 256
        assert all(0x20 <= ord(character) < 0x7F for character in value)


SURROGATES = [b'"\\ud800"', b'"a\\udfffb"', b'"\\uDC00\\uD800"', b'"\xed\xa0\x80"', b'"\\ud83d"']
PLACES = [
    b'{"messages":[{"role":"user","content":%s}]}',
    b'{"messages":[{"role":"user","content":[{"type":"text","text":%s}]}]}',
    b'{"messages":[{"role":%s,"content":"x"}]}',
    b'{"messages":[{"role":"user","content":"x","name":%s}]}',
    b'{"messages":[{"role":"user","content":"x"}],"stop":[%s]}',
    b'{"messages":[{"role":"user","content":"x"}],"model":%s}',
    b'{"messages":[{"role":"user","content":"x"}],%s:1}',
    b'{"messages":[{"role":"user","content":"x"}],"n":{"a":[%s]}}',
    b'{"input_data":{"input_string":[{"role":"user","content":%s}],"parameters":{}}}',
    b'{"input_data":[%s],"params":{}}',
    b'{"input_data":["x"],"params":{%s:"secret"}}',
]


@pytest.mark.parametrize("path", PATHS[:5])
@pytest.mark.parametrize("place", PLACES, ids=range(len(PLACES)))
def test_half_of_a_surrogate_pair_is_the_contracts_422(
    http: httpx.Client, path: str, place: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for half in SURROGATES:
        answer = http.post(path, content=place % half, headers={"content-type": "application/json"})
        if path.endswith("/score"):
            said = answer.json()
            assert answer.status_code == 200
            assert said == {} or said["error"]["status_code"] == 422
        elif path.startswith("/managed-compute"):
            assert (answer.status_code, answer.headers["ms-azureml-model-error-statuscode"]) == (424, "422")
        else:
            assert answer.status_code == 422
            assert answer.json()["error"]["message"] == "invalid input error"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class _Holder(BaseModel):
    """What a library would quote."""

    number: int


def _wrap(error: BaseException) -> None:
    raise RuntimeError("a prompt") from error


def test_an_unforeseen_error_is_logged_without_what_it_quotes(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("phi_emulator.web")
    errors: list[BaseException] = []
    provoked: list[Callable[[], object]] = [
        lambda: _Holder.model_validate({"number": "a prompt"}),
        lambda: json.loads('{"a prompt'),
        "a prompt \ud800".encode,
        lambda: dict[str, str]()["a prompt"],
    ]
    for provoke in provoked:
        with pytest.raises((ValidationError, ValueError, KeyError)) as raised:
            provoke()
        with pytest.raises(RuntimeError) as wrapped:
            _wrap(raised.value)
        errors += [raised.value, wrapped.value]
    for error in errors:
        log_unforeseen(logger, "request 1 failed", error)
    assert len(caplog.records) == 8
    assert "prompt" not in caplog.text
    assert "pydantic_core._pydantic_core.ValidationError" in caplog.text
    assert "builtins.RuntimeError; from builtins.KeyError" in caplog.text


def test_the_callers_own_id_comes_back_byte_by_byte(http: httpx.Client) -> None:
    chance = random.Random(5)
    for _ in range(40):
        given = bytes(chance.choice([*range(0x21, 0x7F), *range(0x80, 0x100)]) for _ in range(30))
        headers = {b"x-ms-client-request-id": given, b"content-type": b"application/json"}
        body = json.dumps(ASK | {"model": "m"}).encode()
        answer = http.post("/openai/v1/chat/completions", content=body, headers=headers)
        assert answer.status_code == 200
        assert dict(answer.headers.raw)[b"x-ms-client-request-id"] == given


@pytest.mark.parametrize("control", [b"\x01", b"\x07", b"\x1b[31m", b"\x7f", b"\x85"])
def test_control_characters_in_a_header_break_nothing(http: httpx.Client, control: bytes) -> None:
    for name in (b"x-ms-client-request-id", b"azureml-model-deployment", b"x-ms-model-mesh-model-name"):
        for path in PATHS[:5]:
            given = {name: b"a" + control + b"b", b"x-ms-return-client-request-id": b"true"}
            body = ASK | ({} if path.startswith("/models") else {"model": "m"})
            answer = http.post(path, json=body, headers=given)
            assert answer.status_code in (200, 400), (path, name)
