"""`map()`, without I/O but for its checkpoint: which item goes next, what came of each, what the whole adds up to.

It must not send anything, and must not know whether threads or tasks carry it.

    waiting ──a place, and room in the limits──> running ──answer, or an error──> finished, in the checkpoint
       ^                                           └── refused for the rate limit ──┐
       └────────────────────────────────────────────────────────────────────────────┘

An item ends in an outcome whatever its call raises; only Ctrl-C, and being cancelled from outside, end the whole at
once. Where going on is of no use, or the checkpoint can't be written, no more items are sent, those that run are waited
for, because they are paid for, and then the whole ends with an error.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from phi_client._call.completion import Completion
from phi_client._call.errors import (
    APIStatusError,
    CheckpointError,
    PhiError,
    UnexpectedError,
)
from phi_client._call.interruptions import ReasoningTruncatedError
from phi_client._call.messages import fields_of
from phi_client._call.options import CallOptions, CompletionOptions
from phi_client._call.retrying import LONGEST_ASKED_WAIT_S
from phi_client._call.targets import Target
from phi_client._call.totals import Prices, cost_of
from phi_client._map import last_words
from phi_client._map.arguments import check_concurrency, check_prices, checked_path
from phi_client._map.checkpoint import SYNC_S, Checkpoint
from phi_client._map.hope import Hope
from phi_client._map.keys import hosts_of, key_of
from phi_client._map.lanes import Lanes, Place
from phi_client._map.pacing import is_rate_limit, is_refusal
from phi_client._map.records import completions_in, record_of
from phi_client._map.result import MapItem, usage_of
from phi_client._map.start import Start
from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from phi_client._call.request_types import Message

__all__ = ["MapWork", "WorkStoppedError"]

_T = TypeVar("_T", bound="str | Sequence[Message]")
_Outcome = Completion | BaseException

MOST_RETURNS: Final = 5
"""How often an item that was refused for the rate limit, retries included, goes back to wait."""
_LONGEST_RETURN_S: Final = 30.0
_CHARACTERS_PER_TOKEN: Final = 4
_USUAL_TOKENS: Final = 1000.0


class WorkStoppedError(Exception):
    """Ends a call whose `map` has been left. Never reaches a caller."""


class MapWork(Generic[_T]):
    """The state of one `map`. Until `restored` it holds nothing that would have to be closed.

    A shell calls `restored`, then in turn `next` and, for each `Start` that has ended, `finish`; `conclude` when all is
    done, and `close` at the end; all from one thread. `keep` and `sync` may be called from any, as soon as an answer is
    there: the one that calls the rest may be held up by whoever takes the items.

    Args:
        inputs: the prompts.
        options: those of each item over the client's.
        merged: the options of all.
        targets: the endpoints, in order.
        concurrency: the most at once.
        clock: time.
        checkpoint: the file to keep items in.
        progress: whether a bar is shown; `None` on a terminal.
        prices: for the cost.
        needs_one: whether one answer is of use without the others, so that none is given up for their errors.

    Raises:
        ConfigurationError: an argument can't work; nothing was sent.
    """

    def __init__(
        self,
        inputs: Sequence[_T],
        options: Sequence[CompletionOptions],
        merged: CallOptions,
        *,
        targets: Sequence[Target],
        concurrency: int,
        clock: Clock,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool | None = False,
        prices: Prices | None = None,
        needs_one: bool = False,
    ) -> None:
        check_concurrency(concurrency)
        check_prices(prices)
        self._path = None if checkpoint is None else checked_path(checkpoint)
        self.lanes = Lanes(len(targets), concurrency, clock)
        self._stopped = threading.Event()
        self._inputs = inputs
        self._options = options
        self._merged = merged
        self._targets = targets
        self._concurrency = concurrency
        self._prices = prices
        self._clock = clock
        self._wants_bar = progress
        self._progress: Any = None
        self._checkpoint: Checkpoint | None = None
        self._broken: Exception | None = None
        self._waiting = deque(range(len(inputs)))
        self._running = 0
        self._returns: dict[int, int] = {}
        self._earlier_retries: dict[int, int] = {}
        self._hope = Hope(needs_one=needs_one)
        self._restored = self._done = self._failed = self._tokens = 0

    def __repr__(self) -> str:
        return f"<MapWork: {self._done} of {len(self._inputs)} items are done, {self._running} run>"

    def restored(self) -> Iterator[MapItem[_T]]:
        """Open the checkpoint; the items that it has.

        Raises:
            ConfigurationError: it is not of these inputs, or can't be used.
        """
        earlier: dict[int, tuple[Completion, int]] = {}
        if self._path is not None:
            keys = [key_of(messages, self._merged, self._targets) for messages in self._inputs]
            self._checkpoint = Checkpoint(self._path, keys, hosts_of(self._targets))
            earlier = completions_in(self._checkpoint.records, self._path)
            if self._merged.on_truncation == "raise":
                # Kept by a run that took what was cut in its reasoning; for this one it is no answer.
                earlier = {at: one for at, one in earlier.items() if not one[0].ends_in_reasoning}
        last_words.begin(self._last_words)
        self._restored = len(earlier)
        self._waiting = deque(position for position in self._waiting if position not in earlier)
        self._progress = self._make_progress()
        for position, (completion, retries) in sorted(earlier.items()):
            item = self._item(position, completion, None, retries, is_restored=True)
            self._count(item)
            yield item
        self._show()

    def next(self) -> Start[_T] | float | None:
        """What to do: send an item; wait for so many seconds or until one ends; or, with `None`, end."""
        if not self._waiting or self._broken is not None or self._hope.is_gone:
            return math.inf if self._running else None
        if self._running >= self._concurrency:
            return math.inf
        position = self._waiting[0]
        tokens = self._tokens_of(position)
        lane, wait_s = self.lanes.find(tokens)
        if wait_s > 0:
            return None if self.is_idle and self._hope.is_vain else wait_s
        self._waiting.popleft()
        self._running += 1
        place = Place(self.lanes, lane, tokens)
        return Start(position, self._inputs[position], self._options[position], place)

    @property
    def is_kept(self) -> bool:
        """True with a checkpoint."""
        return self._checkpoint is not None

    @property
    def is_idle(self) -> bool:
        """True when nothing runs."""
        return self._running == 0

    def takes_back(self, start: Start[_T]) -> bool:
        """Take back an item that nothing can be had to carry it with, and start no more than run now; or leave it."""
        if self._running == 1:
            return False
        self._running -= 1
        start.place.end(0.0)
        self._waiting.appendleft(start.position)
        self._concurrency = self._running
        return True

    def finish(self, start: Start[_T], outcome: _Outcome) -> list[MapItem[_T]]:
        """The item that has ended; none when it waits again.

        Raises:
            KeyboardInterrupt: it is the outcome: nobody means a single item by it.
        """
        self._running -= 1
        if isinstance(outcome, KeyboardInterrupt):
            raise outcome
        completion = outcome if isinstance(outcome, Completion) else None
        error = _error_of(outcome)
        start.place.end(_taken(completion, error))
        retries = start.retries + self._earlier_retries.pop(start.position, 0)
        if error is not None and self._returns_to_wait(start, error, retries):
            return []
        item = self._item(start.position, completion, error, retries)
        if completion is None:
            self._write(item)
        self._count(item)
        self._hope.see(error)
        self._show()
        return [item]

    def keep(self, start: Start[_T], outcome: _Outcome) -> bool:
        """Write an answer down. True when the caller has to `sync` before `SYNC_S` has passed."""
        if not isinstance(outcome, Completion):
            return False
        retries = start.retries + self._earlier_retries.get(start.position, 0)
        return self._write(self._item(start.position, outcome, None, retries))

    def sync_in_time(self) -> None:
        """`sync` when others have had the time to write too, or at once when the work is stopped."""
        self._stopped.wait(SYNC_S)
        self.sync()

    def sync(self) -> None:
        """Force the checkpoint to the disk, which may take a while."""
        try:
            if self._checkpoint is not None:
                self._checkpoint.sync()
        except OSError as error:
            self._broken = self._broken or error

    def conclude(self) -> None:
        """Raise what ends the whole, now that nothing runs and all is on the disk.

        Raises:
            CheckpointError: the checkpoint can't be written.
            PhiError: items in a row, or all that were sent, failed for a reason that is not theirs.
        """
        if self._broken is not None:
            raise self._disk_error(self._broken) from self._broken
        error = self._hope.verdict(len(self._waiting))
        if error is not None:
            raise error

    def note_interruption(self, error: BaseException) -> None:
        """Tell a person who has interrupted the work what is kept, below all else that is said of it."""
        last_words.add_last_words(error, self._last_words())

    def stop(self) -> None:
        """Let no call wait for a retry any more."""
        self._stopped.set()

    def interruptible(self, clock: Clock) -> Clock:
        """A clock whose waits in threads end when the work is stopped; a clock of a test's own is left as it is."""
        return replace(clock, sleep=self._sleep) if clock is SYSTEM_CLOCK else clock

    def close(self) -> None:
        """End the bar and the checkpoint."""
        self.stop()
        last_words.end(self._last_words, is_left=self._done < len(self._inputs))
        try:
            self._show(is_last=True)
        finally:
            if self._checkpoint is not None:
                self._checkpoint.close()

    def _last_words(self) -> str:
        """What is kept, and how to go on."""
        kept = self._checkpoint
        done = self._done if kept is None else self._restored + kept.written()
        finished = f"interrupted: {done} of {len(self._inputs)} items are finished"
        if kept is None:
            return f"{finished}; give `checkpoint=` to keep them next time"
        return f"{finished} and kept in {kept.path}; the same call again goes on from there"

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise WorkStoppedError

    def _tokens_of(self, position: int) -> float:
        """What the service will reserve: the prompt, estimated, and the whole budget."""
        prompt = _length_of(self._inputs[position]) / _CHARACTERS_PER_TOKEN
        budget = self._merged.body.get("max_tokens")
        if isinstance(budget, int | float) and budget >= 0:
            return prompt + budget
        return prompt + (self._tokens / self._done if self._done and self._tokens else _USUAL_TOKENS)

    def _returns_to_wait(self, start: Start[_T], error: PhiError, retries: int) -> bool:
        returns = self._returns.get(start.position, 0)
        asked = error.retry_after if isinstance(error, APIStatusError) else None
        most = MOST_RETURNS if self._merged.max_retries else 0
        if not is_rate_limit(error) or returns >= most:
            return False
        if asked is not None and asked > LONGEST_ASKED_WAIT_S:
            return False
        start.place.hold_back(asked if asked is not None else min(_LONGEST_RETURN_S, 2.0**returns))
        self._returns[start.position] = returns + 1
        self._earlier_retries[start.position] = retries + 1
        self._waiting.appendleft(start.position)
        return True

    def _item(
        self,
        position: int,
        completion: Completion | None,
        error: PhiError | None,
        retries: int,
        *,
        is_restored: bool = False,
    ) -> MapItem[_T]:
        answer = error.partial if isinstance(error, ReasoningTruncatedError) else completion
        cost = cost_of(answer.usage, answer.model, self._prices) if answer is not None else None
        return MapItem(
            position=position,
            input=self._inputs[position],
            completion=completion,
            error=error,
            retries=retries,
            cost=cost,
            is_restored=is_restored,
        )

    def _write(self, item: MapItem[_T]) -> bool:
        if self._checkpoint is None or self._broken is not None:
            return False
        try:
            return self._checkpoint.write(record_of(item))
        except Exception as error:  # noqa: BLE001  # nothing that one line holds may lose the others
            self.sync()
            self._broken = self._broken or error
            return False

    def _disk_error(self, broken: Exception) -> CheckpointError:
        assert self._checkpoint is not None  # noqa: S101  # it is what is broken
        kept = self._restored + self._checkpoint.safe
        reason = getattr(broken, "strerror", None) or type(broken).__name__
        return CheckpointError(
            f"the checkpoint {str(self._checkpoint.path)!r} can't be written: {reason}. "
            f"{kept} of {len(self._inputs)} items are kept in it, and `map` has all {self._done} in `finished` of this "
            "error: make room, and the same call again goes on from there"
        )

    def _count(self, item: MapItem[_T]) -> None:
        self._done += 1
        self._failed += item.error is not None
        self._tokens += item.usage.total_tokens if item.usage else 0

    def _make_progress(self) -> Any:
        if self._wants_bar is False or not sys.stderr:
            return None
        from phi_client._map.progress import progress_on  # noqa: PLC0415  # only where a bar is wanted

        return progress_on(
            sys.stderr, len(self._inputs), self._restored, self._clock.now, wanted=self._wants_bar
        )

    def _show(self, *, is_last: bool = False) -> None:
        if self._progress is not None:
            self._progress.show(self._done, self._failed, self._tokens, is_last=is_last)


def _error_of(outcome: _Outcome) -> PhiError | None:
    """An outcome's error as one of this package; what comes from outside is the cause of one."""
    if isinstance(outcome, Completion | PhiError):
        return outcome if isinstance(outcome, PhiError) else None
    return UnexpectedError(outcome)


def _taken(completion: Completion | None, error: PhiError | None) -> float | None:
    """The tokens that count at the service; `None` where that is not known."""
    if is_refusal(error):
        return 0.0
    usage = usage_of(completion, error)
    return None if usage is None else float(usage.total_tokens)


def _length_of(messages: str | Sequence[Message]) -> int:
    if isinstance(messages, str):
        return len(messages)
    try:
        return sum(len(str(fields_of(one).get("content"))) for one in messages)
    except Exception:  # noqa: BLE001  # a message of the caller's own making; it fails when it is sent
        return 0
