"""Carrying a call, sync: its steps are taken one after the other. Its twin is `async_driving.py`, with `await`.

It must not decide anything: the flow says what to do, and is told what came of it.
"""

from typing import Any, TypeVar

from phi_client._call.instant_retries import InstantRetries
from phi_client._call.steps import AskToken, Flow, Receive, Send, Step
from phi_client.contract.clock.base import Clock

__all__ = ["Carrier"]

_T = TypeVar("_T")


class Carrier:
    """Carries one call. `reply` is what is open, to read on where the call came to a stream; `close` it at the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.reply: Any = None

    def carry(self, flow: Flow[_T]) -> _T:
        """What the flow comes to.

        Raises:
            PhiError: what it raises.
        """
        with self._clock.at_work():
            return self._carry(flow)

    def _carry(self, flow: Flow[_T]) -> _T:
        try:
            step = next(flow)
            while True:
                try:
                    came = [self._take(step)]
                except BaseException as error:  # noqa: BLE001  # the flow decides
                    step = flow.throw(error)
                else:
                    step = flow.send(came.pop())  # no variable of this frame keeps it
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close what is open."""
        reply, self.reply = self.reply, None
        if reply is not None:
            reply.close()

    def _take(self, step: Step) -> object:
        if isinstance(step, Receive):
            return self.reply.read()
        self.close()
        if isinstance(step, Send):
            self.reply = step.connections.send(step)
            return self.reply
        if isinstance(step, AskToken):
            return step.credentials.ask(step)
        if not InstantRetries.depth:
            self._clock.sleep(step.seconds)
        return None
