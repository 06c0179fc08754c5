"""The switch for tests that makes the waits between attempts take no time.

It must not know what is waited for: who carries a call looks at it.
"""

__all__ = ["InstantRetries"]


class InstantRetries:
    """`depth` is above 0 while retries are instant, in this process."""

    depth: int = 0
