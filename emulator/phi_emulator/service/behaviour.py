"""How the emulator behaves, as one value: all that may be changed while it runs.

It must not hold what grows or counts with the requests: the windows of rate limits outlive every change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from phi_client.contract.service import SURFACES, Surface
from phi_emulator.faults.rules import Rule
from phi_emulator.latency.profile import Profile
from phi_emulator.scripts.rules import ScriptRules
from phi_emulator.service.content_filter import ContentFilter
from phi_emulator.service.rate_limits import Limits

__all__ = ["Behaviour", "CurrentBehaviour"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What an exchange meets. It keeps the one with which it began, so that no change reaches it half-way."""

    dialects: Mapping[str, Surface] = field(default_factory=lambda: SURFACES)
    """The surfaces as they are spoken, by name: which image is behind them, where reasoning goes, help texts."""
    limits: Limits = field(default_factory=Limits)
    """Of each deployment."""
    content_filter: ContentFilter = field(default_factory=ContentFilter)
    deployments: tuple[str, ...] = ()
    """Names of deployments that there are; empty takes any."""
    max_output_tokens: int | None = None
    """The longest answer in tokens; `None` is what the context holds."""
    answer_seconds: float | None = None
    """How long an answer may take before 408, or before its stream is broken off; `None` is no limit."""
    loose: bool = False
    """Take any `api-version`."""
    faults: tuple[Rule, ...] = ()
    """What goes wrong with answers, and when."""
    script: ScriptRules = field(default_factory=ScriptRules)
    """What is answered in the place of the model, and when."""
    latency: Profile | None = None
    """How fast answers come at most; `None` is as fast as the model."""
    scoped_latency: Mapping[str, Profile | None] = field(default_factory=dict[str, "Profile | None"])
    """The same of single scopes, in the place of it."""

    def latency_in(self, scope: str) -> Profile | None:
        """The profile that holds in a scope."""
        return self.scoped_latency.get(scope, self.latency)


class CurrentBehaviour:
    """The behaviour of exchanges that begin now. Threads may change it at any time."""

    def __init__(self, first: Behaviour) -> None:
        self._now = first
        self._changing = threading.Lock()

    @property
    def now(self) -> Behaviour:
        """What an exchange takes that begins now."""
        return self._now

    def change(self, edit: Callable[[Behaviour], Behaviour]) -> Behaviour:
        """Put what `edit` makes of the current behaviour in its place, whole; returns it.

        Changes wait for each other, so none is lost. If `edit` raises, nothing is changed.
        """
        with self._changing:
            self._now = edit(self._now)
            return self._now
