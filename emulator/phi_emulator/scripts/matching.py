"""Conditions of a script's rule: each says whether it holds for a request, and if not, how near it came and why.

It must not quote a request: what it says may be logged. It quotes the script.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from phi_emulator.documents import DocumentError, shown
from phi_emulator.faults.rules import read_calls
from phi_emulator.models.printable import printable
from phi_emulator.models.strict_json import object_of
from phi_emulator.scripts.asked import Asked
from phi_emulator.scripts.errors import ScriptError, read_text, script_error

__all__ = ["CONDITIONS", "Condition", "Miss", "SlowRegexError", "read_condition"]

CONDITIONS: Final[Mapping[str, str]] = {
    "exact": "the last message is just this text",
    "contains": "the last message has this text in it",
    "regex": "the last message has something in it that this regular expression matches",
    "schema": "the last message is JSON that this JSON Schema takes",
    "request": "the request itself is JSON that this JSON Schema takes: its `tools`, its `response_format`, …",
    "turn": 'which answer of the conversation is asked for, from 1: `2`, `"2-3"` or `"2-"`',
}
"""What a rule may ask of the messages."""

_REGEX_SECONDS: Final = 0.2
_MOST_PATTERN: Final = 10_000
_COMPARED: Final = 400
"""Letters in which two texts are compared for how alike they are."""
_QUOTED: Final = 30
_MOST_SHORTENED: Final = 60
"""How many beginnings of a regular expression are tried."""
_BACKTRACKS: Final = 100_000


class SlowRegexError(Exception):
    """A regular expression took too long to be taken for an answer."""


class Miss(NamedTuple):
    """Why a condition does not hold, and how near it came: 1 is nearly, 0 not at all."""

    why: str
    nearness: float


class Condition(Protocol):
    """One condition."""

    def holds(self, asked: Asked) -> bool:
        """Whether it holds.

        Raises:
            SlowRegexError: it can't be said.
        """
        ...

    def miss(self, asked: Asked) -> Miss:
        """Why it doesn't hold."""
        ...


@dataclass(frozen=True, slots=True)
class Exact:
    """The whole text."""

    text: str

    def holds(self, asked: Asked) -> bool:
        return asked.question == self.text

    def miss(self, asked: Asked) -> Miss:
        other = _same_but(asked, self.text)
        if other:
            return Miss(f"`exact` differs in {other} alone", 0.98)
        place = _shared(asked.question, self.text)
        alike = _alike(asked.question, self.text)
        rest = self.text[place:]
        wanted = f"wants {_quoted(rest)} there" if rest else "ends there"
        return Miss(f"`exact` differs from letter {place + 1} on, and {wanted}: {alike:.0%} alike", alike)


@dataclass(frozen=True, slots=True)
class Contains:
    """A part of the text."""

    text: str

    def holds(self, asked: Asked) -> bool:
        return self.text in asked.question

    def miss(self, asked: Asked) -> Miss:
        wanted, question = self.text, asked.question
        if wanted.casefold() in asked.folded:
            return Miss("`contains` differs in upper and lower case alone", 0.98)
        if " ".join(wanted.split()) in asked.words:
            return Miss("`contains` differs in white space alone", 0.98)
        least, most = 0, min(len(wanted), len(question))
        while least < most:  # the longest beginning of it that is there
            middle = (least + most + 1) // 2
            least, most = (middle, most) if wanted[:middle] in question else (least, middle - 1)
        return Miss(
            f"`contains` is there up to letter {least} of {len(wanted)}, and goes on with {_quoted(wanted[least:])}",
            least / len(wanted) if wanted else 0,
        )


@dataclass(frozen=True, slots=True)
class Regex:
    """Something in the text."""

    pattern: Any

    def holds(self, asked: Asked) -> bool:
        try:
            return self.pattern.search(asked.question, timeout=_REGEX_SECONDS) is not None
        except TimeoutError:
            raise SlowRegexError(
                f"its `regex` takes longer than {_REGEX_SECONDS} s for this message: write it without nested repetition"
            ) from None

    def miss(self, asked: Asked) -> Miss:
        import regex  # noqa: PLC0415 - few scripts have one

        text = str(self.pattern.pattern)
        if self._finds(text, asked, regex.IGNORECASE):
            return Miss("`regex` would match in another case: begin it with `(?i)`", 0.95)
        if self._finds(text, asked, regex.DOTALL):
            return Miss("`regex` would match if `.` took line breaks: begin it with `(?s)`", 0.95)
        for end in range(len(text) - 1, 0, -1)[:_MOST_SHORTENED]:
            if self._finds(text[:end], asked, 0):
                return Miss(
                    f"`regex` matches up to {_quoted(text[:end], from_end=True)}", end / len(text) * 0.9
                )
        return Miss("`regex` matches nowhere", 0)

    def _finds(self, pattern: str, asked: Asked, flags: int) -> bool:
        import regex  # noqa: PLC0415 - few scripts have one

        try:
            return regex.compile(pattern, flags).search(asked.question, timeout=0.01) is not None
        except (regex.error, TimeoutError):
            return False


