"""How what the engine gives comes to event loops: in time, in order, and not with a waking for each token."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.engine.protocol import Message, Sampling
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.delivery import TICK_S, Deliveries, Delivery
from phi_emulator.engine.serving.worker import Worker


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands until a test moves it, and that counts how often others wake it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.wakings = 0

    def time(self) -> float:
        return self.now

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object, context: object = None):  # type: ignore[no-untyped-def]
        self.wakings += 1
        return super().call_soon_threadsafe(callback, *args)

    def run_ready(self) -> None:
        """Run what is due now."""
        self.call_soon(self.stop)
        self.run_forever()

    def advance(self, seconds: float) -> None:
        """Move the clock, and run what is due then."""
        self.now += seconds
        self.run_ready()


@pytest.fixture
def loop() -> StillLoop:  # type: ignore[misc]
    made = StillLoop()
    yield made
    made.close()


def test_what_comes_after_a_pause_wakes_the_loop_at_once(loop: StillLoop) -> None:
    delivery, got = Delivery(loop), list[str]()
    for number in range(3):
        delivery.post(got.append, str(number), urgent=False)
        loop.run_ready()
        assert got == [str(one) for one in range(number + 1)]
        loop.advance(2 * TICK_S)  # a step that takes longer than a tick
    assert loop.wakings == 3


def test_what_comes_shortly_after_waits_for_the_tick_and_wakes_nobody(loop: StillLoop) -> None:
    delivery, got = Delivery(loop), list[str]()
    for piece in "abcd":
        delivery.post(got.append, piece, urgent=False)
        loop.run_ready()
    assert got == ["a"]
    loop.advance(TICK_S)
    assert got == list("abcd")
    assert loop.wakings == 1


def test_what_is_urgent_comes_at_once_and_not_before_what_was_posted_earlier(loop: StillLoop) -> None:
    delivery, got = Delivery(loop), list[str]()
    for piece, urgent in (("a", True), ("b", False), ("c", True)):
        delivery.post(got.append, piece, urgent=urgent)
    loop.run_ready()
    assert got == ["a", "b", "c"]


def test_a_loop_that_gets_nothing_is_left_alone(loop: StillLoop) -> None:
    delivery = Delivery(loop)
    delivery.post(str, "a", urgent=True)
    loop.run_ready()
    for _ in range(3):
        loop.advance(TICK_S)
    assert not loop._scheduled  # type: ignore[attr-defined]


def test_a_loop_that_has_closed_is_no_error() -> None:
    closed = StillLoop()
    delivery = Delivery(closed)
    closed.close()
    delivery.post(str, "a", urgent=True)
    delivery.post(str, "b", urgent=False)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, TICK_S / 2, 2 * TICK_S])), max_size=30))
def test_everything_comes_once_in_order_and_within_a_tick(posts: list[tuple[bool, float]]) -> None:
    loop = StillLoop()
    delivery, got = Delivery(loop), list[int]()
    for number, (urgent, pause) in enumerate(posts):
        delivery.post(got.append, number, urgent=urgent)
        loop.run_ready()
        assert not urgent or got[-1:] == [number]
        loop.advance(pause)
        assert pause < TICK_S or got == list(range(number + 1))
    loop.advance(TICK_S)
    assert got == list(range(len(posts)))
    loop.close()


def test_a_loop_has_one_delivery_and_those_of_closed_loops_go() -> None:
    deliveries = Deliveries()

    async def here() -> Delivery:
        assert deliveries.here() is deliveries.here()
        return deliveries.here()

    first, second = asyncio.run(here()), asyncio.run(here())
    assert first is not second
    assert len(deliveries._of_loops) == 1


def test_short_steps_come_token_by_token_with_few_wakings() -> None:
    """Text is not joined: that would depend on the machine's pace."""
    tokens = 400
    worker = Worker(lambda: ScriptedEngine(lambda _: "word " * tokens))
    worker.start()
    loop = StillLoop()

    async def main() -> int:
        prompt = await worker.encode([Message("user", "x")])
        before = loop.wakings
        pieces = [piece async for piece in worker.submit(prompt, Sampling(tokens, temperature=0))]
        assert len(pieces) == tokens
        return loop.wakings - before

    try:
        # The clock stands, so no tick ever comes: the first text and the end alone wake the loop.
        assert loop.run_until_complete(main()) == 2
    finally:
        worker.stop()
        loop.close()


def test_a_text_is_not_held_by_an_engine_that_stands_still() -> None:
    allowed = threading.Semaphore(0)

    def wait() -> None:
        assert allowed.acquire(timeout=30)

    engine = ScriptedEngine(lambda _: "a b c d", before_step=wait)
    worker = Worker(lambda: engine)
    worker.start()

    async def main() -> None:
        pieces = aiter(
            worker.submit(await worker.encode([Message("user", "x")]), Sampling(20, temperature=0))
        )
        allowed.release(3)
        assert [await anext(pieces) for _ in range(3)] == ["a", " ", "b"]
        allowed.release(20)

    try:
        asyncio.run(main())
    finally:
        worker.stop()


def test_who_goes_on_with_another_iteration_misses_nothing() -> None:
    worker = Worker(lambda: ScriptedEngine(lambda _: "a b c d"))
    worker.start()

    async def main() -> None:
        generation = worker.submit(await worker.encode([Message("user", "x")]), Sampling(20, temperature=0))
        while worker.status.running:  # noqa: ASYNC110 - it comes true in another thread
            await asyncio.sleep(0)
        assert [await anext(aiter(generation)) for _ in range(3)] == ["a", " ", "b"]
        assert [piece async for piece in generation] == [" ", "c", " ", "d"]
        assert generation.outcome is not None

    try:
        asyncio.run(main())
    finally:
        worker.stop()
