"""What a caller gives as what JSON can carry, or an error that says where it can't.

It must not know what the values are for. Mappings, sequences, models of pydantic and of other SDKs become plain objects
and lists; what is no finite number, no text and none of these is refused, because it would be no JSON.
"""

import math
import numbers
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

from phi_client._call.errors import ConfigurationError
from phi_client.contract.wire import dump_json

__all__ = ["as_json", "is_collection", "is_number", "kind_of", "shown"]

_Where = tuple[object, ...]
"""What is read, and the keys and places on the way into it."""

_MOST_BITS: Final = 1024
"""Python refuses to write whole numbers of some thousand digits; no service takes those of hundreds."""
_NOT_SEVERAL: Final = (type, str, bytes, bytearray, memoryview, Mapping)
_MOST_SHOWN: Final = 40
_DUMPS: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("to_wire", {}),
    ("model_dump", {"mode": "json", "warnings": False}),
    ("as_dict", {}),
)
"""How models give what they hold: ours, those of pydantic (openai has them), those of azure-core."""


def as_json(what: str, value: object) -> Any:
    """`value` as objects, lists, texts and finite numbers; `what` names it in messages.

    Raises:
        ConfigurationError: JSON can't carry it; the message says which part.
    """
    try:
        return _plain((what,), value)
    except ConfigurationError:
        raise
    except RecursionError:
        raise ConfigurationError(f"{what} is nested too deeply, or holds itself") from None
    except Exception as error:  # models and mappings are foreign code and raise anything
        raise ConfigurationError(f"{what} can't be read: {type(error).__name__}") from error


def is_number(value: object) -> bool:
    """Whether it is a number, of whatever library; true and false are none."""
    return not isinstance(value, bool) and isinstance(value, numbers.Real)


def is_collection(value: object) -> bool:
    """Whether it holds several: no text, no bytes, and nothing with names."""
    return not isinstance(value, _NOT_SEVERAL) and isinstance(value, Collection)


def kind_of(value: object) -> str:
    """What a value is, for a message that must not show it."""
    return "nothing" if value is None else f"of type `{type(value).__name__}`"


def shown(value: object) -> str:
    """A value that is short and plain as it is, of others the type: they may be long, or secret."""
    is_small_number = isinstance(value, int) and value.bit_length() < _MOST_BITS
    if value is None or isinstance(value, bool | float) or is_small_number:
        return repr(value)
    if isinstance(value, str) and len(value) <= _MOST_SHOWN:
        return repr(value)
    return kind_of(value)


def _plain(where: _Where, value: object) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        return dict(_members(where, cast("Mapping[object, object]", value)))
    if is_number(value):
        return _number(where, value)
    dump = _dump_of(value)
    if dump is not None:
        return _plain(where, dump)
    if is_collection(value):
        items = [
            _plain((*where, place), item) for place, item in enumerate(cast("Collection[object]", value))
        ]
        # A set's own order differs from process to process.
        is_set = isinstance(value, AbstractSet)
        return sorted(items, key=lambda one: dump_json(one, sort_keys=True)) if is_set else items
    raise ConfigurationError(f"{_place(where)} is {kind_of(value)}, which JSON can't carry")


def _members(where: _Where, value: Mapping[object, object]) -> Iterator[tuple[str, Any]]:
    for name, member in value.items():
        if isinstance(name, int) and not isinstance(name, bool):
            # As JSON's writer has it: mappings by the number of a token are common.
            yield str(_number(where, name)), _plain((*where, name), member)
        elif isinstance(name, str):
            yield name, _plain((*where, name), member)
        else:
            raise ConfigurationError(f"{_place(where)} has a key {kind_of(name)}: give a string")


def _number(where: _Where, value: Any) -> int | float:
    """Numbers of other libraries too, as Python's own."""
    if isinstance(value, numbers.Integral):
        whole = int(value)
        if whole.bit_length() > _MOST_BITS:
            raise ConfigurationError(
                f"{_place(where)} is a whole number of more digits than any service takes"
            )
        return whole
    number = float(value)
    if not math.isfinite(number):
        raise ConfigurationError(f"{_place(where)} is {number!r}, which is no number in JSON")
    return number


def _place(where: _Where) -> str:
    what, *inner = where
    return f"{what}" + "".join(f"[{shown(step)}]" for step in inner)


def _dump_of(value: object) -> object:
    """What a model says that it holds; `None` for what is no model."""
    if isinstance(value, type):
        return None
    for name, arguments in _DUMPS:
        dump = getattr(value, name, None)
        if callable(dump):
            return dump(**arguments)
    return None
