"""Recorded from an emulator that stands in for Azure, replayed to clients of all kinds, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.core.credentials import AzureKeyCredential
from phi_emulator.recordings.exchanges import End, RecordedExchange
from phi_emulator.recordings.file import RecordingError, RecordingFile, read_recording
from phi_emulator.recordings.local import LocalApp, LocalServer
from phi_emulator.recordings.places import root_for
from phi_emulator.recordings.recording import Recorder, Upstream
from phi_emulator.recordings.replaying import Replayer
from phi_emulator.recordings.shelf import AfterLast, load_shelf

from phi_client import AsyncPhiClient, Completion, PhiClient, PhiError
from phi_client.contract.clock.base import Clock
from phi_client.contract.dialects.endpoint import resolve_endpoint
from phi_client.contract.service import SURFACES

if TYPE_CHECKING:
    from tests.together.conftest import StartEmulator

LOCAL_KEY = "a-local-key-for-tests-only"
REAL_KEY = "the-real-key-0123456789-abcdef"
QUESTION = "What is 6 * 7?"
SAMPLING: dict[str, Any] = {"temperature": 0.5, "top_p": 1.0, "max_tokens": 400}
"""Clients have defaults of their own, and what is asked otherwise is another question."""
TEXT = "<think>6 times 7</think>The answer is \\boxed{42}."
CONTENT = "The answer is \\boxed{42}."
DEADLINE_S = 60


@dataclass
class Studio:
    """Starts what records and what replays; all of it stops at the end."""

    folder: Path
    cleanup: ExitStack

    def record(
        self,
        url: str,
        key: str = REAL_KEY,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        append: bool = False,
        dialect: str | None = None,
        is_token: bool = False,
    ) -> Recording:
        endpoint = resolve_endpoint(url, dialect)
        path = self.folder / "tape.jsonl"
        file = self.cleanup.enter_context(RecordingFile(path, append=append))
        recorder = Recorder(Upstream(endpoint, lambda: key, is_token=is_token, transport=transport), file)
        surface = SURFACES[endpoint.dialect.name]
        server = LocalServer(LocalApp(recorder, root=root_for(surface), key=LOCAL_KEY))
        self.cleanup.enter_context(server)
        return Recording(server, recorder, path)

    def replay(
        self, *paths: Path, after_last: AfterLast = "repeat", dialect: str | None = None, **options: Any
    ) -> LocalServer:
        shelf = load_shelf(paths, after_last=after_last)
        root = root_for(shelf.surface) if dialect is None else SURFACES[dialect]
        replayer = Replayer(shelf, **({"speed": 0} | options))
        return self.cleanup.enter_context(LocalServer(LocalApp(replayer, root=root, key=LOCAL_KEY)))


@dataclass
class Recording:
    server: LocalServer
    recorder: Recorder
    path: Path

    @property
    def exchanges(self) -> tuple[RecordedExchange, ...]:
        return read_recording(self.path).exchanges


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with ExitStack() as cleanup:
        yield Studio(tmp_path, cleanup)


def url_of(server: LocalServer, surface: str) -> str:
    return server.root if surface == "serverless" else server.endpoint_of(SURFACES[surface])


def ask_raw(url: str, key: str = LOCAL_KEY, **members: Any) -> httpx.Response:
    endpoint = resolve_endpoint(url)
    surface = endpoint.dialect
    body: dict[str, Any] = {"messages": [{"role": "user", "content": QUESTION}], **SAMPLING, **members}
    if surface.needs_model:
        body["model"] = "phi"
    headers = dict([surface.write_key(key)])
    query = {} if surface.api_version is None else {"api-version": surface.api_version}
    return httpx.post(
        endpoint.base_url + endpoint.route,
        params=query,
        headers=headers,
        json=body,
        timeout=DEADLINE_S,
        trust_env=False,
    )


def by_openai(server: LocalServer, *, stream: bool) -> str:
    with openai.OpenAI(base_url=server.root + "/openai/v1", api_key=LOCAL_KEY, max_retries=0) as client:
        messages: Any = [{"role": "user", "content": QUESTION}]
        if not stream:
            whole = client.chat.completions.create(model="phi", messages=messages, **SAMPLING)
            return whole.choices[0].message.content or ""
        with client.chat.completions.create(
            model="phi", messages=messages, stream=True, **SAMPLING
        ) as chunks:
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def by_azure(server: LocalServer, *, stream: bool) -> str:
    with ChatCompletionsClient(server.root, AzureKeyCredential(LOCAL_KEY)) as client:
        messages: Any = [{"role": "user", "content": QUESTION}]
        if not stream:
            whole: Any = client.complete(messages=messages, **SAMPLING)
            return str(whole.choices[0].message.content)
        chunks: Any = client.complete(messages=messages, stream=True, **SAMPLING)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def by_curl(server: LocalServer, *, stream: bool) -> str:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": stream, **SAMPLING}
    out = subprocess.run(
        [
            *(
                curl,
                "-sS",
                "--fail-with-body",
                "--noproxy",
                "*",
                f"{server.root}/chat/completions",
                "-d",
                json.dumps(body),
            ),
            *("-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {LOCAL_KEY}"),
        ],
        capture_output=True,
        check=True,
        text=True,
        timeout=DEADLINE_S,
    ).stdout
    if not stream:
        return str(json.loads(out)["choices"][0]["message"]["content"])
    events = [line.removeprefix("data: ") for line in out.splitlines() if line.startswith("data: {")]
    return "".join(json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events)


def said(completion: Completion) -> str:
    return f"<think>{completion.reasoning}</think>{completion.content}"


def by_ours(server: LocalServer, *, stream: bool) -> str:
    with PhiClient(server.root, LOCAL_KEY, max_retries=0) as client:
        if not stream:
            return said(client.complete(QUESTION, **SAMPLING))
        with client.stream(QUESTION, **SAMPLING) as chunks:
            for _ in chunks:
                pass
        assert chunks.completion is not None
        return said(chunks.completion)


def by_ours_async(server: LocalServer, *, stream: bool) -> str:
    async def ask() -> str:
        async with AsyncPhiClient(server.root + "/managed-compute", LOCAL_KEY, max_retries=0) as client:
            if not stream:
                return said(await client.complete(QUESTION, **SAMPLING))
            async with client.stream(QUESTION, **SAMPLING) as chunks:
                async for _ in chunks:
                    pass
            assert chunks.completion is not None
            return said(chunks.completion)

    return asyncio.run(ask())


CLIENTS: Mapping[str, Callable[..., str]] = {
    "openai": by_openai,
    "azure-ai-inference": by_azure,
    "curl": by_curl,
    "phi_client": by_ours,
    "phi_client, async": by_ours_async,
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("surface", ["serverless", "managed_compute", "openai_v1", "foundry_models"])
def test_every_client_gets_the_same_text_from_one_recording(
    start_emulator: StartEmulator, studio: Studio, surface: str, streamed: bool
) -> None:
    emulator = start_emulator(TEXT).emulator
    recording = studio.record(emulator.endpoint_of(surface), emulator.key)
    recorded = ask_raw(url_of(recording.server, surface), stream=streamed)
    assert recorded.status_code == 200
    emulator.stop(drain_seconds=0)
    server = studio.replay(recording.path)
    found = {
        (name, stream): by(server, stream=stream) for name, by in CLIENTS.items() for stream in (False, True)
    }
    assert found == dict.fromkeys(found, TEXT)


@pytest.mark.parametrize("surface", ["serverless", "managed_compute", "openai_v1", "foundry_models"])
def test_on_its_own_surface_a_recording_is_answered_byte_for_byte(
    start_emulator: StartEmulator, studio: Studio, surface: str
) -> None:
    emulator = start_emulator(TEXT).emulator
    recording = studio.record(emulator.endpoint_of(surface), emulator.key)
    asked: list[dict[str, Any]] = [{}, {"stream": True}, {"stream": True, "seed": 7}, {"temperature": 9}]
    url = url_of(recording.server, surface)
    first = [ask_raw(url, **members) for members in asked]
    again = [ask_raw(url_of(studio.replay(recording.path), surface), **members) for members in asked]
    assert [answer.status_code for answer in first] == [
        200,
        200,
        200,
        422 if surface != "managed_compute" else 424,
    ]
    for one, other in zip(first, again, strict=True):
        assert (one.status_code, one.content) == (other.status_code, other.content)
        assert {**one.headers, "date": ""} == {**other.headers, "date": ""}


class Service(httpx.AsyncBaseTransport):
    """An endpoint that answers as a test says, and remembers what it was asked."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        return self.answer(request)


