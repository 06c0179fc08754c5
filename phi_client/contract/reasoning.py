"""Splitting an answer into reasoning and content, whole or as it streams.

It must not know the wire: it works on text alone.

    START ──`<think>`──> REASONING ──`</think>`──> CONTENT ──`<think>` that begins a line──> REASONING
      └── any other text ──> CONTENT ── `</think>` that was never opened ──> all before it is reasoning

`<think>` is ordinary text in this model, so a stream may cut a tag anywhere; what may still become a tag is
held back. White space around the tags belongs to neither side. A tag that is quoted as code is text: one between
backticks, and a pair of them in a fence or within a line's backticks. A fence that is open at the end was none: there
`</think>` has ended the reasoning, unless the answer was cut off.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from phi_client.contract.code_marks import CodeMarks
from phi_client.contract.marks import THINK_CLOSE, THINK_OPEN

__all__ = ["ReasoningSplitter", "SplitText", "split_reasoning"]

_TAG: Final = re.compile(r"<(?:(/?)think(>)|/?(?:t(?:h(?:i(?:nk?)?)?)?)?\Z)")
"""A tag, or at the end what may become one."""
_GAP: Final = "\n\n"
"""Between two blocks of reasoning."""


@dataclass(frozen=True, slots=True)
class SplitText:
    """A piece of reasoning and a piece of content; either may be empty."""

    reasoning: str = ""
    content: str = ""


class _State(Enum):
    START = auto()
    REASONING = auto()
    CONTENT = auto()


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A `</think>` that was taken for quoted, since it is in a fence: the fence's number, and the tag's place."""

    fence: int
    place: int


