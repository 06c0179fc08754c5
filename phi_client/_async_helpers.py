"""`parse`, `solve` and `map` of the async client. Its twin is `_helpers.py`, the same without `await`.

It must not decide anything, and must not know connections: it sends by the client's own methods. What only these
methods need is imported when they are called, to keep the import of the package light.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from phi_client._call.client import BaseClient
from phi_client._call.options import DEFAULT_CONCURRENCY, DEFAULT_REASKS, CompletionOptions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from pydantic import BaseModel

    from phi_client._answers.parsing import ParsedCompletion
    from phi_client._answers.voting import Solution
    from phi_client._call.completion import Completion
    from phi_client._call.deadline import Deadline
    from phi_client._call.request_types import Message
    from phi_client._call.steps import Watcher
    from phi_client._call.totals import Prices
    from phi_client._map.result import MapItem, MapResult
    from phi_client._map.start import Start
    from phi_client._map.work import MapWork

__all__ = ["AsyncHelpers"]

_M = TypeVar("_M", bound="BaseModel")
_T = TypeVar("_T", bound="str | Sequence[Message]")


class AsyncHelpers(BaseClient, ABC):
    """What an async client offers on top of `complete`."""

    @abstractmethod
    async def complete(
        self, messages: str | Sequence[Message], **options: Unpack[CompletionOptions]
    ) -> Completion:
        """One chat completion."""

    @abstractmethod
    async def _answer(
        self,
        messages: str | Sequence[Message],
        options: CompletionOptions,
        *,
        deadline: Deadline | None = None,
        watcher: Watcher | None = None,
    ) -> Completion:
        """As `complete`, under a deadline that began before, or under somebody's eyes."""

    @abstractmethod
    def _for_map(self) -> Self:
        """A copy whose connections `_cut` may end."""

    @abstractmethod
    async def _cut(self) -> None:
        """End what runs on the connections of a copy made by `_for_map`."""

    async def parse(
        self,
        messages: str | Sequence[Message],
        model: type[_M],
        /,
        *,
        max_reasks: int = DEFAULT_REASKS,
        **options: Unpack[CompletionOptions],
    ) -> ParsedCompletion[_M]:
        """A completion whose content is read as a pydantic model, whatever reasoning, prose or fences surround it.

        The model's JSON Schema is added to the prompt. Content that does not fit is sent back with what is wrong.

        Args:
            messages: as for `complete`.
            model: a class derived from `pydantic.BaseModel`.
            max_reasks: how often to ask again; each time costs tokens, and `usage` counts them all.
            **options: see `CompletionOptions`; `deadline` is for all asks together.

        Raises:
            ParseError: no content fitted, or it was cut off, when asking again is of no use.
            ReasoningTruncatedError: the budget ended inside the reasoning.
            PhiError: as of `complete`; its `spent` has the tokens of the asks before.
        """
        from phi_client._answers.parsing import Parsing  # noqa: PLC0415  # see above

        deadline = self._deadline(options)
        parsing = Parsing(messages, model, max_reasks)
        with parsing.keeping_account():
            while True:
                done = await self._answer(parsing.messages, options, deadline=deadline)
                parsed = parsing.take(done)
                if parsed is not None:
                    return parsed

    async def solve(
        self, problem: str | Sequence[Message], samples: int = 1, **options: Unpack[CompletionOptions]
    ) -> Solution:
        r"""The answer to a math problem; of several samples the one that most of them give.

        Answers that are written differently are one: by their form (`0.5`, `\frac12`), and where the extra `eval`
        is installed also by math-verify, in a process with a time limit.

        Args:
            problem: in words, to which the instruction of the model's evaluation is added; or messages.
            samples: how many answers to ask for, side by side. A `seed` counts up from sample to sample.
            **options: see `CompletionOptions`; each sample has them for itself.

        Raises:
            PhiError: as of `complete`, when no sample was answered; else errors are among the `samples`.
        """
        from phi_client._answers.voting import (  # noqa: PLC0415  # see above
            checked_samples,
            graded,
            problem_messages,
            sample_options,
        )

        samples = checked_samples(samples)
        merged = self._settings.options.merged(options)
        messages = problem_messages(problem)
        each = sample_options(options, merged.body.get("seed"), samples)
        from phi_client._map.in_tasks import apart, gathered  # noqa: PLC0415  # see above
        from phi_client._map.work import MapWork  # noqa: PLC0415  # see above

        if samples == 1:
            return await apart(graded, [await self.complete(messages, **each[0])])
        work = MapWork(
            [messages] * samples,
            each,
            merged,
            targets=self._settings.targets,
            concurrency=min(samples, DEFAULT_CONCURRENCY),
            clock=self._clock,
            needs_one=True,
        )
        items = sorted(await gathered(self._run(work)), key=lambda item: item.position)
        return await apart(graded, [item.outcome for item in items])

    async def map(
        self,
        inputs: Iterable[_T],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
        prices: Prices | None = None,
        **options: Unpack[CompletionOptions],
    ) -> MapResult[_T]:
        """Complete many prompts, several at once; the result has an item for each, in the order of the inputs.

        An item that fails has its error in the place of a completion, and does not stop the others.

        Args:
            inputs: prompts, or lists of messages.
            concurrency: the most at once, 1 to 1000. How many really run is learned from the service's answers.
            checkpoint: a file (JSON Lines) that keeps what is finished; the same call with it goes on where an
                earlier one ended, however that ended. Items that failed are sent again.
            progress: a bar on standard error; `None` shows it on a terminal.
            prices: one `Price`, or prices by the name of the model, for `cost`.
            **options: see `CompletionOptions`; each item has them for itself.

        Raises:
            ConfigurationError: an argument can't work, or the checkpoint is not of these inputs; nothing was sent.
            CheckpointError: the checkpoint can't be written any more.
            PhiError: all items that were sent, or ten in a row, failed for a reason that is not theirs, such as a
                wrong key. Its `finished` has the items so far, as that of a `CheckpointError` has.
        """
        from phi_client._map.in_tasks import gathered  # noqa: PLC0415  # see above
        from phi_client._map.result import in_order  # noqa: PLC0415  # see above

        work = self._work(
            inputs,
            options,
            concurrency=concurrency,
            checkpoint=checkpoint,
            progress=progress,
            prices=prices,
        )
        return in_order(await gathered(self._run(work)))

    def map_as_completed(
        self,
        inputs: Iterable[_T],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
        prices: Prices | None = None,
        **options: Unpack[CompletionOptions],
    ) -> AsyncGenerator[MapItem[_T]]:
        """As `map`, but gives each item as it ends, those of the checkpoint first.

        Items start while the next one is waited for. Leaving the loop ends what still runs, at the latest when the
        event loop ends; at once inside `async with contextlib.aclosing(…)`.
        """
        work = self._work(
            inputs,
            options,
            concurrency=concurrency,
            checkpoint=checkpoint,
            progress=progress,
            prices=prices,
        )
        return self._run(work)

    async def _carry(self, start: Start[Any]) -> Completion:
        return await self._answer(start.messages, start.options, watcher=start)

    def _work(self, inputs: Iterable[_T], options: CompletionOptions, **how: Any) -> MapWork[_T]:
        from phi_client._map.arguments import listed_inputs  # noqa: PLC0415  # see above
        from phi_client._map.work import MapWork  # noqa: PLC0415  # see above

        listed = listed_inputs(inputs)
        merged = self._settings.options.merged(options)
        targets, clock = self._settings.targets, self._clock
        return MapWork(listed, [options] * len(listed), merged, targets=targets, clock=clock, **how)

    def _run(self, work: MapWork[_T]) -> AsyncGenerator[MapItem[_T]]:
        from phi_client._map.hooks import one_at_a_time  # noqa: PLC0415  # see above
        from phi_client._map.in_tasks import run  # noqa: PLC0415  # see above

        alone = self._for_map()
        alone._on_retry = one_at_a_time(self._on_retry)
        alone._clock = work.interruptible(self._clock)
        return run(work, alone._carry, cut=alone._cut, clock=self._clock)