class Cut(httpx.AsyncByteStream):
    """A body in pieces, with an end or without."""

    def __init__(self, *pieces: bytes, breaks: bool = False) -> None:
        self._pieces = pieces
        self._breaks = breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._breaks:
            raise httpx.RemoteProtocolError("peer closed connection")


AZURE = "https://phi.eastus2.models.ai.azure.com"


def frames_of(url: str) -> list[bytes]:
    """The chunks of a streamed answer as HTTP frames them."""
    at = httpx.URL(url)
    body = json.dumps({"messages": [{"role": "user", "content": QUESTION}], "stream": True}).encode()
    head = (
        f"POST /chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {LOCAL_KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    with socket.create_connection((at.host, at.port or 0), timeout=DEADLINE_S) as connection:
        connection.sendall(head + body)
        answer = connection.makefile("rb").read()
    rest = answer.partition(b"\r\n\r\n")[2]
    frames: list[bytes] = []
    while not rest.startswith(b"0\r\n"):
        size, _, rest = rest.partition(b"\r\n")
        frames.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return frames


def test_a_stream_is_replayed_frame_by_frame(studio: Studio) -> None:
    pieces = [b"da", b"ta: {}\n\ndata: {}", b"\n", b"\n: comment\n\n", b"data: [DONE]\n\n"]
    service = Service(lambda request: httpx.Response(200, stream=Cut(*pieces)))
    recording = studio.record(AZURE, transport=service)
    assert frames_of(recording.server.root) == pieces
    assert [chunk.data for chunk in recording.exchanges[0].chunks] == pieces
    assert frames_of(studio.replay(recording.path).root) == pieces


def test_what_was_recorded_is_in_the_file_when_the_answer_ends(
    start_emulator: StartEmulator, studio: Studio
) -> None:
    emulator = start_emulator(TEXT).emulator
    recording = studio.record(emulator.root, emulator.key)
    for number in range(1, 6):
        assert ask_raw(recording.server.root, stream=number % 2 == 0).status_code == 200
        assert len(recording.exchanges) == number
        assert {exchange.end for exchange in recording.exchanges} == {End.COMPLETE}


def test_exchanges_that_run_side_by_side_are_all_recorded(
    start_emulator: StartEmulator, studio: Studio
) -> None:
    emulator = start_emulator(lambda messages: f"you said {messages[-1].content}").emulator
    recording = studio.record(emulator.root, emulator.key)

    def ask(url: str, number: int) -> str:
        with PhiClient(url, LOCAL_KEY, max_retries=0) as client:
            return client.complete(f"number {number}").content

    def ask_sixteen(url: str) -> list[str]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(ask, [url] * 16, range(16)))

    expected = [f"you said number {number}" for number in range(16)]
    assert ask_sixteen(recording.server.root) == expected
    assert ask_sixteen(studio.replay(recording.path).root) == expected


