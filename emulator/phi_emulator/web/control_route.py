"""What a route under `/_emulator` is, and how its handlers read what they are asked.

It must not know which routes there are.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

from phi_client.contract.emulator import EMULATOR_PLACE
from phi_emulator.models.printable import printable
from phi_emulator.models.strict_json import MOST_BYTES, parse_json
from phi_emulator.service.errors import bad_request
from phi_emulator.web.body import read_json_body
from phi_emulator.web.exchange import Exchange, Handler

__all__ = ["ControlRoute", "RouteTable", "count_in_query", "place", "read_posted", "scope_of"]

T = TypeVar("T")

_MOST_DIGITS: Final = 15


class RouteTable(Protocol):
    """Handlers of control routes that belong together."""

    @property
    def table(self) -> Sequence[ControlRoute]:
        """Their routes."""
        ...


class ControlRoute(NamedTuple):
    """One route under `/_emulator`; `path` is a pattern, whose groups are the exchange's parameters."""

    path: str
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE"]
    handle: Handler
    has_own_key: bool = False
    """Whether the handler looks for the key itself, where its protocol has a place for it."""
    is_private: bool = False
    """Whether it tells what callers asked, so that reading needs the key as well."""

    @property
    def needs_key(self) -> bool:
        """Whether the key must be presented in a header: wherever something is changed, or is the callers' own."""
        return (self.method not in ("GET", "HEAD") or self.is_private) and not self.has_own_key


def place(path: str) -> str:
    """The pattern of a path under `/_emulator` that stands as it is."""
    return re.escape(f"{EMULATOR_PLACE}/{path}")


def scope_of(exchange: Exchange) -> str | None:
    """The scope for which something is asked or changed; `None`, where the request is of none, is all."""
    return exchange.scope or None


def count_in_query(exchange: Exchange, name: str) -> int | None:
    """A number in the query.

    Raises:
        ServiceError: 400, it is none.
    """
    given = exchange.request.query_params.get(name)
    if given is None:
        return None
    if not given.isascii() or not given.isdecimal() or len(given) > _MOST_DIGITS:
        raise bad_request(f"`{name}` must be a whole number from 0 on.")
    return int(given)


async def read_posted(exchange: Exchange, read: Callable[[object], T], *, most_bytes: int = MOST_BYTES) -> T:
    """What `read` makes of the JSON in the body, in a thread.

    Raises:
        ServiceError: 400 with the reason, where it is no JSON or `read` raises a `ValueError`; as `read_json_body`.
    """
    body = await read_json_body(exchange.request, exchange.dialect, most_bytes, clock=exchange.clock)
    try:
        return await asyncio.to_thread(lambda: read(parse_json(body)))
    except ValueError as error:
        raise bad_request(printable(str(error))) from None
