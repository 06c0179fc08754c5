"""One at a time, the newest first, and nobody for ever; whoever leaves takes no turn along."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from phi_emulator.engine.errors import QueueTimeoutError
from phi_emulator.engine.protocol import Marks
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.turns import Turns
from phi_emulator.engine.serving.worker import Worker

LONG_S = 60.0


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_newest_has_the_next_turn() -> None:
    async def main() -> list[int]:
        turns, order = Turns(LONG_S), list[int]()

        async def one(number: int) -> None:
            async with turns:
                order.append(number)
                await settle()

        await asyncio.gather(*map(one, range(4)))
        return order

    assert asyncio.run(main()) == [0, 3, 2, 1]


def test_who_waited_long_enough_is_refused_and_the_next_one_has_a_turn() -> None:
    async def main() -> None:
        turns = Turns(0)
        async with turns:
            with pytest.raises(QueueTimeoutError):
                await turns.__aenter__()
        async with turns:
            pass

    asyncio.run(main())


def test_a_new_grammar_waits_for_one_other_and_not_for_all_that_wait() -> None:
    held, begun = threading.Event(), threading.Event()

    class Slow(ScriptedEngine):
        def check_guidance(self, grammar: str) -> None:
            order.append(grammar)
            if grammar == "first":
                begun.set()
                assert held.wait(LONG_S)

    async def main(worker: Worker) -> None:
        names = ["first", *(f"waiting {number}" for number in range(10)), "new"]
        asked: list[asyncio.Task[None]] = []
        for name in names:
            asked.append(asyncio.ensure_future(worker.check_guidance(name)))
            await settle()
        assert await asyncio.to_thread(begun.wait, LONG_S)
        held.set()
        await asked[-1]
        assert order[:2] == ["first", "new"]
        await asyncio.gather(*asked)

    order: list[str] = []
    worker = Worker(lambda: Slow(lambda _: "", marks=Marks()))
    worker.start()
    try:
        asyncio.run(main(worker))
    finally:
        held.set()
        worker.stop()


@pytest.mark.parametrize("seed", range(20))
def test_turns_are_never_lost_and_never_had_by_two(seed: int) -> None:
    """Some are cancelled at any moment: waiting, just when their turn came, or having it."""
    rng = random.Random(seed)
    inside = 0

    async def main() -> None:
        turns = Turns(LONG_S)

        async def one() -> None:
            nonlocal inside
            async with turns:
                inside += 1
                assert inside == 1
                try:
                    for _ in range(rng.randrange(4)):
                        await asyncio.sleep(0)
                finally:
                    inside -= 1

        tasks: list[asyncio.Task[None]] = []
        for _ in range(200):
            tasks.append(asyncio.ensure_future(one()))
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            rng.choice(tasks[-10:]).cancel(*([] if rng.random() < 0.5 else ["left"]))
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() or task.exception() is None for task in tasks)
        assert not turns._waiting
        async with turns:
            pass

    asyncio.run(asyncio.wait_for(main(), LONG_S))
