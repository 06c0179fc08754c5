"""`solve()`: what is asked, how the answers of the samples are counted, and which one wins.

It must not send anything, and must not know how two answers are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Final, cast

from phi_client._call.completion import Completion
from phi_client._call.errors import ConfigurationError, PhiError
from phi_client._call.interruptions import ReasoningTruncatedError
from phi_client._call.json_values import is_number, shown
from phi_client._call.totals import add_usage

if TYPE_CHECKING:
    from phi_client._answers.forms import Form
    from phi_client._call.options import CompletionOptions
    from phi_client._call.request_types import Message
    from phi_client.contract.answers import Usage

__all__ = [
    "Solution",
    "Vote",
    "checked_samples",
    "count_votes",
    "graded",
    "problem_messages",
    "sample_options",
]

MOST_SAMPLES: Final = 10_000
_INSTRUCTION: Final = "Please reason step by step, and put your final answer within \\boxed{}."
"""The words of the model's published evaluation (microsoft/ArchScale)."""

Sample = Completion | PhiError
"""What one sample came to."""


@dataclass(frozen=True, slots=True, repr=False)
class Vote:
    """An answer, as the first of its samples wrote it, and the numbers of the samples that gave it."""

    answer: str
    samples: tuple[int, ...]

    def __repr__(self) -> str:
        """Its shape, without the answer."""
        return f"<Vote: {self.count} samples>"

    @property
    def count(self) -> int:
        """How many samples gave this answer."""
        return len(self.samples)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Solution:
    """The answer to a problem.

    `answer` is the one that most samples gave, the earlier one where two are level, and `None` when none gave any.
    `votes` begin with the winner. `samples` are what each sample came to, in order: a completion or an error, such
    as `ReasoningTruncatedError`. `undecided` counts pairs of answers that math-verify could not compare in time,
    and which count as different.
    """

    answer: str | None
    votes: tuple[Vote, ...]
    samples: tuple[Sample, ...]
    undecided: int = 0

    def __repr__(self) -> str:
        """Its shape, without the answers."""
        agreeing, usage = self.votes[0].count if self.votes else 0, self.usage
        tokens = f", {usage.total_tokens} tokens" if usage is not None else ""
        return f"<Solution: {agreeing} of {len(self.samples)} samples agree{tokens}>"

    @property
    def completion(self) -> Completion | None:
        """The first completion with the winning answer; without one, the first completion."""
        if self.votes:
            winner = self.samples[self.votes[0].samples[0]]
            return winner if isinstance(winner, Completion) else None
        return next((sample for sample in self.samples if isinstance(sample, Completion)), None)

    @property
    def agreement(self) -> float:
        """The winner's part of all samples, 0 to 1; a sample without an answer agrees with none."""
        return self.votes[0].count / len(self.samples) if self.votes else 0.0

    @property
    def usage(self) -> Usage | None:
        """The tokens of all samples."""
        return add_usage(_completion_in(sample).usage for sample in self.samples if _has_completion(sample))


def checked_samples(samples: int) -> int:
    """The number of samples.

    Raises:
        ConfigurationError: it is none, or too small or large.
    """
    given = cast("object", samples)
    is_whole = is_number(given) and isinstance(given, Integral)
    if not is_whole or not 1 <= samples <= MOST_SAMPLES:
        raise ConfigurationError(f"`samples` is {shown(given)}: give 1 to {MOST_SAMPLES}")
    return int(samples)


def problem_messages(problem: str | Sequence[Message]) -> str | Sequence[Message]:
    """What to send: a problem in words gets the evaluation's instruction, messages are taken as they are."""
    return f"{problem}\n\n{_INSTRUCTION}" if isinstance(problem, str) else problem


def sample_options(options: CompletionOptions, seed: int | None, samples: int) -> list[CompletionOptions]:
    """The options of each sample. A seed counts up: with one and the same all samples would be equal."""
    if seed is None:
        return [options] * samples
    return [{**options, "seed": seed + number} for number in range(samples)]


def count_votes(answers: Sequence[str | None], are_same: Callable[[Form, Form], bool]) -> tuple[Vote, ...]:
    """The answers with their samples, the most frequent first, of those that are level the earliest."""
    from phi_client._answers.forms import read_form  # noqa: PLC0415  # not needed before there are answers

    groups: list[tuple[Form, str, list[int]]] = []
    for number, answer in enumerate(answers):
        if answer is None or not answer.strip():
            continue
        form = read_form(answer)
        # Equal forms first: asking costs nothing then, and the sameness of algebra is not always transitive.
        known = next((group for group in groups if group[0] == form), None)
        known = known or next((group for group in groups if are_same(group[0], form)), None)
        if known is None:
            groups.append((form, answer, [number]))
        else:
            known[2].append(number)
    votes = [Vote(answer, tuple(samples)) for _, answer, samples in groups]
    return tuple(sorted(votes, key=lambda vote: (-vote.count, vote.samples[0])))


def graded(samples: Sequence[Sample]) -> Solution:
    """The solution that the samples make. It may take a while, since answers may have to be compared by algebra.

    Raises:
        PhiError: no sample was answered; it is the first one's error.
    """
    first = samples[0]
    if isinstance(first, PhiError) and not any(isinstance(sample, Completion) for sample in samples):
        first.spent = add_usage(_completion_in(one).usage for one in samples if _has_completion(one))
        raise first
    answers = [sample.answer if isinstance(sample, Completion) else None for sample in samples]
    from phi_client._answers.math_verify import Grader  # noqa: PLC0415  # not needed before there are answers

    with Grader() as grader:
        votes = count_votes(answers, grader.are_same)
    answer = votes[0].answer if votes else None
    return Solution(answer=answer, votes=votes, samples=tuple(samples), undecided=grader.undecided)


def _has_completion(sample: Sample) -> bool:
    return isinstance(sample, Completion | ReasoningTruncatedError)


def _completion_in(sample: Sample) -> Completion:
    """What came, whole or not."""
    if isinstance(sample, Completion):
        return sample
    assert isinstance(sample, ReasoningTruncatedError)  # noqa: S101  # checked by the caller
    return sample.partial
