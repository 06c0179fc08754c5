"""`map()`, without I/O but for its checkpoint: which item goes next, what came of each, what the whole adds up to.

It must not send anything, and must not know whether threads or tasks carry it.

    waiting ──a place, and room in the limits──> running ──answer, or an error──> finished, in the checkpoint
       ^                                           └── refused for the rate limit ──┐
       └────────────────────────────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast
from urllib.parse import urlsplit

from phi_client._call.clock import Clock
from phi_client._call.completion import Completion, Origin, completion_of
from phi_client._call.errors import (
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    CredentialError,
    NotFoundError,
    PermissionDeniedError,
    PhiError,
    RateLimitError,
)
from phi_client._call.exchange import Answer, Exchange, fields_of
from phi_client._call.interruptions import ReasoningTruncatedError
from phi_client._call.log import LOGGER
from phi_client._call.options import CallOptions, CompletionOptions
from phi_client._call.retrying import LONGEST_ASKED_WAIT_S, RetryEvent, RetryHook
from phi_client._call.targets import Target
from phi_client._call.totals import Prices, cost_of
from phi_client._map.checkpoint import Checkpoint, key_of
from phi_client._map.pacing import Pacer, Ticket
from phi_client._map.result import MapItem, usage_of
from phi_client.contract.answers import Usage, view_answer
from phi_client.contract.wire import ContractError

if TYPE_CHECKING:
    from phi_client._call.request_types import Message

__all__ = [
    "MOST_CONCURRENCY",
    "MapWork",
    "Start",
    "WorkStoppedError",
    "listed_inputs",
]

MOST_CONCURRENCY: Final = 100
"""As many as a client's pool has connections."""

_T = TypeVar("_T", bound="str | Sequence[Message]")

MOST_RETURNS: Final = 5
"""How often an item that was refused for the rate limit, retries included, goes back to wait."""
_LONGEST_RETURN_S: Final = 30.0
# What is wrong with the client, and not with an item.
_HOPELESS: Final = (AuthenticationError, PermissionDeniedError, NotFoundError, CredentialError)
MOST_HOPELESS: Final = 10
"""Items in a row that may fail with such an error before the whole is given up."""
_CHARACTERS_PER_TOKEN: Final = 4
_USUAL_TOKENS: Final = 1000.0


class WorkStoppedError(Exception):
    """Ends an exchange whose `map` has been left. Never reaches a caller."""


@dataclass(slots=True, eq=False)
class Start(Generic[_T]):
    """An item that is to be sent now, and what watches over its exchange."""

    position: int
    messages: _T
    options: CompletionOptions
    ticket: Ticket = field(repr=False)
    work: MapWork[_T] = field(repr=False)
    retries: int = 0

    def read(self, exchange: Exchange, answer: Answer) -> Completion:
        """The completion in an answer, from whose head is learned first."""
        self.work.pacer.observe(self.ticket, answer.status, answer.headers)
        return exchange.read_completion(answer)

    def watched(self, hook: RetryHook | None) -> RetryHook:
        """A hook that counts, and then tells the caller's own."""

        def on_retry(event: RetryEvent) -> None:
            self.retries += 1
            self.work.pacer.repeat(self.ticket, event.wait_s)
            if hook is not None:
                hook(event)

        return on_retry


