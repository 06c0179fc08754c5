"""How a profile is written: as a table, in files and requests, and as a line, in options and headers.

It must not know files or HTTP.

    first = "800ms"                        first=800ms, rate=40/s, jitter=0.2, seed=7
    rate = "40/s"                          phi-4-mini-azure, seed=7      a preset, with another seed
    jitter = 0.2                           off                           as fast as the model
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from phi_emulator.documents import DocumentError, near, number, shown, text
from phi_emulator.latency.presets import PRESETS
from phi_emulator.latency.profile import MOST_CHUNK, MOST_JITTER, MOST_S, Profile

__all__ = ["KEYS", "OFF", "Key", "LatencyError", "read_line", "read_table", "table_of", "write_line"]

OFF: Final = "off"
"""In the place of a profile: answers come as fast as the model gives them."""
EXAMPLE: Final = "first=800ms, rate=40/s, jitter=0.2, seed=7"
_MOST_SEED: Final = 2**63 - 1
_WHOLE: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_LEAST_RATE: Final = 1 / MOST_S
_MOST_RATE: Final = 1e6
_SHORT_RATE: Final = len("1000/s")
_AMOUNT: Final = re.compile(r"((?:[0-9]+\.?|[0-9]*\.[0-9]+)(?:[eE][+-]?[0-9]+)?) ?([a-zµ/]*)")
_IN_A_SECOND: Final = {"us": 1_000_000, "µs": 1_000_000, "ms": 1000, "s": 1, "": 1}


class LatencyError(DocumentError):
    """A profile can't be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Key:
    """One word of the language: what it sets, what it means, how its value is read and written."""

    name: str
    meaning: str
    default: str
    field: str
    read: Callable[[object], Any]
    write: Callable[[Any], str | float | int]


def read_line(line: str) -> Profile | None:
    """The profile in a line: the name of a preset, or `KEY=VALUE` separated by commas or spaces, or both.

    `None` stands for `off`.

    Raises:
        LatencyError: it has another form.
    """
    words = line.replace(",", " ").split()
    if words == [OFF]:
        return None
    table: dict[str, object] = {}
    for place, word in enumerate(words):
        key, separator, value = word.partition("=")
        if not separator and place == 0:
            table["preset"] = word
        elif not separator or not key or not value:
            raise LatencyError(f"{shown(word)} is no `KEY=VALUE`; write it as `{EXAMPLE}`")
        elif key in table:
            raise LatencyError("it comes twice", key)
        else:
            table[key] = value
    return read_table(table)


def read_table(table: Mapping[str, object]) -> Profile:
    """The profile in a table of these keys.

    Raises:
        LatencyError: it holds something else.
    """
    profile, changes = Profile(), dict[str, Any]()
    for key, value in table.items():
        if key not in _BY_NAME and key not in _OTHERS:
            raise LatencyError(f"there is no such key{near(key, (*_BY_NAME, *_OTHERS))}", key)
        try:
            if key == "preset":
                profile = _preset(value)
            elif key == "source":
                changes["source"] = _text(value)
            else:
                changes[_BY_NAME[key].field] = _BY_NAME[key].read(value)
        except LatencyError as error:
            raise error.under(key) from None
    if "rate" in table and "gap" in table:
        raise LatencyError("it says the same as `rate`: give one of them", "gap")
    if "preset" not in table and not _TIMES & table.keys():
        raise LatencyError(f"neither a preset nor a time is given; write it as `{EXAMPLE}`")
    if "jitter" in changes and "first_jitter" not in changes:
        changes["first_jitter"] = changes["jitter"]
    return replace(profile, **changes)


def table_of(profile: Profile) -> dict[str, str | float | int]:
    """What a profile could be read from, without what is as by default; its source is left out."""
    plain, table = Profile(), dict[str, str | float | int]()
    for key in KEYS:
        value = getattr(profile, key.field)
        if value != getattr(plain, key.field):
            table[key.name] = key.write(value)
    if "gap" in table:
        # One of them: the rate, unless it takes many digits.
        is_short = len(str(table["rate"])) <= max(len(str(table["gap"])), _SHORT_RATE)
        is_rate = profile.gap_s >= 1 / _MOST_RATE and is_short
        del table["gap" if is_rate else "rate"]
    if profile.first_jitter == profile.jitter:
        table.pop("first_jitter", None)
    elif not profile.first_jitter:
        table["first_jitter"] = 0
    return table if _TIMES & table.keys() else {"first": "0ms", **table}


