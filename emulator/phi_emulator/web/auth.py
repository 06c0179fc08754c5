"""Checks the key of a request, as the dialect carries it. It must not know where the key comes from."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from phi_client.contract.dialects import Dialect
from phi_client.contract.refusals import RefusedError
from phi_emulator.service.errors import ServiceError

__all__ = ["check_key"]


def check_key(dialect: Dialect, headers: Mapping[str, str], key: str) -> None:
    """Let a request pass that presents `key`.

    Raises:
        ServiceError: there is no key, or another.
    """
    try:
        given = dialect.read_key(headers)
    except RefusedError as error:
        raise ServiceError(error.refusal) from None
    if not hmac.compare_digest(given.encode(), key.encode()):
        raise ServiceError(dialect.wrong_key)
