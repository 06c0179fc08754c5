"""Whatever is in a body, what is said of it is strict JSON of 64 kB at most, and reading it costs little."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator import EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service.chat import ChatService
from phi_emulator.service.errors import ServiceError
from phi_emulator.web import endpoints
from phi_emulator.web.app import App
from phi_emulator.web.body import read_body
from phi_emulator.web.bounds import bounded, strict_json
from starlette.requests import Request
from starlette.types import Message

from phi_client.contract.service import SERVERLESS
from phi_client.contract.service.refusals import Refusal

MOST = 64 * 1024
KEYS = {"authorization": "Bearer k", "api-key": "k", "content-type": "application/json"}
PATHS = [
    "/serverless/chat/completions",
    "/managed-compute/chat/completions",
    "/managed-compute/score",
    "/openai/v1/chat/completions",
    "/models/chat/completions?api-version=2024-05-01-preview",
]


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    """An application that takes bodies of 4 MB."""
    worker = Worker(lambda: ScriptedEngine(lambda _: "42", context_length=64))
    worker.start()
    yield App(ChatService(worker), EmulatorConfig(key="k", max_body_bytes=4 * 1024 * 1024))
    worker.stop()


def post(app: App, path: str, body: bytes, headers: Mapping[str, str] = KEYS) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(path, content=body, headers=headers)

    return asyncio.run(send())


def check(answer: httpx.Response) -> None:
    assert answer.status_code < 500
    assert len(answer.content) <= MOST
    if "json" in answer.headers["content-type"]:
        json.loads(answer.content, parse_constant=pytest.fail)


def ask(content: str = '"x"', more: str = "") -> str:
    return f'{{"messages":[{{"role":"user","content":{content}}}]{more}}}'


WHOLE = 1_000_000
LARGE = {
    "letter": ask(f'"{"a" * WHOLE}"'),
    "spaces": ask(f'"{" " * WHOLE}"'),
    "white space": " \n" * WHOLE,
    "white space before": " " * WHOLE + ask(),
    "control tokens": ask(f'"{"<|end|>" * (WHOLE // 7)}"'),
    "numbers": '{"messages":[' + "1," * 50_000 + "1]}",
    "fewer numbers": '{"messages":[' + "1," * 30_000 + "1]}",
    "lists": '{"messages":[' + "[]," * 30_000 + "[]]}",
    "roles": '{"messages":[' + '{"role":3},' * 15_000 + "1]}",
    "late faults": '{"messages":[' + '{"role":"user","content":"x"},' * 5_000 + "1," * 5_000 + "1]}",
    "parts": ask("[" + "1," * 40_000 + "1]"),
    "calls": '{"messages":[{"role":"assistant","tool_calls":[' + "{}," * 20_000 + "1]}]}",
    "stops": ask(more=',"stop":[' + "1," * 40_000 + "1]"),
    "tools": ask(more=',"tools":[' + "1," * 40_000 + "1]"),
    "keys": ask(more="".join(f',"{number}":1' for number in range(20_000))),
    "same keys": "{" + '"messages":[],' * 20_000 + '"messages":1}',
    "long key": ask(more=f',"{"k" * WHOLE}":1'),
    "long role": f'{{"messages":[{{"role":"{"r" * WHOLE}","content":"x"}}]}}',
    "long format": ask(more=f',"response_format":{{"type":"{"f" * WHOLE}"}}'),
    "long name": f'{{"messages":[{{"role":"assistant","tool_calls":[{{"id":"1","type":"function","function":'
    f'{{"name":"{"n" * WHOLE}","arguments":"{{}}"}}}}]}}]}}',
    "long model": ask(more=f',"model":"{"m" * WHOLE}"'),
    "long choice": ask(more=f',"tool_choice":"{"c" * WHOLE}"'),
    "deep lists": "[" * WHOLE,
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "200 levels": ask(more=',"n":' + "[" * 190 + "]" * 190),
    "long number": ask(more=',"seed":' + "1" * 5000),
    "large number": ask(more=',"temperature":' + "9" * 4000),
    "infinity": ask(more=',"temperature":1e999'),
    "constant": ask(more=',"temperature":NaN'),
    "quotes": '{"a":' + '"\\"' * 300_000,
    "text of marks": ask('"' + ",[{" * 100_000 + '"'),
    "score": '{"input_data":[' + "1," * 45_000 + "1]}",
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", LARGE)
def test_a_large_body_is_answered_small(app: App, path: str, name: str) -> None:
    check(post(app, path, LARGE[name].encode()))


def test_it_is_said_that_details_are_cut(app: App) -> None:
    for name in ("fewer numbers", "roles", "late faults"):
        details = post(app, PATHS[0], LARGE[name].encode()).json()["error"]["details"]
        assert details[0]["type"] in ("model_attributes_type", "enum")
        assert details[0]["loc"][:2] == ["body", "messages"]
        assert details[-1]["type"] == "details_cut"
    details = post(app, PATHS[0], ('{"messages":[' + "1," * 80 + "1]}").encode()).json()["error"]["details"]
    assert len(details) == 51
    assert details[-1]["msg"] == "31 more errors are not shown"


def test_all_that_is_wrong_with_a_small_body_is_told(app: App) -> None:
    body = '{"messages":[1,{"role":"user"}],"temperature":7}'
    details = post(app, PATHS[0], body.encode()).json()["error"]["details"]
    assert [item["loc"] for item in details] == [
        ["body", "messages", 0],
        ["body", "messages", 1],
        ["body", "temperature"],
    ]


def test_many_sound_messages_are_read_as_few_are(app: App) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "x"}]}] * 3000
    answer = post(app, PATHS[0], json.dumps({"messages": messages}).encode())
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("This model's maximum context length is 64 tokens.")


def test_more_values_than_can_be_read_are_refused_but_not_their_marks_in_a_text(app: App) -> None:
    many = post(app, PATHS[0], LARGE["numbers"].encode()).json()["error"]["details"]
    assert [item["type"] for item in many] == ["too_long"]
    text = post(app, PATHS[0], LARGE["text of marks"].encode())
    assert "maximum context length" in text.json()["message"]


def test_headers_that_are_told_of_are_cut_as_well(app: App) -> None:
    for name in ("extra-parameters", "azureml-model-deployment", "x-ms-model-mesh-model-name"):
        for path in PATHS:
            check(post(app, path, ask().encode(), {**KEYS, name: "v" * 30_000}))
    form = {"content-type": "application/x-www-form-urlencoded"}
    scope = b"grant_type=client_credentials&client_id=a&client_secret=b&scope=" + b"%00" * 20_000
    for body in (b"grant_type=" + b"%22" * 20_000, scope):
        check(post(app, "/_emulator/entra/common/oauth2/v2.0/token", body, form))


class _Bodies:
    """Bodies in which anything may stand anywhere, the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def path(self) -> str:
        """Where to send one."""
        return self._random.choice(PATHS)

    def any(self) -> bytes:
        """A chat request, or one of `/score`, with a few things changed."""
        body: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "model": "m"}
        fields = [
            "temperature",
            "top_p",
            "max_tokens",
            "seed",
            "stop",
            "n",
            "model",
            "stream",
            "response_format",
        ]
        for name in self._random.sample(
            [*fields, "messages", "tools", "tool_choice", "max_completion_tokens"], 3
        ):
            body[name] = self._value(3)
        if self._random.random() < 0.3:
            body["messages"] = [self._message(), {"role": "user", "content": "x"}]
        if self._random.random() < 0.2:
            body = {
                "input_data": self._random.choice([self._value(2), {"input_string": body.pop("messages")}])
            }
        text = json.dumps(body)
        return text.replace("9.5", self._random.choice(["1e999", "-1e400", "1e-999", "9.5"])).encode()

    def _message(self) -> dict[str, Any]:
        keys = ["role", "content", "tool_calls", "tool_call_id", "name"]
        return {key: self._value(2) for key in self._random.sample(keys, self._random.randrange(5))}

    def _value(self, depth: int) -> Any:
        plain = [
            None,
            True,
            0,
            -1,
            9.5,
            10**30,
            7e-46,
            "",
            "x",
            "\ud800",
            "\x00",
            "9.5",
            "user",
            "text",
            "a" * 9000,
        ]
        if not depth or self._random.random() < 0.6:
            return self._random.choice(plain)
        if self._random.random() < 0.5:
            return [self._value(depth - 1) for _ in range(self._random.choice([0, 1, 3, 200]))]
        return {
            self._random.choice(["type", "text", "", "\ud800", "k"]): self._value(depth - 1) for _ in range(3)
        }


