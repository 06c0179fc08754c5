"""Rules by which prompts and answers are blocked as the content filter would. It must not know HTTP or real harm.

A rule is a word, the category that it stands for and a severity. The words that come with the emulator are made up, so
that nothing but a test meets them; words of one's own come from a file, `{"violence": {"word": "high"}}`.

    prompt ── judge_prompt() ──► Verdict: blocked, or annotated
    answer ── watch_answer() ──► AnswerFilter: cuts the text before the first blocking word
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from phi_client.contract.service.filter_results import (
    COMPLETION_CATEGORIES,
    PROMPT_CATEGORIES,
    SEVERITIES,
    filter_results,
    is_detector,
    is_filtered,
)
from phi_emulator.documents import DocumentError, near, read_document, shown
from phi_emulator.engine.serving.text import StopStrings
from phi_emulator.models.strict_json import object_of

__all__ = [
    "DEFAULT_RULES",
    "AnswerFilter",
    "ContentFilter",
    "Rule",
    "RulesError",
    "Verdict",
    "read_rules",
    "rules_in",
]

CATEGORIES: Final = tuple(sorted({*PROMPT_CATEGORIES, *COMPLETION_CATEGORIES}))
MAX_RULES: Final = 1000
MAX_WORD_LENGTH: Final = 200


class Rule(NamedTuple):
    """A word, folded, that stands for something harmful."""

    word: str
    category: str
    severity: str


DEFAULT_RULES: Final = tuple(
    Rule(f"phi-{what}-{category.replace('_', '-')}", category, severity)
    for category in CATEGORIES
    for what, severity in (("filter", "medium"), ("note", "low"))
    if severity == "medium" or not is_detector(category)
)
"""`phi-filter-violence` blocks, `phi-note-violence` is annotated; what a detector finds always blocks."""


class RulesError(DocumentError):
    """Rules can't be used."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a text: the worst severity by category."""

    found: Mapping[str, str]

    @property
    def is_blocked(self) -> bool:
        """Whether any of it blocks."""
        return any(is_filtered(category, severity) for category, severity in self.found.items())


class ContentFilter:
    """The rules of one emulator."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._of_prompts = tuple(rule for rule in rules if rule.category in PROMPT_CATEGORIES)
        self._of_answers = tuple(rule for rule in rules if rule.category in COMPLETION_CATEGORIES)
        self.rules = tuple(rules)
        self.is_on = bool(rules)

    def judge_prompt(self, text: str) -> Verdict:
        """What stands in a prompt. Takes time with its length: not for an event loop."""
        folded = _fold(text)
        return Verdict(_worst([rule for rule in self._of_prompts if rule.word in folded]))

    def watch_answer(self) -> AnswerFilter | None:
        """What an answer goes through piece by piece; nothing without rules."""
        return AnswerFilter(self._of_answers) if self._of_answers else None


class AnswerFilter:
    """Cuts one answer before the first word that blocks, and notes the others. See `StopStrings` for what it shows."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._blocking = [rule for rule in rules if is_filtered(rule.category, rule.severity)]
        self._harmless = [rule for rule in rules if not is_filtered(rule.category, rule.severity)]
        self._stops = StopStrings([rule.word for rule in self._blocking])
        self._held = ""
        self._end = ""
        self._longest = max((len(rule.word) for rule in self._harmless), default=0)
        self._hits: set[Rule] = set()

    @property
    def stopped(self) -> bool:
        """Whether the answer was cut."""
        return self._stops.stopped

    @property
    def results(self) -> dict[str, Any]:
        """The annotation of what has been seen so far."""
        return filter_results(COMPLETION_CATEGORIES, _worst(self._hits))

    def feed(self, text: str) -> str:
        """Take the next piece; return what may be shown now."""
        if self.stopped:
            return ""
        folded = _fold(text)
        self._held += text
        shown = len(self._stops.feed(folded))
        passed, self._held = self._held[:shown], self._held[shown:]
        if self._stops.stopped:
            # All words that are complete there, and none that more of the piece would complete.
            self._hits.update(rule for rule in self._blocking if self._stops.matched.endswith(rule.word))
        self._note(_fold(passed))
        return passed

    def flush(self) -> str:
        """The answer has ended: return what was held back."""
        self._stops.flush()
        passed, self._held = ("" if self.stopped else self._held), ""
        self._note(_fold(passed))
        return passed

    def _note(self, folded: str) -> None:
        if self._harmless and folded:
            seen = self._end + folded
            self._hits.update(rule for rule in self._harmless if rule.word in seen)
            self._end = seen[-self._longest :]


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The rules in a JSON or TOML file.

    Raises:
        RulesError: it can't be read, or holds something else. The message begins with file and line, as far as known.
    """
    try:
        document = read_document(path)
    except DocumentError as error:
        raise RulesError(error.reason, place=error.place) from None
    try:
        return rules_in(document.value)
    except RulesError as error:
        raise document.placed(error) from None


def rules_in(value: object) -> tuple[Rule, ...]:
    """The rules in a table of categories, each with a table of words and severities.

    Raises:
        RulesError: it holds something else.
    """
    rules: list[Rule] = []
    for category, words in _object(value, "an object of categories is expected").items():
        if category not in CATEGORIES:
            raise RulesError(f"{shown(category)} is no category{near(category, CATEGORIES)}", category)
        found = _object(words, "an object of words and severities is expected", category)
        rules += [_rule(category, *item) for item in found.items()]
    if len(rules) > MAX_RULES:
        raise RulesError(f"{len(rules)} words, but {MAX_RULES} at most")
    return tuple(rules)


def _object(value: object, expected: str, *path: str) -> dict[str, Any]:
    found = object_of(value)
    if found is None:
        raise RulesError(expected, *path)
    return found


def _rule(category: str, word: str, severity: object) -> Rule:
    if not word.strip() or len(word) > MAX_WORD_LENGTH:
        raise RulesError(f"a word of 1 to {MAX_WORD_LENGTH} characters is expected", category, word)
    if severity not in SEVERITIES[1:]:
        raise RulesError(f"{shown(severity)} is no severity{near(severity, SEVERITIES[1:])}", category, word)
    return Rule(_fold(word), category, str(severity))


class _Folding(dict[int, int]):
    """Letters as they are compared; a table for `str.translate` that fills itself."""

    def __missing__(self, code: int) -> int:
        letter = chr(code)
        # Letter by letter and one for one, so that neither neighbours nor cuts change what is found, nor where.
        folded = next((one for one in (letter.casefold(), letter.lower()) if len(one) == 1), letter)
        self[code] = ord(folded)
        return self[code]


_FOLDING: Final = _Folding()


def _fold(text: str) -> str:
    """`text` in small letters, as long as it was: what is found in it stands at the same place in the original."""
    return text.lower() if text.isascii() else text.translate(_FOLDING)


def _worst(rules: Sequence[Rule] | set[Rule]) -> dict[str, str]:
    worst: dict[str, str] = {}
    for rule in rules:
        known = worst.get(rule.category, SEVERITIES[0])
        worst[rule.category] = max(known, rule.severity, key=SEVERITIES.index)
    return worst
