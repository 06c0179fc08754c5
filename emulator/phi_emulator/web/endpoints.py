"""What each route of a dialect does: read the request, ask the service, write the answer.

It must not name a dialect: every fact of the wire is asked of the one that the exchange speaks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, ParamSpec

from starlette.responses import Response
from starlette.types import ASGIApp

from phi_client.contract.service.chat import ChatCompletion, ChatRequest, WireUsage
from phi_client.contract.wire import get_header
from phi_emulator.scripts.asked import Asked
from phi_emulator.service.chat import ChatService
from phi_emulator.service.errors import ServiceError
from phi_emulator.service.openapi import openapi_of
from phi_emulator.service.scripts import Cue, Scripts
from phi_emulator.service.validation import read_chat_request, read_score_request
from phi_emulator.web.body import Room, read_json_body
from phi_emulator.web.disconnect import run_unless_gone
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.header_values import safe_headers
from phi_emulator.web.sse_response import ChatStreamResponse

__all__ = ["Endpoints"]

P = ParamSpec("P")

_JSON: Final = "application/json"
_SMALL_BYTES: Final = 4 * 1024
"""Of a body that is read in a few milliseconds, whatever it holds."""
_MOST_HELD_BYTES: Final = 256 * 1024 * 1024
"""Of bodies that come in or wait to be read: ten thousand callers may send 4 MB each."""
_DEPLOYMENT: Final = "phi-emulator-1"
"""The deployment that answers for an endpoint whose deployments have no names given."""


class Endpoints:
    """The handlers of all routes that dialects have."""

    def __init__(self, service: ChatService, scripts: Scripts, *, max_body_bytes: int) -> None:
        self._service = service
        self._scripts = scripts
        self._max_body_bytes = max_body_bytes
        self._room = Room(max(_MOST_HELD_BYTES, 2 * max_body_bytes))

    async def chat(self, exchange: Exchange) -> ASGIApp:
        """A chat completion, whole or as a stream."""
        dialect = exchange.dialect
        request, size = await self._chat_request(exchange)
        await self._ask(exchange, request, size)
        if request.stream:
            return ChatStreamResponse(dialect, exchange.answered, self._headers(exchange))
        completion = await _whole(exchange)
        return self._json(exchange, dialect.write_completion(completion), completion.usage)

    async def score(self, exchange: Exchange) -> ASGIApp:
        """A chat completion in the score route's form; it never streams."""
        dialect = exchange.dialect
        with self._room.part() as hold:
            body = await self._read_body(exchange, hold)
            try:
                completion = await self._score(exchange, body)
            except ServiceError as error:
                raise ServiceError(
                    dialect.score_refusal(error.refusal), str(error), differs=error.differs
                ) from error
        return self._json(exchange, dialect.write_score(completion), completion.usage)

    async def info(self, exchange: Exchange) -> ASGIApp:
        """Which models answer: the one that is loaded, or the deployments of it that have names."""
        deployments = exchange.behaviour.deployments
        return self._json(exchange, exchange.dialect.write_models(self._service.info, deployments))

    async def model(self, exchange: Exchange) -> ASGIApp:
        """The model that answers, by any name."""
        return self._json(exchange, exchange.dialect.write_info(self._service.info))

    async def health(self, exchange: Exchange) -> ASGIApp:
        """That the deployment is there."""
        return self._json(exchange, exchange.dialect.write_health())

    async def swagger(self, exchange: Exchange) -> ASGIApp:
        """The routes, as OpenAPI."""
        document = openapi_of(exchange.dialect, self._service.status.model)
        return self._json(exchange, json.dumps(document).encode())

    async def _chat_request(self, exchange: Exchange) -> tuple[ChatRequest, int]:
        """The request in the body, and the bytes of that, which nobody holds any more."""
        with self._room.part() as hold:
            body = await self._read_body(exchange, hold)
            request = await self._read(
                body, read_chat_request, exchange.dialect, exchange.headers, body, exchange.place.route
            )
            return request, len(body)

    async def _score(self, exchange: Exchange, body: bytes) -> ChatCompletion:
        request = await self._read(body, read_score_request, exchange.dialect, body)
        await self._ask(exchange, request, len(body))
        return await _whole(exchange)

    async def _ask(self, exchange: Exchange, request: ChatRequest, size: int) -> None:
        """Have the request, which came in `size` bytes, answered by the deployment that it names."""
        behaviour, dialect = exchange.behaviour, exchange.dialect
        exchange.asked = request
        if dialect.needs_model:
            exchange.deployment = request.model
        elif dialect.deployment_header is not None:
            named = get_header(exchange.headers, dialect.deployment_header)
            exchange.deployment = named or next(iter(behaviour.deployments), _DEPLOYMENT)
        name = exchange.deployment
        if name is not None and behaviour.deployments and name not in behaviour.deployments:
            raise ServiceError(dialect.unknown_deployment(name))
        await exchange.when_asked(request)

        async def script() -> Cue | None:
            asked = Asked(request, exchange.call(streams=bool(request.stream)), exchange.scope)
            cue = await self._scripts.cue(asked, exchange.request_id)
            if cue is not None:
                exchange.scripted = cue.rule
                if cue.reply.fault is not None:
                    await exchange.meet(cue.reply.fault)
            return cue

        exchange.answer = await self._service.answer(
            behaviour,
            dialect,
            request,
            exchange.request_id,
            deployment=name,
            scope=exchange.scope,
            size=size,
            received=exchange.received,
            pace=exchange.pace(),
            script=script,
        )

    async def _read(
        self, body: bytes, read: Callable[P, ChatRequest], *given: P.args, **named: P.kwargs
    ) -> ChatRequest:
        """The request in `body`, read in a thread if that may take long: the loop serves everyone."""
        if len(body) <= _SMALL_BYTES:
            return read(*given, **named)
        return await self._service.lanes.run(len(body), lambda: read(*given, **named))

    async def _read_body(self, exchange: Exchange, hold: Callable[[int], None]) -> bytes:
        return await read_json_body(
            exchange.request, exchange.dialect, self._max_body_bytes, hold=hold, clock=exchange.clock
        )

    def _json(self, exchange: Exchange, body: bytes, usage: WireUsage | None = None) -> Response:
        return Response(body, 200, self._headers(exchange, usage), media_type=_JSON)

    def _headers(self, exchange: Exchange, usage: WireUsage | None = None) -> dict[str, str]:
        named = exchange.dialect.response_headers(
            request_id=exchange.request_id,
            session=exchange.session,
            deployment=exchange.deployment,
            usage=usage,
        )
        if exchange.answer is not None:
            limits, admission = exchange.behaviour.limits, exchange.answer.admission
            named |= exchange.dialect.limit_headers(
                limit_requests=limits.requests_per_minute,
                limit_tokens=limits.tokens_per_minute,
                remaining_requests=admission.remaining_requests,
                remaining_tokens=admission.remaining_tokens,
            )
        # What the caller sent comes back as it came: HTTP carried it once.
        return safe_headers(named) | exchange.dialect.echoed_headers(exchange.headers)


async def _whole(exchange: Exchange) -> ChatCompletion:
    """The whole answer; the engine is free if the client leaves."""
    return await run_unless_gone(exchange.receive, exchange.answered.complete())
