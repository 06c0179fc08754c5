"""What an answer said, read from its bytes as a client would read them, however broken they are.

It must not know how they came about.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from phi_client.contract.answers import AnswerView, first_choice
from phi_client.contract.error_body import ErrorBody, read_error_body
from phi_client.contract.events import DONE, EventDecoder, are_events
from phi_client.contract.service import Surface
from phi_client.contract.wire import ContractError

__all__ = ["Said", "read_said"]


@dataclass(slots=True)
class Said:
    """The texts of an answer, its finish reason, and the code of an error where it is one or ends with one."""

    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    error: ErrorBody | None = field(default=None, repr=False)
    is_read: bool = False
    """Whether anything of it was an answer."""

    def add(self, view: AnswerView | ErrorBody) -> None:
        """A whole answer, or an event of one."""
        if isinstance(view, ErrorBody):
            self.error = view
            return
        self.is_read = True
        if view.choices:
            choice = first_choice(view.choices)
            self.content += choice.content
            self.reasoning += choice.reasoning_content
            self.finish_reason = choice.finish_reason or self.finish_reason


def read_said(surface: Surface, route: str, body: bytes, *, is_error: bool = False) -> Said:
    """What the body of an answer says; what can't be read of it is left out."""
    said = Said()
    if is_error:
        said.error = read_error_body(body)
        return said
    decoder = EventDecoder()
    try:
        if not are_events(body):
            said.add(surface.read_completion(body, route=route))
            return said
        for event in (*decoder.feed(body), *decoder.flush()):
            if event.data != DONE:
                with suppress(ContractError):
                    said.add(surface.read_event(event))
    except ContractError:
        pass
    return said
