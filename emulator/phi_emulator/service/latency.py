"""How fast the answers of a running emulator come: which profile holds now, and whether it could be kept.

It must not know how a profile is kept; that is the business of `pacing`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Final

from phi_emulator.by_scope import ByScope
from phi_emulator.latency.profile import Profile
from phi_emulator.latency.reading import read_setting
from phi_emulator.service.behaviour import CurrentBehaviour
from phi_emulator.service.pacing import Lateness

__all__ = ["Latency", "LatencyCount"]

_FIELDS: Final = ("latency",)


@dataclass(frozen=True, slots=True)
class LatencyCount:
    """How the profile of a scope was kept: answers and tokens that went out under it, and those that were late."""

    answers: int = 0
    late_answers: int = 0
    tokens: int = 0
    late_tokens: int = 0
    most_late_s: float = 0.0
    """By how much the latest token was late; 0 where none was."""


class Latency:
    """The profile of latency that holds, to be changed at any time and from any thread.

    A change holds for requests that come after it. A scope is what a request has in `x-phi-scope`: a profile may be
    that of one scope, and each scope has its own counts, so that tests that run side by side don't meet. Of a thousand
    scopes the counts of the one that was not used for longest are forgotten.
    """

    def __init__(self, behaviour: CurrentBehaviour) -> None:
        self._behaviour = behaviour
        self._scopes = ByScope[_Scope](_Scope)
        self._lock = threading.Lock()

    def set(self, profile: Profile | str | None, *, scope: str | None = None) -> None:
        """Have answers come as `profile` says: a profile, a preset's name, a line or a file; `None` is as they are.

        With a scope that holds for it alone. Counts begin anew, and so do the numbers by which jitter is drawn.

        Raises:
            LatencyError: the text names no profile.
        """
        wanted = read_setting(profile) if isinstance(profile, str) else profile
        self._behaviour.change(lambda now: replace(now, latency=wanted), scope=scope, fields=_FIELDS)
        self._forget(scope)

    def reset(self, *, scope: str | None = None) -> None:
        """Back to the profile of the start, and no counts; with a scope its own profile and counts are forgotten."""
        self._behaviour.reset(_FIELDS, scope=scope)
        self._forget(scope)

    def profile(self, *, scope: str = "") -> Profile | None:
        """The profile that holds in a scope."""
        return self._behaviour.of(scope).latency

    def count(self, *, scope: str = "") -> LatencyCount:
        """How it was kept there."""
        with self._lock:
            known = self._scopes.look(scope)
            return LatencyCount() if known is None else known.count

    def next_number(self, scope: str) -> int:
        """The number of the answer that begins now in a scope, from 1."""
        with self._lock:
            known = self._scopes.use(scope)
            known.begun += 1
            return known.begun

    def note(self, scope: str, lateness: Lateness) -> None:
        """An answer in a scope has ended."""
        with self._lock:
            known = self._scopes.use(scope)
            known.count = LatencyCount(
                known.count.answers + 1,
                known.count.late_answers + (lateness.late_tokens > 0),
                known.count.tokens + lateness.tokens,
                known.count.late_tokens + lateness.late_tokens,
                max(known.count.most_late_s, lateness.most_s),
            )

    def _forget(self, scope: str | None) -> None:
        with self._lock:
            self._scopes.forget(scope)


@dataclass(slots=True)
class _Scope:
    """What is counted in one."""

    begun: int = 0
    count: LatencyCount = LatencyCount()
