"""What an answer is made of, and what can be done in its place. It must not know who does it.

`Head`, `Bytes` and `End` go into a machine and come out of it; the others only come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from phi_client.contract.service.refusals import Refusal

__all__ = ["Action", "Bytes", "Cut", "End", "Head", "Refuse", "Wait"]


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers, in the order in which they are sent."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The first value of a header, whatever the case of its name; empty without it."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def without(self, *names: str) -> Head:
        """All but these headers."""
        lower = {name.lower() for name in names}
        return Head(self.status, tuple(pair for pair in self.headers if pair[0].lower() not in lower))

    def having(self, name: str, value: str) -> Head:
        """With this header, in the place of others of that name."""
        return Head(self.status, (*self.without(name).headers, (name, value)))


@dataclass(frozen=True, slots=True)
class Bytes:
    """A piece of the body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The regular end of the body."""


@dataclass(frozen=True, slots=True)
class Wait:
    """So many seconds in which nothing is sent."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The end of the connection: with a reset, or as if the server ended. Nothing follows.

    `last` goes out before it, as it stands: it is a part of a head, or what follows a body's regular end.
    """

    with_reset: bool
    last: bytes = b""


@dataclass(frozen=True, slots=True)
class Refuse:
    """An error in the place of the answer, as its surface writes it. Nothing follows."""

    refusal: Refusal


Action: TypeAlias = Head | Bytes | End | Wait | Cut | Refuse
