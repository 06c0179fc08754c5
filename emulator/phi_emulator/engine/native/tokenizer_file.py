"""What a model folder's `tokenizer.json` says of its tokens, read once: their texts, and how much one can cover.

Knows that file's layout; must not encode or decode.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

__all__ = ["TokenizerFile", "read_tokenizer_file"]

_HARMLESS_NORMALIZERS: Final = frozenset({"Prepend", "Replace", "Sequence"})
"""Those that keep the length of a text, or add to it. They put `▁` for a space, which is longer."""
_HARMLESS_SPLITS: Final = frozenset({"ByteLevel", "Digits", "Metaspace", "Punctuation", "Sequence", "Split"})


@dataclass(frozen=True, slots=True)
class TokenizerFile:
    """The tokens of a model."""

    tokens: Mapping[int, str]
    """Those of the vocabulary, as the file writes them, without those that were added to it."""
    control_ids: Mapping[str, int]
    """The texts that are read as control tokens, wherever they stand, and what they are read as."""
    is_byte_level: bool
    """Whether each letter of a token stands for a byte."""
    most_bytes: int | None
    """The bytes of UTF-8 that a token covers at most; None where a token may cover any number."""

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """The texts that are read as control tokens, wherever they stand."""
        return tuple(self.control_ids)


def read_tokenizer_file(folder: Path) -> TokenizerFile:
    """Read the file in a model folder.

    Raises:
        OSError, ValueError, LookupError, TypeError: it can't be read, or is no tokenizer.
    """
    content: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    added: list[dict[str, Any]] = content.get("added_tokens") or []
    model: dict[str, Any] = content.get("model") or {}
    vocabulary = model.get("vocab")
    known = cast("dict[str, int]", vocabulary) if isinstance(vocabulary, dict) else {}
    control: dict[str, int] = {token["content"]: token["id"] for token in added}
    of_control = frozenset(control.values())
    tokens = {number: text for text, number in known.items() if number not in of_control}
    is_byte_level = _has(content.get("decoder"), "ByteLevel")
    covers_all = is_byte_level or model.get("byte_fallback") is True
    most = None
    if model.get("type") == "BPE" and covers_all and _keeps_length(content):
        most = max(
            (len(text.encode("utf-8", "replace")) for text in (*tokens.values(), *control)), default=None
        )
    return TokenizerFile(tokens, control, is_byte_level, most)


def _has(part: object, kind: str) -> bool:
    return any(step.get("type") == kind for step in _steps(part))


def _keeps_length(content: Mapping[str, Any]) -> bool:
    """Whether no text is made shorter before it is cut into tokens."""
    normalizers = {step.get("type") for step in _steps(content.get("normalizer"))}
    splits = list(_steps(content.get("pre_tokenizer")))
    return (
        normalizers <= _HARMLESS_NORMALIZERS
        and {step.get("type") for step in splits} <= _HARMLESS_SPLITS
        and not any(step.get("behavior") == "Removed" for step in splits)
        and not any(step.get("content") == "" for step in _steps(content.get("normalizer")))
    )


def _steps(part: object) -> list[dict[str, Any]]:
    """A step of the tokenizer with those that it is made of."""
    if not isinstance(part, dict):
        return []
    step = cast("dict[str, Any]", part)
    inner = [
        *(step.get("normalizers") or ()),
        *(step.get("pretokenizers") or ()),
        *(step.get("decoders") or ()),
    ]
    return [step, *(found for each in inner for found in _steps(each))]
