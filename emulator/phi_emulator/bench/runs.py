"""What is measured, in which order. It must not know processes or HTTP: it asks those who do.

Both sides take turns within one run, and the middle or the best of several rounds counts: other programs disturb both
alike, and the ratio is what can be compared between machines.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

from phi_emulator.bench.processes import Conversation, RawEngine, ServingProcess, Timing
from phi_emulator.bench.report import Report, Side
from phi_emulator.bench.served import Asker, Heard
from phi_emulator.bench.sizes import DEFAULTS, Pace, Sizes, choose_sizes, estimate_s
from phi_emulator.config import EmulatorConfig
from phi_emulator.models.graph.prepare import CHUNK_SIZE

__all__ = ["run_benchmark"]

_AT_ONCE: Final = (1, 2, 4, 8)
_WORD: Final = " 17 * 24 +"
_ENOUGH_S: Final = 3.0
"""For so long the two sides are compared at least: the rounds of a quick model are over before a disturbance is."""
_RUNNING: Final = 3
_AT_A_TIME: Final = 32
_PACE_PROMPT, _PACE_ANSWER = 64, 9
_LONG_HANG_UPS: Final = 10
_SHORT_ANSWER: Final = 16
_REQUEST: Final = "Add one to the number at the end of this line, say the sum, and nothing else:"
"""What short requests begin with. They share it, as programs' requests do, so that its blocks are computed once."""


def run_benchmark(config: EmulatorConfig, sizes: Mapping[str, int], *, tell: Callable[[str], None]) -> Report:
    """Measure the model of `config`; `tell` hears what is being done.

    `sizes` are fields of `Sizes`; those that are left out are chosen by the model's pace. Of a deterministic emulator
    only this is measured: whether it is.

    Raises:
        RuntimeError: the model can't be loaded, or a process ended by itself.
    """
    tell("loading")
    with ServingProcess(config) as served:
        if config.deterministic:
            bench = _Benchmark(served, None, sizes, tell)
            return asyncio.run(bench.repeat())
        with RawEngine(config) as raw:
            return asyncio.run(_Benchmark(served, raw, sizes, tell).run())


