"""How the emulator behaves, as one value: all that may be changed while it runs.

It must not hold what grows or counts with the requests: the windows of rate limits outlive every change.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from dataclasses import fields as fields_of
from typing import Any, Final, Literal

from phi_client.contract.service import MANAGED_COMPUTE_OLDER, SURFACES, Surface
from phi_emulator.faults.rules import Rule
from phi_emulator.latency.profile import Profile
from phi_emulator.scripts.rules import ScriptRules
from phi_emulator.service.content_filter import ContentFilter
from phi_emulator.service.rate_limits import Limits

__all__ = ["Behaviour", "CurrentBehaviour", "spoken_surfaces"]

_MOST_SCOPES: Final = 10_000


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
    keeps_texts: bool = False
    """Keep in the journal what is asked and answered."""
    faults: tuple[Rule, ...] = ()
    """What goes wrong with answers, and when."""
    script: ScriptRules = field(default_factory=ScriptRules)
    """What is answered in the place of the model, and when."""
    latency: Profile | None = None
    """How fast answers come at most; `None` is as fast as the model."""


_FIELDS: Final = tuple(one.name for one in fields_of(Behaviour))


class CurrentBehaviour:
    """The behaviour of exchanges that begin now. Threads may change it at any time.

    What was changed for a scope stands over what holds for all, field by field, whenever that changes. Of ten thousand
    scopes the one that was not used for longest is forgotten.
    """

    def __init__(self, first: Behaviour) -> None:
        self._first = first
        self._now = first
        self._of_scopes: OrderedDict[str, _Scoped] = OrderedDict()
        self._changing = threading.Lock()

    @property
    def now(self) -> Behaviour:
        """What an exchange takes that begins now, in a scope for which nothing was changed."""
        return self._now

    def of(self, scope: str) -> Behaviour:
        """What an exchange takes that begins now in a scope."""
        if scope not in self._of_scopes:
            return self._now
        with self._changing:
            return self._in(scope)

    def change(
        self,
        edit: Callable[[Behaviour], Behaviour],
        *,
        scope: str | None = None,
        fields: Collection[str] = (),
    ) -> Behaviour:
        """Put what `edit` makes of the current behaviour in its place, whole; returns it.

        Changes wait for each other, so none is lost. If `edit` raises, nothing is changed. With a scope `edit` changes
        `fields`, which are the scope's own from then on.
        """
        with self._changing:
            if scope is None:
                self._now = edit(self._now)
                return self._now
            after = edit(self._in(scope))
            own = self._of_scopes.get(scope, _Scoped({}))
            self._of_scopes[scope] = _Scoped(
                {**own.fields, **{name: getattr(after, name) for name in fields}}
            )
            if len(self._of_scopes) > _MOST_SCOPES:
                self._of_scopes.popitem(last=False)
            return after

    def reset(self, fields: Collection[str] = _FIELDS, *, scope: str | None = None) -> None:
        """Put `fields` back to what they were at first, in all scopes; with a scope forget what it has of its own."""
        with self._changing:
            if scope is None:
                self._now = replace(self._now, **{name: getattr(self._first, name) for name in fields})
            for name in [*self._of_scopes] if scope is None else [scope]:
                own = self._of_scopes.pop(name, _Scoped({})).fields
                left = {one: value for one, value in own.items() if one not in fields}
                if left:
                    self._of_scopes[name] = _Scoped(left)

    def _in(self, scope: str) -> Behaviour:
        own = self._of_scopes.get(scope)
        if own is None:
            return self._now
        self._of_scopes.move_to_end(scope)
        return own.over(self._now)


class _Scoped:
    """The fields that one scope has of its own."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields
        self._made: tuple[Behaviour, Behaviour] | None = None

    def over(self, base: Behaviour) -> Behaviour:
        """These over those of `base`; the same object for the same one."""
        made = self._made
        if made is None or made[0] is not base:
            made = self._made = (base, replace(base, **self.fields))
        return made[1]


def spoken_surfaces(
    *,
    image: str,
    reasoning: Literal["content", "reasoning_content"] | None,
    help_text: bool,
    extensions: bool,
) -> Mapping[str, Surface]:
    """The surfaces as an emulator of these settings speaks them, by name."""
    spoken = dict(SURFACES)
    if image == "older":
        spoken[MANAGED_COMPUTE_OLDER.name] = MANAGED_COMPUTE_OLDER
    for name, surface in spoken.items():
        has_help_text = surface.has_help_text or help_text
        spoken[name] = replace(surface, has_help_text=has_help_text, has_extensions=extensions)
        if reasoning is not None:
            # In one place, whatever the api-version.
            known = surface.versions
            fixed = None if known is None else replace(known, with_reasoning_field=())
            spoken[name] = replace(spoken[name], reasoning_in=reasoning, versions=fixed)
    return spoken
