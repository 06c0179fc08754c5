"""A bounded HTTP/1.1 server on loopback that answers chat completions with faults chosen by name.

It must not use the client's code: what it sends is written out, so that both can't be wrong together.

A route answers its script, one scenario for each request. After the script a fault that passes is followed by
good answers, any other by itself. A request that has the header `x-fault-script` brings its own script, which
counts the requests with the same `x-ms-client-request-id`; that id comes back as `X-Request-ID`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = [
    "ANSWER",
    "CATEGORIES",
    "PARTIAL_CONTENT",
    "PARTIAL_REASONING",
    "REASONED_JSON",
    "REASONING",
    "SCENARIOS",
    "SCRIPT_HEADER",
    "Connection",
    "FaultServer",
    "Request",
    "Route",
    "Scenario",
]

SCRIPT_HEADER: Final = "x-fault-script"
ID_HEADER: Final = "x-ms-client-request-id"

MAX_CONNECTIONS: Final = 256
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 1024 * 1024
MAX_RECORDS: Final = 1000

REASONING: Final = "6*7=42"
ANSWER: Final = "The answer is \\boxed{42}."
PARTIAL_REASONING: Final = "some reasoning"
PARTIAL_CONTENT: Final = "some content"
REASONED_JSON: Final = {"product": 42}
CATEGORIES: Final[dict[str, dict[str, Any]]] = {
    "hate": {"filtered": False, "severity": "safe"},
    "jailbreak": {"filtered": True, "detected": True},
    "self_harm": {"filtered": False, "severity": "safe"},
    "sexual": {"filtered": False, "severity": "safe"},
    "violence": {"filtered": False, "severity": "safe"},
}
HELP_TEXT: Final = (
    "\nPlease check this guide to understand why this error code might have been returned \n"
    "https://docs.microsoft.com/en-us/azure/machine-learning/how-to-troubleshoot-online-endpoints"
    "#http-status-codes\n"
)
USAGE: Final = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
HEAD: Final = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "phi-4-mini-reasoning"}

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; `arrived_at` is monotonic, header names are lower case."""

    arrived_at: float
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def wants_stream(self) -> bool:
        """True when the body asks for a stream."""
        with suppress(ValueError):
            body = json.loads(self.body)
            return isinstance(body, dict) and body.get("stream") is True
        return False


@dataclass(eq=False)
class Route:
    """A base URL of its own, what it answers in turn, and what came to it."""

    url: str
    script: tuple[str, ...]
    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=MAX_RECORDS))
    was_left: threading.Event = field(default_factory=threading.Event)
    """Set when a client closed its connection before the answer's end."""

    _answered: int = 0

    @property
    def waits(self) -> list[float]:
        """Seconds between one request and the next."""
        arrivals = [request.arrived_at for request in self.requests]
        return [after - before for before, after in pairwise(arrivals)]

    def next_scenario(self) -> str:
        """The scenario for the next request."""
        self._answered += 1
        return scenario_at(self.script, self._answered - 1)


def scenario_at(script: Sequence[str], index: int) -> str:
    """The scenario for the request number `index`, also after the script's end."""
    if index < len(script):
        return script[index]
    return "ok" if SCENARIOS[script[-1]].passes else script[-1]


class Connection:
    """What a scenario acts on: one request and the way back."""

    def __init__(
        self,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        patience_s: float,
        elsewhere: str,
    ) -> None:
        self.request = request
        self.elsewhere = elsewhere
        self.keeps_alive = True
        self._reader = reader
        self._writer = writer
        self._deadline = time.monotonic() + patience_s

    @property
    def is_left(self) -> bool:
        """True when the client has closed the connection."""
        return self._reader.at_eof() or (self._writer.is_closing() and self.keeps_alive)

    @property
    def is_over(self) -> bool:
        """True when the client is gone, or the server's patience."""
        return self.is_left or time.monotonic() > self._deadline

    async def answer(
        self, status: int, body: bytes | Mapping[str, Any] = b"", headers: Headers = (), *, missing: int = 0
    ) -> None:
        """A whole answer; `missing` bytes are promised and never sent."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "text/plain; charset=utf-8" if isinstance(body, bytes) else "application/json"
        own = [("Content-Type", kind), ("Content-Length", str(len(content) + missing)), *headers]
        await self._write(self._head(status, own) + content)
        if missing:
            self.drop()

    async def begin(self, status: int = 200, kind: str = "text/event-stream") -> None:
        """The head of an answer whose body follows in pieces."""
        await self._write(self._head(status, [("Content-Type", kind), ("Transfer-Encoding", "chunked")]))

    async def send(self, *pieces: bytes) -> None:
        """A piece of the body."""
        data = b"".join(pieces)
        await self._write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end(self) -> None:
        """The regular end of a body in pieces."""
        await self._write(b"0\r\n\r\n")

    async def stream(self, *events: bytes) -> None:
        """A whole stream: its head, its events in two pieces, its regular end."""
        await self.begin()
        await self.send(*events[:2])
        await self.send(*events[2:])
        await self.end()

    def drop(self) -> None:
        """Close the connection as if the process had ended."""
        self.keeps_alive = False
        self._writer.close()

    def reset(self) -> None:
        """Reset the connection, so that the client's next read fails."""
        self.keeps_alive = False
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    def _head(self, status: int, headers: Headers) -> bytes:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        if ID_HEADER in self.request.headers:
            lines.append(f"X-Request-ID: {self.request.headers[ID_HEADER]}")
        lines += [f"{name}: {value}" for name, value in headers]
        return "\r\n".join([*lines, "", ""]).encode()

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


