"""Accuracy of the shipped int4 files, through the emulator: `python emulator/bundled_model/evaluate.py`.

Starts the emulator on the bundled model (or on `--model`), asks every problem greedily over HTTP with the project's own
client, and prints the share of right answers for each family. The problems are held out: their numbers were never seen
in training, in any phrasing. The lists `problems_heldout.tsv` and `other_questions_heldout.txt` were written by hand,
apart from the patterns that training used.

Exits with status 1 when a bar is missed: 97 % of the problems right, 95 % of the other questions declined, none of
them running into the token limit.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from dialogue import phrase
from phi_emulator import Emulator, EmulatorConfig
from problems import FAMILIES, is_held_out

from phi_client import AsyncPhiClient, Completion

HERE = Path(__file__).parent
RIGHT_BAR, DECLINED_BAR = 0.97, 0.95
TOKEN_LIMIT = 1024


def generated_problems(count: int, seed: int) -> Iterable[tuple[str, str, str]]:
    """Held-out problems spread evenly over the families, phrased as in training: family, question, answer."""
    r = random.Random(seed)
    for index in range(count):
        family = list(FAMILIES)[index % len(FAMILIES)]
        problem = FAMILIES[family](r)
        while not is_held_out(problem):
            problem = FAMILIES[family](r)
        yield family, phrase(r, problem.question), str(problem.answer)


def written_problems() -> Iterable[tuple[str, str, str]]:
    """The problems that were written by hand."""
    for line in (HERE / "problems_heldout.tsv").read_text(encoding="utf-8").splitlines():
        family, question, answer = line.split("\t")
        yield family, question, answer


class Asker:
    """Asks greedily, a few questions at a time."""

    def __init__(self, client: AsyncPhiClient) -> None:
        self._client = client
        self._places = asyncio.Semaphore(8)

    async def ask(self, question: str) -> Completion:
        async with self._places:
            return await self._client.complete(question, temperature=0, max_tokens=TOKEN_LIMIT)

    async def ask_all(self, questions: Iterable[str]) -> list[Completion]:
        return list(await asyncio.gather(*map(self.ask, questions)))


async def score(asker: Asker, title: str, problems: list[tuple[str, str, str]], *, verbose: bool) -> float:
    """Print a table by family; return the share of right answers over all."""
    replies = await asker.ask_all(question for _, question, _ in problems)
    right: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    for (family, question, answer), reply in zip(problems, replies, strict=True):
        total[family] += 1
        right[family] += reply.answer == answer
        if verbose and reply.answer != answer:
            print(f"  wrong: {question!r} -> {reply.answer!r}, not {answer}: {reply.reasoning!r}")
    print(f"\n{title}")
    for family, count in total.items():
        print(f"  {family:15} {right[family]:4} of {count:4}  {right[family] / count:7.1%}")
    share = sum(right.values()) / len(problems)
    print(f"  {'all':15} {sum(right.values()):4} of {len(problems):4}  {share:7.1%}", flush=True)
    return share


async def evaluate(endpoint: str, key: str, args: argparse.Namespace) -> bool:
    others = (HERE / "other_questions_heldout.txt").read_text(encoding="utf-8").splitlines()
    async with AsyncPhiClient(endpoint, key) as client:
        asker = Asker(client)
        generated = await score(
            asker,
            f"{args.count} held-out problems (seed {args.seed})",
            list(generated_problems(args.count, args.seed)),
            verbose=args.verbose,
        )
        await score(asker, "problems written by hand", list(written_problems()), verbose=args.verbose)
        replies = await asker.ask_all(others)
    declined = [reply.answer is None and "phi-tiny-arith" in reply.content for reply in replies]
    cut = sum(reply.finish_reason == "length" for reply in replies)
    print(f"\n{len(others)} other questions, written by hand")
    print(f"  declined {sum(declined) / len(others):.1%}, ran into the token limit: {cut}", flush=True)
    if args.verbose:
        for question, reply, good in zip(others, replies, declined, strict=True):
            if not good:
                print(f"  answered: {question!r} -> {reply.raw!r}")
    return generated >= RIGHT_BAR and sum(declined) / len(others) >= DECLINED_BAR and cut == 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a GenAI folder in place of the bundled model")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--verbose", action="store_true", help="print what went wrong")
    args = parser.parse_args()
    with Emulator(EmulatorConfig(port=0, model=args.model, queue_size=4096)) as emulator:
        print(f"model: {args.model or 'the bundled phi-tiny-arith, as shipped'}")
        return 0 if asyncio.run(evaluate(emulator.endpoint, emulator.key, args)) else 1


if __name__ == "__main__":
    sys.exit(main())
