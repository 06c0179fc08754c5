"""What a route under `/_emulator` is, and how its handlers read what they are asked.

It must not know which routes there are.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, Literal, NamedTuple

from phi_client.contract.emulator import EMULATOR_PLACE
from phi_client.contract.service.refusals import container_error
from phi_emulator.models.strict_json import MOST_BYTES, parse_json
from phi_emulator.service.errors import ServiceError
from phi_emulator.web.body import read_json_body
from phi_emulator.web.exchange import SCOPE_HEADER, Exchange, Handler
from phi_emulator.web.fault_link import bad_request

__all__ = ["ControlRoute", "count_in_query", "place", "read_table", "scope_of"]

_MOST_DIGITS: Final = 15


class ControlRoute(NamedTuple):
    """One route under `/_emulator`; `path` is a pattern, whose groups are the exchange's parameters."""

    path: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    handle: Handler
    has_own_key: bool = False
    """Whether the handler looks for the key itself, where its protocol has a place for it."""
    is_private: bool = False
    """Whether it tells what callers asked, so that reading needs the key as well."""

    @property
    def needs_key(self) -> bool:
        """Whether the key must be presented in a header: wherever something is changed, or is the callers' own."""
        return (self.method != "GET" or self.is_private) and not self.has_own_key
