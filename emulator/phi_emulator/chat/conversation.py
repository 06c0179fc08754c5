"""What was asked and answered so far, and what of it is sent along with the next question.

It must not know terminals, or how an answer comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from phi_client import CompletionOptions

__all__ = ["NUMBERS", "Conversation", "Times", "Turn", "read_number"]

NUMBERS: Final = {
    "temperature": (float, 0, 2),
    "top_p": (float, 0, 1),
    "max_tokens": (int, 1, 1_000_000),
    "seed": (int, -(2**63), 2**63 - 1),
}
"""What may be set for the questions to come, by the wire's names: kind, least and most (OpenAPI 2024-05-01-preview)."""

_SHORTEST_S: Final = 0.02
"""A shorter time is that of a packet, and no rate."""


@dataclass(slots=True)
class Times:
    """When things happened, in seconds of one clock."""

    asked: float
    first: float | None = None
    """When the first text came, of the reasoning or of the answer."""
    answer: float | None = None
    """When the first text of the answer came."""
    last: float | None = None
    """When the last text came."""
    ended: float | None = None


@dataclass(slots=True)
class Turn:
    r"""One question, and what came of it.

    `content` is the text after the reasoning, `boxed` what stands in its last `\boxed{}`. `pieces` counts the events
    that brought text, which are tokens as long as nobody has counted those (`usage`). `problem` says in one line why
    there is no whole answer, `hint` what to do about it in a talk; both are empty where there is one.
    """

    question: str
    times: Times
    reasoning: str = ""
    content: str = ""
    boxed: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None
    request_id: str | None = None
    pieces: int = 0
    is_stopped: bool = False
    problem: str = ""
    hint: str = ""
    error: BaseException | None = field(default=None, repr=False)

    @property
    def tokens(self) -> int:
        """Tokens of the answer, reasoning included: as the service counted them, else the pieces in which they came."""
        counted = (self.usage or {}).get("completion_tokens")
        return counted or self.pieces

    @property
    def is_counted(self) -> bool:
        """Whether the service counted the tokens."""
        return bool((self.usage or {}).get("completion_tokens"))

    def rate(self, now: float | None = None) -> float | None:
        """Tokens a second since the first came, up to `now` or to the last; `None` where that is too short to tell."""
        first = self.times.first
        until = self.times.last if now is None else now
        if first is None or until is None or until - first < _SHORTEST_S or self.tokens < 2:  # noqa: PLR2004
            return None
        return (self.tokens - 1) / (until - first)

    @property
    def until_first_s(self) -> float | None:
        """Seconds from the question to the first text."""
        return None if self.times.first is None else self.times.first - self.times.asked

    @property
    def seconds(self) -> float | None:
        """Seconds from the question to the end."""
        return None if self.times.ended is None else self.times.ended - self.times.asked


@dataclass(slots=True)
class Conversation:
    """A talk: its turns, what the model is told beforehand, and the options that are set for what comes."""

    system: str = ""
    options: dict[str, float | int] = field(default_factory=dict[str, "float | int"])
    turns: list[Turn] = field(default_factory=list[Turn])

    def messages(self, question: str) -> list[dict[str, str]]:
        """What is sent with a question: what was answered before it too, without reasoning.

        A question that got no text as its answer is left out, since two questions in a row confuse models.
        """
        said = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            if turn.content.strip():
                said += [
                    {"role": "user", "content": turn.question},
                    {"role": "assistant", "content": turn.content},
                ]
        return [*said, {"role": "user", "content": question}]

    def call_options(self) -> CompletionOptions:
        """The options of a call: what was set, and a cut in the reasoning shown in the place of an error."""
        return {"on_truncation": "return", **self.options}  # type: ignore[typeddict-item]  # checked when set

    @property
    def tokens(self) -> int:
        """Tokens of all answers."""
        return sum(turn.tokens for turn in self.turns)


def read_number(name: str, text: str) -> float | int:
    """The value of an option of `NUMBERS`.

    Raises:
        ValueError: it can't be; the message says what it may be.
    """
    kind, least, most = NUMBERS[name]
    shown = "a whole number" if kind is int else "a number"
    try:
        value: float | int | None = kind(text)
    except (ValueError, OverflowError):
        value = None
    if value is None or not least <= value <= most:
        limits = f" from {least} to {most}" if abs(most) < 2**63 - 1 else ""
        raise ValueError(f"{name} takes {shown}{limits}")
    return value
