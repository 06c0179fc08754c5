"""The ground of the contract: bytes of JSON, a request and a response as plain data.

It must not know which end of the wire it is used on, nor any HTTP library.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

__all__ = [
    "ContractError",
    "WireRequest",
    "WireResponse",
    "dump_json",
    "get_header",
    "load_object",
]

_DECODER: Final = json.JSONDecoder()
_JSON_WHITE: Final = " \t\n\r"


class ContractError(ValueError):
    """Bytes that do not fit the contract, in an answer of status 2xx or in a stream."""


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request without its secrets: the credential is added by whoever sends it."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class WireResponse:
    """A whole response as it goes on the wire."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def dump_json(value: object, *, sort_keys: bool = False) -> bytes:
    """Compact UTF-8 JSON; `sort_keys` for surfaces that were recorded with keys in alphabetical order.

    Raises:
        TypeError: a value is nothing that JSON can carry.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys, default=_plain)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair has no UTF-8, but JSON can escape it; the service may judge it.
        return json.dumps(value, separators=(",", ":"), sort_keys=sort_keys, default=_plain).encode()


def load_object(body: bytes | str, what: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        ContractError: `body` is not JSON, or not an object; `what` names it in the message.
    """
    try:
        value: Any = _load_text(body) if isinstance(body, str) else json.loads(body)
    except ValueError as error:
        raise ContractError(f"{what} is not JSON") from error
    except RecursionError:
        raise ContractError(f"{what} is JSON that is nested too deeply") from None
    if not isinstance(value, dict):
        raise ContractError(f"{what} is JSON but not an object")
    return cast("dict[str, Any]", value)


def _load_text(text: str) -> Any:
    """As `json.loads`, which asks each time what is once and for all so for the chunks of a stream."""
    text = text.strip(_JSON_WHITE)
    value, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError("more than one value")
    return value


def get_header(headers: Mapping[str, str], name: str) -> str | None:
    """The value of a header, whatever the case of its name and whatever mapping holds it."""
    wanted = name.lower()
    found = headers.get(wanted)
    if found is not None:
        return found
    return next((value for key, value in headers.items() if key.lower() == wanted), None)


def _plain(value: object) -> object:
    """What JSON has no word for as what it stands for: any mapping, sequence or model."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))
    if isinstance(value, set | frozenset):
        # Its own order differs from process to process.
        return sorted(cast("set[object]", value), key=lambda one: dump_json(one, sort_keys=True))
    if isinstance(value, Collection) and not isinstance(value, bytes | bytearray):
        return list(cast("Collection[object]", value))
    for name, arguments in (("to_wire", {}), ("model_dump", {"mode": "json"})):
        dump = getattr(value, name, None)
        if callable(dump):
            return dump(**arguments)
    raise TypeError(f"JSON can't carry a value of type {type(value).__name__!r}")
