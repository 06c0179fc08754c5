"""What tells an item of a checkpoint from any other: a key made of all that changes its answer.

It must not know files, nor what was answered. A key is made of the request itself, as it would go out: so nothing that
is sent can be forgotten here. What only names or times a request is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from phi_client._call.exchange import chat_exchange
from phi_client.contract.parameters import EXTRA_PARAMETERS
from phi_client.contract.wire import dump_json, get_header

if TYPE_CHECKING:
    from phi_client._call.options import CallOptions
    from phi_client._call.request_types import Message
    from phi_client._call.targets import Target

__all__ = ["hosts_of", "key_of"]

_KEY_CHARACTERS: Final = 32
_UNSENDABLE: Final = "can't be sent"


def key_of(messages: str | Sequence[Message], options: CallOptions, targets: Iterable[Target]) -> str:
    """The key of an item, the same in each process; endpoints that are asked for the same count once.

    One that can't be sent has a key too: it fails by itself, as any item does.
    """
    try:
        asked = sorted({_request(messages, options, target) for target in targets})
    except Exception:  # noqa: BLE001  # a message of the caller's own making may raise anything
        return _UNSENDABLE
    return hashlib.sha256(b"\n".join(asked)).hexdigest()[:_KEY_CHARACTERS]


def hosts_of(targets: Iterable[Target]) -> list[str]:
    """Where the targets are; all of this machine count as one, because an emulator takes any port."""
    return sorted(
        {
            "this machine" if one.endpoint.is_loopback else urlsplit(one.endpoint.base_url).netloc
            for one in targets
        }
    )


def _request(messages: str | Sequence[Message], options: CallOptions, target: Target) -> bytes:
    """The request to one endpoint, in one form for all orders in which its parts may be given."""
    exchange = chat_exchange(target, options=options, messages=messages, stream=False, call_id="")
    dialect = exchange.dialect
    choosing = [name for name in (EXTRA_PARAMETERS, dialect.deployment_header) if name]
    described: Mapping[str, Any] = {
        "dialect": dialect.name,
        "route": exchange.route,
        "query": urlsplit(exchange.url).query,
        "headers": {name: get_header(exchange.headers, name) for name in choosing},
        "body": json.loads(exchange.content or b"{}"),
    }
    return dump_json(described, sort_keys=True)