Act = Callable[[Connection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens to a request, and whether the next one to the same route fares better."""

    act: Act
    passes: bool = False


SCENARIOS: Final[dict[str, Scenario]] = {}
"""All scenarios by name. Those that stream whatever was asked for begin with `stream-`."""


def scenario(name: str, *, passes: bool = False) -> Callable[[Act], Act]:
    """Register a function under a name."""

    def register(act: Act) -> Act:
        SCENARIOS[name] = Scenario(act, passes)
        return act

    return register


def answers(
    name: str,
    status: int,
    body: bytes | Mapping[str, Any] = b"",
    headers: Headers = (),
    *,
    passes: bool = False,
    missing: int = 0,
) -> None:
    """Register a scenario that is one answer."""

    @scenario(name, passes=passes)
    async def act(connection: Connection) -> None:
        await connection.answer(status, body, headers, missing=missing)


def streams(name: str, *events: bytes) -> None:
    """Register a scenario that is one stream with a regular end of its connection."""

    @scenario(name)
    async def act(connection: Connection) -> None:
        await connection.stream(*events)


def event(value: Any) -> bytes:
    """One data event."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def chunk(
    text: str = "", *, finish_reason: str | None = None, usage: Mapping[str, int] | None = None
) -> bytes:
    """One event with a choice."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return event({**HEAD, "object": "chat.completion.chunk", "choices": [choice], "usage": usage})


def completion(text: str, finish_reason: str = "stop") -> dict[str, Any]:
    """A whole answer."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}


DONE: Final = event(b"[DONE]")
PING: Final = b": ping\n\n"
BEGIN: Final = (chunk("<think>6*7"), chunk("=42</think>"), chunk("The answer is "), chunk("\\boxed{42}."))
STOP: Final = chunk(finish_reason="stop", usage=USAGE)
SOME: Final = (chunk(f"<think>{PARTIAL_REASONING}"), chunk(f"</think>{PARTIAL_CONTENT}"))
TEXT: Final = f"<think>{REASONING}</think>{ANSWER}"
JSON_TEXT: Final = f"<think>{REASONING}</think>{json.dumps(REASONED_JSON)}"

LIMITED: Final = {"error": {"code": "429", "message": "Rate limit is exceeded. Try again in 43 seconds."}}
BROKEN: Final = {
    "error": {
        "code": "InternalServerError",
        "message": "Backend returned unexpected response. Please contact Microsoft for help.",
    }
}
FILTERED: Final = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Microsoft's content management "
        "policy. Please modify your prompt and retry.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": CATEGORIES},
    }
}
REFUSED: Final = {
    "object": "error",
    "message": "the engine refuses",
    "type": "BadRequestError",
    "param": None,
    "code": 400,
}


@scenario("ok")
async def answer_well(connection: Connection) -> None:
    """A good answer in the form that was asked for."""
    if connection.request.wants_stream:
        await connection.stream(*BEGIN, STOP, DONE)
    else:
        await connection.answer(200, completion(TEXT))


