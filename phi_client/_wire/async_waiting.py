"""Waiting in a task: for a job, and for bytes by virtual time.

It must not know what is done, nor what the bytes are.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from phi_client._call.errors import ConfigurationError
from phi_client._wire.background import Job
from phi_client._wire.connection_state import Cable
from phi_client.contract.clock.wires import Wire

__all__ = ["arrive", "awaited", "finished", "running_loop"]


async def finished(job: Job[Any], limit_s: float | None) -> None:
    """Wait until `job` is done. That the waiting task is cancelled does not touch the job.

    Raises:
        TimeoutError: it is not, after `limit_s` seconds.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        loop.call_soon_threadsafe(arrive, arrived)

    job.when_done(tell)
    async with asyncio.timeout(limit_s):
        await arrived


def arrive(arrived: "asyncio.Future[None]") -> None:
    """End a wait, which may have been cancelled."""
    if not arrived.done():
        arrived.set_result(None)


@contextmanager
def awaited(cable: Cable, wire: Wire, limit_s: float | None) -> Generator[None]:
    """A wait that goes by virtual time. The limit is real where the server does not go by it."""

    def run_out() -> None:
        if not wire.is_served:
            cable.run_out()

    timer = None if limit_s is None else asyncio.get_running_loop().call_later(limit_s, run_out)
    try:
        with wire.awaited(limit_s, cable.run_out):
            yield
    finally:
        if timer is not None:
            timer.cancel()


def running_loop() -> asyncio.AbstractEventLoop:
    """The running loop.

    Raises:
        ConfigurationError: there is none of asyncio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "`AsyncPhiClient` needs a running event loop of asyncio, such as `asyncio.run` or uvloop makes; "
            "under trio use `PhiClient` on a thread"
        ) from None
