"""From messages to prompt tokens, without letting a user's text become control tokens.

Knows a template renderer and an encoder as two functions; knows neither where they come from nor any engine.

A tokenizer reads `<|end|>` inside a user's text as the control token. So a conversation whose text holds one is
rendered with place-holders for the contents; the template's own parts are encoded as they are, and the contents in
pieces that are each shorter than any control token. So is one with tools, whose marks are control tokens to keep. Other
conversations take the direct way, which keeps the exact tokenization across the template's joints.

What can't fit is refused before the work is done: by its bytes, of which a token covers at most so many, and else as
soon as its beginning is too long. Of such a prompt the least number of tokens is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from phi_client.contract.marks import THINK_OPEN
from phi_emulator.engine.errors import PromptTooLongError
from phi_emulator.engine.protocol import Marks, Message

__all__ = ["PromptEncoder"]

# Two private-use characters that are taken out of the contents, so a user's text can't forge a place-holder.
_OPEN, _CLOSE = "\ue000", "\ue001"
_PLACE = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
# GenAI reads a message's `tools` as JSON before the template sees them, so a place-holder must be a list.
_LISTED = re.compile(rf"""\[['"]({_OPEN}\d+{_CLOSE})['"]\]""")
# The native tokenizer ends its input at a NUL, and refuses lone surrogates.
_UNSAFE = re.compile(f"[\x00{_OPEN}{_CLOSE}\ud800-\udfff]")
_PHI_CALL = ("<|tool_call|>", "<|/tool_call|>")
_PHI_ANSWER = "tool_response"
_END_OF_REASONING: Final = "</think>"
_SLICE: Final = 16_384
"""Characters that are encoded in one go, which is when the interpreter stands still: 25 ms at most were measured."""
_SPARE: Final = 1024
"""Tokens that are counted beyond twice the context, so that the usual refusal names the right number."""
_JOINT: Final = 16
"""Tokens by which a cut may change a count, generously."""
_MOST_KNOWN: Final = 1024
_SHORT: Final = 32
"""Characters of a piece whose tokens are kept: cut control tokens make few pieces, again and again."""


class PromptEncoder:
    """Renders and encodes conversations.

    `render` takes messages as JSON and returns the prompt's text; `encode` returns token ids; `control_tokens` are the
    texts that `encode` would read as control tokens. Prompts of many more than `most_tokens` are refused before they
    are read; those of a few more are for the caller to refuse. `most_bytes` are what a token covers at most, where that
    is known.
    """

    def __init__(
        self,
        render: Callable[[str], str],
        encode: Callable[[str], list[int]],
        control_tokens: Sequence[str],
        *,
        most_tokens: int | None = None,
        most_bytes: int | None = None,
    ) -> None:
        self._render = render
        self._encode = encode
        self._context, self._most_bytes = most_tokens, most_bytes
        self._most_tokens = None if most_tokens is None else 2 * most_tokens + _SPARE
        self._control = re.compile("|".join(map(re.escape, control_tokens))) if control_tokens else None
        self._known = frozenset(control_tokens)
        self._marks: Marks | None = None
        self._knows_tools = False

    def try_template(self) -> None:
        """Render and encode a conversation, however long it is; raises what the two functions raise."""
        self._encode(self._render_messages([{"role": "user", "content": "1 + 1"}]))

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
                opens_reasoning=ending.endswith(THINK_OPEN),
                call=_PHI_CALL if self._known.issuperset(_PHI_CALL) else plain.call,
                tool_role=_PHI_ANSWER if f"<|{_PHI_ANSWER}|>" in self._known else plain.tool_role,
            )
        return self._marks

    def __call__(self, messages: Sequence[Message]) -> list[int]:
        """Return the prompt's token ids, ending where the assistant's turn begins.

        Raises:
            PromptTooLongError: there are many more than may be.
        """
        cleaned = [Message(m.role, *(_UNSAFE.sub("", text) for text in m[1:])) for m in messages]
        # Before it is rendered, during which the interpreter stands still: 150 ms for 4 MB were measured.
        self._check_size(*map(_surely_shown, cleaned))
        has_tools = any(m.calls or m.tools for m in cleaned)
        if not has_tools and (
            self._control is None or not any(self._control.search(m.content) for m in cleaned)
        ):
            whole = self._render_messages({"role": m.role, "content": m.content} for m in cleaned)
            self._check_size(whole)
            self._check_slices(whole)
            ids = self._encode(whole)
            self._check_count(len(ids))
            return ids
        texts: list[str] = []

        def place(text: str) -> str:
            texts.append(text)
            return f"{_OPEN}{len(texts) - 1}{_CLOSE}"

        rendered = self._render_messages([self._with_places(message, place) for message in cleaned])
        parts = _PLACE.split(_LISTED.sub(r"\1", rendered))
        parts[1::2] = [texts[int(number)] for number in parts[1::2]]
        self._check_size(*parts)
        ids = list[int]()
        known: dict[str, list[int]] = {}
        for index, part in enumerate(parts):
            for piece in self._harmless(part) if index % 2 else [part]:
                ids += self._encode_piece(piece, known)
                self._check_count(len(ids))
        return ids

    def encode_answer(self, text: str) -> list[int]:
        """The tokens of a text in which none is a control token, however it reads."""
        return [token for piece in self._harmless(text) if piece for token in self._encode(piece)]

    def _encode_piece(self, piece: str, known: dict[str, list[int]]) -> list[int]:
        """The tokens of a piece, from those that are `known` if it is short."""
        if not piece:
            return []
        found = known.get(piece)
        if found is None:
            self._check_slices(piece)
            found = self._encode(piece)
            if len(piece) <= _SHORT and len(known) < _MOST_KNOWN:
                known[piece] = found
        return found

    def _check_size(self, *texts: str) -> None:
        """Refuse what so many tokens can't cover, whatever it says."""
        if self._most_tokens is None or self._most_bytes is None:
            return
        size = sum(len(text) if text.isascii() else len(text.encode()) for text in texts)
        self._check_count(-(-size // self._most_bytes))

    def _check_slices(self, text: str) -> None:
        """Refuse a long text as soon as its beginning is too long, and let others have a turn meanwhile."""
        if self._most_tokens is None or len(text) <= _SLICE:
            return
        count = 0
        for start in range(0, len(text), _SLICE):
            count += max(len(self._encode(text[start : start + _SLICE])) - _JOINT, 0)
            self._check_count(count)

    def _check_count(self, tokens: int) -> None:
        if self._context is not None and self._most_tokens is not None and tokens > self._most_tokens:
            raise PromptTooLongError(tokens, self._context)

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


def _surely_shown(message: Message) -> str:
    """What every template shows of a message. Some leave out its reasoning, some the white space around it."""
    return message.content.rpartition(_END_OF_REASONING)[2].strip()