answers("429", 429, LIMITED, passes=True)
answers("429-reset-tokens", 429, LIMITED, [("x-ratelimit-reset-tokens", "2")], passes=True)
answers("429-retry-after", 429, LIMITED, [("Retry-After", "2")], passes=True)
answers("429-retry-after-ms", 429, LIMITED, [("retry-after-ms", "1500")], passes=True)
answers("429-x-ms-retry-after-ms", 429, LIMITED, [("x-ms-retry-after-ms", "1500")], passes=True)
for sentinel in ("-1", "0"):
    # Seen when a gateway has no numbers to give.
    numbers = [(f"x-ratelimit-{what}-tokens", sentinel) for what in ("limit", "remaining", "reset")]
    answers(f"429-all-{sentinel}", 429, LIMITED, numbers, passes=True)
answers("429-help-text", 429, HELP_TEXT.encode(), passes=True)
answers(
    "429-empty", 429, headers=[("ms-azureml-model-error-reason", "too_many_pending_request")], passes=True
)
answers("408", 408, b"upstream request timeout" + HELP_TEXT.encode(), passes=True)
answers("500", 500, BROKEN, passes=True)
answers("502", 502, {"error": "Downstream unavailable"}, passes=True)
answers("503", 503, b"<html>busy</html>", passes=True)
answers("504", 504, passes=True)
answers("424-429", 424, {"detail": "busy"}, [("ms-azureml-model-error-statuscode", "429")], passes=True)
answers("424-400", 424, {"detail": "too long"}, [("ms-azureml-model-error-statuscode", "400")])
answers("400-content-filter", 400, FILTERED)
answers("400-help-text", 400, json.dumps(REFUSED).encode() + HELP_TEXT.encode())
answers("400-plain-text", 400, b"no such thing")
answers("empty", 200)
answers("empty-object", 200, {})
answers("body-cut", 200, completion(TEXT), passes=True, missing=100)
answers("header-too-large", 200, completion(TEXT), [("x-large", "x" * 200_000)], passes=True)


@scenario("429-http-date", passes=True)
async def ask_to_wait_until_a_date(connection: Connection) -> None:
    """429 with a date that is 30 seconds away."""
    date = formatdate(time.time() + 30, usegmt=True)
    await connection.answer(429, LIMITED, [("Retry-After", date)])


@scenario("302-other-origin")
async def redirect_to_another_origin(connection: Connection) -> None:
    """A redirect that keeps the method, to another server."""
    await connection.answer(307, headers=[("Location", f"{connection.elsewhere}/chat/completions")])


@scenario("400-endless")
async def send_an_endless_error(connection: Connection) -> None:
    """An error whose body never ends."""
    await connection.begin(400, "text/plain")
    while not connection.is_over:
        await connection.send(b"x" * 32_768)
    connection.drop()


@scenario("dropped-before-answer", passes=True)
async def drop_before_the_answer(connection: Connection) -> None:
    """The connection ends where the answer should begin."""
    connection.drop()


@scenario("reset-before-answer", passes=True)
async def reset_before_the_answer(connection: Connection) -> None:
    """The connection is reset where the answer should begin."""
    connection.reset()


@scenario("doubled-request-id")
async def double_the_request_id(connection: Connection) -> None:
    """A good answer that names its request id twice."""
    again = ("X-Request-ID", connection.request.headers.get(ID_HEADER, ""))
    await connection.answer(200, completion(TEXT), [again])


@scenario("reasoned-json")
async def answer_json_after_reasoning(connection: Connection) -> None:
    """Reasoning, then an object of JSON."""
    await connection.answer(200, completion(JSON_TEXT))


streams("stream-cut", *SOME)
streams("stream-cut-with-done", *SOME, DONE)
streams("stream-invalid-json", *SOME, event(b"{broken"))
streams("stream-error-object", *SOME, event({"error": {"code": "500", "message": "it broke"}}), DONE)
streams("stream-error-event", *SOME, b"event: error\n" + event(b"it broke"), DONE)
streams("stream-length", *SOME, chunk(finish_reason="length", usage=USAGE), DONE)
streams("stream-length-in-reasoning", SOME[0], chunk(finish_reason="length", usage=USAGE), DONE)
streams("stream-content-filter", *SOME, chunk(finish_reason="content_filter", usage=USAGE), DONE)
streams("stream-crlf", *(part.replace(b"\n", b"\r\n") for part in (*BEGIN, STOP, DONE)))
streams("stream-comments", PING, *(part + PING for part in (*BEGIN, STOP, DONE)))
streams(
    "stream-empty-choices", event({**HEAD, "choices": [], "prompt_filter_results": []}), *BEGIN, STOP, DONE
)
streams(
    "stream-separate-usage",
    *BEGIN,
    chunk(finish_reason="stop"),
    event({**HEAD, "choices": [], "usage": USAGE}),
    DONE,
)
streams("stream-no-done", *BEGIN, STOP)