@pytest.mark.parametrize("client", ["openai", "azure-ai-inference"])
def test_a_stream_that_a_foreign_client_leaves_is_recorded_as_left(
    start_emulator: StartEmulator,
    studio: Studio,
    eventually: Callable[[Callable[[], object]], None],
    client: str,
) -> None:
    running = start_emulator("<think>" + "and so on " * 200)
    recording = studio.record(running.emulator.root, running.emulator.key)
    running.gate.close()
    running.gate.allow(40)
    messages: Any = [{"role": "user", "content": QUESTION}]
    if client == "openai":
        with openai.OpenAI(base_url=recording.server.root, api_key=LOCAL_KEY, max_retries=0) as asking:
            chunks: Any = asking.chat.completions.create(model="phi", messages=messages, stream=True)
            next(iter(chunks))
            chunks.close()
    else:
        with ChatCompletionsClient(recording.server.root, AzureKeyCredential(LOCAL_KEY)) as azure:
            chunks = azure.complete(messages=messages, stream=True)
            next(iter(chunks))
            chunks.close()
    eventually(lambda: recording.recorder.recorded == 1)
    exchange = recording.exchanges[0]
    assert exchange.end is End.CLIENT_LEFT
    assert b"[DONE]" not in exchange.body
    running.gate.allow()
    eventually(lambda: running.status()["running"] == 0)
    # Whoever stays longer than the first caller did sees the stream break off.
    server = studio.replay(recording.path)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(
            server.root + exchange.request.path,
            params={"api-version": exchange.request.api_version} if exchange.request.api_version else {},
            headers={"Authorization": f"Bearer {LOCAL_KEY}"},
            json=json.loads(exchange.request.body),
            timeout=DEADLINE_S,
            trust_env=False,
        )


