"""A link that tells of each exchange: to the metrics, and as a span where somebody listens to spans.

It must not change anything that passes. It stands outside of all that answers. An exchange is counted before its last
bytes go out: whoever has read them finds it in the metrics. Nothing is done for a token.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from starlette.types import Message, Receive, Send

from phi_client.contract.genai import content_of_request
from phi_emulator.journal.secrets import Cleaner
from phi_emulator.telemetry.metrics import Metrics
from phi_emulator.telemetry.spans import Spans
from phi_emulator.telemetry.told import Told
from phi_emulator.web.chain import Step
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.transport import ABORT

__all__ = ["TelemetryLink"]

_REFUSED: Final = 400
"""The first status of an error."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER: Final = "other"


class TelemetryLink:
    """The link. `model` tells the name of what answers, `keys` are the emulator's."""

    def __init__(
        self, metrics: Metrics, spans: Spans, model: Callable[[], str], keys: Collection[str] = ()
    ) -> None:
        self._metrics = metrics
        self._spans = spans
        self._model = model
        self._keys = keys

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Let an exchange pass, and tell of it."""
        place = exchange.place
        if not place.is_of_surface:
            await following(exchange, receive, send)
            return
        method = exchange.request.method if exchange.request.method in _METHODS else _OTHER
        trace = self._spans.begin(method, place.template, exchange.request.headers.items())
        status: int | None = None
        is_over = False

        def end(ending: str) -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                told = self._told(exchange, method, status, ending)
                self._metrics.end(told)
                if trace is not None:
                    trace.end(told)

        async def sent(message: Message) -> None:
            nonlocal status
            kind = message["type"]
            if kind == "http.response.start":
                status = message["status"]
            elif kind == ABORT:
                end("cut")
            elif kind == "http.response.body" and not message.get("more_body", False):
                end("refused" if (status or 0) >= _REFUSED else "answered")
            await send(message)

        try:
            await following(exchange, receive, sent)
        finally:
            end("hung up")

    def _told(self, exchange: Exchange, method: str, status: int | None, ending: str) -> Told:
        answer, asked = exchange.answer, exchange.asked
        progress = None if answer is None else answer.progress
        return Told(
            surface=exchange.dialect.name,
            provider=exchange.dialect.telemetry_name,
            method=method,
            route=exchange.place.template,
            model=self._model(),
            status=status,
            ending=ending,
            fault="" if exchange.fault is None else str(exchange.fault.get("effect", "")),
            deployment=exchange.deployment,
            request_id=exchange.request_id,
            is_chat=asked is not None,
            prompt_tokens=0 if progress is None else progress.prompt_tokens,
            cached_tokens=0 if progress is None else progress.cached_prompt_tokens,
            completion_tokens=0 if progress is None else progress.completion_tokens,
            finish_reason=None if answer is None or answer.usage is None else answer.finish_reason,
            received=exchange.received,
            queued=None if progress is None else progress.queued,
            admitted=None if progress is None else progress.admitted,
            first_token=None if progress is None else progress.first_token,
            ended=None if progress is None else progress.ended,
            over=exchange.clock.now(),
            parameters=lambda: _parameters(exchange),
            content=lambda: self._content(exchange),
        )

    def _content(self, exchange: Exchange) -> Mapping[str, Any]:
        """The prompt, without the credentials of the request."""
        if exchange.asked is None:
            return {}
        clean = Cleaner(self._keys, exchange.headers)
        return content_of_request(exchange.asked.model_dump(mode="json", exclude_unset=True), clean.text)


def _parameters(exchange: Exchange) -> Mapping[str, Any]:
    """What a request asks for, besides what it says."""
    asked = exchange.asked
    return (
        {}
        if asked is None
        else asked.model_dump(mode="json", exclude_unset=True, exclude={"messages", "tools"})
    )