class ReasoningSplitter:
    """Splits text that comes in pieces.

    `reasoning` and `content` hold the whole so far and are always right. The pieces that `feed` returned are
    right too, but for a `</think>` that was never opened: what went out as content before it was reasoning. And for one
    in a fence that is never closed: what went out as reasoning after it was content, which `flush` returns.
    With `reasoning_elsewhere` the reasoning comes in a field of its own: only a block at the start is cut.
    """

    def __init__(self) -> None:
        self.reasoning_elsewhere = False
        self._state: _State = _State.START
        self._held: str = ""
        self._reasoning: list[str] = []
        self._content: list[str] = []
        self._doubt: _Doubt | None = None
        self._reasoned = 0
        """How long all reasoning is."""
        self._at_edge: bool = False
        self._has_block = False
        self._gap = ""
        self._code = CodeMarks()
        # Of the held text: up to where it was taken, up to where tags were looked for, and what the code was told of.
        self._taken = self._searched = self._told = 0

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
        if "<" not in text and not (self._at_edge or self._gap):
            # Most pieces by far: no tag is in it, and none may have begun.
            if self._state is _State.CONTENT and not self._held:
                self._content.append(text)
                self._code.feed(text)
                return SplitText("", text)
            if self._state is _State.REASONING and (not self._held or self._held.isspace()):
                whole = self._held + text
                ready = whole.rstrip()
                if self._held or len(ready) < len(whole):
                    self._held = whole[len(ready) :]
                    self._searched, self._told = len(self._held), 0
                if ready:
                    self._reasoned += len(ready)
                    self._reasoning.append(ready)
                    self._code.feed(ready)
                return SplitText(ready)
        self._held += text
        return self._advance(at_end=False)

    def flush(self, *, is_cut: bool = False) -> SplitText:
        """What the end of the text releases. A text that `is_cut` off may have had its fences closed later."""
        last = self._advance(at_end=True)
        return last if is_cut else self._answer_in_open_fence(last)

    def _advance(self, *, at_end: bool) -> SplitText:
        """Each state takes what it can from the held text and hands the rest to the next."""
        if self._state is _State.START:
            self._leave_start(at_end=at_end)
        reasoning, content = list[str](), list[str]()
        while self._state is not _State.START:
            tag, place = self._find_tag(at_end=at_end)
            if self._state is _State.REASONING:
                reasoning.append(self._take_reasoning(place, is_last=at_end or bool(tag)))
            else:
                content.append(self._take_content(place))
            if not tag:
                break
            self._pass(tag)
        # What was taken is dropped once, however many tags it had.
        self._held = self._held[self._taken :]
        self._searched -= self._taken
        self._told -= self._taken
        self._taken = 0
        return SplitText("".join(reasoning), "".join(content))

    def _answer_in_open_fence(self, last: SplitText) -> SplitText:
        """What the end of the text releases where a fence, that hid the end of the reasoning, turns out to be none."""
        doubt = self._doubt
        if doubt is None or self._state is not _State.REASONING:
            return last
        self._code.feed("\n")  # the last line may close it
        if self._code.fence != doubt.fence:
            return last
        whole = self.reasoning
        rest = ReasoningSplitter()
        rest._state, rest._at_edge, rest._has_block = _State.CONTENT, True, True
        rest.feed(whole[doubt.place + len(THINK_CLOSE) :])
        rest.flush(is_cut=True)
        blocks = (whole[: doubt.place].rstrip(), rest.reasoning)
        self._reasoning = [_GAP.join(block for block in blocks if block)]
        self._content.append(rest.content)
        self._state = _State.CONTENT
        return SplitText("", last.content + rest.content)

    def _leave_start(self, *, at_end: bool) -> None:
        stripped = self._held.lstrip()
        if stripped.startswith(THINK_OPEN):
            self._taken = len(self._held) - len(stripped)
            self._pass(THINK_OPEN)
        elif at_end or not THINK_OPEN.startswith(stripped):
            self._state = _State.CONTENT

    def _pass(self, tag: str) -> None:
        """Go over a tag, up to which all was taken."""
        self._taken += len(tag)
        self._searched = self._told = self._taken
        self._at_edge, self._code, self._doubt = True, CodeMarks(), None
        if tag == THINK_OPEN:
            self._gap = _GAP if self._reasoning else ""
        elif self._state is _State.CONTENT:
            # What went out as content was reasoning.
            whole = self.content.strip()
            self._reasoning, self._content = [whole] if whole else [], []
            self._reasoned = len(whole)
        self._state = _State.REASONING if tag == THINK_OPEN else _State.CONTENT
        self._has_block = True

    def _find_tag(self, *, at_end: bool) -> tuple[str, int]:
        """The next tag that counts and its place; else no tag, and from where on one may still come."""
        held = self._held
        while (found := _TAG.search(held, self._searched)) is not None:
            place = found.start()
            tag = "" if not found[2] else THINK_CLOSE if found[1] else THINK_OPEN
            after = held[found.end() : found.end() + 1]
            if not at_end and (not tag or (not after and self._follows_tick(place))):
                return "", place
            if tag and self._counts(tag, place, after):
                return tag, place
            self._searched = found.end()
        self._searched = len(held)
        return "", len(held)

    def _follows_tick(self, place: int) -> bool:
        """Whether a backtick before this place begins a quotation."""
        self._tell_code(place)
        return self._code.after_opening_tick

    def _counts(self, tag: str, place: int, after: str) -> bool:
        """Whether a tag is no text where it stands, before `after`."""
        is_quoted = self._follows_tick(place)
        if is_quoted and after == "`":
            return False
        if tag == THINK_CLOSE:
            may_be_unopened = not (self._has_block or self.reasoning_elsewhere)
            if self._code.close_pair():
                self._note_doubt(place)
                return False
            return self._state is _State.REASONING or may_be_unopened
        if is_quoted or self._code.fence:
            self._code.open_pair()
            return False
        is_outside = self._state is _State.CONTENT and not self.reasoning_elsewhere
        return is_outside and self._code.begins_line

    def _note_doubt(self, place: int) -> None:
        """Of each fence the first pair is noted."""
        fence = self._code.fence
        if self._state is not _State.REASONING or not fence or (self._doubt and self._doubt.fence == fence):
            return
        waiting = self._held[self._taken : place]
        if self._at_edge:
            waiting = self._gap + waiting.lstrip()
        self._doubt = _Doubt(fence, self._reasoned + len(waiting))

    def _take_reasoning(self, place: int, *, is_last: bool) -> str:
        # White space before the closing tag belongs to neither side, so it waits with a possible tag.
        text = self._held[self._taken : place]
        ready = text.rstrip()
        self._take(place if is_last or (self._at_edge and not ready) else self._taken + len(ready))
        if self._at_edge:
            ready = ready.lstrip()
            self._at_edge = not ready
        if ready:
            ready, self._gap = self._gap + ready, ""
            self._reasoned += len(ready)
            self._reasoning.append(ready)
        return ready

    def _take_content(self, place: int) -> str:
        ready = self._held[self._taken : place]
        self._take(place)
        if self._at_edge:
            ready = ready.lstrip()
            self._at_edge = not ready
        if ready:
            self._content.append(ready)
        return ready

    def _take(self, place: int) -> None:
        """Have taken the held text up to a place."""
        self._tell_code(place)
        self._taken = place
        self._searched = max(self._searched, place)

    def _tell_code(self, place: int) -> None:
        if place > self._told:
            self._code.feed(self._held[self._told : place])
            self._told = place


def split_reasoning(text: str, *, reasoning_elsewhere: bool = False, is_cut: bool = False) -> SplitText:
    """Split a whole answer; one that `is_cut` off inside its reasoning has no content."""
    splitter = ReasoningSplitter()
    splitter.reasoning_elsewhere = reasoning_elsewhere
    splitter.feed(text)
    splitter.flush(is_cut=is_cut)
    return SplitText(splitter.reasoning, splitter.content)
