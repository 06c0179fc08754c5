"""The clock of an emulator that was given none. It must not know who goes by it."""

from __future__ import annotations

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_emulator.config import EmulatorConfig

__all__ = ["clock_of"]


def clock_of(config: EmulatorConfig) -> Clock:
    """The system's clock, or one that starts at this moment and moves by `/_emulator/clock` alone."""
    if not config.virtual_time:
        return SYSTEM_CLOCK
    from phi_client.contract.clock.virtual_clock import VirtualClock  # noqa: PLC0415 - most emulators need none

    return VirtualClock(start_unix=SYSTEM_CLOCK.unix(), autojump=False)
