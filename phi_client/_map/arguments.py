"""The arguments of `map()`, looked at before anything is sent.

It must not know what they are for.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from phi_client._call.errors import ConfigurationError
from phi_client._call.json_values import shown
from phi_client._call.messages import is_message
from phi_client._call.totals import Price

if TYPE_CHECKING:
    from phi_client._call.request_types import Message

__all__ = ["MOST_CONCURRENCY", "check_concurrency", "check_prices", "checked_path", "listed_inputs"]

MOST_CONCURRENCY: Final = 1000

_T = TypeVar("_T", bound="str | Sequence[Message]")


def listed_inputs(inputs: Iterable[_T]) -> list[_T]:
    """The inputs of a `map`.

    Raises:
        ConfigurationError: they are one prompt or nothing of the kind, or one of them is no prompt.
    """
    given = cast("object", inputs)
    if isinstance(given, str | bytes) or is_message(given):
        raise ConfigurationError("`inputs` is one prompt: give a list of prompts, or use `complete()`")
    if not isinstance(given, Iterable):
        raise ConfigurationError(f"`inputs` is of the type {type(given).__name__!r}: give a list of prompts")
    listed = list(inputs)
    for position, one in enumerate(listed):
        _check_input(position, one)
    return listed


def check_concurrency(concurrency: int) -> None:
    """Refuse a number that can't be.

    Raises:
        ConfigurationError: it is none, or too small or large.
    """
    given = cast("object", concurrency)
    is_number = isinstance(given, int) and not isinstance(given, bool)
    if not is_number or not 1 <= concurrency <= MOST_CONCURRENCY:
        raise ConfigurationError(f"`concurrency` is {shown(concurrency)}: give 1 to {MOST_CONCURRENCY}")


def check_prices(prices: object) -> None:
    """Refuse prices that can't be counted with.

    Raises:
        ConfigurationError: they are none.
    """
    if prices is None:
        return
    listed = list(cast("Mapping[Any, object]", prices).values()) if isinstance(prices, Mapping) else [prices]
    if not all(isinstance(one, Price) and _is_finite(one.prompt, one.completion) for one in listed):
        raise ConfigurationError(
            "`prices` holds no prices: give one `Price(prompt=…, completion=…)`, or a mapping from names of models"
        )


def checked_path(path: str | os.PathLike[str]) -> str:
    """The path of a checkpoint.

    Raises:
        ConfigurationError: it is none.
    """
    given = cast("object", path)
    if isinstance(given, str | os.PathLike):
        found = cast("object", os.fspath(path))
        if isinstance(found, str) and found and "\0" not in found:
            return found
    raise ConfigurationError(f"`checkpoint` is {shown(path)}: give the path of a file")


def _is_finite(*numbers: object) -> bool:
    try:
        return all(math.isfinite(cast("float", number)) for number in numbers)
    except TypeError:
        return False


def _check_input(position: int, messages: object) -> None:
    if isinstance(messages, str):
        return
    is_list = isinstance(messages, Sequence) and not isinstance(messages, bytes | bytearray)
    if not is_list or not all(is_message(one) for one in cast("Sequence[object]", messages)):
        raise ConfigurationError(
            f"the input {position} is no prompt and no list of messages: give a string, or a list"
        )
