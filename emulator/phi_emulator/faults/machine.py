"""From a fault to what carries it out: one machine for each effect of the catalogue.

It must not know how any of them works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from phi_client.contract.service import Surface
from phi_emulator.faults.base import Machine
from phi_emulator.faults.bodies import ContentLength, NotACompletion
from phi_emulator.faults.heads import (
    ContentType,
    CutBody,
    CutHead,
    Error,
    ExpiredToken,
    HeaderMissing,
    HeaderTwice,
    RetryAfter,
    Split,
    WaitFirst,
)
from phi_emulator.faults.rules import Fault
from phi_emulator.faults.streams import (
    CommentsOnly,
    ErrorInStream,
    Finish,
    MalformedEvent,
    NoEnd,
    OtherForm,
    OversizedEvent,
    Slow,
    Stall,
)

__all__ = ["MACHINES", "machine_for"]

MACHINES: Final[Mapping[str, type[Machine]]] = {
    "error": Error,
    "retry_after": RetryAfter,
    "expired_token": ExpiredToken,
    "wait": WaitFirst,
    "stall": Stall,
    "slow": Slow,
    "comments_only": CommentsOnly,
    "cut_head": CutHead,
    "cut_body": CutBody,
    "no_end": NoEnd,
    "malformed_event": MalformedEvent,
    "oversized_event": OversizedEvent,
    "error_in_stream": ErrorInStream,
    "finish": Finish,
    "split": Split,
    "other_sse": OtherForm,
    "content_type": ContentType,
    "header_twice": HeaderTwice,
    "header_missing": HeaderMissing,
    "not_a_completion": NotACompletion,
    "content_length": ContentLength,
}
"""By the name of the effect."""


def machine_for(fault: Fault, surface: Surface, unix: Callable[[], float]) -> Machine:
    """What carries out `fault` on one answer of `surface`; `unix` tells the seconds since 1970."""
    return MACHINES[fault.effect.name](fault, surface, unix)
