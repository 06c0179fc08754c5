"""The way of a request, in one place: where it leads, whether it may, what it does, and what is said when it fails.

It must not know how any of these steps works.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.service import SURFACES, Surface
from phi_client.contract.service.refusals import RefusedError, container_error
from phi_emulator.service.chat import ChatService
from phi_emulator.service.entra import Authority
from phi_emulator.service.errors import ServiceError, internal_error, log_unforeseen
from phi_emulator.service.responses import Answer
from phi_emulator.web.auth import Gate
from phi_emulator.web.control import Control
from phi_emulator.web.endpoints import Endpoints
from phi_emulator.web.entra import Entra
from phi_emulator.web.error_responses import error_response
from phi_emulator.web.exchange import Exchange
from phi_emulator.web.guard import check_source
from phi_emulator.web.home import is_browser
from phi_emulator.web.message import check_message
from phi_emulator.web.routes import Place, Routes

__all__ = ["App"]

logger = logging.getLogger("phi_emulator.web")


class App:
    """The emulator as an ASGI application.

    `root` is the dialect that the root speaks, `bound_host` the address that the server listens on. `loose` takes any
    `api-version`. `key` opens every surface without keys in `surface_keys`, and `authority` issues tokens.
    `clock` tells seconds; it is the one of the source that answers.
    """

    def __init__(
        self,
        service: ChatService,
        *,
        root: Surface,
        dialects: Iterable[Surface] | None = None,
        key: str,
        surface_keys: Mapping[str, Sequence[str]] | None = None,
        authority: Authority | None = None,
        bound_host: str,
        max_body_bytes: int,
        loose: bool = False,
        deployments: Sequence[str] = (),
        request_timeout_ms: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._clock = clock
        self._loose = loose
        self._bound_host = bound_host
        authority = authority or Authority()
        dialects = tuple(SURFACES.values() if dialects is None else dialects)
        self._gate = Gate(key, authority, surface_keys)
        self._routes = Routes(
            root,
            Endpoints(
                service,
                max_body_bytes=max_body_bytes,
                request_timeout_ms=request_timeout_ms,
                deployments=deployments,
            ),
            Control(service, key=key, dialects=dialects),
            Entra(authority, secret=None if key == EMULATOR_KEY else key),
            dialects=dialects,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            # The server is set up to send no other kind: no websockets, no lifespan.
            raise NotImplementedError(f"only HTTP is served, not {scope['type']}")
        request = Request(scope, receive)
        place = self._routes.place_of(request.method, scope["path"], by_browser=is_browser(request.headers))
        exchange = Exchange(request, receive, place.dialect, place.route, place.parameters, clock=self._clock)
        try:
            response = await self._respond(exchange, place)
            exchange.status = getattr(response, "status_code", None)
            await response(scope, receive, send)
        except ClientDisconnect:
            exchange.status = None
        except Exception as error:  # noqa: BLE001 - the server would log it with all that it quotes
            # The server closes the connection of an answer that has no end.
            log_unforeseen(logger, f"the answer to request {exchange.request_id} broke off", error)
        except asyncio.CancelledError:
            # Only a shutdown that could wait no longer cancels a request; its client is owed an answer.
            if exchange.status is None:
                stopping = ServiceError(container_error(503, "The service is stopping."))
                await self._error(exchange, stopping)(scope, receive, send)
        finally:
            exchange.close()
            _log(exchange)

    async def _respond(self, exchange: Exchange, place: Place) -> ASGIApp:
        try:
            check_message(exchange.request.scope)
            check_source(exchange.headers, self._bound_host)
            if place.needs_key:
                await self._gate.check(exchange.dialect, exchange.headers)
            exchange.dialect.check_headers(exchange.headers)
            handle = place.handler(exchange.request.method)
            version = exchange.request.query_params.get("api-version")
            if place.needs_key and not self._loose:
                exchange.dialect.check_api_version(version)
            exchange.dialect = exchange.dialect.at_version(version)
            return await handle(exchange)
        except RefusedError as error:
            return self._error(exchange, ServiceError(error.refusal))
        except ServiceError as error:
            return self._error(exchange, error)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged without what it quotes
            log_unforeseen(logger, f"request {exchange.request_id} failed", error)
            return self._error(exchange, internal_error())

    def _error(self, exchange: Exchange, error: ServiceError) -> ASGIApp:
        return error_response(exchange, error, session=self._service.session)


def _log(exchange: Exchange) -> None:
    """One line for each request: never its text, never its key."""
    answer = exchange.answer
    logger.info(
        "%s %s %s %.0f ms%s",
        exchange.request.method[:20],
        exchange.path,
        exchange.status or "client left",
        exchange.elapsed_ms,
        "" if answer is None else _told(answer),
    )


def _told(answer: Answer) -> str:
    """What an answer took that came to its end: prompt and answer in tokens, its wait in the queue, its first token."""
    usage, times = answer.usage, answer.times
    if usage is None or times is None:
        return ""
    first = (
        "" if times.first_token is None else f" first={(times.first_token - times.received) * 1000:.0f} ms"
    )
    waited = (times.admitted - times.queued) * 1000
    return f" tokens={usage.prompt_tokens}+{usage.completion_tokens} waited={waited:.0f} ms{first}"
