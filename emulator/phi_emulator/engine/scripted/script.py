"""Answers from a file: rules in their order, each with what it matches and what it answers.

    [[rule]]
    contains = "17 * 24"                        # or exact, or regex; without any of them, whatever is asked
    answer = "<think>408</think>The answer is 408."

    [[rule]]
    answers = ["one after the other,", "then no more"]

What is matched is the last message of the user. The first rule that matches, and has an answer left, answers. Knows the
file and messages; must not know tokens or engines.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from phi_emulator.engine.errors import UnscriptedError
from phi_emulator.engine.protocol import Message

__all__ = ["MOST_BYTES", "Script", "ScriptError", "read_script"]

MOST_BYTES: Final = 4 * 2**20
"""How large a file may be."""
_WAYS: Final = ("exact", "contains", "regex")
_KEYS: Final = (*_WAYS, "answer", "answers")
_FORM: Final = "a rule has one of exact, contains and regex, or none, and either answer or answers"


class ScriptError(ValueError):
    """A script can't be used; the message says where, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class _Rule:
    way: str
    """One of `_WAYS`; empty for whatever is asked."""
    wanted: str
    answers: tuple[str, ...]
    repeats: bool
    """The one answer is given for ever; else each once, and then the rule matches no more."""

    def matches(self, question: str) -> bool:
        match self.way:
            case "exact":
                return question == self.wanted
            case "contains":
                return self.wanted in question
            case "regex":
                return re.search(self.wanted, question) is not None
            case _:
                return True


class Script:
    """The rules of a file, and how many of their answers have been given.

    `check` may be used from any thread; `answer` belongs to one.
    """

    def __init__(self, source: Path, rules: Sequence[_Rule]) -> None:
        self.source = source
        self._rules = tuple(rules)
        self._given = [0] * len(rules)

    def check(self, messages: Sequence[Message]) -> None:
        """See whether there is an answer to a conversation.

        Raises:
            UnscriptedError: there is none.
        """
        self._find(messages)

    def answer(self, messages: Sequence[Message]) -> str:
        """The next answer to a conversation.

        Raises:
            UnscriptedError: there is none, or none left.
        """
        number = self._find(messages)
        rule, given = self._rules[number], self._given[number]
        self._given[number] += 1
        return rule.answers[0 if rule.repeats else given]

    def texts(self) -> Iterator[str]:
        """All answers."""
        return (answer for rule in self._rules for answer in rule.answers)

    def _find(self, messages: Sequence[Message]) -> int:
        question = next((message.content for message in reversed(messages) if message.role == "user"), "")
        spent = ""
        for number, rule in enumerate(self._rules):
            if not rule.matches(question):
                continue
            if rule.repeats or self._given[number] < len(rule.answers):
                return number
            spent = spent or f"; rule {number + 1} does, and has no answer left"
        # Not the question itself: what is sent as an error may be logged.
        raise UnscriptedError(
            f"of the {len(self._rules)} rules in {self.source.name!r} none matches the last user message "
            f"({len(question)} characters){spent}"
        )


def read_script(path: Path) -> Script:
    """The script in a file.

    Raises:
        ScriptError: it can't be read, or is none.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ScriptError(f"it is larger than {MOST_BYTES} bytes")
        found = tomllib.loads(content.decode("utf-8-sig"))
        strange = [key for key in found if key != "rule"]
        if strange:
            raise ScriptError(f"{strange[0]!r:.40} is not known: a script consists of [[rule]]")
        rules = found.get("rule")
        if not isinstance(rules, list) or not rules:
            raise ScriptError("there is no [[rule]] in it")
        return Script(
            path.absolute(), [_rule(n, rule) for n, rule in enumerate(cast("list[object]", rules), 1)]
        )
    except OSError as error:
        raise ScriptError(f"{str(path)!r} can't be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise ScriptError(f"{str(path)!r} is no script: it is nested too deeply") from error
    except ValueError as error:  # TOML says the line
        raise ScriptError(f"{str(path)!r} is no script: {error}") from error


def _rule(number: int, content: object) -> _Rule:
    if not isinstance(content, dict):
        raise ScriptError(f"rule {number} is no table: write [[rule]]")
    known = cast("dict[str, Any]", content)
    strange = [key for key in known if key not in _KEYS]
    if strange:
        raise ScriptError(f"rule {number} has {strange[0]!r:.40}, which is not known: {_FORM}")
    ways = [way for way in _WAYS if way in known]
    if len(ways) > 1 or ("answer" in known) == ("answers" in known):
        raise ScriptError(f"rule {number} has {' and '.join(known) or 'nothing'}: {_FORM}")
    wanted = _text(number, ways[0], known[ways[0]]) if ways else ""
    if ways == ["regex"]:
        try:
            re.compile(wanted)
        except (re.error, RecursionError, OverflowError) as error:
            raise ScriptError(f"rule {number} has a regex that can't be used: {error}") from error
    repeats = "answer" in known
    answers = [known["answer"]] if repeats else known["answers"]
    if not isinstance(answers, list) or not answers:
        raise ScriptError(f"rule {number} has `answers` that are no list of texts")
    texts = tuple(_text(number, "answer", text) for text in cast("list[object]", answers))
    return _Rule(ways[0] if ways else "", wanted, texts, repeats)


def _text(number: int, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ScriptError(f"rule {number} has `{key}` {value!r:.40}, which is no text: put it in quotes")
    if "\0" in value:
        raise ScriptError(f"rule {number} has `{key}` with a NUL, which no token stands for")
    return value
