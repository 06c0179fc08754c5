"""What is noted of one exchange while it passes, and the entry of the journal that becomes of it.

It must not change anything that passes. What takes time is done when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.types import Message

from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.tokens import read_token
from phi_emulator.journal.entry import Difference, Ending, JournalEntry, Texts, TokensUsed
from phi_emulator.journal.said import Said, read_said
from phi_emulator.journal.secrets import Cleaner
from phi_emulator.journal.sent import Sent
from phi_emulator.journal.spent import Spent
from phi_emulator.journal.timeline import Timeline
from phi_emulator.journal.tokens import FaultAt, Piece, TokenReader
from phi_emulator.service.differences import Facts, deviations_met
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.transport import ABORT

__all__ = ["Note"]

_REFUSED: Final = 400
"""The first status of an error."""
_MOST_KEPT: Final = 128 * 1024
"""Bytes of an answer that are kept to be read at its end: where there are more, the last ones."""
_MOST_TEXT: Final = 512 * 1024
"""Bytes of a body that are read for its texts."""
_MOST_SHOWN: Final = 64 * 1024
"""Characters of a text that is kept."""
_MOST_CODE: Final = 100
_LONG_NAME: Final = 256


class Note:
    """What is noted of one exchange so far."""

    def __init__(
        self, exchange: Exchange, cleaner: Callable[[], Cleaner], began: float, *, keeps_texts: bool
    ) -> None:
        self._exchange = exchange
        self._clock = exchange.clock.now
        self._received = exchange.received
        self._cleaner = cleaner
        self._began = began
        self._over: float | None = None
        self._ending: Ending = "running"
        self._status: int | None = None
        self._headers: list[tuple[str, str]] = []
        self._is_stream = False
        self._request_bytes = 0
        self._response_bytes = 0
        self._timeline = Timeline()
        self._keeps_texts = keeps_texts
        self._asked = bytearray()
        self._told = bytearray()
        self._wants_body = True
        self._waits_since: float | None = None
        self._waited_s = 0.0

    @property
    def id(self) -> str:
        """The request id that the client is told."""
        return self._exchange.request_id

    @property
    def scope(self) -> str:
        """The request's scope."""
        return self._exchange.scope

    @property
    def progress(self) -> object:
        """By which the engine knows it; `None` while it does not."""
        answer = self._exchange.answer
        return None if answer is None else answer.progress

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self._over is not None

    @property
    def fault_at(self) -> FaultAt | None:
        """Where its fault struck, once it did."""
        struck, fault = self._exchange.struck, self._exchange.fault
        if struck is None or fault is None:
            return None
        return FaultAt(str(fault.get("effect", "")), (struck[0] - self._received) * 1000, struck[1])

    def reader(self) -> TokenReader | None:
        """A reader of its answer, once that has begun."""
        if self._status is None:
            return None
        exchange, clean = self._exchange, self._cleaner()
        return TokenReader(
            exchange.dialect,
            exchange.place.route,
            is_stream=self._is_stream,
            holds_secret=lambda text: clean.text(text) != text,
        )

    def pieces(self, offset: int) -> list[Piece]:
        """The pieces of the answer's body from so many bytes on."""
        found: list[Piece] = []
        end = self._response_bytes
        for chunk in reversed(self._timeline):
            begin = end - chunk.size
            if end <= offset:
                break
            begin = max(begin, offset)  # of pieces that became one meanwhile a part is known
            data = bytes(self._told[begin:end]) if self._keeps_texts and end <= len(self._told) else None
            found.append(Piece(chunk.ms, end - begin, chunk.events, data))
            end = begin
        found.reverse()
        return found

    def wait_for_body(self) -> None:
        """The client is waited for, if it has not sent all of its body."""
        if self._wants_body and self._over is None:
            self._waits_since = self._clock()

    def wait_no_more(self) -> None:
        """The client has sent, or has taken, what it was waited for."""
        self._waited_s += self._open_wait()
        self._waits_since = None

    def _open_wait(self) -> float:
        """How long the client is being waited for, apart from what the engine computes meanwhile."""
        since = self._waits_since
        if since is None:
            return 0.0
        answer = self._exchange.answer
        if answer is not None:
            ended = (answer.times or answer.progress).ended
            if ended is None:
                return 0.0
            since = max(since, ended)
        return max((self._clock() if self._over is None else self._over) - since, 0.0)

    def take_in(self, message: Message) -> None:
        """A piece of the request."""
        self.wait_no_more()
        if not message.get("more_body", False):
            self._wants_body = False
        data: bytes = message.get("body", b"")
        self._request_bytes += len(data)
        if self._keeps_texts and len(self._asked) < _MOST_TEXT:
            self._asked += data

    def see(self, message: Message) -> bool:
        """A piece of the answer, before it goes out. Whether it is the last one."""
        kind = message["type"]
        if kind == "http.response.body":
            data: bytes = message.get("body", b"")
            if data:
                self.wait_no_more()
                self._waits_since = self._add(data)
            if message.get("more_body", False):
                return False
            self._end("refused" if (self._status or 0) >= _REFUSED else "answered")
            return True
        if kind == "http.response.start":
            self._status = message["status"]
            self._headers = [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
            ]
            self._is_stream = any(
                name == "content-type" and value.startswith("text/event-stream")
                for name, value in self._headers
            )
            return False
        if kind == ABORT:
            if message["last"]:
                self._add(message["last"])
            self._end("cut")
            return True
        return False

    def leave(self) -> None:
        """Nothing more comes of it."""
        self._end("hung up")

    def row(self) -> JournalEntry:
        """How it stands, without texts."""
        return self.entry(None, with_texts=False)

    def entry(self, number: int | None, *, with_texts: bool = True) -> JournalEntry:
        """How it stands."""
        exchange = self._exchange
        request, asked, answer = exchange.request, exchange.asked, exchange.answer
        query = request.query_params
        deployment = None if exchange.deployment is None else exchange.deployment[:_LONG_NAME]
        clean = self._cleaner()
        version = query.get("api-version", "")[:_MOST_CODE]
        others = (exchange.path, exchange.scope, exchange.place.route, request.method, version)
        answers = "\n".join(map("\n".join, self._headers))
        clean.clears(*others, deployment or "", exchange.scripted or "", answers)
        said = self._said() if with_texts or not self._keeps_texts else Said()
        spent = self._spent()
        budget = None if answer is None else answer.sampling.max_tokens
        return JournalEntry(
            number=number,
            id=exchange.request_id,
            scope=clean.text(exchange.scope),
            began=self._began,
            ending=self._ending,
            method=clean.text(request.method),
            path=clean.text(exchange.path),
            surface=exchange.dialect.name,
            route=clean.text(exchange.place.route),
            request_headers=clean.head(),
            api_version=clean.text(version) or None,
            deployment=None if deployment is None else clean.text(deployment),
            streamed=asked is not None and bool(asked.stream),
            sampling=_sampling(asked, budget),
            status=self._status,
            error_code=self._error_code(said, clean),
            response_headers=clean.answers_head(self._headers),
            usage=self._usage(),
            finish_reason=self._finish_reason(said),
            fault=exchange.fault,
            fault_at=self.fault_at,
            scripted=None if exchange.scripted is None else clean.text(exchange.scripted),
            latency=exchange.latency,
            differences=tuple(
                Difference(one.subject, one.emulator, one.link)
                for one in deviations_met(self._facts(budget, spent.total_ms / 1000))
            ),
            spent=spent,
            request_bytes=self._request_bytes,
            response_bytes=self._response_bytes,
            timeline=self._timeline.copy(),
            texts=self._texts(said) if with_texts else None,
            sent=self._sent(said) if with_texts else None,
        )

    @property
    def _is_error(self) -> bool:
        return self._status is not None and self._status >= _REFUSED

    def _add(self, data: bytes) -> float:
        """Note a piece of the body; when that was."""
        now = self._clock()
        self._response_bytes += len(data)
        events = data.count(b"\n\n") if self._is_stream else 0
        self._timeline.add((now - self._received) * 1000, len(data), events)
        if self._keeps_texts:
            if len(self._told) < _MOST_TEXT:
                self._told += data
        elif self._is_error or self._exchange.fault is not None or b'"error"' in data:
            self._told += data
            if len(self._told) > _MOST_KEPT:
                del self._told[: len(self._told) - _MOST_KEPT // 2]
        return now

    def _said(self) -> Said:
        if not self._told:
            return Said()
        exchange = self._exchange
        return read_said(exchange.dialect, exchange.place.route, bytes(self._told), is_error=self._is_error)

    def _texts(self, said: Said) -> Texts | None:
        if not self._keeps_texts:
            return None

        def shown(text: str) -> str:
            # Before the cut: half a secret would be found by nobody.
            cleaned = whole.text(text)
            return cleaned if len(cleaned) <= _MOST_SHOWN else cleaned[: _MOST_SHOWN - 1] + "…"

        whole = self._cleaner()
        answer = said.content if said.is_read else bytes(self._told).decode(errors="replace")
        return Texts(shown(bytes(self._asked).decode(errors="replace")), shown(answer), shown(said.reasoning))

    def _sent(self, said: Said) -> Sent | None:
        if not self._keeps_texts or not self._told:
            return None
        body = bytes(self._told)
        # A credential that is spread over the events of a stream is found in what they say together.
        clean = self._cleaner()
        for text in (body.decode("latin-1"), said.content, said.reasoning):
            if clean.text(text) != text:
                return None
        return Sent(body, is_whole=len(body) == self._response_bytes)

    def _facts(self, budget: int | None, seconds: float) -> Facts:
        exchange = self._exchange
        return Facts(
            surface=exchange.dialect,
            route=exchange.place.route,
            behaviour=exchange.behaviour,
            status=self._status,
            seconds=seconds,
            differs=exchange.differs,
            asked=exchange.asked,
            budget=budget,
            deployment=exchange.deployment,
            api_version=exchange.request.query_params.get("api-version"),
            has_token=read_token(exchange.headers) is not None,
            said=bytes(self._told[:_MOST_SHOWN]).decode(errors="replace") if self._is_error else "",
        )

    def _end(self, ending: Ending) -> None:
        if self._over is None:
            self._over, self._ending = self._clock(), ending

    def _error_code(self, said: Said, clean: Cleaner) -> str | None:
        if said.error is None and not self._is_error:
            return None
        code = None if said.error is None else said.error.code
        return clean.text(str(self._status if code is None else code)[:_MOST_CODE])

    def _finish_reason(self, said: Said) -> str | None:
        """As the client was told; where a fault went over the answer that may be another one, or none."""
        answer = self._exchange.answer
        if answer is None or self._exchange.fault is not None:
            return said.finish_reason
        return answer.finish_reason

    def _usage(self) -> TokensUsed | None:
        answer = self._exchange.answer
        if answer is None:
            return None
        progress, usage = answer.progress, answer.usage
        if usage is None:
            # Of what did not come to its end: as far as it came.
            return TokensUsed(progress.prompt_tokens, progress.completion_tokens)
        return TokensUsed(usage.prompt_tokens, usage.completion_tokens, progress.cached_prompt_tokens)

    def _spent(self) -> Spent:
        over = self._clock() if self._over is None else self._over
        answer = self._exchange.answer
        marks: Mapping[str, Any] = {}
        if answer is not None:
            progress = answer.times or answer.progress
            marks = {name: getattr(progress, name) for name in ("queued", "admitted", "first_token", "ended")}
        waited = self._waited_s + self._open_wait()
        return Spent.between(self._received, over, held=self._exchange.held_s, client=waited, **marks)


def _sampling(asked: ChatRequest | None, budget: int | None) -> Mapping[str, Any]:
    if asked is None:
        return {}
    told = {name: getattr(asked, name) for name in ("temperature", "top_p", "seed", "max_tokens")}
    return {**told, "budget": budget}
