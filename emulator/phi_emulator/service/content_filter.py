"""Rules by which a prompt is refused as the content filter would. It must not know HTTP, dialects or real harm.

A rule is a word, the category that it stands for and a severity. The words that come with the emulator are made up, so
that nothing but a test meets them; words of one's own come from a JSON file, `{"violence": {"word": "high"}}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

__all__ = ["DEFAULT_RULES", "Rule", "RulesError", "read_rules", "verdict"]

CATEGORIES: Final = ("hate", "jailbreak", "self_harm", "sexual", "violence")
SEVERITIES: Final = ("low", "medium", "high")
_DETECTED: Final = "jailbreak"


class Rule(NamedTuple):
    """A word that stands for something harmful."""

    word: str
    category: str
    severity: str


DEFAULT_RULES: Final = tuple(
    Rule(f"phi-filter-{category.replace('_', '-')}", category, "medium") for category in CATEGORIES
)


class RulesError(ValueError):
    """A file of rules can't be used; the message says why."""


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The rules in a file.

    Raises:
        RulesError: it can't be read, or holds something else.
    """
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RulesError(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise RulesError(f"{path}: an object of categories is expected")
    rules: list[Rule] = []
    for category, words in cast("dict[str, object]", value).items():
        if category not in CATEGORIES:
            raise RulesError(f"{path}: {category!r} is not one of {', '.join(CATEGORIES)}")
        if not isinstance(words, dict):
            raise RulesError(f"{path}: {category!r} must hold an object of words and severities")
        for word, severity in cast("dict[str, object]", words).items():
            if not word or severity not in SEVERITIES:
                raise RulesError(f"{path}: {word!r} must be a word with one of {', '.join(SEVERITIES)}")
            rules.append(Rule(word.lower(), category, severity))
    return tuple(rules)


def verdict(rules: Sequence[Rule], text: str) -> Mapping[str, Mapping[str, object]] | None:
    """The result by category for a text in which a rule's word stands, or `None` when it is harmless."""
    lowered = text.lower()
    hits = [rule for rule in rules if rule.word in lowered]
    if not hits:
        return None
    worst: dict[str, str] = {}
    for rule in hits:
        known = worst.get(rule.category, SEVERITIES[0])
        worst[rule.category] = max(known, rule.severity, key=SEVERITIES.index)
    return {category: _result(category, worst.get(category)) for category in CATEGORIES}


def _result(category: str, severity: str | None) -> Mapping[str, object]:
    is_hit = severity is not None
    if category == _DETECTED:
        return {"filtered": is_hit, "detected": is_hit}
    return {"filtered": is_hit, "severity": severity or "safe"}