def write_line(profile: Profile | None) -> str:
    """A profile as a line."""
    if profile is None:
        return OFF
    return ", ".join(f"{key}={value}" for key, value in table_of(profile).items())


def _preset(value: object) -> Profile:
    name = _text(value)
    if name not in PRESETS:
        raise LatencyError(f"there is no preset {shown(name)}{near(name, PRESETS)}")
    return PRESETS[name].profile


def _seconds(value: object) -> float:
    amount, unit = _amount(value)
    if amount is None or unit not in _IN_A_SECOND:
        raise LatencyError(f"{shown(value)} is no time such as `800ms` or `1.5s`")
    seconds = amount / _IN_A_SECOND[unit]
    if seconds > MOST_S:
        raise LatencyError(f"{shown(value)} is longer than {MOST_S:.0f} s")
    return seconds


def _gap_of_rate(value: object) -> float:
    amount, unit = _amount(value)
    if amount is None or unit not in ("/s", ""):
        raise LatencyError(f"{shown(value)} is no number of tokens a second such as `40/s`")
    if not _LEAST_RATE <= amount <= _MOST_RATE:
        raise LatencyError(f"{shown(value)} is not within a token in {MOST_S:.0f} s and {_MOST_RATE:.0f}/s")
    return 1 / amount


def _ratio(value: object) -> float:
    ratio, unit = _amount(value)
    if ratio is None or unit or ratio > MOST_JITTER:
        raise LatencyError(f"{shown(value)} is no part of the mean, from 0 to {MOST_JITTER:.0f}")
    return ratio


def _whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise LatencyError(f"{shown(value)} is no whole number from {least} to {most}")
        return number

    return read


def _amount(value: object) -> tuple[float | None, str]:
    """A number that is not negative, and its unit; in a table it may be a number alone."""
    if isinstance(value, str):
        found = _AMOUNT.fullmatch(value)
        return (None, "") if found is None else (float(found[1]), found[2])
    try:
        amount = number(value)
    except DocumentError:
        return None, ""
    return (amount, "") if amount >= 0 else (None, "")


def _text(value: object) -> str:
    try:
        return text(value)
    except DocumentError as error:
        raise LatencyError(error.reason) from None


def _written_seconds(seconds: float) -> str:
    return f"{seconds:.9g}s" if seconds >= 10 else f"{seconds * 1000:.9g}ms"  # noqa: PLR2004 - ten seconds


def _same(value: float) -> float | int:
    return value


KEYS: Final[tuple[Key, ...]] = (
    Key("first", "time until the first token", "0s", "first_s", _seconds, _written_seconds),
    Key("prompt", "beside it, for each token of the prompt", "0s", "prompt_s", _seconds, _written_seconds),
    Key(
        "rate", "tokens a second after the first", "as the model gives them", "gap_s", _gap_of_rate,
        lambda gap: f"{1 / gap:.9g}/s",
    ),
    Key("gap", "the time between two tokens, in the place of `rate`", "0s", "gap_s", _seconds, _written_seconds),
    Key(
        "jitter", "standard deviation of the gaps as a part of their mean; they are distributed log-normally", "0",
        "jitter", _ratio, _same,
    ),
    Key("first_jitter", "the same of the first token's time", "as `jitter`", "first_jitter", _ratio, _same),
    Key("chunk", "tokens that come together", "1", "chunk", _whole(1, MOST_CHUNK), _same),
    Key("seed", "of the jitter", "0", "seed", _whole(0, _MOST_SEED), _same),
)  # fmt: skip
"""What a profile may hold, beside `preset` and `source`."""
_TIMES: Final = frozenset(("first", "prompt", "rate", "gap"))
_OTHERS: Final = ("preset", "source")
_BY_NAME: Final = {key.name: key for key in KEYS}
