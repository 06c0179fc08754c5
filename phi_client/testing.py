"""For tests of code that uses this package.

It must not be needed by anything else.
"""

from collections.abc import Generator
from contextlib import contextmanager

from phi_client._call.clock import InstantRetries

__all__ = ["instant_retries"]


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
