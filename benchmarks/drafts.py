# ruff: noqa: INP001  # a folder of commands, no package
"""What drafts by prompt lookup change: never an answer, and how long it takes.

    python -m benchmarks.drafts [--model FOLDER] [--temperature 0] [--prompts 200] [--tokens 200] [--rounds 3]

First, as many prompts are answered with drafts and without, and the tokens compared; there every draft is made to seem
cheap, so that all are tried. Then few are timed, with drafts as they would be made, and with ones that are
known to be all right or all wrong: the most that drafts can gain with this model, and what they cost where they are of
no use. Both sides take turns, and the best of some rounds counts; what is compared is the process's processor time.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from phi_emulator.engine.native.drafts import Drafter, Lookup, Payoff
from phi_emulator.engine.native.ort import OrtEngine
from phi_emulator.engine.options import ModelOptions
from phi_emulator.engine.protocol import Message, Sampling
from phi_emulator.models import resolve_model
from phi_emulator.models.genai_config import read_settings
from phi_emulator.models.graph.prepare import prepare_model

SPEED_PROMPTS: Final = 5
TOP_P: Final = 0.95
QUESTIONS: Final = (
    "What is {0} * {1}?",
    "{2} has {0} apples and buys {1} more. How many apples does {2} have now?",
    "Calculate {0} + {1}, and then {0} + {1} again.",
    "Solve {1}x + {0} = {0}",
    "Repeat word for word: {2} gave {0} of the {1} books to {3}, and {3} gave {0} of the {1} books to {2}.",
    "Write a short story about {2} and {3} in the year {0}.",
)
NAMES: Final = ("Anna", "Tom", "Maria", "Ben", "Lucy", "Omar")


def questions(number: int) -> Iterable[str]:
    chance = random.Random(16180)  # noqa: S311 - no secret
    for which in range(number):
        names = chance.sample(NAMES, 2)
        yield QUESTIONS[which % len(QUESTIONS)].format(chance.randint(2, 99), chance.randint(2, 99), *names)


class Told(Lookup):
    """Finds what it was told, true or false."""

    def __init__(self, prompt: Sequence[int], answer: Sequence[int], *, is_right: bool) -> None:
        super().__init__(prompt)
        self._answer = answer if is_right else [token ^ 1 for token in answer]
        self._begun = len(prompt)

    def find(self, most: int) -> list[int]:
        done = len(self._tokens) - self._begun
        return list(self._answer[done : done + most])


Find = Callable[[Sequence[int]], Lookup]


@dataclass
class Answer:
    tokens: list[int]
    steps: int
    drafted: int
    accepted: int
    processor_s: float
    """From the first token on."""


class Runner:
    """One engine that is asked with drafts and without."""

    def __init__(self, engine: OrtEngine, tokens: int, temperature: float = 0) -> None:
        self.engine = engine
        self._sampling = Sampling(tokens, temperature, TOP_P, seed=1)
        self._numbers = count()

    def answer(self, prompt: Sequence[int], payoff: Payoff | None, find: Find = Lookup) -> Answer:
        """Answer; without drafts where there is no `payoff`."""
        number = next(self._numbers)
        self.engine.open(number, prompt, self._sampling)
        drafter = None
        if payoff is not None:
            drafter = Drafter(prompt, payoff)
            drafter._lookup = find(prompt)
        # The engine has no use for a switch, nor for drafts from elsewhere.
        self.engine._open[number].drafter = drafter
        made, began, is_over = Answer([], 0, 0, 0, 0.0), 0.0, False
        while not is_over:
            for step in self.engine.step():
                if step.token is not None:
                    made.tokens.append(step.token)
                made.drafted += step.drafted_tokens
                made.accepted += step.accepted_tokens
                is_over = step.end is not None
            made.steps += bool(began)
            began = began or (time.process_time() if made.tokens else 0.0)
        made.processor_s = time.process_time() - began
        self.engine.release(number)
        return made

    def prompt(self, question: str) -> list[int]:
        return self.engine.encode([Message("user", question)])


class Cheap(Payoff):
    """Takes all drafts for free, and so makes as many as there can be."""

    def choose(self, most: int) -> int:
        return max(most, 0)


def compare_answers(runner: Runner, number: int) -> int:
    """Print how many answers are the same; return how many are not."""
    different = drafted = accepted = tokens = 0
    payoff = Cheap()
    payoff.note_plain(1.0)
    for question in questions(number):
        prompt = runner.prompt(question)
        without, made = runner.answer(prompt, None), runner.answer(prompt, payoff)
        different += made.tokens != without.tokens
        drafted += made.drafted
        accepted += made.accepted
        tokens += len(made.tokens)
    print(
        f"{number} prompts, {tokens} tokens: {drafted} drafted, {accepted} accepted, {different} answers differ"
    )
    return different


def compare_times(runner: Runner, rounds: int) -> None:
    """Print a table: processor time for a token with drafts, by that without."""
    print("| Drafts | Steps for a token | Drafted | Accepted | Processor time to plain |")
    print("| --- | --- | --- | --- | --- |")
    prompts = [runner.prompt(question) for question in questions(SPEED_PROMPTS)]
    answers = [runner.answer(prompt, None).tokens for prompt in prompts]

    def told(*, is_right: bool) -> list[Find]:
        return [lambda prompt, a=a: Told(prompt, a, is_right=is_right) for a in answers]  # type: ignore[misc]

    finds: dict[str, list[Find]] = {
        "as they are found": [Lookup for _ in prompts],
        "all right": told(is_right=True),
        "all wrong": told(is_right=False),
    }
    for name, found in finds.items():
        payoff = Payoff()
        steps = tokens = drafted = accepted = 0
        plain_s = drafts_s = 0.0
        for prompt, find in zip(prompts, found, strict=True):
            pairs = [
                (runner.answer(prompt, None), runner.answer(prompt, payoff, find)) for _ in range(rounds)
            ]
            plain_s += min(plain.processor_s for plain, _ in pairs)
            drafts_s += min(made.processor_s for _, made in pairs)
            best = min((made for _, made in pairs), key=lambda made: made.processor_s)
            steps += best.steps
            tokens += len(best.tokens)
            drafted += best.drafted
            accepted += best.accepted
        print(f"| {name} | {steps / tokens:.2f} | {drafted} | {accepted} | {drafts_s / plain_s:.2f} |")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a model folder for the CPU; the bundled one unless given")
    parser.add_argument(
        "--temperature", type=float, default=0, help=f"0 is greedy; above it, with a seed and top_p {TOP_P}"
    )
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=200, help="of an answer, at most")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = given.model or resolve_model().folder
    engine = OrtEngine(prepare_model(folder, read_settings(folder)), ModelOptions(folder.name))
    runner = Runner(engine, given.tokens, given.temperature)
    different = compare_answers(runner, given.prompts)
    compare_times(runner, given.rounds)
    runner.engine.close()
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
