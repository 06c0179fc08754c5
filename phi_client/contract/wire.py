"""The ground of the contract: base model, bytes of JSON, a request and a response as plain data.

It must not know which end of the wire it is used on, nor any HTTP library.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

__all__ = [
    "ContractError",
    "WireModel",
    "WireRequest",
    "WireResponse",
    "dump_json",
    "get_header",
    "load_object",
]


class ContractError(ValueError):
    """Bytes that do not fit the contract, in an answer of status 2xx or in a stream."""


class WireModel(BaseModel):
    """Base of everything read from the wire: frozen, and tolerant of keys that it does not know.

    Unknown keys stay reachable as attributes and in `model_extra`, because Azure adds keys without notice.
    What is written is exactly what was set: `None` that was set is written as `null`, a default is not.
    """

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    def to_wire(self) -> dict[str, Any]:
        """The JSON object, with the keys that were set and no others."""
        # What a caller passed unchecked may differ from the declared type; the service judges it.
        return self.model_dump(mode="json", exclude_unset=True, warnings=False)


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
    """Compact UTF-8 JSON; `sort_keys` for surfaces that were recorded with keys in alphabetical order."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair has no UTF-8, but JSON can escape it; the service may judge it.
        return json.dumps(value, separators=(",", ":"), sort_keys=sort_keys).encode()


def load_object(body: bytes | str, what: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        ContractError: `body` is not JSON, or not an object; `what` names it in the message.
    """
    try:
        value: Any = json.loads(body)
    except ValueError as error:
        raise ContractError(f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise ContractError(f"{what} is JSON but not an object")
    return cast("dict[str, Any]", value)


def get_header(headers: Mapping[str, str], name: str) -> str | None:
    """The value of a header, whatever the case of its name and whatever mapping holds it."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)