@pytest.mark.parametrize("seed", range(3))
def test_no_body_makes_an_error_of_ours(app: App, seed: int) -> None:
    bodies = _Bodies(seed)
    for _ in range(80):
        check(post(app, bodies.path(), bodies.any()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=30, deadline=None)
@given(JSON, st.sampled_from([1, 100, 3_000]))
def test_any_refusal_is_cut_to_what_is_sent(value: object, times: int) -> None:
    body = {"error": {"message": "m", "details": [value] * times, "text": str(value) * times}}
    small = bounded(Refusal(422, body)).body
    assert len(strict_json(small)) <= MOST


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300), st.integers(1, 2000))
def test_a_text_is_cut_as_well(text: str, times: int) -> None:
    small = bounded(Refusal(404, text * times)).body
    assert isinstance(small, str)
    assert len(small.encode()) <= MOST


def test_a_body_that_does_not_come_is_a_408_and_the_end() -> None:
    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def read() -> bytes:
        scope = {"type": "http", "method": "POST", "headers": []}
        return await read_body(Request(scope, never), SERVERLESS, 100, seconds=0.01)

    with pytest.raises(ServiceError) as raised:
        asyncio.run(read())
    assert raised.value.refusal.status == 408
    assert raised.value.refusal.headers["Connection"] == "close"


