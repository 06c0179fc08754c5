"""The tokens that end an answer: those that a folder names, and the one by which its template ends a turn.

A model that is served without them never ends. Knows settings and a rendered text; must not load anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.native.tokenizer_file import TokenizerFile
from phi_emulator.models.genai_config import Settings

__all__ = ["TurnEnds", "turn_ends"]

_MARK: Final = "\ue000"


class TurnEnds(NamedTuple):
    """What ends an answer."""

    ids: Sequence[int]
    notes: tuple[str, ...] = ()
    """What the user should read: that the folder lacks one."""

    @property
    def are_the_folders(self) -> bool:
        """Whether the folder can be left as it is."""
        return not self.notes


def turn_ends(
    folder: Path, settings: Settings, file: TokenizerFile, render: Callable[[str], str]
) -> TurnEnds:
    """The ends of the model in `folder`; `render` puts messages, as JSON, into its template.

    Raises:
        ModelLoadError: none can be found.
    """
    model = settings["model"]
    named = model.get("eos_token_id")
    listed = cast("list[object]", named) if isinstance(named, list) else [named]
    known = [token for token in listed if isinstance(token, int)]
    if any(not 0 <= token < model["vocab_size"] for token in known):
        raise ModelLoadError(
            f"the model in {str(folder)!r} has not all the tokens that `eos_token_id` in its genai_config.json names: "
            f"{', '.join(map(str, known))}"
        )
    closing = _closing(file, render)
    if closing is None and not known:
        closing = _of_the_tokenizer(folder, file)
    if closing is not None and file.control_ids[closing] not in known:
        lacks = "does not name" if known else "names no token that ends a turn, as"
        note = f"genai_config.json {lacks} `{closing}`, by which the model ends its turns: it was added"
        return TurnEnds([*known, file.control_ids[closing]], (note,))
    if not known:
        raise ModelLoadError(
            f"the model in {str(folder)!r} has no token that ends a turn, so no answer would end: "
            "set `eos_token_id` in its genai_config.json"
        )
    if len(known) != len([token for token in listed if token is not None]):
        return TurnEnds(
            known, ("genai_config.json names tokens as ends that the model does not have: left out",)
        )
    return TurnEnds(known)


def _closing(file: TokenizerFile, render: Callable[[str], str]) -> str | None:
    """The control token that the template puts after an assistant's message."""
    turns = [{"role": "user", "content": "1"}, {"role": "assistant", "content": _MARK}]
    try:
        after = render(json.dumps(turns)).rpartition(_MARK)[2].lstrip()
    except RuntimeError:  # the template won't have it
        return None
    return max(
        (token for token in file.control_ids if token and after.startswith(token)), key=len, default=None
    )


def _of_the_tokenizer(folder: Path, file: TokenizerFile) -> str | None:
    """What the tokenizer's own settings call the end."""
    try:
        named = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("eos_token")
    except (OSError, ValueError, AttributeError):
        return None
    text = cast("dict[str, object]", named).get("content") if isinstance(named, dict) else named
    return text if isinstance(text, str) and text in file.control_ids else None
