"""For tests of code that uses this package.

It must not be needed by anything else.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

from phi_client._call.client import BaseClient
from phi_client._call.clock_of_clients import ClockOfClients
from phi_client._call.instant_retries import InstantRetries
from phi_client._call.real_endpoints import RealEndpointError
from phi_client.contract.clock.base import Clock
from phi_client.contract.clock.virtual_clock import ClockError, VirtualClock

__all__ = [
    "Clock",
    "ClockError",
    "RealEndpointError",
    "VirtualClock",
    "clients_with_clock",
    "instant_retries",
    "with_clock",
]

_C = TypeVar("_C", bound=BaseClient)


@contextmanager
def instant_retries() -> Generator[None]:
    """Make the waits before retries take no time, in all clients of this process, while the block runs.

    How often is tried, what is waited for by `deadline` and what hooks are told stay as they are.
    """
    InstantRetries.depth += 1
    try:
        yield
    finally:
        InstantRetries.depth -= 1


def with_clock(client: _C, clock: Clock) -> _C:
    """`client`, whose limits, waits and chance are `clock`'s from here on, so that tests never sleep.

    With a `Clock` the limits of what is read from a socket stay real seconds. With a `VirtualClock` they are that
    clock's too, where the server is an `Emulator(clock=…)` on the same one.
    """
    client._go_by(clock)  # pyright: ignore[reportPrivateUsage]  # of the same package
    return client


@contextmanager
def clients_with_clock(clock: Clock) -> Generator[None]:
    """As `with_clock`, for all clients that are made in this process while the block runs.

    So code under test that makes its own client goes by `clock` too.
    """
    before, ClockOfClients.current = ClockOfClients.current, clock
    try:
        yield
    finally:
        ClockOfClients.current = before
