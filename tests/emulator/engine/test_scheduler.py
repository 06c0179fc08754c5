"""Who runs and who waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.engine.errors import QueueFullError
from phi_emulator.engine.protocol import EngineInfo
from phi_emulator.engine.serving.scheduler import Scheduler


def scheduler(*, places: int = 2, blocks: int = 8, queue: int = 2) -> Scheduler:
    info = EngineInfo(
        "m", "s", "none", context_length=128, max_running=places, block_size=16, num_blocks=blocks
    )
    return Scheduler(info, queue)


def test_requests_start_in_their_order_as_far_as_places_go() -> None:
    s = scheduler(places=2)
    for number in (1, 2, 3):
        s.submit(number, 16)
    assert s.admit() == [1, 2]
    assert (s.running, s.waiting) == (2, 1)
    s.finish(1)
    assert s.admit() == [3]


def test_blocks_for_the_longest_answer_are_reserved() -> None:
    s = scheduler(places=2, blocks=8)
    s.submit(1, 100)  # seven blocks
    s.submit(2, 33)  # three
    assert s.admit() == [1]
    s.finish(1)
    assert s.admit() == [2]


def test_the_first_in_the_queue_is_not_overtaken_by_a_smaller_one() -> None:
    s = scheduler(places=3, blocks=8)
    s.submit(1, 16)
    s.submit(2, 128)
    s.submit(3, 16)
    assert s.admit() == [1]
    s.finish(1)
    assert s.admit() == [2]


def test_a_full_queue_refuses_and_says_how_long_to_wait() -> None:
    s = scheduler(places=1, queue=1)
    s.submit(1, 16)
    s.admit()
    s.submit(2, 16)
    with pytest.raises(QueueFullError) as caught:
        s.submit(3, 16)
    assert caught.value.waiting == 1
    assert caught.value.retry_after_s >= 1


def test_a_burst_takes_free_places_before_places_in_the_queue() -> None:
    s = scheduler(places=2, queue=1)
    for number in (1, 2, 3):
        s.submit(number, 16)
    with pytest.raises(QueueFullError):
        s.submit(4, 16)
    assert s.admit() == [1, 2]


def test_a_request_cancelled_before_it_was_handed_over_never_starts() -> None:
    s = scheduler()
    s.submit(1, 16)
    s.finish(1)
    assert s.admit() == []
    assert (s.running, s.waiting) == (0, 0)


def test_a_request_that_can_start_at_once_needs_no_place_in_the_queue() -> None:
    s = scheduler(queue=0)
    s.submit(1, 16)
    assert s.admit() == [1]


def test_a_cancelled_request_leaves_the_queue() -> None:
    s = scheduler(places=1)
    for number in (1, 2, 3):
        s.submit(number, 16)
    assert s.admit() == [1]
    s.finish(2)
    s.finish(1)
    assert s.admit() == [3]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 128)), max_size=60))
def test_places_and_blocks_never_run_out_and_everything_starts_in_the_end(
    actions: list[tuple[bool, int]],
) -> None:
    s = scheduler(places=3, blocks=10, queue=1000)
    sizes: dict[int, int] = {}
    running: list[int] = []
    started: list[int] = []

    def admit() -> None:
        admitted = s.admit()
        started.extend(admitted)
        running.extend(admitted)
        assert len(running) <= 3
        assert sum(-(-sizes[number] // 16) for number in running) <= 10

    for submits, size in actions:
        if submits:
            sizes[len(sizes)] = size
            s.submit(len(sizes) - 1, size)
        elif running:
            s.finish(running.pop(0))
        admit()
    while running:
        s.finish(running.pop(0))
        admit()
    assert started == sorted(sizes)