def test_a_server_that_stops_records_what_runs(start_emulator: StartEmulator, studio: Studio) -> None:
    running = start_emulator("<think>" + "and so on " * 200)
    recording = studio.record(running.emulator.root, running.emulator.key)
    running.gate.close()
    running.gate.allow(40)
    with (
        contextlib.suppress(httpx.HTTPError),
        httpx.stream(
            "POST",
            recording.server.root + "/chat/completions",
            headers={"Authorization": f"Bearer {LOCAL_KEY}"},
            json={"messages": [{"role": "user", "content": QUESTION}], "stream": True},
            timeout=DEADLINE_S,
            trust_env=False,
        ) as response,
    ):
        for number, _ in enumerate(response.iter_raw()):
            if not number:
                recording.server.stop()
    assert [exchange.end for exchange in recording.exchanges] == [End.CUT_OFF]


def test_no_key_of_either_side_is_in_the_file_though_the_endpoint_echoes_it(studio: Studio) -> None:
    pieces = [
        f'data: {{"choices":[{{"delta":{{"content":"{part}"}}}}]}}\n\n'
        for part in ("the-real-k", "ey-01234567", "89-abcdef")
    ]
    body = "".join(pieces).encode()
    service = Service(
        lambda request: httpx.Response(
            200,
            headers={
                "content-type": "text/event-stream",
                "x-echo": request.headers["authorization"],
                "set-cookie": "a=b",
            },
            stream=Cut(body[:70], body[70:75], body[75:]),
        )
    )
    recording = studio.record(AZURE, transport=service)
    answer = ask_raw(recording.server.root, stream=True, note=f"{LOCAL_KEY} and {REAL_KEY}")
    assert answer.content == body
    assert service.asked[0].headers["authorization"] == f"Bearer {REAL_KEY}"
    assert LOCAL_KEY not in str(service.asked[0].headers)
    content = recording.path.read_text(encoding="utf-8")
    assert not [part for part in (REAL_KEY, LOCAL_KEY, "the-real", "89-abcdef", "a=b") if part in content]
    assert recording.exchanges[0].head is not None
    assert recording.exchanges[0].head.headers["x-echo"] == "[secret]"
    assert len(recording.exchanges[0].chunks) == 3


def test_an_exchange_in_which_a_secret_survives_is_not_recorded(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"logprobs": [{"bytes": list(REAL_KEY.encode())}]}).encode()
    recording = studio.record(AZURE, transport=Service(lambda request: httpx.Response(200, content=body)))
    assert ask_raw(recording.server.root).content == body
    assert (recording.recorder.recorded, recording.recorder.lost) == (0, 1)
    assert recording.exchanges == ()
    assert "a secret could still be read in it" in caplog.text
    assert REAL_KEY not in caplog.text


