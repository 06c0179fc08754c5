"""Asks a served emulator and notes when what came. It must not know what the numbers mean."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any, Final

import httpx

from phi_emulator.bench.bare_client import BareClient
from phi_emulator.bench.processes import Conversation, Timing

__all__ = ["Asker", "Heard"]

_CHAT: Final = "/serverless/chat/completions"
_PATIENCE_S: Final = 600.0
_LOOK_EVERY_S: Final = 0.002
"""Seconds between two looks at whether something has come true."""
_BETWEEN_S: Final = 0.005
"""Seconds between two questions to the health route."""


@dataclass(slots=True)
class Heard:
    """When a stream's parts came, in seconds of the clock; its first chunk, a role without text, is left out."""

    asked_s: float
    begun_s: float = 0.0
    """When the first part came that the model had to do with: a token without text shows in the end only."""
    ended_s: float = 0.0
    at_s: list[float] = field(default_factory=list[float])
    """When chunks with text came."""
    tokens: int = 0
    """As the usage counts them: a token without text makes no chunk."""

    @property
    def first_s(self) -> float:
        return self.begun_s - self.asked_s


class Asker:
    """A client of one emulator. Chunks are counted, not read, so that the reader costs as little as it can."""

    def __init__(self, http: httpx.AsyncClient, bare: BareClient) -> None:
        self._http = http
        self._bare = bare

    @classmethod
    @asynccontextmanager
    async def at(cls, endpoint: str, key: str) -> AsyncGenerator[Asker]:
        headers = {"Authorization": f"Bearer {key}"}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        async with httpx.AsyncClient(
            base_url=endpoint, headers=headers, limits=limits, timeout=_PATIENCE_S, trust_env=False
        ) as http:
            url = http.base_url
            bare = BareClient(url.host, url.port or 80, _CHAT, headers["Authorization"])
            with closing(bare):
                yield cls(http, bare)

    async def prompt_tokens(self, text: str) -> int:
        """How many tokens the prompt has that `text` becomes."""
        answer = await self._http.post(_CHAT, json=_body(Conversation(text, 1, 0)))
        return int(answer.raise_for_status().json()["usage"]["prompt_tokens"])

    async def stream(
        self, conversation: Conversation | Sequence[dict[str, str]], heard: Heard | None = None
    ) -> Heard:
        """Ask for a stream and listen to its end; `heard` is filled meanwhile."""
        heard = heard or Heard(0.0)
        heard.asked_s = time.perf_counter()
        role_is_due, rest = True, b""
        body = json.dumps(_body(conversation) | {"stream": True}).encode()
        async with aclosing(self._bare.stream(body)) as pieces:
            async for piece in pieces:
                now = time.perf_counter()
                events = (rest + piece).split(b"\n\n")
                rest = events.pop()
                for event in events:
                    if role_is_due:
                        role_is_due = False
                        continue
                    heard.begun_s, heard.ended_s = heard.begun_s or now, now
                    if b'"usage"' in event:
                        usage = json.loads(event.partition(b"data: ")[2])["usage"]
                        heard.tokens = int(usage["completion_tokens"])
                    elif b'"content"' in event:
                        heard.at_s.append(now)
        return heard

    async def run(self, conversations: Sequence[Conversation]) -> Timing:
        """Run all at once, to their ends."""
        heard = await asyncio.gather(*map(self.stream, conversations))
        first = min(one.begun_s for one in heard)
        last = max(one.ended_s for one in heard)
        tokens = sum(one.tokens for one in heard)
        return Timing(first - heard[0].asked_s, tokens / (last - heard[0].asked_s))

    async def status_code(self, conversation: Conversation) -> int:
        """Ask for a whole answer; the status that came."""
        return (await self._http.post(_CHAT, json=_body(conversation))).status_code

    async def status(self) -> dict[str, Any]:
        """What the emulator says of itself."""
        answer = await self._http.get("/_emulator/status")
        status: dict[str, Any] = json.loads(answer.content)
        return status

    def health_times(self, until: threading.Event) -> list[float]:
        """How long the health route takes, again and again. Blocks; belongs to a thread of its own.

        With the barest client there is: what a better one does for its user is no time of the emulator.
        """
        times: list[float] = []
        url = self._http.base_url
        with closing(HTTPConnection(url.host, url.port, timeout=_PATIENCE_S)) as http:
            while not until.wait(_BETWEEN_S):
                began = time.perf_counter()
                http.request("GET", "/_emulator/health")
                http.getresponse().read()
                times.append(time.perf_counter() - began)
        return times

    async def hang_up(self, conversation: Conversation, *, streamed: bool) -> tuple[float, int]:
        """Ask, and hang up as soon as it runs: after how many seconds nothing runs any more, and after how many steps
        that began meanwhile.
        """
        if streamed:
            task: asyncio.Task[object] = asyncio.create_task(self.stream(conversation))
        else:
            task = asyncio.create_task(self.status_code(conversation))
        await self.until(lambda status: status["running"] > 0)
        begun = (await self.status())["counts"]["steps"]
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        took_s = await self.until(lambda status: not status["running"])
        return took_s, (await self.status())["counts"]["steps"] - begun

    async def hang_up_on_answer(self, conversation: Conversation) -> None:
        """Ask for a stream, and hang up at its first text."""
        heard = Heard(0.0)
        task = asyncio.create_task(self.stream(conversation, heard))
        while not (heard.at_s or task.done()):  # noqa: ASYNC110 - it comes true in another task
            await asyncio.sleep(_LOOK_EVERY_S)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def text(self, conversation: Conversation) -> str:
        """The whole answer's text."""
        answer = await self._http.post(_CHAT, json=_body(conversation))
        return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> float:
        """Seconds until the status is so."""
        began = time.perf_counter()
        while not holds(await self.status()):  # noqa: ASYNC110 - it comes true in another process
            await asyncio.sleep(_LOOK_EVERY_S)
        return time.perf_counter() - began


def _body(asked: Conversation | Sequence[dict[str, str]]) -> dict[str, Any]:
    if not isinstance(asked, Conversation):
        return {"messages": list(asked), "max_tokens": 1, "temperature": 0}
    return {
        "messages": [{"role": "user", "content": asked.text}],
        "max_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "seed": asked.seed,
    }
