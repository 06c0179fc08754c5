"""Rules: which exchanges meet which fault, as immutable values, read strictly from tables.

It must not count: what a rule has met so far is kept in `state`. Nor must it know files or HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final

from phi_client.contract.service import SURFACES
from phi_emulator.documents import DocumentError, near, shown
from phi_emulator.faults.catalogue import EFFECTS, ERRORS, Effect, Parameter, Value
from phi_emulator.faults.duties import Duty
from phi_emulator.models.strict_json import list_of, object_of

__all__ = [
    "MOST_COUNTED",
    "MOST_RULES",
    "Call",
    "Fault",
    "FaultError",
    "Rule",
    "When",
    "read_calls",
    "read_fault",
    "read_rule",
    "read_rules",
    "read_when",
]

MOST_RULES: Final = 1000
MOST_COUNTED: Final = 1_000_000_000
_RANGE: Final = re.compile(r"([0-9]{1,9})(-([0-9]{1,9})?)?")
CONDITIONS: Final[Mapping[str, str]] = {
    "surface": "the surface that is asked: " + ", ".join(SURFACES),
    "route": "the surface's route, `*` stands for any characters",
    "deployment": "the deployment or model that is asked for",
    "headers": "a table of headers that the request has, with just these values",
    "scope": "the request's `x-phi-scope`",
    "call": 'the number of the call, from 1: `3`, `"2-4"` or `"3-"`',
    "every": "only each n-th of these calls",
    "probability": "from 0 to 1",
    "seed": "of that chance: the same one gives the same calls; 0 without it",
}
"""What `when` may hold."""


class FaultError(DocumentError):
    """A rule can't be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is known of a request before it is answered. Names of headers are in small letters."""

    surface: str
    route: str = ""
    deployment: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    streams: bool = False
    has_token: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """An effect with a value for each of its parameters."""

    effect: Effect
    values: Mapping[str, Value]

    @property
    def table(self) -> dict[str, Any]:
        """What it could be read from, with all its values."""
        return {"effect": self.effect.name, **self.values}

    @property
    def duty(self) -> Duty:
        """What a good client does with it."""
        return self.effect.duty_for(self.values)

    def number(self, name: str) -> float:
        """The value of a parameter that is a number."""
        return float(self.values[name])

    def count(self, name: str) -> int:
        """The value of a parameter that is a whole number."""
        return int(self.values[name])

    def text(self, name: str) -> str:
        """The value of a parameter that is a text."""
        return str(self.values[name])

    def suits(self, call: Call) -> bool:
        """Whether there is such a fault of such an answer."""
        return self.reason_against(call) is None

    def reason_against(self, call: Call) -> str | None:
        """Why such an answer has no such fault."""
        if self.effect.on_streams and not call.streams:
            return f"`{self.effect.name}` is a fault of streams, and this request asks for a whole answer"
        if self.effect.name == "expired_token" and not call.has_token:
            return "`expired_token` is a fault of requests with a token, and this one has a key"
        return self._against_surface(call.surface)

    def _against_surface(self, surface: str) -> str | None:
        error = self.values.get("error")
        if error is None or surface in ERRORS[str(error)].surfaces:
            return None
        said = ", ".join(ERRORS[str(error)].surfaces)
        return f"`{error}` is said by {said}, and never by {surface}"


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Which exchanges a rule is about; what is left out holds for all.

    `route` is that of the surface, with `*` for any characters. Calls are counted by the rule, from 1, among those that
    fit all but `call`, `every` and `probability`. `scope` is that of the request.
    """

    surface: str | None = None
    route: str | None = None
    deployment: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    scope: str | None = None
    call: tuple[int, int | None] = (1, None)
    """The first and the last one; without a last one all that follow."""
    every: int = 1
    """Of these only each n-th."""
    probability: float = 1.0
    seed: int = 0

    def fits(self, call: Call) -> bool:
        """Whether a call is counted."""
        return (
            self.surface in (None, call.surface)
            and (self.route is None or fnmatchcase(call.route, self.route))
            and self.deployment in (None, call.deployment)
            and all(call.headers.get(name) == value for name, value in self.headers.items())
        )

    @property
    def table(self) -> dict[str, Any]:
        """What it could be read from. Values of headers are not shown."""
        first, last = self.call
        shown_as = {
            "call": first if first == last else f"{first}-{last or ''}",
            "headers": dict.fromkeys(self.headers, "…"),
        }
        plain = When()
        return {
            name: shown_as.get(name, getattr(self, name))
            for name in CONDITIONS
            if getattr(self, name) != getattr(plain, name)
        }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rule:
    """A fault, when it happens, and how often at most. Two rules are the same only if they are one object."""

    fault: Fault
    when: When = When()
    times: int | None = None

    @property
    def table(self) -> dict[str, Any]:
        """What it could be read from, with all values of the fault. Values of headers are not shown."""
        when = self.when.table
        return (
            self.fault.table
            | ({"times": self.times} if self.times else {})
            | ({"when": when} if when else {})
        )


def read_rules(given: object) -> tuple[Rule, ...]:
    """The rules in a list of tables.

    Raises:
        FaultError: one of them can't be used.
    """
    tables = list_of(given)
    if tables is None:
        raise FaultError("a list of rules is expected")
    if len(tables) > MOST_RULES:
        raise FaultError(f"{len(tables)} rules, but {MOST_RULES} at most")
    rules: list[Rule] = []
    for number, table in enumerate(tables):
        try:
            rules.append(read_rule(table))
        except FaultError as error:
            raise error.under(number) from None
    return tuple(rules)


def read_rule(table: object) -> Rule:
    """The rule in a table: `effect`, its parameters, and perhaps `when` and `times`.

    Raises:
        FaultError: it has another form.
    """
    given = _table(table)
    fault = read_fault({name: value for name, value in given.items() if name not in ("when", "times")})
    try:
        when = read_when(_table(given.get("when", {})))
    except FaultError as error:
        raise error.under("when") from None
    times = _whole(given["times"], "times", least=1) if "times" in given else None
    if when.surface is not None:
        reason = fault.reason_against(Call(surface=when.surface, streams=True, has_token=True))
        if reason is not None:
            raise FaultError(reason, "when", "surface")
    return Rule(fault=fault, when=when, times=times)


def read_fault(table: Mapping[str, object]) -> Fault:
    """The effect that a table names, with its parameters; those that it leaves out have their defaults.

    Raises:
        FaultError: there is no such effect or parameter, or a value can't be.
    """
    name = table.get("effect")
    if name is None:
        raise FaultError(f"`effect` is missing: one of {', '.join(EFFECTS)}", "effect")
    if not isinstance(name, str) or name not in EFFECTS:
        raise FaultError(f"{shown(name)} is no effect{near(name, EFFECTS)}", "effect")
    effect = EFFECTS[name]
    known = {parameter.name: parameter for parameter in effect.parameters}
    values: dict[str, Value] = {}
    for key, value in table.items():
        if key in known:
            values[key] = _value(known[key], value)
        elif key != "effect":
            others = (*known, "when", "times")
            raise FaultError(f"`{name}` has no such parameter{near(key, others)}", key)
    for parameter in effect.parameters:
        if parameter.name not in values:
            if parameter.default is None:
                raise FaultError(
                    f"`{parameter.name}` is missing: one of {', '.join(parameter.choices)}", parameter.name
                )
            values[parameter.name] = parameter.default
    return Fault(effect, MappingProxyType(values))


def read_when(table: Mapping[str, object]) -> When:
    """The conditions in a table.

    Raises:
        FaultError: there is no such condition, or a value can't be.
    """
    given: dict[str, Any] = {}
    for key, value in table.items():
        if key == "headers":
            given[key] = _headers(value)
        elif key == "call":
            given[key] = read_calls(value)
        elif key == "every":
            given[key] = _whole(value, key, least=1)
        elif key == "seed":
            given[key] = _whole(value, key, least=0)
        elif key == "probability":
            given[key] = _probability(value)
        elif key in CONDITIONS:
            given[key] = _text(value, key)
        else:
            raise FaultError(f"there is no such condition{near(key, CONDITIONS)}", key)
    surface = given.get("surface")
    if surface is not None and surface not in SURFACES:
        raise FaultError(f"{shown(surface)} is no surface{near(surface, SURFACES)}", "surface")
    return When(**given)


def _value(parameter: Parameter, value: object) -> Value:
    name = parameter.name
    if parameter.kind is str:
        text = _text(value, name)
        if parameter.choices and text not in parameter.choices:
            raise FaultError(f"{shown(text)} is none of its values{near(text, parameter.choices)}", name)
        if not parameter.choices and (not text.isascii() or not text.isprintable() or not text.strip()):
            raise FaultError("it travels in a header: printable ASCII is expected", name)
        return text
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise FaultError(f"{shown(value)} is no number", name)
    if not parameter.least <= value <= parameter.most:
        raise FaultError(f"{shown(value)} is not within {parameter.least:g} to {parameter.most:.0f}", name)
    if parameter.kind is float:
        return float(value)
    if value != int(value):
        raise FaultError(f"{shown(value)} is no whole number", name)
    return int(value)


def read_calls(value: object, name: str = "call") -> tuple[int, int | None]:
    """`3`, `"2-4"`, or `"3-"`, under the key `name`.

    Raises:
        FaultError: it is something else.
    """
    if not isinstance(value, str):
        only = _whole(value, name, least=1)
        return only, only
    found = _RANGE.fullmatch(value.strip())
    if found is None:
        raise FaultError(f"{shown(value)} is no number of a {name}, and no range such as `2-4` or `3-`", name)
    first = int(found[1])
    last = first if found[2] is None else int(found[3]) if found[3] else None
    if first < 1 or (last is not None and last < first):
        raise FaultError(f"{shown(value)} holds no {name}: they are counted from 1", name)
    return first, last


def _headers(value: object) -> Mapping[str, str]:
    try:
        given = {name.lower(): _text(text, name) for name, text in _table(value).items()}
    except FaultError as error:
        raise error.under("headers") from None
    return MappingProxyType(given)


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise FaultError(f"{shown(value)} is no number from 0 to 1", "probability")
    return float(value)


def _whole(value: object, name: str, *, least: int) -> int:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    is_whole = is_whole or (isinstance(value, float) and value.is_integer())
    if not isinstance(value, int | float) or not is_whole or not least <= value <= MOST_COUNTED:
        raise FaultError(f"{shown(value)} is no whole number from {least} on", name)
    return int(value)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise FaultError(f"{shown(value)} is not a text", name)
    return value


def _table(value: object) -> dict[str, Any]:
    found = object_of(value)
    if found is None:
        raise FaultError("a table is expected")
    return found