class _Benchmark:
    def __init__(
        self,
        served: ServingProcess,
        raw: RawEngine | None,
        wanted: Mapping[str, int],
        tell: Callable[[str], None],
    ) -> None:
        self._served, self._raw = served, raw
        self._wanted = wanted
        self._sizes = replace(DEFAULTS, **wanted)
        self._tell = tell
        self._numbers = count(1)

    async def run(self) -> Report:
        """Everything but whether seeds repeat."""
        async with Asker.at(self._served.endpoint, self._served.key) as asker:
            report, room = await self._begun(asker)
            few = await self._words(asker, min(_PACE_PROMPT, room // 4))
            self._sizes = sizes = await self._chosen(asker, report, few, room)
            many = await self._words(asker, sizes.newcomer)
            began = time.perf_counter()
            for name, section in (
                ("throughput", self._throughput(asker, report)),
                ("a newcomer joins", self._newcomer(asker, report, few, many)),
                ("second turns", self._turns(asker, report, many)),
                ("the event loop and the health route", self._health(asker, report, few)),
                ("hang-ups inside long prompts", self._long_hang_ups(asker, report, many)),
                (f"{sizes.hang_ups} hang-ups", self._hang_ups(asker, report)),
                (f"{sizes.requests} short requests, {_AT_A_TIME} at a time", self._flood(asker, report)),
            ):
                self._tell(f"{time.perf_counter() - began:.0f} s: {name}")
                await section
            report.counts = (await asker.status())["counts"]
            report.resident_bytes_after = self._served.resident_bytes
        return report

    async def repeat(self) -> Report:
        """Whether one seed gives one text, alone and beside others."""
        async with Asker.at(self._served.endpoint, self._served.key) as asker:
            report, _ = await self._begun(asker)
            runs = self._sizes.repeats
            self._tell(f"one seed, {runs} times")
            asked = Conversation(f"{_WORD} 1", _SHORT_ANSWER, 7)
            texts = [await asker.text(asked) for _ in range(runs // 2)]
            while len(texts) < runs:
                others = self._conversations(_RUNNING, 1, _SHORT_ANSWER)
                here = min(_RUNNING, runs - len(texts))
                mixed = await asyncio.gather(*map(asker.text, [*others, *[asked] * here]))
                texts += mixed[_RUNNING:]
            report.repeats, report.different_texts = len(texts), len(set(texts))
        return report

    async def _begun(self, asker: Asker) -> tuple[Report, int]:
        """A report without figures, and the context in tokens."""
        status = await asker.status()
        report = Report(
            model=status["model"],
            fingerprint=status["fingerprint"],
            batching=status["batching"],
            max_running=status["max_running"],
            weights_bytes=status["weights_bytes"],
            deterministic=self._raw is None,
            resident_bytes_before=self._served.resident_bytes,
        )
        return report, int(status["context_length"])

    async def _chosen(self, asker: Asker, report: Report, words: int, room: int) -> Sizes:
        """The sizes, where they were left open; tells what they cost. Both come of a look at the model's pace."""
        heard = await asker.stream(Conversation(self._unseen(words), _PACE_ANSWER, 0))
        a_token = (heard.ended_s - heard.begun_s) / max(heard.tokens - 1, 1)
        pace = Pace(prompt_token_s=heard.first_s / min(_PACE_PROMPT, room // 4), token_s=a_token)
        sizes = choose_sizes(pace, room, self._wanted)
        report.newcomer_tokens = sizes.newcomer
        minutes = estimate_s(sizes, pace) / 60
        self._tell(f"about {minutes:.0f} minutes" if minutes >= 1 else "less than a minute")
        return sizes

    def _unseen(self, words: int) -> str:
        """A text that no prompt before began with."""
        return f"{next(self._numbers)}:" + _WORD * words

    def _conversations(self, number: int, words: int, tokens: int) -> list[Conversation]:
        return [Conversation(self._unseen(words), tokens, seed) for seed in range(number)]

    async def _words(self, asker: Asker, tokens: int) -> int:
        """How many words make a prompt of about so many tokens."""
        little, more = [await asker.prompt_tokens(self._unseen(words)) for words in (1, 9)]
        return max(1, round((tokens - little) * 8 / max(more - little, 1)) + 1)

    async def _throughput(self, asker: Asker, report: Report) -> None:
        for number in _AT_ONCE:
            raw: list[Timing] = []
            served: list[Timing] = []
            until = time.perf_counter() + _ENOUGH_S
            while len(served) < self._sizes.rounds or time.perf_counter() < until:
                conversations = self._conversations(number, 1, self._sizes.tokens)
                if self._raw is not None:
                    raw.append(await asyncio.to_thread(self._raw.run, conversations))
                served.append(await asker.run(conversations))
            report.sides[number] = (_middle(raw), _middle(served))

    async def _newcomer(self, asker: Asker, report: Report, words: int, many: int) -> None:
        """Gaps of running streams, before a newcomer with a long prompt joins and while it is taken in."""
        normal: list[float] = []
        joining: list[list[float]] = []
        for _ in range(self._sizes.rounds):
            before: list[float] = []
            during: list[float] = []
            heard = [Heard(0.0) for _ in range(_RUNNING)]
            # They must outlast the newcomer's prompt, of which a step takes in a chunk.
            enough = self._sizes.tokens // 4
            last = enough + 3 * self._sizes.newcomer // (2 * CHUNK_SIZE)
            running = [
                asyncio.create_task(asker.stream(one, its))
                for one, its in zip(self._conversations(_RUNNING, words, last), heard, strict=True)
            ]
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
            if before and during:
                # Tokens that come together have no gap between them: what counts is their pace.
                normal.append(statistics.fmean(before))
                joining.append(during)
        if normal:
            ratios = [max(gaps) / usual for gaps, usual in zip(joining, normal, strict=True)]
            report.worst_gap_ratio = statistics.median_low(ratios)
            report.gap_normal_s = statistics.median(normal)
            report.gaps_joining_s = _spread([gap for gaps in joining for gap in gaps])

    async def _turns(self, asker: Asker, report: Report, words: int) -> None:
        """The first token of a chat's first turn, of its second, and of chats that alternate."""
        cold: list[float] = []
        second: list[float] = []
        alternating: list[float] = []
        steps = 0
        for _ in range(self._sizes.rounds):
            chats = [[_user(self._unseen(words))], [_user(self._unseen(words))]]
            for chat in chats:
                steps -= (await asker.status())["counts"]["steps"]
                cold.append((await asker.stream(chat)).first_s)
                steps += (await asker.status())["counts"]["steps"]
                chat += [{"role": "assistant", "content": "408"}, _user("And 3 * 4?")]
            second.append((await asker.stream(chats[1])).first_s)
            for chat in chats * 2:
                chat += [{"role": "assistant", "content": "12"}, _user("And then?")]
                alternating.append((await asker.stream(chat)).first_s)
        report.first_cold_s = statistics.median(cold)
        report.first_second_turn_s = statistics.median(second)
        report.first_alternating_s = statistics.median(alternating)
        report.chunk_s = sum(cold) / steps

    async def _health(self, asker: Asker, report: Report, words: int) -> None:
        """How late the event loop is, and how long the health route takes, while four streams run."""
        times: list[float] = []
        delays: list[float] = []
        for _ in range(self._sizes.rounds):
            streams = [
                asyncio.create_task(asker.stream(one))
                for one in self._conversations(4, words, self._sizes.tokens)
            ]
            enough = threading.Event()
            await asker.until(lambda status: status["running"] > 0)
            self._served.watch_delays()
            asking = asyncio.create_task(asyncio.to_thread(asker.health_times, enough))
            await asyncio.wait(streams, return_when=asyncio.FIRST_COMPLETED)
            delays += self._served.delays_s()
            enough.set()
            times += await asking
            await asyncio.gather(*streams)
        report.health_s, report.loop_delay_s = _spread(times), _spread(delays)

    async def _long_hang_ups(self, asker: Asker, report: Report, words: int) -> None:
        """Callers that leave inside their prompts, and how long the engine goes on."""
        times: dict[bool, list[float]] = {True: [], False: []}
        steps: list[float] = []
        for number in range(min(2 * _LONG_HANG_UPS, self._sizes.hang_ups)):
            streamed = number % 2 == 0
            asked = Conversation(self._unseen(words), self._sizes.tokens, 0)
            took_s, begun = await asker.hang_up(asked, streamed=streamed)
            times[streamed].append(took_s)
            steps.append(begun)
        report.hang_up_steps = _spread(steps)
        report.hang_up_streamed_s, report.hang_up_whole_s = _spread(times[True]), _spread(times[False])

    async def _hang_ups(self, asker: Asker, report: Report) -> None:
        """Callers that leave inside their answers, and what stays of them.

        All ask the same: another prompt would fill the cache with its prefix, which is memory that it may take.
        """
        asked = Conversation(self._unseen(1), self._sizes.tokens, 0, temperature=0)
        first: int | None = None
        for number in range(self._sizes.hang_ups):
            await asker.hang_up_on_answer(asked)
            if number == self._sizes.hang_ups // 10:
                first = self._served.resident_bytes
        status = await self._settled(asker)
        report.hang_ups = self._sizes.hang_ups
        report.left_running, report.left_waiting = status["running"], status["waiting"]
        report.hang_up_bytes = (first, self._served.resident_bytes)

    async def _settled(self, asker: Asker) -> dict[str, Any]:
        """The status once nothing runs, or after ten seconds in which something did."""
        end = time.perf_counter() + 10
        await asker.until(lambda status: not status["running"] or time.perf_counter() > end)
        return await asker.status()

    async def _flood(self, asker: Asker, report: Report) -> None:
        """Short requests, many at a time, through the queue."""
        places = asyncio.Semaphore(_AT_A_TIME)
        requests = self._sizes.requests

        async def one(number: int) -> int:
            async with places:
                asked = Conversation(f"{_REQUEST} {number}", self._sizes.request_tokens, number)
                return await asker.status_code(asked)

        codes = await asyncio.gather(*map(one, range(requests)), return_exceptions=True)
        report.requests, report.at_a_time = requests, _AT_A_TIME
        report.answered = sum(code == 200 for code in codes)  # noqa: PLR2004 - the status
        report.refused = sum(code == 429 for code in codes)  # noqa: PLR2004 - the status
        report.lost = requests - report.answered - report.refused


def _middle(timings: Sequence[Timing]) -> Side:
    return Side(
        statistics.median(t.first_s for t in timings), statistics.median(t.tokens_a_second for t in timings)
    )


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
