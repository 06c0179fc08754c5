"""What is known of a request to a script: its last message, which turn it is, and all of its body.

It must not know rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from phi_client.contract.messages import Role
from phi_client.contract.service.chat import ChatRequest
from phi_emulator.faults.rules import Call
from phi_emulator.models.strict_json import parse_json

__all__ = ["Asked"]


@dataclass(frozen=True)
class Asked:
    """A request. `call` is what rules for faults know of it."""

    request: ChatRequest
    call: Call
    scope: str = ""

    @cached_property
    def question(self) -> str:
        """The last message that isn't the model's own: of the user, or what a tool answered; empty without one."""
        return next(
            (one.text for one in reversed(self.request.messages) if one.role in (Role.USER, Role.TOOL)), ""
        )

    @cached_property
    def folded(self) -> str:
        """The same without upper and lower case."""
        return self.question.casefold()

    @cached_property
    def words(self) -> str:
        """The same with one space for all white space."""
        return " ".join(self.question.split())

    @cached_property
    def turn(self) -> int:
        """Which answer of the conversation is asked for, from 1: one more than it has."""
        return 1 + sum(message.role is Role.ASSISTANT for message in self.request.messages)

    @cached_property
    def value(self) -> Any:
        """The last message, read as JSON.

        Raises:
            ValueError: it is none.
        """
        return parse_json(self.question)

    @cached_property
    def body(self) -> Mapping[str, Any]:
        """The request as it came, in the names of the contract."""
        return self.request.to_wire()
