"""`parse`, `solve` and `map` of the sync client. Its twin is `_async_helpers.py`, the same with `await`.

It must not decide anything, and must not know connections: it sends by the client's own methods. What only these
methods need is imported when they are called, to keep the import of the package light.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from phi_client._call.clock import SYSTEM_CLOCK
from phi_client._call.options import DEFAULT_CONCURRENCY, DEFAULT_REASKS, CompletionOptions

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from pydantic import BaseModel

    from phi_client._answers.parsing import ParsedCompletion
    from phi_client._answers.voting import Solution
    from phi_client._call.clock import Clock
    from phi_client._call.completion import Completion
    from phi_client._call.request_types import Message
    from phi_client._call.targets import Settings
    from phi_client._call.totals import Prices
    from phi_client._map.result import MapItem, MapResult
    from phi_client._map.work import MapWork, Start

__all__ = ["Helpers"]

_M = TypeVar("_M", bound="BaseModel")
_T = TypeVar("_T", bound="str | Sequence[Message]")


class Helpers(ABC):
    """What a sync client offers on top of `complete`."""

    _settings: Settings
    _clock: Clock

    @abstractmethod
    def complete(self, messages: str | Sequence[Message], **options: Unpack[CompletionOptions]) -> Completion:
        """One chat completion."""

    @abstractmethod
    def _for_map(self) -> Helpers:
        """A copy whose connections `_cut` may end."""

    @abstractmethod
    def _carry(self, start: Start[Any]) -> Completion:
        """One item of a `map`, under the eyes of its `start`."""

    @abstractmethod
    def _cut(self) -> None:
        """End what runs on the connections of a copy made by `_for_map`."""

    def parse(
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
        from phi_client._answers.parsing import Parsing  # noqa: PLC0415
        from phi_client._call.shared_deadline import SharedDeadline  # noqa: PLC0415  # see above

        deadline = SharedDeadline(self._settings.options.merged(options), self._clock)
        parsing = Parsing(messages, model, max_reasks)
        with parsing.keeping_account():
            while True:
                done = self.complete(parsing.messages, **deadline.applied_to(options))
                parsed = parsing.take(done)
                if parsed is not None:
                    return parsed

    def solve(
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
            check_samples,
            graded,
            problem_messages,
            sample_options,
        )

        check_samples(samples)
        merged = self._settings.options.merged(options)
        messages = problem_messages(problem)
        each = sample_options(options, merged.body.get("seed"), samples)
        if samples == 1:
            return graded([self.complete(messages, **each[0])])
        from phi_client._map.work import MapWork  # noqa: PLC0415  # see above

        work = MapWork(
            [messages] * samples,
            each,
            merged,
            targets=self._settings.targets,
            concurrency=min(samples, DEFAULT_CONCURRENCY),
            clock=self._clock,
        )
        items = sorted(self._run(work), key=lambda item: item.position)
        return graded([item.outcome for item in items])

    def map(
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
            concurrency: the most at once, 1 to 100. How many really run is learned from the service's answers.
            checkpoint: a file (JSON Lines) that keeps what is finished; the same call with it goes on where an
                earlier one ended, however that ended. Items that failed are sent again.
            progress: a bar on standard error; `None` shows it on a terminal.
            prices: one `Price`, or prices by the name of the model, for `cost`.
            **options: see `CompletionOptions`; each item has them for itself.

        Raises:
            ConfigurationError: an argument can't work, or the checkpoint is not of these inputs; nothing was sent.
            PhiError: ten items in a row failed for a reason that is the client's, such as a wrong key.
        """
        items = self.map_as_completed(
            inputs,
            concurrency=concurrency,
            checkpoint=checkpoint,
            progress=progress,
            prices=prices,
            **options,
        )
        from phi_client._map.result import MapResult  # noqa: PLC0415  # see above

        return MapResult(tuple(sorted(items, key=lambda item: item.position)))

    def map_as_completed(
        self,
        inputs: Iterable[_T],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
        prices: Prices | None = None,
        **options: Unpack[CompletionOptions],
    ) -> Generator[MapItem[_T]]:
        """As `map`, but gives each item as it ends, those of the checkpoint first.

        Items start while the next one is waited for. Leaving the loop ends what still runs.
        """
        from phi_client._map.work import MapWork, listed_inputs  # noqa: PLC0415  # see above

        listed = listed_inputs(inputs)
        work = MapWork(
            listed,
            [options] * len(listed),
            self._settings.options.merged(options),
            targets=self._settings.targets,
            concurrency=concurrency,
            checkpoint=checkpoint,
            progress=progress,
            prices=prices,
            clock=self._clock,
        )
        yield from self._run(work)

    def _run(self, work: MapWork[_T]) -> Generator[MapItem[_T]]:
        from phi_client._map.in_threads import run_in_threads  # noqa: PLC0415  # see above

        alone = self._for_map()
        if alone._clock is SYSTEM_CLOCK:
            alone._clock = replace(SYSTEM_CLOCK, sleep=work.sleep)
        return run_in_threads(work, alone._carry, sleep=self._clock.sleep, cut=alone._cut)