@pytest.mark.parametrize("depth", [500, 5_000, 200_000])
def test_an_answer_that_nobody_can_look_through_is_handed_on_and_not_recorded(
    studio: Studio, depth: int
) -> None:
    body = b'{"a":' * depth + b"1" + b"}" * depth
    recording = studio.record(AZURE, transport=Service(lambda request: httpx.Response(200, content=body)))
    assert ask_raw(recording.server.root).content == body
    found = [exchange.body for exchange in recording.exchanges]
    assert found == [body] * recording.recorder.recorded
    assert recording.recorder.recorded + recording.recorder.lost == 1


def test_a_token_is_sent_as_one_and_kept_out_of_the_file(studio: Studio) -> None:
    token = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJhIn0.c2lnbmF0dXJl"
    service = Service(
        lambda request: httpx.Response(401, text=f"bad token: {request.headers['authorization']}")
    )
    recording = studio.record(AZURE, key=token, is_token=True, transport=service)
    assert ask_raw(recording.server.root).status_code == 401
    assert service.asked[0].headers["authorization"] == f"Bearer {token}"
    (exchange,) = recording.exchanges
    assert exchange.body == b"bad token: [secret]"
    assert ask_raw(studio.replay(recording.path).root).text == "bad token: [secret]"


def test_what_is_no_chat_request_is_recorded_too(start_emulator: StartEmulator, studio: Studio) -> None:
    emulator = start_emulator(TEXT).emulator
    recording = studio.record(emulator.endpoint_of("foundry_models"), emulator.key)
    url = url_of(recording.server, "foundry_models")
    with PhiClient(url, LOCAL_KEY, model="phi") as client:
        info = client.get_model_info()
    with PhiClient(url_of(studio.replay(recording.path), "foundry_models"), LOCAL_KEY, model="phi") as client:
        assert client.get_model_info() == info


def test_a_recording_that_was_edited_by_hand_is_answered_as_it_stands(
    start_emulator: StartEmulator, studio: Studio
) -> None:
    emulator = start_emulator(TEXT).emulator
    recording = studio.record(emulator.root, emulator.key)
    ask_raw(recording.server.root)
    text = recording.path.read_text(encoding="utf-8")
    recording.path.write_text(text.replace("boxed{42}", "boxed{4242}"), encoding="utf-8")
    answer = ask_raw(studio.replay(recording.path).root)
    assert answer.json()["choices"][0]["message"]["content"] == TEXT.replace("42", "4242")


def test_a_redirect_is_recorded_and_not_followed(studio: Studio) -> None:
    service = Service(
        lambda request: httpx.Response(307, headers={"location": "https://elsewhere.test/steal"})
    )
    recording = studio.record(AZURE, transport=service)
    assert ask_raw(recording.server.root).status_code == 307
    assert [request.url.host for request in service.asked] == ["phi.eastus2.models.ai.azure.com"]
    assert ask_raw(studio.replay(recording.path).root).headers["location"] == "https://elsewhere.test/steal"


