"""Which recorded answer a request gets: the n-th that was recorded for what it asks. It must not send anything.

A request is met by what it means. Where the same was recorded in the very form in which it is asked (surface, route,
version, streamed or not), those answers are given byte for byte; else the answers in other forms are rewritten.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile
from pathlib import Path
from typing import Final, Literal

from phi_client.contract.service import SERVERLESS, SURFACES, Surface
from phi_emulator.recordings.exchanges import RecordedExchange, RecordedRequest
from phi_emulator.recordings.file import Recording, RecordingError, read_recording
from phi_emulator.recordings.meaning import Meaning, meaning_of
from phi_emulator.recordings.rewriting import Told, read_answer, rewritten

__all__ = ["AfterLast", "NoRecordingError", "Shelf", "load_shelf"]

logger = logging.getLogger("phi_emulator.recordings")

AfterLast = Literal["repeat", "fail"]
"""What a request gets that was made more often than it was recorded: the last answer again, or none."""

_SHOWN: Final = 60
"""Characters that are shown of a value that differs."""
_BEFORE: Final = 20
_MOST_COMPARED: Final = 2000
_MOST_PLACES: Final = 5


class NoRecordingError(Exception):
    """No recording answers a request; the message says what nearly does, and quotes where they differ."""


@dataclass(frozen=True, slots=True)
class _Kept:
    exchange: RecordedExchange
    meaning: Meaning
    name: str
    """Where it stands, for whoever looks for it."""
    told: Told | None


class Shelf:
    """All recorded exchanges, in the order of their files. It counts what was asked; for one thread."""

    def __init__(self, recordings: Mapping[str, Recording], *, after_last: AfterLast = "repeat") -> None:
        self._after_last = after_last
        self._asked: Counter[tuple[int, ...]] = Counter()
        self._kept = [
            _kept(name, number, exchange)
            for name, recording in recordings.items()
            for number, exchange in enumerate(recording.exchanges, 1)
        ]

    @property
    def surface(self) -> Surface:
        """The surface that was recorded first."""
        return SURFACES[self._kept[0].exchange.request.surface] if self._kept else SERVERLESS

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, request: RecordedRequest) -> RecordedExchange:
        """The answer of which it is the turn.

        Raises:
            NoRecordingError: there is none.
        """
        meaning = meaning_of(request)
        same = [number for number, kept in enumerate(self._kept) if not kept.meaning.differences(meaning)]
        asked_so = [number for number in same if self._kept[number].meaning.form == meaning.form]
        fitting = asked_so or [number for number in same if self._kept[number].told is not None]
        if not fitting:
            raise NoRecordingError(self._nearest(meaning, same))
        turn = self._asked[tuple(fitting)]
        if turn >= len(fitting) and self._after_last == "fail":
            raise NoRecordingError(
                f"this was recorded {_times(len(fitting))} (the last is {self._kept[fitting[-1]].name}), and is "
                f"asked for the {turn + 1}th time"
            )
        self._asked[tuple(fitting)] += 1
        kept = self._kept[fitting[min(turn, len(fitting) - 1)]]
        if asked_so or kept.told is None:
            return kept.exchange
        return rewritten(kept.exchange, kept.told, meaning.form)

    def _nearest(self, meaning: Meaning, same: Sequence[int]) -> str:
        if not self._kept:
            return "no recording answers this request: none was made"
        if same:
            kept = self._kept[same[0]]
            asked = kept.meaning.form
            return (
                f"no recording answers this request: {kept.name} asks the same on {asked.surface} {asked.path}, but "
                "its answer is an error, or was not recorded to its end, and stands for no other surface or form"
            )
        differences = [(kept.meaning.differences(meaning), kept) for kept in self._kept]
        places, nearest = min(
            differences, key=lambda pair: (len(pair[0]), -_likeness(pair[1].meaning, meaning, pair[0]))
        )
        told = "; ".join(
            f"{place}: {_compared(_value(nearest.meaning, place), _value(meaning, place))}"
            for place in places[:_MOST_PLACES]
        )
        more = f"; and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
        return (
            f"no recording answers this request: the nearest is {nearest.name}, which differs in {told}{more}"
        )


def load_shelf(paths: Sequence[Path], *, after_last: AfterLast = "repeat") -> Shelf:
    """Read recordings.

    Raises:
        RecordingError: one can't be read, or is no recording.
    """
    recordings = {str(path): read_recording(path) for path in paths}
    for name, recording in recordings.items():
        if recording.is_cut:
            logger.warning("%s: its last exchange has no end, and is left out", name)
    return Shelf(recordings, after_last=after_last)


def _kept(name: str, number: int, exchange: RecordedExchange) -> _Kept:
    surface = exchange.request.surface
    if surface not in SURFACES:
        raise RecordingError(
            f"{name}: exchange {number} is on the surface {surface!r}, not one of {', '.join(SURFACES)}"
        )
    return _Kept(
        exchange, meaning_of(exchange.request), f"exchange {number} of {name}", read_answer(exchange)
    )


def _value(meaning: Meaning, place: str) -> object:
    return meaning.model if place == "model" else meaning.members.get(place)


def _likeness(meaning: Meaning, other: Meaning, places: Sequence[str]) -> float:
    """How much alike the first values are that differ, from 0 to 1."""
    if not places:
        return 1
    first, second = (str(_value(one, places[0]))[:_MOST_COMPARED] for one in (meaning, other))
    return SequenceMatcher(None, first, second, autojunk=False).quick_ratio()


def _compared(recorded: object, asked: object) -> str:
    """Both values, long texts from shortly before the place where they part."""
    skipped = 0
    if isinstance(recorded, str) and isinstance(asked, str):
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(recorded, asked, strict=False)))
        skipped = max(0, same - _BEFORE) if max(len(recorded), len(asked)) > _SHOWN else 0
    return f"recorded {_shown(recorded, skipped)}, asked {_shown(asked, skipped)}"


def _shown(value: object, skipped: int) -> str:
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        return repr(value)
    text = value[skipped : skipped + _SHOWN]
    return f"{'…' if skipped else ''}{text!r}{'…' if len(value) > skipped + _SHOWN else ''}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
