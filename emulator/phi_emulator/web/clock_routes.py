"""The routes of the clock, for whoever moves an emulator's time from another process. They must not know who waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from phi_client.contract.clock.base import Clock
from phi_client.contract.clock.virtual_time import ClockError
from phi_emulator.service.errors import conflict
from phi_emulator.web.control_route import ControlRoute, place, read_posted
from phi_emulator.web.exchange import Exchange

__all__ = ["ClockRoutes"]

_IS_REAL: Final = (
    "This emulator's clock is the system's, which nobody moves: start it with `--virtual-time yes`, or in a test "
    "with a `VirtualClock`."
)


class ClockRoutes:
    """Their handlers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @property
    def table(self) -> Sequence[ControlRoute]:
        """All of them."""
        return (
            ControlRoute(place("clock"), "GET", self.clock),
            ControlRoute(place("clock"), "POST", self.advance),
        )

    async def clock(self, exchange: Exchange) -> ASGIApp:  # noqa: ARG002 - a handler's signature
        """What the clock says, how many wait on it, and in how many seconds the first of them is due."""
        virtual = self._clock.virtual
        told: dict[str, object] = {
            "virtual": virtual is not None,
            "now": self._clock.now(),
            "unix": self._clock.unix(),
        }
        if virtual is not None:
            told |= {"waiting": len(virtual.dues()), "next": virtual.next_s}
        return JSONResponse(told)

    async def advance(self, exchange: Exchange) -> ASGIApp:
        """Let seconds pass; answered when they have, and all that was due meanwhile has gone on."""
        seconds = await read_posted(exchange, _read_seconds)
        virtual = self._clock.virtual
        if virtual is None:
            raise conflict(_IS_REAL)
        try:
            await virtual.advance_async(seconds)
        except (ClockError, ValueError) as error:
            raise conflict(str(error)) from None
        return await self.clock(exchange)


def _read_seconds(document: object) -> float:
    """What `{"advance": seconds}` says.

    Raises:
        ValueError: it says anything else.
    """
    wanted = 'the body must be {"advance": seconds}, with a number that is not negative'
    if not isinstance(document, dict):
        raise ValueError(wanted)  # noqa: TRY004 - whoever asked is told
    table = cast("Mapping[str, object]", document)
    unknown = [name for name in table if name != "advance"]
    if unknown:
        raise ValueError(f"there is no {unknown[0]!r}: {wanted}")
    seconds = table.get("advance")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise ValueError(wanted)
    return float(min(seconds, 10**15))  # what no clock moves by either
