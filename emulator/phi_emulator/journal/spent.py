"""Where the time of an exchange went: one line of marks, cut into parts that add up to the whole.

It must not know a clock: it is told when what happened.

    received    queued     admitted   first token    last token   over
       ├── web ───┼── queue ──┼── prefill ──┼── decode ──┼── web ──┤
       └ client ┘                                        └ client ┘    what of it the client was waited for
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

__all__ = ["Spent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Milliseconds of each part; they add up to `total_ms`."""

    queue_ms: float = 0.0
    """Waited for a place beside those that run."""
    prefill_ms: float = 0.0
    """From the place to the first token: the prompt was computed."""
    decode_ms: float = 0.0
    """From the first token to the last one."""
    web_ms: float = 0.0
    """All else: the body was read and checked, the prompt encoded, the answer written; also waits on purpose."""
    client_ms: float = 0.0
    """Waited for the client: for its body, and, when no token was missing any more, until it took the bytes."""
    held_ms: float = 0.0
    """How long a fault or a latency profile waited on purpose. It runs beside the parts and is none of them."""

    @property
    def total_ms(self) -> float:
        """From the request's head to the end of the answer."""
        return self.queue_ms + self.prefill_ms + self.decode_ms + self.web_ms + self.client_ms

    @classmethod
    def between(
        cls,
        received: float,
        over: float,
        *,
        queued: float | None = None,
        admitted: float | None = None,
        first_token: float | None = None,
        ended: float | None = None,
        held: float = 0.0,
        client: float = 0.0,
    ) -> Self:
        """The parts of what was `received` and is `over`; all in seconds of one clock.

        What has not come about, `None`, never did: a request that left while it waited spent all of that in the queue.
        `client` is how long the client was waited for, before the queue and after the last token.
        """
        over = max(received, over)
        marks = [received]
        # An engine may go on after the client has left, which is no time of the exchange. What never was in the queue
        # spent nothing there.
        for mark in (queued, *((admitted, first_token, ended) if queued is not None else ())):
            marks.append(over if mark is None else min(max(mark, marks[-1]), over))
        before, queue, prefill, decode = (
            (end - begin) * 1000 for begin, end in pairwise([*marks, *[over] * (5 - len(marks))])
        )
        outside = before + (over - marks[-1]) * 1000
        waited = min(client * 1000, outside)
        return cls(
            queue_ms=queue,
            prefill_ms=prefill,
            decode_ms=decode,
            web_ms=outside - waited,
            client_ms=waited,
            held_ms=held * 1000,
        )