@pytest.mark.parametrize("failure", ["unreachable", "no status", "cut off"])
def test_a_failure_of_the_endpoint_is_recorded_as_it_is(studio: Studio, failure: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if failure == "unreachable":
            raise httpx.ConnectError("refused")
        if failure == "no status":
            return httpx.Response(700)
        return httpx.Response(200, stream=Cut(b"data: {}\n\n", breaks=True))

    recording = studio.record(AZURE, transport=Service(answer))
    with pytest.raises(httpx.RemoteProtocolError):
        ask_raw(recording.server.root, stream=True)
    (exchange,) = recording.exchanges
    assert exchange.end is (End.CUT_OFF if failure == "cut off" else End.UNREACHABLE)
    with pytest.raises(httpx.RemoteProtocolError):
        ask_raw(studio.replay(recording.path).root, stream=True)


@pytest.mark.parametrize(
    "target",
    ["@elsewhere.test/v1", "http://elsewhere.test/v1", "//elsewhere.test/v1", "/%2F%2Felsewhere.test"],
)
def test_no_target_of_a_request_leads_to_another_host(studio: Studio, target: str) -> None:
    service = Service(lambda request: httpx.Response(404))
    recording = studio.record(AZURE, transport=service)
    at = httpx.URL(recording.server.root)
    head = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {LOCAL_KEY}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((at.host, at.port or 0), timeout=DEADLINE_S) as connection:
        connection.sendall(head.encode())
        assert connection.makefile("rb").readline().split()[1] == b"404"
    assert [(request.url.scheme, request.url.host) for request in service.asked] == [("https", AZURE[8:])]


def test_an_answer_that_is_encoded_though_it_should_not_be(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    said = {"gzip": gzip.compress(b"plain"), "br": b"\x0b\x02\x80plain\x03"}
    service = Service(
        lambda request: httpx.Response(
            200,
            headers={
                "content-encoding": request.headers["x-wanted"],
                "content-length": str(len(said[request.headers["x-wanted"]])),
            },
            stream=Cut(said[request.headers["x-wanted"]]),
        )
    )
    recording = studio.record(AZURE, transport=service)
    answers = [
        httpx.get(
            recording.server.root,
            headers={"Authorization": f"Bearer {LOCAL_KEY}", "x-wanted": wanted},
            timeout=DEADLINE_S,
            trust_env=False,
        )
        for wanted in said
    ]
    assert answers[0].content == b"plain"
    assert answers[1].content == said["br"]
    assert service.asked[0].headers["accept-encoding"] == "identity"
    assert [exchange.body for exchange in recording.exchanges] == [b"plain"]
    assert "encoded in a way" in caplog.text


def test_whatever_an_endpoint_sends_as_its_head_the_recording_can_be_read(studio: Studio) -> None:
    odd = [(b"X-Name", "größer".encode()), (b"X-Two", b"a"), (b"x-two", b"b"), (b"X-Latin", b"\xe9")]
    recording = studio.record(AZURE, transport=Service(lambda request: httpx.Response(418, headers=odd)))
    first = ask_raw(recording.server.root)
    again = ask_raw(studio.replay(recording.path).root)
    for answer in (first, again):
        assert answer.status_code == 418
        raw = {name.lower(): value for name, value in answer.headers.raw}
        assert (raw[b"x-name"], raw[b"x-two"], raw[b"x-latin"]) == ("größer".encode(), b"a, b", b"\xe9")


def test_only_who_has_the_local_key_is_forwarded(studio: Studio) -> None:
    service = Service(lambda request: httpx.Response(200))
    recording = studio.record(AZURE, transport=service)
    assert ask_raw(recording.server.root, key="another-key").status_code == 401
    assert (service.asked, recording.exchanges) == ([], ())
    assert ask_raw(studio.replay(recording.path).root, key="another-key").status_code == 401


def test_a_request_without_a_recording_fails_and_says_what_nearly_matched(
    start_emulator: StartEmulator, studio: Studio
) -> None:
    emulator = start_emulator(TEXT).emulator
    recording = studio.record(emulator.root, emulator.key)
    ask_raw(recording.server.root, temperature=0.2)
    server = studio.replay(recording.path)
    with pytest.raises(openai.BadRequestError) as caught:
        by_openai(server, stream=True)
    assert caught.value.code == "NoRecording"
    assert str(caught.value).endswith("which differs in temperature: recorded 0.2, asked 0.5")
    with (
        PhiClient(server.root, LOCAL_KEY) as ours,
        pytest.raises(PhiError, match=r"temperature: recorded 0\.2, asked 0\.8"),
    ):
        ours.complete(QUESTION)


def test_answers_come_in_turn_and_then_fail_where_that_is_chosen(
    start_emulator: StartEmulator, studio: Studio
) -> None:
    texts = iter(["one", "two"])
    emulator = start_emulator(lambda _messages: next(texts)).emulator
    recording = studio.record(emulator.root, emulator.key)
    for _ in range(2):
        ask_raw(recording.server.root)
    server = studio.replay(recording.path, after_last="fail")
    answers = [ask_raw(server.root) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 400]
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers[:2]] == ["one", "two"]


@pytest.mark.parametrize("speed", [1, 4, 0])
def test_pieces_come_at_the_recorded_times(studio: Studio, speed: float) -> None:
    now = 50.0
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(round(seconds, 6))
        now += seconds

    file = studio.folder / "paced.jsonl"
    request = {"headers": {}, "json": {"messages": [{"content": QUESTION, "role": "user"}], "stream": True}}
    lines: list[dict[str, Any]] = [
        {"format": "phi-emulator recording", "version": 1},
        {"request": {"surface": "serverless", "method": "POST", "path": "/chat/completions", **request}},
        {"response": {"status": 200, "ms": 200}},
        {"text": "data: a\n\n", "ms": 200},
        {"text": "data: b\n\n", "ms": 1000},
        {"end": "complete", "ms": 3600000},
    ]
    version = "2024-05-01-preview"
    lines[1]["request"]["api_version"] = version
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    server = studio.replay(file, speed=speed, clock=Clock(now=lambda: now, sleep_async=sleep))
    endpoint = resolve_endpoint(server.root)
    assert endpoint.dialect.api_version == version
    answer = httpx.post(
        f"{server.root}/chat/completions?api-version={version}",
        headers={"Authorization": f"Bearer {LOCAL_KEY}"},
        json=request["json"],
        timeout=DEADLINE_S,
        trust_env=False,
    )
    assert answer.content == b"data: a\n\ndata: b\n\n"
    expected = [0.2, 0.8, 3599.0] if speed else []
    assert waits == [round(wait / (speed or 1), 6) for wait in expected]


def test_a_key_that_is_too_short_to_be_found_is_refused(studio: Studio) -> None:
    with pytest.raises(RecordingError, match="fewer than 8 letters and digits"):
        studio.record(AZURE, key="short")


class Command:
    """`phi-emulator` as a process of its own."""

    def __init__(self, *arguments: str, key: str, folder: Path | None = None) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PHI_")}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "phi_emulator",
                *arguments,
                *([] if folder else ["--port", "0", "--key", LOCAL_KEY]),
            ],
            cwd=folder,
            env=environment | {"PHI_API_KEY": key},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stderr is not None
        line = ""
        while (found := re.search(r" at (http://\S+) ", line)) is None:
            line = self.process.stderr.readline()
            assert line, self.process.stderr.read()
        self.url = found[1]

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal and wait for the end: exit status and what was said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, said

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def run_command() -> Iterator[Callable[..., Command]]:
    with ExitStack() as cleanup:

        def start(*arguments: str, key: str = REAL_KEY, folder: Path | None = None) -> Command:
            command = Command(*arguments, key=key, folder=folder)
            cleanup.callback(command.close)
            return command

        yield start


