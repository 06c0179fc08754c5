"""What is measured, in which order. It must not know processes or HTTP: it asks those who do.

Both sides take turns within one run, and the best of several rounds counts: other programs disturb both alike, and the
ratio is what can be compared between machines.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final

from phi_emulator.bench.processes import Conversation, RawEngine, ServingProcess, Timing
from phi_emulator.bench.report import Report, Side
from phi_emulator.bench.served import Asker, Heard
from phi_emulator.config import EmulatorConfig

__all__ = ["run_benchmark"]

_AT_ONCE: Final = (1, 2, 4, 8)
_WORD: Final = " 17 * 24 +"
_RUNNING: Final = 3
_AT_A_TIME: Final = 32


def run_benchmark(
    config: EmulatorConfig,
    *,
    rounds: int,
    tokens: int,
    newcomer_tokens: int,
    requests: int,
    hang_ups: int,
    tell: Callable[[str], None],
) -> Report:
    """Measure the model of `config`; `tell` hears what is being done.

    `tokens` is how long an answer may be, `newcomer_tokens` how long the prompt of one who joins, `requests` how many
    are sent through the queue, `hang_ups` how many callers hang up.

    Raises:
        RuntimeError: the model can't be loaded, or a process ended by itself.
    """
    with ServingProcess(config) as served, RawEngine(config) as raw:
        bench = _Benchmark(served, raw, rounds=rounds, tokens=tokens, tell=tell)
        return asyncio.run(bench.run(newcomer_tokens, requests, hang_ups))


class _Benchmark:
    def __init__(
        self,
        served: ServingProcess,
        raw: RawEngine,
        *,
        rounds: int,
        tokens: int,
        tell: Callable[[str], None],
    ) -> None:
        self._served, self._raw = served, raw
        self._rounds, self._tokens = rounds, tokens
        self._tell = tell
        self._numbers = count(1)

    async def run(self, newcomer_tokens: int, requests: int, hang_ups: int) -> Report:
        async with Asker.at(self._served.endpoint, self._served.key) as asker:
            status = await asker.status()
            report = Report(
                model=status["model"],
                fingerprint=status["fingerprint"],
                batching=status["batching"],
                resident_bytes_before=self._served.resident_bytes,
            )
            room = status["context_length"]
            few = await self._words(asker, min(64, room // 4))
            many = await self._words(asker, min(newcomer_tokens, room // 2))
            await self._throughput(asker, report, 1)
            await self._newcomer(asker, report, few, many)
            await self._turns(asker, report, many)
            await self._health(asker, report, few)
            await self._hang_ups(asker, report, many, hang_ups)
            await self._flood(asker, report, requests)
            counts = (await asker.status())["counts"]
            report.counts = counts
            report.resident_bytes_after = self._served.resident_bytes
        return report

    def _unseen(self, words: int) -> str:
        """A text that no prompt before began with."""
        return f"{next(self._numbers)}:" + _WORD * words

    def _conversations(self, number: int, words: int) -> list[Conversation]:
        return [Conversation(self._unseen(words), self._tokens, seed) for seed in range(number)]

    async def _words(self, asker: Asker, tokens: int) -> int:
        """How many words make a prompt of about so many tokens."""
        little, more = [await asker.prompt_tokens(self._unseen(words)) for words in (1, 9)]
        return max(1, round((tokens - little) * 8 / max(more - little, 1)) + 1)

    async def _throughput(self, asker: Asker, report: Report, words: int) -> None:
        for number in _AT_ONCE:
            self._tell(f"{number} at once")
            raw: list[Timing] = []
            served: list[Timing] = []
            for _ in range(self._rounds):
                conversations = self._conversations(number, words)
                raw.append(await asyncio.to_thread(self._raw.run, conversations))
                served.append(await asker.run(conversations))
            report.sides[number] = (_best(raw), _best(served))

    async def _newcomer(self, asker: Asker, report: Report, words: int, many: int) -> None:
        """Gaps of running streams, before a newcomer with a long prompt joins and while it is taken in."""
        self._tell("a newcomer joins")
        before: list[float] = []
        during: list[float] = []
        for _ in range(self._rounds):
            heard = [Heard(0.0) for _ in range(_RUNNING)]
            running = [
                asyncio.create_task(asker.stream(one, its))
                for one, its in zip(self._conversations(_RUNNING, words), heard, strict=True)
            ]
            enough = self._tokens // 4
            while any(len(its.at_s) < enough for its in heard) and not any(map(_done, running)):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            joins = await asker.stream(Conversation(self._unseen(many), 1, 0))
            await asyncio.gather(*running)
            for its in heard:
                for one, next_one in zip(its.at_s, its.at_s[1:], strict=False):
                    if next_one <= joins.asked_s:
                        before.append(next_one - one)
                    elif one <= joins.begun_s:
                        during.append(next_one - one)
        report.gap_normal_s = statistics.median(before) if before else None
        report.gaps_joining_s = _spread(during)

    async def _turns(self, asker: Asker, report: Report, words: int) -> None:
        """The first token of a chat's first turn, of its second, and of chats that alternate."""
        self._tell("second turns")
        cold: list[float] = []
        second: list[float] = []
        alternating: list[float] = []
        for _ in range(self._rounds):
            chats = [[_user(self._unseen(words))], [_user(self._unseen(words))]]
            for chat in chats:
                cold.append((await asker.stream(chat)).first_s)
                chat += [{"role": "assistant", "content": "408"}, _user("And 3 * 4?")]
            second.append((await asker.stream(chats[1])).first_s)
            for chat in chats * 2:
                chat += [{"role": "assistant", "content": "12"}, _user("And then?")]
                alternating.append((await asker.stream(chat)).first_s)
        report.first_cold_s = statistics.median(cold)
        report.first_second_turn_s = statistics.median(second)
        report.first_alternating_s = statistics.median(alternating)

    async def _health(self, asker: Asker, report: Report, words: int) -> None:
        """How long the health route takes while four streams run: what the event loop's delay makes of it."""
        self._tell("the event loop")
        times: list[float] = []
        for _ in range(self._rounds):
            streams = [asyncio.create_task(asker.stream(one)) for one in self._conversations(4, words)]
            while not any(map(_done, streams)):
                times.append(await asker.health_s())
                await asyncio.sleep(0.005)
            await asyncio.gather(*streams)
        report.health_s = _spread(times)

    async def _hang_ups(self, asker: Asker, report: Report, words: int, hang_ups: int) -> None:
        """Callers that leave inside their prompts, and how long the engine goes on."""
        self._tell("hang-ups")
        times: list[float] = []
        for _ in range(hang_ups):
            task = asyncio.create_task(asker.stream(Conversation(self._unseen(words), self._tokens, 0)))
            await asker.until(lambda status: status["running"] > 0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            times.append(await asker.until(lambda status: not status["running"]))
        report.cancel_to_idle_s = _spread(times)

    async def _flood(self, asker: Asker, report: Report, requests: int) -> None:
        """Short requests, many at a time, through the queue."""
        self._tell(f"{requests} short requests, {_AT_A_TIME} at a time")
        places = asyncio.Semaphore(_AT_A_TIME)

        async def one(number: int) -> int:
            async with places:
                return await asker.status_code(Conversation(f"What is {number} + 1?", 8, number))

        codes = await asyncio.gather(*map(one, range(requests)), return_exceptions=True)
        report.answered = sum(code == 200 for code in codes)  # noqa: PLR2004 - the status
        report.refused = sum(code == 429 for code in codes)  # noqa: PLR2004 - the status
        report.lost = requests - report.answered - report.refused


def _best(timings: Sequence[Timing]) -> Side:
    return Side(min(t.first_s for t in timings), max(t.tokens_a_second for t in timings))


def _spread(times: Sequence[float]) -> tuple[float, float, float, float] | None:
    """Median, 95th and 99th percentile, worst."""
    if not times:
        return None
    ordered = sorted(times)
    last = len(ordered) - 1
    return (ordered[last // 2], ordered[round(last * 0.95)], ordered[round(last * 0.99)], ordered[-1])


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _done(task: asyncio.Task[Any]) -> bool:
    return task.done()
