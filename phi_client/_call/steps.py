"""What a call asks of whoever carries it: the words between the flow, which decides, and the shells, which send.

It must not know how a step is taken. A flow is a generator that yields steps; it is sent what came of each, or has the
error thrown into it, and returns the call's result.

    flow ── AskToken ──> a token         ── Receive ──> the next bytes, `None` at the end
         ── Send ──────> a reply's head  ── Wait ─────> nothing

A reply is open until the next step that is no `Receive`; whoever carries the call closes it then, unless the flow's
result is the reply's stream.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from phi_client._call.deadline import Limits
from phi_client._call.secrets import Secrets
from phi_client._call.tokens import Way

__all__ = ["AskToken", "Flow", "Receive", "Reply", "Send", "Step", "Wait", "Watcher"]

_T = TypeVar("_T")


class Reply(Protocol):
    """The head of an answer, its body still to come."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """As they came, names in lower case."""
        ...

    @property
    def secrets(self) -> Secrets:
        """What must not be shown of it: the secrets of the request, and those of the way."""
        ...


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request on the connections of a lane; gives a `Reply`.

    May raise `APIConnectionError` (`APITimeoutError` among them), or `ConfigurationError` where the environment or a
    closed client makes sending impossible. Their messages have passed `secrets`.
    """

    connections: Any = field(repr=False)
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)
    limits: Limits
    secrets: Secrets


@dataclass(frozen=True, slots=True)
class Receive:
    """Read on in the reply of the last `Send`; gives bytes, or `None` at the end.

    May raise as `Send` does.
    """


@dataclass(frozen=True, slots=True)
class AskToken:
    """Have the credential of a lane asked; gives an `AccessToken`.

    May raise `CredentialError`, or `APITimeoutError` when the deadline passes first. What is asked once serves all who
    wait for it.
    """

    credentials: Any = field(repr=False)
    way: Way
    limits: Limits


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass."""

    seconds: float


Step = Send | Receive | AskToken | Wait
Flow = Generator[Step, Any, _T]
"""Sent: a `Reply` after `Send`, bytes or `None` after `Receive`, an `AccessToken` after `AskToken`."""


class Watcher(Protocol):
    """Who is told of a call's attempts while it runs: a `map` paces by it. Lanes are numbered as the endpoints."""

    @property
    def first_lane(self) -> int:
        """The lane to ask first; those before it are passed by."""
        ...

    def sends(self, lane: int) -> None:
        """An attempt goes out."""
        ...

    def answered(self, lane: int, headers: Mapping[str, str], error: Exception | None) -> None:
        """The attempt that went out last has come to an answer, or to an error; headers are empty without a reply."""
        ...

    def waits(self, lane: int, seconds: float) -> None:
        """The next attempt follows after so long."""
        ...
