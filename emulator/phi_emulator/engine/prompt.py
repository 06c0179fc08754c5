"""From messages to prompt tokens, without letting a user's text become control tokens.

Knows a template renderer and an encoder as two functions; knows neither where they come from nor any engine.

A tokenizer reads `<|end|>` inside a user's text as the control token. So a conversation whose text holds one is
rendered with place-holders for the contents; the template's own parts are encoded as they are, and the contents in
pieces that are each shorter than any control token. Other conversations take the direct way, which keeps the exact
tokenization across the template's joints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from phi_emulator.engine.base import Message

__all__ = ["PromptEncoder", "control_tokens"]

# Two private-use characters that are taken out of the contents, so a user's text can't forge a place-holder.
_OPEN, _CLOSE = "\ue000", "\ue001"
_PLACE = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
# The native tokenizer ends its input at a NUL, and refuses lone surrogates.
_UNSAFE = re.compile(f"[\x00{_OPEN}{_CLOSE}\ud800-\udfff]")


class PromptEncoder:
    """Renders and encodes conversations.

    `render` takes messages as JSON and returns the prompt's text; `encode` returns token ids; `control_tokens` are the
    texts that `encode` would read as control tokens.
    """

    def __init__(
        self,
        render: Callable[[str], str],
        encode: Callable[[str], list[int]],
        control_tokens: Sequence[str],
    ) -> None:
        self._render = render
        self._encode = encode
        self._control = re.compile("|".join(map(re.escape, control_tokens))) if control_tokens else None

    def __call__(self, messages: Sequence[Message]) -> list[int]:
        """Return the prompt's token ids, ending where the assistant's turn begins."""
        cleaned = [Message(m.role, _UNSAFE.sub("", m.content)) for m in messages]
        if self._control is None or not any(self._control.search(m.content) for m in cleaned):
            return self._encode(self._render_messages(cleaned))
        places = [Message(m.role, f"{_OPEN}{i}{_CLOSE}") for i, m in enumerate(cleaned)]
        ids: list[int] = []
        for index, part in enumerate(_PLACE.split(self._render_messages(places))):
            pieces = self._harmless(cleaned[int(part)].content) if index % 2 else [part]
            for piece in pieces:
                if piece:
                    ids += self._encode(piece)
        return ids

    def _render_messages(self, messages: Sequence[Message]) -> str:
        return self._render(json.dumps([{"role": m.role, "content": m.content} for m in messages]))

    def _harmless(self, text: str) -> Iterator[str]:
        """Cut the text inside each control token, after its first character."""
        start = 0
        for match in self._control.finditer(text) if self._control else ():
            yield text[start : match.start() + 1]
            start = match.start() + 1
        yield text[start:]


def control_tokens(folder: Path) -> list[str]:
    """The texts that the tokenizer of a model folder reads as control tokens, wherever they stand."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return [token["content"] for token in tokenizer.get("added_tokens", ())]
