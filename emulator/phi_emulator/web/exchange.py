"""One exchange, a request and its answer: where it leads, how the emulator behaves for it, and what was found out.

It must not decide anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.types import ASGIApp, Receive

from phi_client.contract.clock.base import Clock
from phi_client.contract.emulator import EMULATOR_HEADERS, EMULATOR_PLACE
from phi_client.contract.service import Surface
from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.tokens import read_token
from phi_emulator.faults.rules import Call, Fault
from phi_emulator.service.behaviour import Behaviour
from phi_emulator.service.errors import ServiceError
from phi_emulator.service.pacing import Pace
from phi_emulator.service.responses import Answer

__all__ = ["SCOPE_HEADER", "Exchange", "Handler", "Place"]

SCOPE_HEADER: Final = f"{EMULATOR_HEADERS}scope"
"""Request header with the scope of what a test sets, counts and finds again, so that parallel tests don't meet."""

_MOST_PATH_BYTES: Final = 200
"""Of what is logged of a path."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads: a dialect, the route within it, and who handles which method; nobody for an unknown path.

    `parameters` are the parts of the path that differ from request to request.
    """

    dialect: Surface
    route: str
    handlers: Mapping[str, Handler]
    needs_key: bool = True
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    named: str = ""
    """The route where a name is a part of it, with `{deployment}` in the name's place."""

    @property
    def template(self) -> str:
        """The route without what callers may choose of it; `other` for a path that nobody has."""
        return (self.named or self.route) if self.handlers else "other"

    @property
    def is_of_surface(self) -> bool:
        """Whether Azure has such a place, and not the emulator alone."""
        return self.needs_key and not self.route.startswith(EMULATOR_PLACE)

    def handler(self, method: str) -> Handler:
        """Who handles `method`.

        Raises:
            ServiceError: 404 for an unknown path, 405 for another method than the path has.
        """
        if not self.handlers:
            raise ServiceError(self.dialect.unknown_route)
        if method not in self.handlers:
            refusal = self.dialect.method_not_allowed
            headers = {**refusal.headers, "Allow": ", ".join(self.handlers)}
            raise ServiceError(replace(refusal, headers=headers))
        return self.handlers[method]


async def _nothing(request: ChatRequest) -> None:
    """What most exchanges wait for."""


async def _no_fault(fault: Fault) -> None:
    """What most exchanges meet."""


@dataclass(slots=True)
class Exchange:
    """A request with the place to which it leads, its dialect at the asked version, and an id that is always a GUID.

    `clock` is what each wait of it goes through; `session` is the deployment's.
    """

    request: Request
    place: Place
    dialect: Surface
    behaviour: Behaviour
    session: str
    clock: Clock
    scope: str = ""
    """Whose rules and counts hold, and who finds it again: see `service.scopes`; without it the request's header."""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    received: float = field(init=False)
    """When the request came in, by `clock`."""
    status: int | None = None
    """What the client was told, once it was told."""
    answer: Answer | None = None
    deployment: str | None = None
    meet: Callable[[Fault], Awaitable[None]] = _no_fault
    """Awaited with the fault of a script's answer, before the engine is asked."""
    asked: ChatRequest | None = None
    """What is asked, once it was read and found good."""
    fault: Mapping[str, Any] | None = None
    """The fault that it meets, as a table, once that is known."""
    struck: tuple[float, int] | None = None
    """When that struck, by `clock`, and how many bytes of the body had gone out before; `None` while it did not."""
    differs: str = ""
    """The deviation from Azure that refused it."""
    scripted: str | None = None
    """The rule of a script that answers, in a few words."""
    put_off_s: float = 0.0
    """How long a fault has held it back so far; a profile counts on from there."""
    when_asked: Callable[[ChatRequest], Awaitable[None]] = _nothing
    """Awaited when the request was read, is good and its deployment is known, before the service is asked."""
    pace: Callable[[], Pace | None] = lambda: None
    """How fast the answer may come, asked for once the service is."""

    def __post_init__(self) -> None:
        self.received = self.clock.now()
        self.scope = self.scope or self.request.headers.get(SCOPE_HEADER, "")

    @property
    def answered(self) -> Answer:
        """The answer, once the service was asked for one."""
        if self.answer is None:
            raise RuntimeError("the service was not asked yet")
        return self.answer

    @property
    def latency(self) -> str | None:
        """The profile of latency that its answer keeps to, and by how much it is late, in a few words."""
        pace = None if self.answer is None else self.answer.pace
        return None if pace is None else pace.told

    @property
    def held_s(self) -> float:
        """How long a fault and a profile of latency have held it back on purpose so far."""
        pace = None if self.answer is None else self.answer.pace
        return self.put_off_s + (0.0 if pace is None else pace.held_s)

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers."""
        return self.request.headers

    def call(self, *, streams: bool) -> Call:
        """What rules know of the request, which was read."""
        return Call(
            surface=self.dialect.name,
            route=self.place.route,
            deployment=self.deployment,
            headers=self.headers,
            streams=streams,
            has_token=read_token(self.headers) is not None,
        )

    @property
    def receive(self) -> Receive:
        """How the request's body comes."""
        return self.request.receive

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the request came in."""
        return (self.clock.now() - self.received) * 1000

    @property
    def path(self) -> str:
        """The beginning of the path as it came, percent-encoded, so that it is safe to log."""
        raw: bytes = self.request.scope.get("raw_path", b"")
        return raw[:_MOST_PATH_BYTES].decode("ascii", "backslashreplace")

    def close(self) -> None:
        """Free the engine, whichever way the exchange ended."""
        if self.answer is not None:
            self.answer.cancel()


Handler: TypeAlias = Callable[[Exchange], Awaitable[ASGIApp]]
