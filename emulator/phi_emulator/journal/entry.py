"""One exchange as the journal has it: what was asked, what became of it, and where the time went.

It must not know HTTP or how an exchange comes about. `pages` makes JSON and text of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from phi_emulator.journal.sent import Sent
from phi_emulator.journal.spent import Spent
from phi_emulator.journal.timeline import Timeline
from phi_emulator.journal.tokens import FaultAt, Token
from phi_emulator.journal.why_slow import WhySlow, why_slow

__all__ = ["Difference", "Ending", "JournalEntry", "Texts", "TokensUsed"]

Ending: TypeAlias = Literal["running", "answered", "refused", "cut", "hung up"]
"""How an exchange ended: with an answer, with an error, cut by the emulator, or left by the client."""


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """Tokens of one exchange."""

    prompt: int
    completion: int
    cached: int = 0
    """Of the prompt, those that were not computed again."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the exchange went otherwise than on Azure."""

    subject: str
    emulator: str
    """What the emulator does."""
    link: str
    """Where the documentation says more, from the repository's root."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What was said; kept only where it was asked for. What is too long is cut, and ends with `…`."""

    request: str
    """The body of the request."""
    answer: str = ""
    """What the answer says, without its reasoning, as the client got it."""
    reasoning: str = ""
    """The reasoning, where the surface has a field of its own for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One exchange. Credentials are in none of it, texts only where they were asked for."""

    number: int | None
    """The place in the order of ends, from 1; `None` while it runs. A number is never given twice."""
    id: str
    """The request id that the client was told."""
    scope: str
    """The request's `x-phi-scope`; empty without one."""
    began: float
    """When the request came in, in seconds since 1970."""
    ending: Ending
    """`running`, `answered`, `refused` (with an error), `cut` (by the emulator) or `hung up` (by the client)."""
    method: str
    """Of HTTP."""
    path: str
    """As it was asked for, without what is behind `?`."""
    surface: str
    """The surface that was asked, by name."""
    route: str
    """The path as the surface calls it."""
    request_headers: Mapping[str, str]
    """Names in small letters; `[secret]` stands for credentials."""
    api_version: str | None = None
    """As it was asked for."""
    deployment: str | None = None
    """The deployment or model that was asked for."""
    streamed: bool = False
    """Whether a stream was asked for."""
    sampling: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`temperature`, `top_p`, `seed`, `max_tokens` as asked for; `budget` is how many tokens the answer might have."""
    status: int | None = None
    """`None` where the client was told none."""
    error_code: str | None = None
    """`code` of the error, as the client got it; where an error has none its status."""
    response_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """As they went out, but for those that the server adds to every answer."""
    usage: TokensUsed | None = None
    """Tokens: `prompt`, `completion`, and `cached` of the prompt; of what did not come to its end as far as it came."""
    finish_reason: str | None = None
    """As the client was told, also by a fault."""
    fault: Mapping[str, Any] | None = None
    """The fault that it met, as a table."""
    fault_at: FaultAt | None = None
    """Where it struck: `ms` since the request came in, `bytes` of the answer's body before; `None` where it did not."""
    scripted: str | None = None
    """The rule of a script that answered."""
    latency: str | None = None
    """The latency profile that it kept to."""
    differences: tuple[Difference, ...] = ()
    """Where it went otherwise than on Azure: `subject`, what the `emulator` does, a `link` to the documentation."""
    spent: Spent
    """Where the time went."""
    request_bytes: int = 0
    """Of the body, as far as it was read."""
    response_bytes: int = 0
    """Of the body, as far as it was sent."""
    timeline: Timeline = field(repr=False)
    """The pieces of the answer's body."""
    texts: Texts | None = field(default=None, repr=False)
    """`request` (its body), `answer`, `reasoning`; `None` where they were not asked for."""
    sent: Sent | None = field(default=None, repr=False)
    """The answer's body as it went out, in Python alone; `None` without texts, and where it repeats a credential."""

    @property
    def why_slow(self) -> WhySlow:
        """Where the time went: a sentence, and the parts by their share."""
        return why_slow(self)

    @property
    def tokens(self) -> list[Token]:
        """The answer as a line of tokens with their times."""
        from phi_emulator.journal.pages import tokens_of  # noqa: PLC0415 - pages are made of entries

        return tokens_of(self)

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.ending != "running"

    def describe(self) -> str:
        """What it was, for people, on a few lines."""
        from phi_emulator.journal.pages import describe  # noqa: PLC0415 - pages are made of entries

        return describe(self)

    def __str__(self) -> str:
        return self.describe()