@dataclass(frozen=True, slots=True)
class Schema:
    """JSON that a schema takes; of the whole request, or of the last message."""

    name: str
    validator: Any

    def holds(self, asked: Asked) -> bool:
        try:
            return bool(self.validator.is_valid(self._value(asked)))
        except (ValueError, OverflowError):
            return False

    def miss(self, asked: Asked) -> Miss:
        try:
            error = next(iter(self.validator.iter_errors(self._value(asked))))
        except (ValueError, OverflowError):
            return Miss(f"`{self.name}` wants JSON, and the last message is none", 0.1)
        place = "".join(f"/{key}" for key in error.instance_path) or "/"
        rule = "/".join(str(key) for key in error.schema_path)
        return Miss(
            f"`{self.name}` does not take what is at `{printable(place, 80)}`: {printable(rule, 80)}", 0.7
        )

    def _value(self, asked: Asked) -> Any:
        return asked.value if self.name == "schema" else asked.body


@dataclass(frozen=True, slots=True)
class Turn:
    """Which answer of the conversation is asked for; without a last one all from the first on."""

    first: int
    last: int | None

    def holds(self, asked: Asked) -> bool:
        return self.first <= asked.turn and (self.last is None or asked.turn <= self.last)

    def miss(self, asked: Asked) -> Miss:
        off = self.first - asked.turn if asked.turn < self.first else asked.turn - (self.last or asked.turn)
        wanted = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last or ''}"
        return Miss(f"`turn` is {wanted}, and this is turn {asked.turn}", 0.95 if off == 1 else 0.8)


def read_condition(name: str, value: object) -> Condition:
    """The condition under the key `name`.

    Raises:
        ScriptError: it can't be used.
    """
    match name:
        case "exact":
            return Exact(read_text(value, name))
        case "contains":
            return Contains(read_text(value, name))
        case "regex":
            return Regex(_compiled(read_text(value, name)))
        case "turn":
            try:
                return Turn(*read_calls(value, name))
            except DocumentError as error:
                raise script_error(error) from None
        case _:
            return Schema(name, _validator(name, value))


def _compiled(text: str) -> Any:
    if len(text) > _MOST_PATTERN:
        raise ScriptError(f"it has {len(text)} letters, but {_MOST_PATTERN} at most", "regex")
    import regex  # noqa: PLC0415 - few scripts have one

    try:
        return regex.compile(text)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise ScriptError(
            f"{shown(text)} is no regular expression: {printable(str(error), 100)}", "regex"
        ) from None


def _validator(name: str, value: object) -> Any:
    schema = value if isinstance(value, bool) else object_of(value)
    if schema is None:
        raise ScriptError(f"{shown(value)} is no JSON Schema: a table is expected", name)
    import jsonschema_rs  # noqa: PLC0415 - few scripts have one

    try:
        return jsonschema_rs.validator_for(
            schema,
            retriever=_fetch_nothing,
            mask="it",
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS),
        )
    except (ValueError, TypeError, RecursionError) as error:
        reason = printable(str(error).partition("\n")[0], 200)
        raise ScriptError(f"it is no JSON Schema that can be used: {reason}", name) from None


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"nothing is fetched for a schema, and {printable(uri, 100)} isn't in it")


def _same_but(asked: Asked, wanted: str) -> str:
    """In what alone the question differs from a text, if it is little."""
    if asked.question.strip() == wanted.strip():
        return "white space around it"
    if asked.words == " ".join(wanted.split()):
        return "white space"
    if asked.folded == wanted.casefold():
        return "upper and lower case"
    return ""


def _shared(text: str, wanted: str) -> int:
    """How many letters two texts begin with together."""
    least, most = 0, min(len(text), len(wanted))
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if text.startswith(wanted[:middle]) else (least, middle - 1)
    return least


def _alike(text: str, wanted: str) -> float:
    """From 0 to 1; what two long texts begin with together counts as it is, and of the rest the beginning."""
    longest = max(len(text), len(wanted))
    if not longest:
        return 1
    place = _shared(text, wanted)
    rest, other = text[place : place + _COMPARED], wanted[place : place + _COMPARED]
    found = difflib.SequenceMatcher(None, rest, other, autojunk=False)
    if min(found.real_quick_ratio(), found.quick_ratio()) * (longest - place) + place < longest / 2:
        return min(0.49, place / longest + found.quick_ratio() / 2)
    return (place + found.ratio() * (longest - place)) / longest


def _quoted(text: str, *, from_end: bool = False) -> str:
    if len(text) <= _QUOTED:
        return f"`{printable(text)}`"
    return f"`…{printable(text[-_QUOTED:])}`" if from_end else f"`{printable(text[:_QUOTED])}…`"
