"""Splitting an answer into reasoning and content, whole or as it streams.

It must not know the wire: it works on text alone.

    START ──`<think>`──> REASONING ──`</think>`──> CONTENT
      └── any other text ──> OPEN ── `</think>` that was never opened ──> CONTENT, and all before is reasoning

`<think>` is ordinary text in this model, so a stream may cut a tag anywhere; what may still become a tag is
held back. White space around the tags belongs to neither side. After the first `</think>` nothing is a tag.
"""

from enum import Enum, auto
from typing import NamedTuple

from phi_client.contract.marks import THINK_CLOSE, THINK_OPEN, begun_length

__all__ = ["ReasoningSplitter", "SplitText", "split_reasoning"]


class SplitText(NamedTuple):
    """A piece of reasoning and a piece of content; either may be empty."""

    reasoning: str = ""
    content: str = ""


class _State(Enum):
    START = auto()
    OPEN = auto()
    REASONING = auto()
    CONTENT = auto()


class ReasoningSplitter:
    """Splits text that comes in pieces.

    `reasoning` and `content` hold the whole so far and are always right. The pieces that `feed` returned are
    right too, but for a `</think>` that was never opened: what went out as content before it was reasoning.
    With `reasoning_elsewhere` the reasoning comes in a field of its own: only a block at the start is cut.
    """

    def __init__(self) -> None:
        self.reasoning_elsewhere = False
        self._state: _State = _State.START
        self._held: str = ""
        self._reasoning: list[str] = []
        self._content: list[str] = []
        self._at_edge: bool = False

    @property
    def reasoning(self) -> str:
        """All reasoning so far."""
        return "".join(self._reasoning)

    @property
    def content(self) -> str:
        """All content so far."""
        return "".join(self._content)

    def feed(self, text: str) -> SplitText:
        """What `text` adds to each side, less what may still be the beginning of a tag."""
        if self._state is _State.CONTENT and not self._at_edge:
            self._content.append(text)
            return SplitText("", text)
        if self._state is _State.REASONING and not self._held and not self._at_edge and _is_plain(text):
            self._reasoning.append(text)
            return SplitText(text)
        self._held += text
        return self._advance(at_end=False)

    def flush(self) -> SplitText:
        """What the end of the text releases."""
        return self._advance(at_end=True)

    def _advance(self, *, at_end: bool) -> SplitText:
        """Each state takes what it can from the held text and may hand the rest to the next."""
        reasoning, content = "", ""
        if self._state is _State.START:
            self._leave_start(at_end=at_end)
        if self._state is _State.REASONING:
            reasoning = self._take_reasoning(at_end=at_end)
        if self._state is _State.OPEN:
            content = self._take_open(at_end=at_end)
        if self._state is _State.CONTENT:
            content += self._take_content()
        return SplitText(reasoning, content)

    def _leave_start(self, *, at_end: bool) -> None:
        stripped = self._held.lstrip()
        if stripped.startswith(THINK_OPEN):
            self._held = stripped.removeprefix(THINK_OPEN)
            self._state, self._at_edge = _State.REASONING, True
        elif at_end or not THINK_OPEN.startswith(stripped):
            self._state = _State.OPEN

    def _take_reasoning(self, *, at_end: bool) -> str:
        head, tag, tail = self._held.partition(THINK_CLOSE)
        if self._at_edge:
            head = head.lstrip()
            self._at_edge = not head
        if tag:
            self._held = tail
            self._state, self._at_edge = _State.CONTENT, True
            ready = head.rstrip()
        elif at_end:
            self._held, ready = "", head.rstrip()
        else:
            # White space before the closing tag belongs to neither side, so it waits with a possible tag.
            kept = len(head) - begun_length(head, THINK_CLOSE)
            ready = head[:kept].rstrip()
            self._held = head[len(ready) :]
        self._reasoning.append(ready)
        return ready

    def _take_open(self, *, at_end: bool) -> str:
        if self.reasoning_elsewhere:
            self._state = _State.CONTENT
            return ""
        head, tag, tail = self._held.partition(THINK_CLOSE)
        if tag:
            whole = "".join([*self._content, head]).strip()
            self._reasoning, self._content = [whole], []
            self._held = tail
            self._state, self._at_edge = _State.CONTENT, True
            return ""
        kept = len(head) if at_end else len(head) - begun_length(head, THINK_CLOSE)
        ready, self._held = head[:kept], head[kept:]
        self._content.append(ready)
        return ready

    def _take_content(self) -> str:
        ready, self._held = self._held, ""
        if self._at_edge:
            ready = ready.lstrip()
            self._at_edge = not ready
        self._content.append(ready)
        return ready


def _is_plain(text: str) -> bool:
    """Whether nothing in it may become a tag, and its end is no white space that may stand before one."""
    return "<" not in text and not text[-1:].isspace()


def split_reasoning(text: str, *, reasoning_elsewhere: bool = False) -> SplitText:
    """Split a whole answer; an answer cut inside its reasoning has no content."""
    splitter = ReasoningSplitter()
    splitter.reasoning_elsewhere = reasoning_elsewhere
    splitter.feed(text)
    splitter.flush()
    return SplitText(splitter.reasoning, splitter.content)
