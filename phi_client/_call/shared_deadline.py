"""One deadline over several exchanges that follow one another.

It must not know what they ask for.
"""

from phi_client._call.clock import Clock
from phi_client._call.errors import APITimeoutError
from phi_client._call.options import CallOptions, CompletionOptions

__all__ = ["SharedDeadline"]


class SharedDeadline:
    """What is left of a deadline for the next exchange; `options` are those of the whole call."""

    def __init__(self, options: CallOptions, clock: Clock) -> None:
        self._limit_s = options.deadline_s
        self._now = clock.now
        self._started = clock.now()

    def applied_to(self, options: CompletionOptions) -> CompletionOptions:
        """`options` with what is left.

        Raises:
            APITimeoutError: nothing is left.
        """
        if self._limit_s is None:
            return options
        left = self._limit_s - (self._now() - self._started)
        if left <= 0:
            raise APITimeoutError(
                f"no fitting answer within the deadline of {self._limit_s:g} s",
                phase="deadline",
                limit_s=self._limit_s,
                request_sent=True,
            )
        return {**options, "deadline": left}
