"""From messages to prompt tokens, without letting a user's text become control tokens.

Knows a template renderer and an encoder as two functions; knows neither where they come from nor any engine.

A tokenizer reads `<|end|>` inside a user's text as the control token. So a conversation whose text holds one is
rendered with place-holders for the contents; the template's own parts are encoded as they are, and the contents in
pieces that are each shorter than any control token. So is one with tools, whose marks are control tokens to keep. Other
conversations take the direct way, which keeps the exact tokenization across the template's joints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from phi_emulator.engine.base import Marks, Message

__all__ = ["PromptEncoder", "control_tokens"]

# Two private-use characters that are taken out of the contents, so a user's text can't forge a place-holder.
_OPEN, _CLOSE = "\ue000", "\ue001"
_PLACE = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
# GenAI reads a message's `tools` as JSON before the template sees them, so a place-holder must be a list.
_LISTED = re.compile(rf"""\[['"]({_OPEN}\d+{_CLOSE})['"]\]""")
# The native tokenizer ends its input at a NUL, and refuses lone surrogates.
_UNSAFE = re.compile(f"[\x00{_OPEN}{_CLOSE}\ud800-\udfff]")
_PHI_CALL = ("<|tool_call|>", "<|/tool_call|>")
_PHI_ANSWER = "tool_response"


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
        self._known = frozenset(control_tokens)
        self._marks: Marks | None = None
        self._knows_tools = False

    @property
    def marks(self) -> Marks:
        """How the template and the tokens of this model mark reasoning and calls of tools."""
        if self._marks is None:
            plain = Marks()
            ending = self._render(json.dumps([{"role": "user", "content": ""}])).rstrip()
            trial = [
                {"role": "system", "content": "", "tools": json.dumps([_OPEN])},
                {"role": "user", "content": ""},
            ]
            with suppress(RuntimeError):  # a template that takes no system message
                self._knows_tools = _OPEN in self._render(json.dumps(trial))
            self._marks = Marks(
                opens_reasoning=ending.endswith("<think>"),
                call=_PHI_CALL if self._known.issuperset(_PHI_CALL) else plain.call,
                tool_role=_PHI_ANSWER if f"<|{_PHI_ANSWER}|>" in self._known else plain.tool_role,
            )
        return self._marks

    def __call__(self, messages: Sequence[Message]) -> list[int]:
        """Return the prompt's token ids, ending where the assistant's turn begins."""
        cleaned = [Message(m.role, *(_UNSAFE.sub("", text) for text in m[1:])) for m in messages]
        has_tools = any(m.calls or m.tools for m in cleaned)
        if not has_tools and (
            self._control is None or not any(self._control.search(m.content) for m in cleaned)
        ):
            return self._encode(
                self._render_messages({"role": m.role, "content": m.content} for m in cleaned)
            )
        texts: list[str] = []

        def place(text: str) -> str:
            texts.append(text)
            return f"{_OPEN}{len(texts) - 1}{_CLOSE}"

        rendered = self._render_messages([self._with_places(message, place) for message in cleaned])
        ids: list[int] = []
        for index, part in enumerate(_PLACE.split(_LISTED.sub(r"\1", rendered))):
            pieces = self._harmless(texts[int(part)]) if index % 2 else [part]
            for piece in pieces:
                if piece:
                    ids += self._encode(piece)
        return ids

    def _with_places(self, message: Message, place: Callable[[str], str]) -> dict[str, str]:
        """A message as the template takes it, with a place for each text that is somebody's own."""
        shown = {"role": message.role, "content": place(message.content)}
        if message.calls:
            before, after = self.marks.call
            shown["content"] += before + place(message.calls) + after
        if message.tools and self.marks and self._knows_tools:
            shown["tools"] = json.dumps([place(message.tools)])
        elif message.tools:
            before, after = self.marks.call
            shown["content"] += (
                "\nYou may call these functions, described as JSON: "
                + place(message.tools)
                + f'\nTo call some, answer with {before}[{{"name": NAME, "arguments": OBJECT}}]{after}'
            )
        return shown

    def _render_messages(self, messages: Iterable[dict[str, str]]) -> str:
        return self._render(json.dumps(list(messages)))

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
