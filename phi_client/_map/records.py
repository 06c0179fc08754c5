"""An item as a line of a checkpoint, and a completion out of such a line.

It must not know files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phi_client._call.completion import Completion, Origin, completion_of
from phi_client._call.errors import ConfigurationError
from phi_client._map.result import MapItem
from phi_client.contract.answers import view_answer
from phi_client.contract.wire import ContractError

__all__ = ["completions_in", "record_of"]


def record_of(item: MapItem[Any]) -> dict[str, Any]:
    """What is kept of an item: the wire's own object, or what its error says."""
    record: dict[str, Any] = {"position": item.position}
    done = item.completion
    if done is not None:
        record |= {"answer": done.answer, "completion": done.raw}
        record |= {"request_id": done.request_id, "client_request_id": done.client_request_id}
        record |= {"endpoint": done.endpoint}
    else:
        record |= {"error": {"type": type(item.error).__name__, "message": str(item.error)}}
    return {**record, "retries": item.retries}


def completions_in(records: Mapping[int, Mapping[str, Any]], path: str) -> dict[int, tuple[Completion, int]]:
    """The completions of earlier runs by position, with how often each was tried again.

    Raises:
        ConfigurationError: a record is not what `map` writes.
    """
    found: dict[int, tuple[Completion, int]] = {}
    for position, record in records.items():
        try:
            found[position] = _completion_in(record), int(record.get("retries") or 0)
        except (AttributeError, ContractError, LookupError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"the checkpoint {path!r} holds something else than a completion for the item {position}: repair or "
                "remove its line, or give another file"
            ) from error
    return found


def _completion_in(record: Mapping[str, Any]) -> Completion:
    sent_as, endpoint = (str(record.get(name) or "") for name in ("client_request_id", "endpoint"))
    origin = Origin(record.get("request_id"), sent_as, endpoint, {})
    return completion_of(view_answer(record["completion"], "message"), origin)
