"""Between a `Start` and today's call, which knows no watcher: to go when the call is one flow.

It must not decide anything.
"""

from typing import Any

from phi_client._call.completion import Completion
from phi_client._call.errors import PhiError
from phi_client._call.exchange import Answer, Exchange
from phi_client._call.retrying import RetryEvent, RetryHook
from phi_client._map.start import Start

__all__ = ["Watched"]


class Watched:
    """Tells a `Start` what a call's hooks and answers show."""

    def __init__(self, start: Start[Any], hook: RetryHook | None) -> None:
        self._start = start
        self._hook = hook
        self._lane = start.first_lane
        self._is_told = False

    def read(self, exchange: Exchange, answer: Answer) -> Completion:
        """The completion in an answer."""
        self._sent()
        try:
            done = exchange.read_completion(answer)
        except PhiError as error:
            self._start.answered(self._lane, answer.headers, error)
            raise
        self._start.answered(self._lane, answer.headers, None)
        return done

    def on_retry(self, event: RetryEvent) -> None:
        """What follows a failure."""
        if not self._is_told:
            self._sent()
            self._start.answered(self._lane, {}, event.error)
        self._is_told = False
        if event.next_endpoint != event.endpoint:
            self._lane += 1
        else:
            self._start.waits(self._lane, event.wait_s)
        if self._hook is not None:
            self._hook(event)

    def _sent(self) -> None:
        self._start.sends(self._lane)
        self._is_told = True
