"""The clock that clients get when they are made, for tests of code that makes its own.

It must not know what is timed.
"""

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock

__all__ = ["ClockOfClients"]


class ClockOfClients:
    """`current` is what clients go by that are made from now on, in this process."""

    current: Clock = SYSTEM_CLOCK
