"""The one thing that bounds a call: when it must have ended, and what that leaves for each wait.

It must not know what is waited for. A limit is looked at before each wait, with what is left just then: limits that
are fixed when an attempt begins add up to more than the deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from phi_client._call.errors import APITimeoutError
from phi_client._call.options import Timeout

if TYPE_CHECKING:
    from phi_client.contract.clock.virtual_time import VirtualTime

__all__ = ["Deadline", "Limits", "Phase"]

Phase = Literal["connect", "read", "write", "pool"]

_LEAST_S = 0.001
"""A deadline that has just passed must still be a limit: for sockets 0 means something else."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """`limit_s` seconds from `began` on; `None` is no limit."""

    limit_s: float | None
    now: Callable[[], float]
    began: float
    virtual: VirtualTime | None = None
    """Who else goes by this time, where it is virtual."""

    @classmethod
    def of(
        cls, limit_s: float | None, now: Callable[[], float], virtual: VirtualTime | None = None
    ) -> Deadline:
        """A deadline that begins now."""
        return cls(limit_s, now, now(), virtual)

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, below 0 when it has passed; `None` without a limit."""
        return None if self.limit_s is None else self.limit_s - (self.now() - self.began)

    @property
    def has_passed(self) -> bool:
        """Whether nothing is left."""
        left_s = self.left_s
        return left_s is not None and left_s <= 0

    def check(self, *, request_sent: bool) -> None:
        """Raise when it has passed.

        Raises:
            APITimeoutError: with the phase `deadline`.
        """
        if self.limit_s is not None and self.has_passed:
            raise self.reached(request_sent=request_sent)

    def reached(self, *, request_sent: bool) -> APITimeoutError:
        """The error for a deadline that has passed."""
        limit_s = self.limit_s or 0.0
        return APITimeoutError(
            f"no complete answer within the deadline of {limit_s:g} s",
            phase="deadline",
            limit_s=limit_s,
            request_sent=request_sent,
        )


class Limits:
    """The limits of one attempt: those by phase, none longer than what is then left of the deadline."""

    __slots__ = ("_last_s", "_longest_read_s", "deadline", "timeout")

    def __init__(self, timeout: Timeout, deadline: Deadline) -> None:
        self.timeout = timeout
        self.deadline = deadline
        self._longest_read_s: float | None = None
        self._last_s: float | None = None

    def left_s(self, phase: Phase) -> float | None:
        """How long the next wait of this kind may take, looked at now."""
        own: float | None = getattr(self.timeout, phase)
        if phase == "read" and self._longest_read_s is not None:
            own = self._longest_read_s
        left_s = self.deadline.left_s
        self._last_s = None
        if left_s is None or (own is not None and own <= left_s):
            return own
        self._last_s = max(_LEAST_S, left_s)
        return self._last_s

    def shorten_reads(self, seconds: float) -> None:
        """Let no read take longer from here on, as at the end of a stream."""
        self._longest_read_s = seconds

    def reached(self, phase: Phase, *, request_sent: bool) -> APITimeoutError:
        """The error for a wait that took as long as it might: the deadline's where that was the shorter."""
        if self._last_s is not None or self.deadline.has_passed:
            return self.deadline.reached(request_sent=request_sent)
        limit_s: float = getattr(self.timeout, phase) or 0.0
        return APITimeoutError(
            f"no answer within the {phase} limit of {limit_s:g} s",
            phase=phase,
            limit_s=limit_s,
            request_sent=request_sent,
        )
