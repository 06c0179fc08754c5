"""The way of a request, in one place: where it leads, the links that it goes through, and who handles it.

It must not know how any of these steps works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_client.contract.emulator import EMULATOR_HEADERS, EMULATOR_KEY
from phi_client.contract.service import Surface
from phi_client.contract.service.refusals import RefusedError
from phi_emulator.config import SETTINGS, EmulatorConfig
from phi_emulator.journal.journal import Journal
from phi_emulator.scripts.file import ScriptFile
from phi_emulator.scripts.rules import Script
from phi_emulator.service.behaviour import Behaviour, CurrentBehaviour
from phi_emulator.service.chat import ChatService
from phi_emulator.service.entra import Authority
from phi_emulator.service.errors import ServiceError
from phi_emulator.service.fault_rules import Faults
from phi_emulator.service.latency import Latency
from phi_emulator.service.scopes import Scopes
from phi_emulator.service.scripts import Scripts
from phi_emulator.settings.running import Settings
from phi_emulator.telemetry.metrics import Metrics
from phi_emulator.telemetry.spans import Spans
from phi_emulator.web.auth import Gate
from phi_emulator.web.chain import Link, chained, pass_through
from phi_emulator.web.clock_routes import ClockRoutes
from phi_emulator.web.control import Control
from phi_emulator.web.control_route import ControlRoute
from phi_emulator.web.endpoints import Endpoints
from phi_emulator.web.entra import Entra
from phi_emulator.web.exchange import SCOPE_HEADER, Exchange
from phi_emulator.web.fault_link import FaultLink
from phi_emulator.web.guard import check_message, check_source
from phi_emulator.web.home import is_browser
from phi_emulator.web.insight.feeds import Feeds
from phi_emulator.web.insight.routes import InspectorRoutes
from phi_emulator.web.journal_link import JournalLink
from phi_emulator.web.journal_routes import JournalRoutes
from phi_emulator.web.latency_link import LatencyLink
from phi_emulator.web.latency_routes import LatencyRoutes
from phi_emulator.web.links import checked, limit_time, log_exchange, say_stopping
from phi_emulator.web.metrics_routes import MetricsRoutes
from phi_emulator.web.page_routes import PageRoutes
from phi_emulator.web.routes import Routes
from phi_emulator.web.script_routes import ScriptRoutes
from phi_emulator.web.settings_routes import SettingsRoutes
from phi_emulator.web.telemetry_link import TelemetryLink

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["App"]


class App:
    """The emulator as an ASGI application.

    `authority` issues the tokens that are taken; `clock` tells the time, and is the one of the source that
    answers.
    `script_file` is followed, and `script` what was read from it; `has_model` is whether the source is a model.
    Further links see either all bytes as they are on the wire (`outer`), or what has passed the checks, and its answer
    (`inner`).
    """

    def __init__(
        self,
        service: ChatService,
        config: EmulatorConfig,
        *,
        authority: Authority | None = None,
        clock: Clock = SYSTEM_CLOCK,
        script_file: ScriptFile | None = None,
        script: Script | None = None,
        has_model: bool = True,
        journal: Journal | None = None,
        tracer_provider: TracerProvider | None = None,
        outer: Sequence[Link] = (),
        inner: Sequence[Link] = (),
    ) -> None:
        self.behaviour = CurrentBehaviour(config.behaviour)
        """How exchanges that begin now are met."""
        self.faults = Faults(self.behaviour)
        """What goes wrong with them."""
        self.settings = Settings(self.behaviour, SETTINGS)
        """What of their behaviour is set by name."""
        self.script = Scripts(self.behaviour, file=script_file, first=script, has_model=has_model)
        """What is answered in the place of the model."""
        self.latency = Latency(self.behaviour)
        """How fast they are answered."""
        self.scopes = Scopes()
        """Whose they are."""
        self.journal = journal or Journal(most=config.journal_size)
        """What became of the last ones."""
        self.feeds = Feeds()
        """Who looks on."""
        self.metrics = Metrics()
        """What is counted of all of them."""
        keys = {config.key, *chain.from_iterable(config.surface_keys.values())}
        self._service = service
        self._clock = clock
        self._root = config.dialect
        authority = authority or Authority(config.tenant, lifetime_s=config.token_seconds, clock=clock.unix)
        self._endpoints = Endpoints(service, self.script, max_body_bytes=config.max_body_bytes)
        self._control = Control(
            service,
            self.faults,
            MetricsRoutes(service, self.metrics),
            ScriptRoutes(self.script),
            LatencyRoutes(self.latency),
            SettingsRoutes(self.settings, service.reset_limits),
            JournalRoutes(self.journal),
            InspectorRoutes(self.journal, service, self.behaviour, self.feeds),
            ClockRoutes(clock),
            PageRoutes(service, config.key),
            reset=self.reset,
            key=config.key,
        )
        self._entra = Entra(authority, secret=None if config.key == EMULATOR_KEY else config.key)
        self._routes = self._routes_of(self.behaviour.now)
        self._chain = chained(
            (
                log_exchange,
                JournalLink(self.journal, keys, unix=clock.unix),
                TelemetryLink(
                    self.metrics, Spans(tracer_provider, unix=clock.unix), lambda: service.model, keys
                ),
                say_stopping,
                *outer,
                checked(
                    lambda exchange: check_message(exchange.request.scope),
                    lambda exchange: check_source(exchange.headers, config.host),
                ),
                Gate(config.key, authority, config.surface_keys, self.scopes.lets_in),
                checked(_check_headers, _check_route, _check_version),
                limit_time,
                LatencyLink(self.latency),
                FaultLink(self.faults.state, clock),
                *inner,
            ),
            _handle,
        )

    @property
    def control_routes(self) -> Sequence[ControlRoute]:
        """All routes under `/_emulator`."""
        return (*self._control.table, *self._entra.table)

    def reset(self, scope: str | None = None) -> None:
        """Put all back to the start: settings, faults, scripts, latency, counts, the journal; or what is a scope's own.

        From any thread. What runs goes on as it began.
        """
        self.settings.reset(scope=scope)
        self.faults.reset(scope=scope)
        self.script.reset(scope=scope)
        self.latency.reset(scope=scope)
        self._service.reset_limits(scope)
        self.journal.clear(scope=scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            # The server is set up to send no other kind: no websockets, no lifespan.
            raise NotImplementedError(f"only HTTP is served, not {scope['type']}")
        exchange = self._begin(Request(scope))
        await pass_through(self._chain, exchange, receive, send)

    def _begin(self, request: Request) -> Exchange:
        """The exchange of a request, with the behaviour of this moment."""
        behaviour = self.behaviour.now
        if behaviour.dialects is not self._routes.dialects:
            self._routes = self._routes_of(behaviour)
        by_browser = is_browser(request.headers)
        place = self._routes.place_of(request.method, request.scope["path"], by_browser=by_browser)
        scope = self.scopes.scope_of(
            request.headers.get(SCOPE_HEADER), _key_of(place.dialect, request.headers)
        )
        behaviour, session = self.behaviour.of(scope), self._service.session
        return Exchange(request, place, place.dialect, behaviour, session, self._clock, scope=scope)

    def _routes_of(self, behaviour: Behaviour) -> Routes:
        return Routes(behaviour.dialects, self._root, self._endpoints, self._control, self._entra)


async def _handle(exchange: Exchange, receive: Receive, send: Send) -> None:
    """The end of the chain: the handler of the place, and its answer."""
    scope = exchange.request.scope
    exchange.request = Request(scope, receive)
    try:
        response = await exchange.place.handler(exchange.request.method)(exchange)
        await response(scope, receive, send)
    finally:
        exchange.close()


def _key_of(dialect: Surface, headers: Mapping[str, str]) -> str:
    try:
        return dialect.read_key(headers)
    except RefusedError:
        return ""


def _check_headers(exchange: Exchange) -> None:
    try:
        exchange.dialect.check_headers(
            name for name in exchange.headers if not name.startswith(EMULATOR_HEADERS)
        )
    except RefusedError as error:
        raise ServiceError(error.refusal, differs="custom-headers") from None


def _check_route(exchange: Exchange) -> None:
    exchange.place.handler(exchange.request.method)


def _check_version(exchange: Exchange) -> None:
    version = exchange.request.query_params.get("api-version")
    if exchange.place.is_of_surface and not exchange.behaviour.loose:
        exchange.dialect.check_api_version(version)
    exchange.dialect = exchange.dialect.at_version(version)
