"""The content filter's annotations on an answer that it let pass (recorded live traffic of a Phi model).

It must not know which surface sends them, nor judge any text.
"""

from typing import Any, Final

__all__ = ["SAFE_COMPLETION", "SAFE_PROMPT"]

_SAFE: Final = {"filtered": False, "severity": "safe"}
_NOT_DETECTED: Final = {"filtered": False, "detected": False}

SAFE_COMPLETION: Final[dict[str, Any]] = {
    "hate": _SAFE,
    "protected_material_code": _NOT_DETECTED,
    "protected_material_text": _NOT_DETECTED,
    "self_harm": _SAFE,
    "sexual": _SAFE,
    "violence": _SAFE,
}
"""`content_filter_results` of an answer that the filter let pass."""

SAFE_PROMPT: Final[list[dict[str, Any]]] = [
    {
        "prompt_index": 0,
        "content_filter_results": {
            "hate": _SAFE,
            "jailbreak": _NOT_DETECTED,
            "self_harm": _SAFE,
            "sexual": _SAFE,
            "violence": _SAFE,
        },
    }
]
"""`prompt_filter_results` of a prompt that the filter let pass."""