@pytest.mark.parametrize("path", ["/serverless/chat/completions", "/managed-compute/score"])
def test_large_bodies_have_an_amount_of_memory_together_and_small_ones_always_have_some(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of callers may each send a body of the size that is taken, and be slow about it."""
    monkeypatch.setattr(endpoints, "_MOST_HELD_BYTES", 0)  # so it is room for two of the largest
    worker = Worker(lambda: ScriptedEngine(lambda _: "42"))
    worker.start()
    most = 500_000
    app = App(ChatService(worker), EmulatorConfig(key="k", max_body_bytes=most))
    score = {"input_data": {"input_string": [{"role": "user", "content": "x"}]}}
    said = score if "score" in path else {"messages": [{"role": "user", "content": "x"}]}

    async def main() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=KEYS
        ) as client:

            async def send(padding: int, go_on: asyncio.Event, begun: asyncio.Event) -> int:
                text = json.dumps(said).encode()

                async def parts() -> AsyncIterator[bytes]:
                    yield b" " * padding
                    begun.set()
                    await go_on.wait()
                    yield text

                return (await client.post(path, content=parts())).status_code

            free, held = asyncio.Event(), asyncio.Event()
            free.set()
            slow: list[asyncio.Task[int]] = []
            for _ in range(2):
                begun = asyncio.Event()
                slow.append(asyncio.ensure_future(send(most - 1000, held, begun)))
                await begun.wait()
                await asyncio.sleep(0)  # what was sent is received when more is asked for
            assert await send(most - 1000, free, asyncio.Event()) == 429
            assert await send(10, free, asyncio.Event()) == 200
            held.set()
            assert await asyncio.gather(*slow) == [200, 200]
            assert await send(most - 1000, free, asyncio.Event()) == 200

    try:
        asyncio.run(asyncio.wait_for(main(), 60))
    finally:
        worker.stop()
