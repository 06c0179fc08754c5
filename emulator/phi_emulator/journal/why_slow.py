"""Why an exchange took as long as it did: one sentence, and its parts by their share. It must not measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from phi_emulator.models.printable import printable

if TYPE_CHECKING:
    from phi_emulator.journal.entry import JournalEntry

__all__ = ["Part", "WhySlow", "why_slow"]

_NAMES: Final = ("queue", "prefill", "decode", "web", "client")
_WHAT: Final = {
    "queue": "waiting for a place beside the requests that ran",
    "prefill": "computing the prompt",
    "decode": "computing the answer",
    "web": "reading and checking the request, and writing the answer",
    "client": "waiting for the client, to send its request or to take the answer",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One of the parts that add up to the whole."""

    name: str
    """`queue`, `prefill`, `decode`, `web` or `client`."""
    ms: float
    share: float
    """Of the whole, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class WhySlow:
    """Where the time went."""

    text: str
    parts: tuple[Part, ...]
    """In the order in which they come about."""

    def to_json(self) -> dict[str, Any]:
        """As the routes tell it."""
        return {
            "text": self.text,
            "parts": [
                {"name": one.name, "ms": round(one.ms, 3), "share": round(one.share, 4)} for one in self.parts
            ],
        }


def why_slow(entry: JournalEntry) -> WhySlow:
    """Where the time of an exchange went."""
    spent = entry.spent
    total = spent.total_ms
    parts = tuple(
        Part(name, ms := float(getattr(spent, f"{name}_ms")), ms / total if total else 0.0) for name in _NAMES
    )
    longest = max(parts, key=lambda one: one.ms)
    so_far = "" if entry.is_over else " so far"
    if not longest.ms:
        return WhySlow(f"It took no time{so_far}.", parts)
    text = f"{_time(longest.ms)} of {_time(total)}{so_far} ({longest.share:.0%}) went into {_what(entry, longest)}"
    return WhySlow(f"{text}{_held(entry)}.", parts)


def _what(entry: JournalEntry, part: Part) -> str:
    what = f"{_WHAT[part.name]} ({part.name})"
    usage = entry.usage
    if usage is None:
        return what
    if part.name == "prefill":
        cached = f", of which {usage.cached} were known" if usage.cached else ""
        return f"{what}: {usage.prompt} tokens{cached}"
    if part.name == "decode" and usage.completion:
        return f"{what}: {usage.completion} tokens, {usage.completion / part.ms * 1000:.0f} a second"
    return what


def _held(entry: JournalEntry) -> str:
    held = entry.spent.held_ms
    if not held:
        return ""
    fault = "" if entry.fault is None else f"the fault {printable(str(entry.fault.get('effect', '')), 60)}"
    latency = "" if entry.latency is None else f"the latency profile {printable(entry.latency, 120)}"
    by = " and ".join(filter(None, (fault, latency)))
    return f"; {_time(held)} were waited on purpose{f', by {by}' if by else ''}"


def _time(ms: float) -> str:
    if ms < 10:  # noqa: PLR2004 - below it the digit behind the point counts
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 10_000 else f"{ms / 1000:.1f} s"  # noqa: PLR2004