def test_a_kill_loses_nothing_that_was_answered(
    start_emulator: StartEmulator, run_command: Callable[..., Command], tmp_path: Path
) -> None:
    running = start_emulator("<think>" + "and so on " * 200 + "</think>42")
    path = tmp_path / "tape.jsonl"
    arguments = ["record", str(path), "--to", running.emulator.root, "--append"]
    for round_ in range(1, 4):
        command = run_command(*arguments, key=running.emulator.key)
        running.gate.allow()
        assert ask_raw(command.url, seed=round_).status_code == 200
        running.gate.close()
        running.gate.allow(30)
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.stream(
                "POST",
                command.url + "/chat/completions",
                headers={"Authorization": f"Bearer {LOCAL_KEY}"},
                json={"messages": [{"role": "user", "content": QUESTION}], "stream": True},
                timeout=DEADLINE_S,
                trust_env=False,
            ) as response,
        ):
            pieces = response.iter_raw()  # as long as it lives the client stays
            next(pieces)
            status, _ = command.end(signal.SIGKILL)
            assert status == -signal.SIGKILL
            del pieces
        found = read_recording(path)
        assert [json.loads(one.request.body)["seed"] for one in found.exchanges] == list(range(1, round_ + 1))


def test_ctrl_c_ends_a_recording_whole_and_a_replay_says_what_it_could_not_answer(
    start_emulator: StartEmulator, run_command: Callable[..., Command], tmp_path: Path
) -> None:
    emulator = start_emulator(TEXT).emulator
    path = tmp_path / "tape.jsonl"
    recording = run_command(
        "record", str(path), "--to", emulator.endpoint_of("managed_compute"), key=emulator.key
    )
    assert recording.url.endswith("/managed-compute")
    with PhiClient(recording.url, LOCAL_KEY) as client:
        assert client.complete(QUESTION).content == CONTENT
    status, told = recording.end(signal.SIGINT)
    assert (status, told.splitlines()[-1]) == (0, f"1 exchange recorded in {path}")
    replaying = run_command("replay", str(path), "--speed", "0")
    with PhiClient(replaying.url, LOCAL_KEY) as client:
        assert client.complete(QUESTION).content == CONTENT
        with pytest.raises(PhiError, match=r"differs in messages\[0\]\.content"):
            client.complete("What is 6 * 8?")
    status, told = replaying.end(signal.SIGINT)
    assert (status, told.splitlines()[-1]) == (1, "1 request answered, 1 not")
    assert "6 * 8" not in told


