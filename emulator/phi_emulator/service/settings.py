"""What of the behaviour may be set by name while the emulator runs, for all or for one scope.

It must not know HTTP. The names are those of the configuration; what is set holds for requests that come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from phi_emulator.documents import DocumentError, near, shown, table
from phi_emulator.models.strict_json import list_of
from phi_emulator.service.behaviour import Behaviour, CurrentBehaviour
from phi_emulator.service.content_filter import DEFAULT_RULES, ContentFilter, RulesError, rules_in

__all__ = ["SETTINGS", "Setting", "Settings", "SettingsError"]

_MOST: Final = 1_000_000_000
_MOST_NAMES: Final = 1000


class SettingsError(DocumentError):
    """A setting can't be used."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `show` tells how it stands, `edit` puts a value in its place or raises a `DocumentError`."""

    field: str
    """The field of `Behaviour` in which it is."""
    meaning: str
    show: Callable[[Behaviour], Any]
    edit: Callable[[Behaviour, object], Behaviour]


def _limit(name: str, meaning: str) -> Setting:
    return Setting(
        "limits",
        meaning,
        lambda behaviour: getattr(behaviour.limits, name),
        lambda behaviour, value: replace(
            behaviour, limits=replace(behaviour.limits, **{name: _count(value)})
        ),
    )


def _count(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MOST:
        raise SettingsError(f"{shown(value)} is no whole number from 1 on; `null` is no limit")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{shown(value)} is neither `true` nor `false`")
    return value


def _names(value: object) -> tuple[str, ...]:
    names = list_of(value)
    if names is None or len(names) > _MOST_NAMES:
        raise SettingsError(f"a list of at most {_MOST_NAMES} names is expected; an empty one takes any name")
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise SettingsError(f"{shown(name)} is no name", number)
    return tuple(names)


def _filter(value: object) -> ContentFilter:
    if value in ("off", "default"):
        return ContentFilter(DEFAULT_RULES if value == "default" else ())
    if isinstance(value, str):
        raise SettingsError(f"{shown(value)} is neither `off` nor `default`, and no table of words")
    try:
        return ContentFilter(rules_in(value))
    except RulesError as error:
        raise SettingsError(error.reason, *error.path) from None


def _show_filter(behaviour: Behaviour) -> object:
    rules = behaviour.content_filter.rules
    if rules in ((), DEFAULT_RULES):
        return "default" if rules else "off"
    words: dict[str, dict[str, str]] = {}
    for rule in rules:
        words.setdefault(rule.category, {})[rule.word] = rule.severity
    return words


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


SETTINGS: Final[Mapping[str, Setting]] = {
    "requests_per_minute": _limit(
        "requests_per_minute", "requests that a deployment takes in any 60 seconds before 429"
    ),
    "tokens_per_minute": _limit(
        "tokens_per_minute", "tokens, prompt and budget together, in any 60 seconds before 429"
    ),
    "max_concurrent": _limit("max_concurrent", "requests that a deployment works on at once before 429"),
    "content_filter": Setting(
        "content_filter",
        '`"off"`, `"default"`, or a table of words such as `{"violence": {"sword": "high"}}`',
        _show_filter,
        lambda behaviour, value: replace(behaviour, content_filter=_filter(value)),
    ),
    "deployments": Setting(
        "deployments",
        "names of the deployments that there are; an empty list takes any",
        lambda behaviour: list(behaviour.deployments),
        lambda behaviour, value: replace(behaviour, deployments=_names(value)),
    ),
    "max_output_tokens": Setting(
        "max_output_tokens",
        "the longest answer in tokens; `null` is what the context holds",
        lambda behaviour: behaviour.max_output_tokens,
        lambda behaviour, value: replace(behaviour, max_output_tokens=_count(value)),
    ),
    "request_timeout_ms": Setting(
        "answer_seconds",
        "how long an answer may take before 408, or before its stream is broken off; `null` is no limit",
        lambda behaviour: _milliseconds(behaviour.answer_seconds),
        lambda behaviour, value: replace(behaviour, answer_seconds=_seconds(_count(value))),
    ),
    "loose": Setting(
        "loose",
        "whether any `api-version` is taken",
        lambda behaviour: behaviour.loose,
        lambda behaviour, value: replace(behaviour, loose=_flag(value)),
    ),
    "journal_texts": Setting(
        "keeps_texts",
        "whether the journal keeps what is asked and answered",
        lambda behaviour: behaviour.keeps_texts,
        lambda behaviour, value: replace(behaviour, keeps_texts=_flag(value)),
    ),
}
"""Each by its name."""


class Settings:
    """The settings of a running emulator, to be changed at any time and from any thread.

    A scope is what a request has in `x-phi-scope`. What is set for a scope stands over what is set for all; one limit
    that is set for it makes all three its own.
    """

    def __init__(self, behaviour: CurrentBehaviour) -> None:
        self._behaviour = behaviour

    def show(self, *names: str, scope: str = "") -> dict[str, Any]:
        """How the settings of these names, or all, stand for requests of a scope."""
        behaviour = self._behaviour.of(scope)
        return {name: SETTINGS[name].show(behaviour) for name in names or SETTINGS}

    def set(self, *, scope: str | None = None, **values: object) -> None:
        """Set all of these, or none; without a scope for all.

        Raises:
            SettingsError: there is no such setting, or a value can't be.
        """
        self.set_table(values, scope=scope)

    def set_table(self, values: object, *names: str, scope: str | None = None) -> None:
        """As `set`, from a table that may hold these `names`, or any.

        Raises:
            SettingsError: there is no such setting, or a value can't be.
        """
        known = names or tuple(SETTINGS)
        given = table(values)

        for name in given:
            if name not in known:
                raise SettingsError(f"there is no such setting{near(name, known)}", name)

        def edit(behaviour: Behaviour) -> Behaviour:
            for name, value in given.items():
                try:
                    behaviour = SETTINGS[name].edit(behaviour, value)
                except DocumentError as error:
                    raise error.under(name) from None
            return behaviour

        self._behaviour.change(edit, scope=scope, fields={SETTINGS[name].field for name in given})

    def reset(self, *names: str, scope: str | None = None) -> None:
        """Set these, or all, as they were at the start, in all scopes; with a scope forget what was set for it."""
        self._behaviour.reset({SETTINGS[name].field for name in names or SETTINGS}, scope=scope)
