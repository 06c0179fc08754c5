"""How a profile is written: as a table, in files and requests, and as a line, in options and headers.

It must not know files or HTTP.

    first = "800ms"                        first=800ms, rate=40/s, jitter=0.2, seed=7
    rate = "40/s"                          azure-phi-4, seed=7           a preset, with another seed
    jitter = 0.2                           off                           as fast as the model
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from phi_emulator.latency.presets import PRESETS
from phi_emulator.latency.profile import MOST_CHUNK, MOST_JITTER, MOST_S, Profile
from phi_emulator.models.printable import printable

__all__ = ["KEYS", "OFF", "Key", "LatencyError", "read_line", "read_table", "table_of", "write_line"]

OFF: Final = "off"
"""In the place of a profile: answers come as fast as the model gives them."""
EXAMPLE: Final = "first=800ms, rate=40/s, jitter=0.2, seed=7"
_SHOWN: Final = 60
_MOST_SEED: Final = 2**63 - 1
_LEAST_RATE: Final = 1 / MOST_S
_MOST_RATE: Final = 1e6
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?(us|µs|ms|s)?", re.ASCII)
_RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?(?:/ ?s)?", re.ASCII)
_SECONDS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, None: 1.0}


class LatencyError(ValueError):
    """A profile can't be used; the message says where and why. `key` is what leads there, if one does."""

    def __init__(self, reason: str, key: str = "") -> None:
        self.reason = reason
        self.key = key
        super().__init__(f"{printable(key, _SHOWN)}: {reason}" if key else reason)


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
            raise LatencyError(f"{_said(word)} is no `KEY=VALUE`; write it as `{EXAMPLE}`")
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
        if key == "preset":
            profile = _preset(value)
        elif key == "source":
            changes["source"] = _text(value)
        elif key not in _BY_NAME:
            raise LatencyError(f"there is no such key{_near(key, (*_BY_NAME, 'preset', 'source'))}", key)
        else:
            known = _BY_NAME[key]
            try:
                changes[known.field] = known.read(value)
            except LatencyError as error:
                raise LatencyError(error.reason, key) from None
    if "rate" in table and "gap" in table:
        raise LatencyError("it says the same as `rate`: give one of them", "gap")
    if not {"preset", "first", "prompt", "rate", "gap"} & table.keys():
        raise LatencyError(f"neither a preset nor a time is given; write it as `{EXAMPLE}`")
    if "jitter" in changes and "first_jitter" not in changes:
        changes["first_jitter"] = changes["jitter"]
    return replace(profile, **changes)


def table_of(profile: Profile) -> dict[str, str | float | int]:
    """What a profile could be read from; without what is as by default."""
    plain = Profile()
    table: dict[str, str | float | int] = {}
    for key in KEYS:
        value = getattr(profile, key.field)
        is_plain = value == getattr(plain, key.field) and key.name != "first_jitter"
        if not is_plain and not (key.name == "gap" and "rate" in table):
            table[key.name] = key.write(value)
    if profile.first_jitter == profile.jitter:
        del table["first_jitter"]
    return table


def write_line(profile: Profile | None) -> str:
    """A profile as a line."""
    if profile is None:
        return OFF
    return ", ".join(f"{key}={value}" for key, value in table_of(profile).items()) or "first=0ms"


def _preset(value: object) -> Profile:
    name = _text(value)
    if name not in PRESETS:
        raise LatencyError(f"there is no preset {_said(name)}{_near(name, PRESETS)}", "preset")
    return PRESETS[name].profile


def _seconds(value: object) -> float:
    found = _DURATION.fullmatch(_text(value).strip())
    if found is None:
        raise LatencyError(f"{_said(value)} is no time such as `800ms` or `1.5s`")
    seconds = float(found[1]) * _SECONDS[found[2]]
    if seconds > MOST_S:
        raise LatencyError(f"{_said(value)} is longer than {MOST_S:.0f} s")
    return seconds


def _gap_of_rate(value: object) -> float:
    found = _RATE.fullmatch(_text(value).strip())
    if found is None:
        raise LatencyError(f"{_said(value)} is no number of tokens a second such as `40/s`")
    if not _LEAST_RATE <= float(found[1]) <= _MOST_RATE:
        raise LatencyError(
            f"{_said(value)} is not between one token in {MOST_S:.0f} s and {_MOST_RATE:.0f}/s"
        )
    return 1 / float(found[1])


def _ratio(value: object) -> float:
    try:
        ratio = float(_text(value))
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= MOST_JITTER:
        raise LatencyError(f"{_said(value)} is no part of the mean, from 0 to {MOST_JITTER:.0f}")
    return ratio


def _whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        text = _text(value).strip()
        if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) or not least <= int(text) <= most:
            raise LatencyError(f"{_said(value)} is no whole number from {least} to {most}")
        return int(text)

    return read


def _text(value: object) -> str:
    """A value as it stands in a line; in a table it may be a number too."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise LatencyError(f"{_said(value)} is neither text nor number")
    return str(value)


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
_BY_NAME: Final = {key.name: key for key in KEYS}


def _said(value: object) -> str:
    return f"`{printable(str(value), _SHOWN)}`"


def _near(word: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word[:_SHOWN].lower(), [*known], n=1)
    return f": did you mean `{near[0]}`?" if near else f": known are {', '.join(known)}"