def test_record_and_replay_take_their_settings_of_the_file(
    start_emulator: StartEmulator, run_command: Callable[..., Command], tmp_path: Path
) -> None:
    """The keys of the emulator's surfaces, what the root speaks, and settings of their own."""
    emulator = start_emulator(TEXT).emulator
    (tmp_path / "phi-emulator.toml").write_text(
        f"""\
port = 0
key = "{LOCAL_KEY}"
surface_keys = {{ openai_v1 = "{"another-" * 3}" }}
dialect = "openai_v1"
drain_seconds = 1
record_to = "{emulator.endpoint_of("openai_v1")}"
replay_speed = 0
replay_after_last = "fail"
""",
        encoding="utf-8",
    )
    recording = run_command("record", "tape.jsonl", key=emulator.key, folder=tmp_path)
    with PhiClient(recording.url, "another-" * 3, model="m") as client:
        assert client.complete(QUESTION).content == CONTENT
    status, told = recording.end(signal.SIGINT)
    assert (status, told.splitlines()[-1]) == (0, "1 exchange recorded in tape.jsonl")
    assert "may take 1 s" in told
    replaying = run_command("replay", "tape.jsonl", folder=tmp_path)
    with PhiClient(replaying.url, LOCAL_KEY, model="m", max_retries=0) as client, pytest.raises(PhiError):
        client.complete(QUESTION)
    with PhiClient(replaying.url, "another-" * 3, model="m", max_retries=0) as client:
        assert client.complete(QUESTION).content == CONTENT
        with pytest.raises(PhiError, match="NoRecording"):
            client.complete(QUESTION)
    status, told = replaying.end(signal.SIGINT)
    assert (status, told.splitlines()[-1]) == (1, "1 request answered, 1 not")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no endpoint is named: `--to URL`, `record_to` in phi-emulator.toml, or PHI_EMULATOR_RECORD_TO"),
        ("record_to = 'ftp://a'", "phi-emulator.toml:1: "),
        (
            "\nrecord_to = 'https://me:secret-word@a.models.ai.azure.com'",
            "phi-emulator.toml:2: record_to: a URL without",
        ),
        ("replay_speed = -1", "phi-emulator.toml:1: replay_speed: `-1` can't be used: give 0 to"),
    ],
)
def test_what_can_not_be_recorded_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "phi-emulator.toml").write_text(text, encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PHI_")}
    done = subprocess.run(
        [sys.executable, "-m", "phi_emulator", "record", "tape.jsonl"],
        cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert "secret-word" not in done.stderr
    assert not (tmp_path / "tape.jsonl").exists()
