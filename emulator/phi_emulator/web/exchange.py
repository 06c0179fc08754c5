"""One request on its way through the pipeline, and what was found out about it. It must not decide anything."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.types import Receive

from phi_client.contract.service import Surface
from phi_emulator.service.responses import Answer

__all__ = ["Exchange"]

_MOST_PATH_BYTES: Final = 200
"""Of what is logged of a path."""


@dataclass(slots=True)
class Exchange:
    """A request with its dialect, the route within it, and an id that is always a GUID (as documented).

    `parameters` are the parts of the path that differ from request to request.
    """

    request: Request
    receive: Receive
    dialect: Surface
    route: str
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    status: int | None = None
    answer: Answer | None = None
    deployment: str | None = None

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def answered(self) -> Answer:
        """The answer, once the service was asked for one."""
        if self.answer is None:
            raise RuntimeError("the service was not asked yet")
        return self.answer

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers."""
        return self.request.headers

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the request came in."""
        return (self.clock() - self.started) * 1000

    @property
    def path(self) -> str:
        """The beginning of the path as it came, percent-encoded, so that it is safe to log."""
        raw: bytes = self.request.scope.get("raw_path", b"")
        return raw[:_MOST_PATH_BYTES].decode("ascii", "backslashreplace")

    def close(self) -> None:
        """Free the engine, whichever way the exchange ended."""
        if self.answer is not None:
            self.answer.cancel()
