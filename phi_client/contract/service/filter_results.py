"""The content filter's annotations on a prompt and on an answer (recorded live traffic of a Phi model).

It must not know which surface sends them, nor judge any text.
"""

from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "COMPLETION_CATEGORIES",
    "PROMPT_CATEGORIES",
    "SAFE_COMPLETION",
    "SAFE_PROMPT",
    "SEVERITIES",
    "filter_results",
    "is_detector",
    "is_filtered",
    "prompt_filter_results",
]

PROMPT_CATEGORIES: Final = ("hate", "jailbreak", "self_harm", "sexual", "violence")
COMPLETION_CATEGORIES: Final = (
    "hate",
    "protected_material_code",
    "protected_material_text",
    "self_harm",
    "sexual",
    "violence",
)
SEVERITIES: Final = ("safe", "low", "medium", "high")

_DETECTORS: Final = frozenset({"jailbreak", "protected_material_code", "protected_material_text"})
_FILTERED_FROM: Final = SEVERITIES.index("medium")


def is_detector(category: str) -> bool:
    """Whether a category is found or not, and knows no severity."""
    return category in _DETECTORS


def is_filtered(category: str, severity: str) -> bool:
    """Whether a finding blocks: from medium on, the documented default; what a detector finds always does."""
    return is_detector(category) or SEVERITIES.index(severity) >= _FILTERED_FROM


def filter_results(categories: tuple[str, ...], found: Mapping[str, str]) -> dict[str, Any]:
    """The result by category; `found` has the severity of what was found, and nothing of the rest."""
    return {category: _result(category, found.get(category)) for category in categories}


def prompt_filter_results(found: Mapping[str, str]) -> list[dict[str, Any]]:
    """The annotation of the only prompt of a request."""
    return [{"prompt_index": 0, "content_filter_results": filter_results(PROMPT_CATEGORIES, found)}]


def _result(category: str, severity: str | None) -> dict[str, Any]:
    filtered = severity is not None and is_filtered(category, severity)
    if is_detector(category):
        return {"filtered": filtered, "detected": severity is not None}
    return {"filtered": filtered, "severity": severity or SEVERITIES[0]}


SAFE_COMPLETION: Final = filter_results(COMPLETION_CATEGORIES, {})
"""`content_filter_results` of an answer in which nothing was found."""

SAFE_PROMPT: Final = prompt_filter_results({})
"""`prompt_filter_results` of a prompt in which nothing was found."""
