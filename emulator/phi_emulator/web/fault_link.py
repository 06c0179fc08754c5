"""A link that lets an exchange meet its fault: it asks which, and carries out what the fault's machine says.

It must not know what any fault does. Requests meet faults once they are known to be good: what a request does wrong
itself is refused before, and is counted by no rule.

    read, checked ──► when_asked ──► begin() ──► Refuse, Cut: nobody is asked
    of a script   ──► meet       ──►   as above, unless there is a fault already
    the handler's answer ──► head(), body(), end() ──► sent, waited, cut
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_client.contract.emulator import EMULATOR_HEADERS
from phi_client.contract.service.chat import ChatRequest
from phi_emulator.faults.actions import Action, Bytes, Cut, End, Head, Refuse, Wait
from phi_emulator.faults.base import Machine
from phi_emulator.faults.machine import machine_for
from phi_emulator.faults.reading import read_line
from phi_emulator.faults.rules import Fault, FaultError
from phi_emulator.faults.state import FaultState
from phi_emulator.faults.struck import Striker
from phi_emulator.service.errors import ServiceError, bad_request
from phi_emulator.web.chain import Step, abort
from phi_emulator.web.disconnect import run_unless_gone
from phi_emulator.web.exchange import Exchange

__all__ = ["FAULT_HEADER", "FaultLink"]

FAULT_HEADER: Final = f"{EMULATOR_HEADERS}fault"
"""Request header with the fault that this request shall meet, as a line."""


class FaultLink:
    """The link. Its waits are `clock`'s, and so are the dates that it sends."""

    def __init__(self, state: FaultState, clock: Clock = SYSTEM_CLOCK) -> None:
        self._state = state
        self._clock = clock

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Let an exchange pass, with its fault if it meets one."""
        if not exchange.place.is_of_surface or not (
            exchange.behaviour.faults or FAULT_HEADER in exchange.headers or exchange.behaviour.script.is_used
        ):
            await following(exchange, receive, send)
            return
        carrier = _Carrier(exchange, receive, send, self._clock)

        async def asked(request: ChatRequest | None) -> None:
            fault = self._fault_of(exchange, streams=request is not None and bool(request.stream))
            if fault is not None:
                exchange.fault = fault.table
                await carrier.begin(machine_for(fault, exchange.dialect, self._clock.unix))

        async def meet(fault: Fault) -> None:
            if not carrier.has_begun:
                exchange.fault = fault.table
                await carrier.begin(machine_for(fault, exchange.dialect, self._clock.unix))

        exchange.when_asked, exchange.meet = asked, meet
        try:
            if exchange.request.method == "GET":
                await asked(None)
            await following(exchange, receive, carrier.send)
        except ClientDisconnect:
            if not carrier.is_over:
                raise

    def _fault_of(self, exchange: Exchange, *, streams: bool) -> Fault | None:
        call = exchange.call(streams=streams)
        line = exchange.headers.get(FAULT_HEADER)
        if line is None:
            rule = self._state.choose(exchange.behaviour.faults, call, exchange.scope)
            return None if rule is None else rule.fault
        try:
            fault = read_line(line)
        except FaultError as error:
            raise bad_request(f"{FAULT_HEADER}: {error}") from None
        reason = fault.reason_against(call)
        if reason is not None:
            raise bad_request(f"{FAULT_HEADER}: {reason}")
        return fault


class _Carrier:
    """Carries out what a machine says of one answer; without a machine it lets everything pass."""

    def __init__(self, exchange: Exchange, receive: Receive, send: Send, clock: Clock) -> None:
        self._exchange = exchange
        self._receive = receive
        self._send = send
        self._clock = clock
        self._machine: Machine | None = None
        self._striker = Striker()
        self._first_sent: float | None = None
        self.is_over = False
        """Whether the answer has ended, perhaps before whoever gives it knew."""

    @property
    def has_begun(self) -> bool:
        """Whether it has met a fault."""
        return self._machine is not None

    async def begin(self, machine: Machine) -> None:
        """Do what comes before the answer.

        Raises:
            ServiceError: an error is the answer.
            ClientDisconnect: the connection is cut.
        """
        self._machine = machine
        await self._do(machine.begin())

    async def send(self, message: Message) -> None:
        """As ASGI has it."""
        machine = self._machine
        if self.is_over:
            return
        if machine is None:
            await self._send(message)
        elif message["type"] == "http.response.start":
            pairs = tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
            )
            head = Head(message["status"], pairs)
            self._striker.takes(head)
            await self._do(machine.head(head))
        elif message["type"] == "http.response.body":
            if message.get("body"):
                self._striker.takes(message["body"])
                await self._do(machine.body(message["body"]))
            if not message.get("more_body", False) and not self.is_over:
                await self._do(machine.end())
        else:
            await self._send(message)

    async def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._look(action)
            match action:
                case Head():
                    headers = [
                        (name.lower().encode("latin-1"), value.encode("latin-1"))
                        for name, value in action.headers
                    ]
                    await self._send(
                        {"type": "http.response.start", "status": action.status, "headers": headers}
                    )
                case Bytes():
                    await self._send({"type": "http.response.body", "body": action.data, "more_body": True})
                    # One fault may be a million pieces, which the server takes without a pause.
                    await asyncio.sleep(0)
                case Wait():
                    await run_unless_gone(self._receive, self._wait(action.seconds))
                case End():
                    self.is_over = True
                    await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                case Cut():
                    await abort(self._exchange, self._send, reset=action.with_reset, last=action.last)
                case Refuse():
                    # Of an error in the place of the answer nothing goes wrong.
                    self._machine = None
                    raise ServiceError(action.refusal)
            if self.is_over:
                return

    def _look(self, action: Action) -> None:
        """Note where the fault strikes; one that changes no byte struck where the body began."""
        exchange = self._exchange
        if exchange.struck is not None:
            return
        now = self._clock.now()
        if self._striker.strikes(action):
            exchange.struck = (now, self._striker.sent)
        elif isinstance(action, Bytes) and self._first_sent is None:
            self._first_sent = now
        elif isinstance(action, End):
            exchange.struck = (now if self._first_sent is None else self._first_sent, 0)

    async def _wait(self, seconds: float) -> None:
        begun = self._clock.now()
        try:
            await self._clock.sleep_async(seconds)
        finally:
            self._exchange.put_off_s += self._clock.now() - begun
