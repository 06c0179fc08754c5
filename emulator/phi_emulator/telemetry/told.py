"""What is told of one exchange that has ended. It must not know HTTP, engines, or who is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Told"]


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One exchange. Its times are seconds of one clock; what never came about is `None`.

    No member holds more values than the emulator itself has, but for `deployment`, which is the caller's.
    """

    surface: str
    provider: str
    """The surface as OpenTelemetry calls it: `azure.ai.inference` or `azure.ai.openai`."""
    method: str
    route: str
    """As the surface has it, with `{deployment}` in the place of a name; `other` for a path that nobody has."""
    model: str
    """The model that answers."""
    status: int | None
    """What the client was told; `None` if it was told nothing."""
    ending: str
    """`answered`, `refused`, `cut` or `hung up`; as in the journal."""
    fault: str = ""
    """The effect of the fault that it met."""
    deployment: str | None = None
    request_id: str = ""
    is_chat: bool = False
    """Whether it was a good request for an answer."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str | None = None
    received: float
    queued: float | None = None
    admitted: float | None = None
    first_token: float | None = None
    ended: float | None = None
    """When the engine was through with it."""
    over: float
    """When the last byte was handed over, or the connection cut."""
    parameters: Callable[[], Mapping[str, Any]] = field(default=_nothing, repr=False)
    """Those of the request, for who tells them."""
    content: Callable[[], Mapping[str, Any]] = field(default=_nothing, repr=False)
    """The prompt in the conventions' parts, for who was asked to tell it."""

    @property
    def error_type(self) -> str:
        """What went wrong, as OpenTelemetry has it: a status, or how the connection ended; empty if nothing did."""
        if self.ending in ("cut", "hung up"):
            return self.ending.replace(" ", "_")
        return str(self.status) if self.ending == "refused" else ""
