"""A link that gives an exchange its pace: that of the request's own header, or of what holds in its scope.

It must not know how a pace is kept. A fault comes on top: what it waits puts off all that follows.
"""

from __future__ import annotations

from typing import Final

from starlette.types import Message, Receive, Send

from phi_client.contract.emulator import EMULATOR_HEADERS
from phi_emulator.latency.language import LatencyError, read_line
from phi_emulator.service.errors import bad_request
from phi_emulator.service.latency import Latency
from phi_emulator.service.pacing import Pace
from phi_emulator.web.chain import Step
from phi_emulator.web.exchange import Exchange

__all__ = ["LATENCY_HEADER", "LatencyLink"]

LATENCY_HEADER: Final = f"{EMULATOR_HEADERS}latency"
"""Request header with the profile that the answer to this request shall have, as a line."""


class LatencyLink:
    """The link. Its waits are those of the exchange's clock."""

    def __init__(self, latency: Latency) -> None:
        self._latency = latency

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Let an exchange pass, at the pace of its profile if it has one."""
        if not exchange.place.is_of_surface:
            await following(exchange, receive, send)
            return
        scope = exchange.scope
        profile = exchange.behaviour.latency
        line = exchange.headers.get(LATENCY_HEADER)
        if line is not None:
            try:
                profile = read_line(line)
            except LatencyError as error:
                raise bad_request(f"{LATENCY_HEADER}: {error}") from None
        if profile is None:
            await following(exchange, receive, send)
            return
        wanted = profile

        def pace() -> Pace:
            # By its own header it is the first, so that it has the same times whatever else is asked.
            return Pace(
                wanted,
                1 if line is not None else self._latency.next_number(scope),
                begun=lambda: exchange.received + exchange.put_off_s,
                clock=exchange.clock,
            )

        exchange.pace = pace
        is_noted = False

        def note() -> None:
            nonlocal is_noted
            if not is_noted and exchange.answer is not None and exchange.answer.pace is not None:
                is_noted = True
                self._latency.note(scope, exchange.answer.pace.lateness)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                # Before the last bytes go out: whoever has read them finds it counted.
                note()
            await send(message)

        try:
            await following(exchange, receive, sent)
        finally:
            note()
