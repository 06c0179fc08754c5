"""Waiting for a job in a task.

It must not know what is done.
"""

import asyncio
from typing import Any

from phi_client._call.errors import ConfigurationError
from phi_client._wire.background import Job

__all__ = ["arrive", "finished", "running_loop"]


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