@scenario("stream-dropped")
async def drop_in_mid_stream(connection: Connection) -> None:
    """The connection ends without the body's regular end."""
    await connection.begin()
    await connection.send(*SOME)
    connection.drop()


@scenario("stream-reset")
async def reset_in_mid_stream(connection: Connection) -> None:
    """The connection is reset after some text."""
    await connection.begin()
    await connection.send(*SOME)
    # Some systems throw away on a reset what was not read yet.
    await asyncio.sleep(0.02)
    connection.reset()


@scenario("stream-pings")
async def ping_after_some_text(connection: Connection) -> None:
    """Some text, then comments alone until the patience ends."""
    await connection.begin()
    await connection.send(*SOME)
    await ping(connection)


@scenario("stream-pings-only")
async def ping_without_any_text(connection: Connection) -> None:
    """Comments alone until the patience ends."""
    await connection.begin()
    await ping(connection)


async def ping(connection: Connection) -> None:
    """Send comments while somebody listens, then end regularly."""
    while not connection.is_over:
        await connection.send(PING)
        await asyncio.sleep(0.02)
    await connection.end()


class FaultServer:
    """The server on a thread of its own; a context manager, after which neither thread nor socket is left.

    Args:
        patience_s: how long a scenario that does not end by itself goes on.
        elsewhere: the origin that redirects lead to.
    """

    def __init__(self, *, patience_s: float = 10.0, elsewhere: str = "http://127.0.0.1:9") -> None:
        self.patience_s = patience_s
        self.elsewhere = elsewhere
        self.origin = ""
        self._routes: dict[str, Route] = {}
        self._tries: dict[str, int] = {}
        self._open = 0
        self._changed = threading.Condition()
        self._writers: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start to listen on a free port."""
        listening: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=[listening], name="fault-server", daemon=True)
        self._thread.start()
        self.origin = f"http://127.0.0.1:{listening.result()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections and wait for the thread."""
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def route(self, *script: str) -> Route:
        """A new route that answers these scenarios in turn."""
        unknown = [name for name in script if name not in SCENARIOS]
        if unknown or not script:
            raise ValueError(f"a script needs names of scenarios, not {unknown}")
        path = f"/{len(self._routes)}"
        self._routes[path] = Route(self.origin + path, script)
        return self._routes[path]

    def wait_until_unused(self, timeout_s: float = 10.0) -> bool:
        """True as soon as no connection is open; False when that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, timeout_s)

    def _run(self, listening: Future[int]) -> None:
        try:
            asyncio.run(self._listen(listening))
        except BaseException as error:
            if listening.done():
                raise
            listening.set_exception(error)

    async def _listen(self, listening: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_HEAD_BYTES, backlog=256)
        async with server:
            listening.set_result(server.sockets[0].getsockname()[1])
            await self._stopping.wait()
            server.close()
            for writer in self._writers.values():
                writer.transport.abort()
            await asyncio.gather(*self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._writers[task] = writer
        self._count(1)
        try:
            if self._open <= MAX_CONNECTIONS:
                while await self._serve_one(reader, writer):
                    pass
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client is gone, or does not speak HTTP
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            del self._writers[task]
            self._count(-1)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; True when the connection can take another."""
        request = await _read_request(reader)
        route = self._routes.get("/" + request.target.split("/")[1])
        if route is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return False
        route.requests.append(request)
        connection = Connection(request, reader, writer, patience_s=self.patience_s, elsewhere=self.elsewhere)
        try:
            async with asyncio.timeout(self.patience_s + 1):
                await SCENARIOS[self._scenario_for(request, route)].act(connection)
        finally:
            if connection.is_left:
                route.was_left.set()
        return connection.keeps_alive

    def _scenario_for(self, request: Request, route: Route) -> str:
        script = request.headers.get(SCRIPT_HEADER, "")
        if not script:
            return route.next_scenario()
        key = request.headers.get(ID_HEADER, "")
        self._tries[key] = index = self._tries.get(key, -1) + 1
        return scenario_at(script.split(","), index)

    def _count(self, change: int) -> None:
        with self._changed:
            self._open += change
            self._changed.notify_all()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    arrived_at = time.monotonic()
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    fields = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MAX_BODY_BYTES:
        raise asyncio.LimitOverrunError("the body is too long", length)
    return Request(arrived_at, method, target, headers, await reader.readexactly(length))
