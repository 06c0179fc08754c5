"""What each route of a dialect does: read the request, ask the service, write the answer.

It must not name a dialect: every fact of the wire is asked of the one that the exchange speaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.responses import Response
from starlette.types import ASGIApp

from phi_client.contract.chat import ChatCompletion, Usage
from phi_emulator.service.chat import ChatService
from phi_emulator.service.errors import ServiceError
from phi_emulator.service.responses import Answer
from phi_emulator.service.validation import read_chat_request, read_score_request
from phi_emulator.web.body import read_json_body
from phi_emulator.web.disconnect import run_unless_gone
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.sse_response import ChatStreamResponse

__all__ = ["Endpoints"]

_JSON = "application/json"


class Endpoints:
    """The handlers of all routes that dialects have."""

    def __init__(
        self,
        service: ChatService,
        *,
        max_body_bytes: int,
        request_timeout_ms: int | None = None,
        deployments: Collection[str] = (),
    ) -> None:
        self._deployments = frozenset(deployments)
        self._service = service
        self._limit_s = None if request_timeout_ms is None else request_timeout_ms / 1000
        self._max_body_bytes = max_body_bytes

    async def chat(self, exchange: Exchange) -> ASGIApp:
        """A chat completion, whole or as a stream."""
        dialect = exchange.dialect
        body = await self._read_body(exchange)
        # In a thread, like all work that grows with the request: the loop serves everyone.
        request = await asyncio.to_thread(read_chat_request, dialect, exchange.headers, body, exchange.route)
        if dialect.needs_model and self._deployments and request.model not in self._deployments:
            raise ServiceError(dialect.unknown_model(request.model or ""))
        exchange.answer = await self._service.answer(dialect, request, exchange.request_id)
        if request.stream:
            return ChatStreamResponse(dialect, exchange.answer, self._headers(exchange))
        completion = await self._whole(exchange, exchange.answer)
        return self._json(exchange, dialect.write_completion(completion), completion.usage)

    async def score(self, exchange: Exchange) -> ASGIApp:
        """A chat completion in the score route's form; it never streams."""
        dialect = exchange.dialect
        body = await self._read_body(exchange)
        try:
            completion = await self._score(exchange, body)
        except ServiceError as error:
            raise ServiceError(dialect.score_refusal(error.refusal), str(error)) from error
        return self._json(exchange, dialect.write_score(completion), completion.usage)

    async def info(self, exchange: Exchange) -> ASGIApp:
        """Which model answers."""
        return self._json(exchange, exchange.dialect.write_info(self._service.info))

    async def health(self, exchange: Exchange) -> ASGIApp:
        """That the deployment is there."""
        return self._json(exchange, exchange.dialect.write_health())

    async def _score(self, exchange: Exchange, body: bytes) -> ChatCompletion:
        request = await asyncio.to_thread(read_score_request, exchange.dialect, body)
        exchange.answer = await self._service.answer(exchange.dialect, request, exchange.request_id)
        return await self._whole(exchange, exchange.answer)

    async def _whole(self, exchange: Exchange, answer: Answer) -> ChatCompletion:
        """The whole answer, or the front door's word that it took too long; the engine is free then."""
        try:
            async with asyncio.timeout(self._limit_s):
                return await run_unless_gone(exchange.receive, answer.complete())
        except TimeoutError:
            raise ServiceError(exchange.dialect.timed_out) from None

    async def _read_body(self, exchange: Exchange) -> bytes:
        return await read_json_body(exchange.request, exchange.dialect, self._max_body_bytes)

    def _json(self, exchange: Exchange, body: bytes, usage: Usage | None = None) -> Response:
        return Response(body, 200, self._headers(exchange, usage), media_type=_JSON)

    def _headers(self, exchange: Exchange, usage: Usage | None = None) -> dict[str, str]:
        named = exchange.dialect.response_headers(
            request_id=exchange.request_id, session=self._service.session, usage=usage
        )
        if exchange.answer is not None:
            limits, admission = self._service.limits, exchange.answer.admission
            named |= exchange.dialect.limit_headers(
                limit_requests=limits.requests_per_minute,
                limit_tokens=limits.tokens_per_minute,
                remaining_requests=admission.remaining_requests,
                remaining_tokens=admission.remaining_tokens,
            )
        return named | exchange.dialect.echoed_headers(exchange.headers)