class MapWork(Generic[_T]):
    """The state of one `map`.

    A shell calls `restored`, then in turn `next` and, for each `Start` that has ended, `finish`; and `close` at the
    end. All from one thread, but for what a `Start` does.

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
    ) -> None:
        if not 1 <= concurrency <= MOST_CONCURRENCY:
            raise ConfigurationError(f"`concurrency` is {concurrency!r}: give 1 to {MOST_CONCURRENCY}")
        for position, one in enumerate(inputs):
            _check_input(position, one)
        self.pacer = Pacer(concurrency, clock)
        self._stopped = threading.Event()
        self._inputs = inputs
        self._options = options
        self._prices = prices
        self._clock = clock
        self._max_returns = MOST_RETURNS if merged.max_retries else 0
        self._budget = merged.body.get("max_tokens")
        self._checkpoint = None
        if checkpoint is not None:
            keys = [key_of(messages, merged.body_fields()) for messages in inputs]
            self._checkpoint = Checkpoint(checkpoint, keys, _hosts(targets))
        self._restored: dict[int, tuple[Completion, int]] = {}
        if self._checkpoint is not None:
            self._restored = _restored(self._checkpoint)
        self._waiting = deque(position for position in range(len(inputs)) if position not in self._restored)
        self._running = 0
        self._returns: dict[int, int] = {}
        self._earlier_retries: dict[int, int] = {}
        self._hopeless = 0
        self._done = 0
        self._failed = 0
        self._tokens = 0
        self._progress = self._make_progress(shown=progress)

    def restored(self) -> Iterator[MapItem[_T]]:
        """The items that the checkpoint has."""
        for position, (completion, retries) in sorted(self._restored.items()):
            item = self._item(position, completion, None, retries, is_restored=True)
            self._count(item)
            yield item
        self._show()

    def next(self) -> Start[_T] | float | None:
        """What to do: send an item; wait for so many seconds or until one ends; or, with `None`, end."""
        if not self._waiting:
            return math.inf if self._running else None
        position = self._waiting[0]
        tokens = self._tokens_of(position)
        wait_s = self.pacer.wait_s(self._running, tokens)
        if wait_s > 0:
            return wait_s
        self._waiting.popleft()
        self._running += 1
        ticket = self.pacer.start(tokens)
        return Start(position, self._inputs[position], self._options[position], ticket, self)

    @property
    def is_idle(self) -> bool:
        """True when nothing runs."""
        return self._running == 0

    def finish(self, start: Start[_T], outcome: Completion | BaseException) -> list[MapItem[_T]]:
        """The item that has ended; none when it waits again.

        Raises:
            BaseException: an outcome that is neither a completion nor an error of this package.
            PhiError: items in a row fail because of the client, so that the rest would fail too.
        """
        self._running -= 1
        if not isinstance(outcome, Completion | PhiError):
            raise outcome
        completion = outcome if isinstance(outcome, Completion) else None
        error = outcome if isinstance(outcome, PhiError) else None
        self.pacer.end(start.ticket, _taken(usage_of(completion, error), error))
        retries = start.retries + self._earlier_retries.pop(start.position, 0)
        if error is not None and self._returns_to_wait(start.position, error, retries):
            return []
        item = self._item(start.position, completion, error, retries)
        self._keep(item)
        self._count(item)
        self._show()
        self._check_hope(error)
        return [item]

    @property
    def is_disk_due(self) -> bool:
        """Whether `sync_checkpoint` has anything to do, which may take a while."""
        return self._checkpoint is not None and self._checkpoint.needs_sync(self._clock.now())

    def sync_checkpoint(self) -> None:
        """Force the checkpoint to the disk if that is due."""
        if self._checkpoint is not None and self.is_disk_due:
            self._checkpoint.sync(self._clock.now())

    def say_how_to_resume(self) -> None:
        """Tell a person who has interrupted the work what is kept."""
        kept = self._checkpoint
        done = self._done if kept is None else len(self._restored) + kept.written()
        finished = f"interrupted: {done} of {len(self._inputs)} items are finished"
        if kept is None:
            LOGGER.warning("%s; give `checkpoint=` to keep them next time", finished)
        else:
            path = str(kept.path)
            LOGGER.warning("%s and kept in %s; the same call again goes on from there", finished, path)

    def stop(self) -> None:
        """Let no exchange wait for a retry any more."""
        self._stopped.set()

    def sleep(self, seconds: float) -> None:
        """The wait of a thread before a retry.

        Raises:
            WorkStoppedError: the work was stopped meanwhile.
        """
        if self._stopped.wait(seconds):
            raise WorkStoppedError

    def close(self) -> None:
        """End the bar and the checkpoint."""
        self.stop()
        try:
            self._show(is_last=True)
        finally:
            if self._checkpoint is not None:
                self._checkpoint.close()

    def _tokens_of(self, position: int) -> float:
        """What the service will reserve: the prompt, estimated, and the whole budget."""
        prompt = _length_of(self._inputs[position]) / _CHARACTERS_PER_TOKEN
        if self._budget is not None:
            return prompt + float(self._budget)
        return prompt + (self._tokens / self._done if self._done and self._tokens else _USUAL_TOKENS)

    def _returns_to_wait(self, position: int, error: PhiError, retries: int) -> bool:
        returns = self._returns.get(position, 0)
        asked = error.retry_after if isinstance(error, APIStatusError) else None
        if not isinstance(error, RateLimitError) or returns >= self._max_returns:
            return False
        if asked is not None and asked > LONGEST_ASKED_WAIT_S:
            return False
        self.pacer.pause(asked if asked is not None else min(_LONGEST_RETURN_S, 2.0**returns))
        self._returns[position] = returns + 1
        self._earlier_retries[position] = retries + 1
        self._waiting.appendleft(position)
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

    def _keep(self, item: MapItem[_T]) -> None:
        if self._checkpoint is None:
            return
        record: dict[str, Any] = {"position": item.position}
        done = item.completion
        if done is not None:
            record |= {"answer": done.answer, "completion": done.raw}
            record |= {"request_id": done.request_id, "client_request_id": done.client_request_id}
            record |= {"endpoint": done.endpoint}
        else:
            record |= {"error": {"type": type(item.error).__name__, "message": str(item.error)}}
        self._checkpoint.write({**record, "retries": item.retries})

    def _count(self, item: MapItem[_T]) -> None:
        self._done += 1
        self._failed += item.error is not None
        self._tokens += item.usage.total_tokens if item.usage else 0

    def _check_hope(self, error: PhiError | None) -> None:
        self._hopeless = self._hopeless + 1 if isinstance(error, _HOPELESS) else 0
        if error is not None and self._hopeless >= MOST_HOPELESS and self._waiting:
            error.note = f"{self._hopeless} items in a row failed like this, so the others were not sent"
            raise error

    def _make_progress(self, *, shown: bool | None) -> Any:
        # There is no standard error where there is no console.
        if not sys.stderr or not (sys.stderr.isatty() if shown is None else shown):
            return None
        from phi_client._map.progress import Progress  # noqa: PLC0415  # only where a bar is wanted

        return Progress(len(self._inputs), len(self._restored), sys.stderr, self._clock.now)

    def _show(self, *, is_last: bool = False) -> None:
        if self._progress is not None:
            self._progress.show(self._done, self._failed, self._tokens, is_last=is_last)


def listed_inputs(inputs: Iterable[_T]) -> list[_T]:
    """The inputs of a `map`.

    Raises:
        ConfigurationError: they are one prompt.
    """
    if isinstance(inputs, str | bytes | Mapping):
        raise ConfigurationError("`inputs` is one prompt: give a list of prompts, or use `complete()`")
    return list(inputs)


def _hosts(targets: Sequence[Target]) -> list[str]:
    """Where the targets are; all of this machine count as one, because an emulator takes any port."""
    return sorted(
        {
            "this machine" if one.endpoint.is_loopback else urlsplit(one.endpoint.base_url).netloc
            for one in targets
        }
    )


def _restored(checkpoint: Checkpoint) -> dict[int, tuple[Completion, int]]:
    """The completions of earlier runs by position, with how often each was tried again.

    Raises:
        ConfigurationError: a record is not what `map` writes.
    """
    restored: dict[int, tuple[Completion, int]] = {}
    for position, record in checkpoint.records.items():
        try:
            sent_as, endpoint = (str(record.get(name) or "") for name in ("client_request_id", "endpoint"))
            origin = Origin(record.get("request_id"), sent_as, endpoint, {})
            completion = completion_of(view_answer(record["completion"], "message"), origin)
            restored[position] = completion, int(record.get("retries") or 0)
        except (AttributeError, ContractError, LookupError, TypeError, ValueError) as error:
            checkpoint.close()
            raise ConfigurationError(
                f"the checkpoint {str(checkpoint.path)!r} holds something else than a completion for the item "
                f"{position}: repair or remove its line, or give another file"
            ) from error
    return restored


def _check_input(position: int, messages: object) -> None:
    if isinstance(messages, str):
        return
    is_list = isinstance(messages, Sequence) and not isinstance(messages, bytes | bytearray)
    listed = cast("Sequence[object]", messages) if is_list else ()
    if not is_list or not all(isinstance(one, Mapping) or hasattr(one, "to_wire") for one in listed):
        raise ConfigurationError(
            f"the input {position} is no prompt and no list of messages: give a string, or a list"
        )


def _taken(usage: Usage | None, error: PhiError | None) -> float | None:
    """The tokens that count at the service; `None` where that is not known."""
    if isinstance(error, RateLimitError):
        return 0.0
    return None if usage is None else float(usage.total_tokens)


def _length_of(messages: str | Sequence[Message]) -> int:
    if isinstance(messages, str):
        return len(messages)
    return sum(len(str(fields_of(one).get("content"))) for one in messages)
