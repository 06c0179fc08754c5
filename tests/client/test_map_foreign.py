"""What is raised in a `map` by others, and what fails each item: nothing hangs, nothing that is paid for is lost."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
import subprocess
import sys
import threading
from collections import Counter, deque
from concurrent.futures import CancelledError as FutureCancelledError
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import (
    APITimeoutError,
    AsyncPhiClient,
    AuthenticationError,
    MapResult,
    PhiClient,
    PhiError,
    RetryEvent,
    UnexpectedError,
)
from phi_client._map import last_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Driver

ENDPOINT = "https://phi.eastus2.models.ai.azure.com"


def prompts(count: int) -> list[str]:
    return [f"number {number}" for number in range(count)]


def number_of(request: httpx.Request) -> int:
    return int(json.loads(request.content)["messages"][-1]["content"].split()[-1])


def echo(request: httpx.Request) -> httpx.Response:
    choice = {"index": 0, "message": {"content": str(number_of(request))}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    return httpx.Response(200, json={"choices": [choice], "usage": usage})


def contents(result: MapResult[Any]) -> list[str | None]:
    return [item.completion.content if item.completion else None for item in result]


class OddError(Exception):
    """One that says no to everything."""

    def __bool__(self) -> bool:
        return False


class OwnBaseError(BaseException):
    pass


FOREIGN: list[type[BaseException]] = [
    ValueError,
    RuntimeError,
    SystemExit,
    GeneratorExit,
    StopIteration,
    StopAsyncIteration,
    asyncio.CancelledError,
    FutureCancelledError,
    MemoryError,
    RecursionError,
    OddError,
    OwnBaseError,
    asyncio.InvalidStateError,
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("where", ["on the way", "in a hook"])
def test_what_one_item_raises_is_its_own(
    phi: Driver, tmp_path: Path, kind: type[BaseException], where: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if number_of(request) == 6:
            if where == "in a hook":
                return httpx.Response(503)
            raise kind("planted words")
        return echo(request)

    def hook(event: RetryEvent) -> None:
        raise kind("planted words")

    phi.open(on_retry=hook).router.route().mock(side_effect=answer)
    result = phi.map(prompts(30), checkpoint=tmp_path / "c.jsonl")
    assert contents(result) == [None if number == 6 else str(number) for number in range(30)]
    error = result[6].error
    assert isinstance(error, UnexpectedError)
    assert error.__cause__ is error.cause
    if kind not in (StopIteration, StopAsyncIteration):  # these a generator turns into another
        assert type(error.cause) is kind
    assert "planted" not in str(error)
    assert type(error.cause).__name__ in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.cause) == (UnexpectedError, str(error), None)
    lines = (tmp_path / "c.jsonl").read_text().splitlines()[1:]
    assert len(lines) == 30


@pytest.mark.timeout(20)
def test_a_credential_whose_refresh_was_cancelled_ends_no_more_than_the_call() -> None:
    class Shared:
        async def get_token(self, *scopes: str, **arguments: object) -> Any:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            return await future

    async def run() -> None:
        async with AsyncPhiClient(ENDPOINT, credential=Shared()) as client:
            with pytest.raises(PhiError) as caught:
                await client.map(["a", "b"], progress=False)
            assert [item.position for item in caught.value.finished] == [0, 1]

    asyncio.run(run())


@pytest.mark.timeout(20)
@pytest.mark.parametrize("eager", [False, True])
def test_a_task_that_somebody_else_cancels_is_its_items_end(*, eager: bool) -> None:
    factory = getattr(asyncio, "eager_task_factory", None)
    if eager and factory is None:
        pytest.skip("no eager tasks before Python 3.12")

    async def run() -> None:
        if eager:
            asyncio.get_running_loop().set_task_factory(factory)
        waits = asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            if number_of(request) == 1:
                await waits.wait()
            return echo(request)

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            client = AsyncPhiClient(ENDPOINT, "a-key", http_client=http)
            found = []
            async for item in client.map_as_completed(prompts(3), progress=False):
                found.append(item)
                if len(found) == 2:
                    for task in asyncio.all_tasks():
                        if task.get_name() == "phi-client-map":
                            task.cancel()
            assert [item.position for item in found][-1] == 1
            assert isinstance(found[-1].error, UnexpectedError)

    asyncio.run(run())


@pytest.mark.timeout(20)
def test_tasks_that_are_cancelled_before_they_begin_are_not_waited_for_forever() -> None:
    async def run() -> MapResult[str]:
        def cancelling(loop: Any, work: Any, **arguments: Any) -> asyncio.Task[Any]:
            task = asyncio.Task(work, loop=loop, **arguments)
            if "_Tasks._carry" in getattr(work, "__qualname__", ""):
                task.cancel()
            return task

        asyncio.get_running_loop().set_task_factory(cancelling)
        async with httpx.AsyncClient(transport=httpx.MockTransport(echo)) as http:
            client = AsyncPhiClient(ENDPOINT, "a-key", http_client=http)
            return await client.map(prompts(3), progress=False)

    with pytest.raises(UnexpectedError, match="CancelledError"):
        asyncio.run(run())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 10, 11, 31, 32, 33, 40, 41, 64])
@pytest.mark.parametrize("concurrency", [1, 4, 32])
def test_what_is_wrong_for_all_is_raised_at_any_size(phi: Driver, count: int, concurrency: int) -> None:
    for status in (401, 403, 404):
        phi.open().answer(*[httpx.Response(status)] * count)
        with pytest.raises(PhiError) as caught:
            phi.map(prompts(count), concurrency=concurrency)
        assert getattr(caught.value, "status_code", None) == status
        assert len(caught.value.finished) >= min(count, 10)
        assert all(item.error is not caught.value for item in caught.value.finished)
        assert pickle.loads(pickle.dumps(caught.value)).status_code == status

    def broken(request: httpx.Request) -> httpx.Response:
        raise ValueError(str(number_of(request)))

    phi.open().router.route().mock(side_effect=broken)
    with pytest.raises(UnexpectedError) as unexpected:
        phi.map(prompts(count), concurrency=concurrency)
    assert isinstance(unexpected.value.__cause__, ValueError)


def test_what_was_answered_before_is_not_lost(phi: Driver, tmp_path: Path) -> None:
    phi.open().router.route().mock(
        side_effect=lambda request: echo(request) if number_of(request) < 7 else httpx.Response(401)
    )
    with pytest.raises(AuthenticationError, match="10 items in a row failed like this, so the oth") as caught:
        phi.map(prompts(40), concurrency=1, checkpoint=tmp_path / "c.jsonl")
    finished = caught.value.finished
    assert isinstance(finished, MapResult)
    assert contents(finished) == [*"0123456", *[None] * 10]
    assert caught.value.spent == finished.usage
    assert finished.usage is not None
    assert finished.usage.total_tokens == 49
    phi.open().router.route().mock(side_effect=echo)
    again = phi.map(prompts(40), checkpoint=tmp_path / "c.jsonl")
    assert [item.is_restored for item in again] == [True] * 7 + [False] * 33


def test_what_runs_is_waited_for_when_hope_is_gone() -> None:
    """It is paid for; and where it is answered, hope is back."""
    failed, lock = set[int](), threading.Lock()
    seven = threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        number = number_of(request)
        if number == 0:
            seven.wait(20)
            return echo(request)
        with lock:
            if number <= 12:
                failed.add(number)
            if len(failed) >= 10:
                seven.set()
        return httpx.Response(401) if number <= 12 else echo(request)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        result = PhiClient(ENDPOINT, "a-key", http_client=http).map(prompts(40), progress=False)
    assert contents(result) == ["0", *[None] * 12, *map(str, range(13, 40))]


def test_errors_of_the_items_themselves_never_end_the_whole(phi: Driver) -> None:
    phi.open(max_retries=0).answer(*[httpx.Response(status) for status in [400, 422, 500, 408] * 10])
    assert len(phi.map(prompts(40)).failed) == 40


def test_solve_has_the_samples_that_were_answered(phi: Driver) -> None:
    good = {"choices": [{"index": 0, "message": {"content": "\\boxed{4}"}, "finish_reason": "stop"}]}
    phi.open().answer(httpx.Response(200, json=good), *[httpx.Response(401)] * 29)
    found = phi.solve("x", 30)
    assert (found.answer, len(found.samples)) == ("4", 30)


@pytest.mark.parametrize("samples", [2, 9, 10, 30])
def test_solve_raises_what_fails_all_samples(phi: Driver, samples: int) -> None:
    route = phi.open().answer(*[httpx.Response(401)] * samples)
    with pytest.raises(AuthenticationError):
        phi.solve("x", samples)
    assert route.call_count <= min(samples, 14)


def test_the_hook_is_called_by_one_thread_at_a_time() -> None:
    inside = threading.Lock()
    seen: list[RetryEvent] = []

    def hook(event: RetryEvent) -> None:
        assert inside.acquire(blocking=False), "two at once"
        try:
            seen.append(event)
        finally:
            inside.release()

    asked: set[int] = set()

    def answer(request: httpx.Request) -> httpx.Response:
        number = number_of(request)
        if number in asked:
            return echo(request)
        asked.add(number)
        return httpx.Response(503, headers={"retry-after-ms": "1"})

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        client = PhiClient(ENDPOINT, "a-key", http_client=http, on_retry=hook)
        assert not client.map(prompts(20), progress=False).failed
    assert len(seen) == 20


def without_threads(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let no more than so many threads of a map live at a time."""
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        alive = sum(thread.name == "phi-client-map" for thread in threading.enumerate())
        if self.name == "phi-client-map" and alive >= most:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("most", [0, 1, 3])
def test_without_threads_it_goes_on_with_those_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, most: int
) -> None:
    without_threads(monkeypatch, most)
    with httpx.Client(transport=httpx.MockTransport(echo)) as http:
        client = PhiClient(ENDPOINT, "a-key", http_client=http)
        for _ in range(2):  # the checkpoint is not left locked
            result = client.map(prompts(20), checkpoint=tmp_path / "c.jsonl", progress=False)
            assert contents(result) == [str(number) for number in range(20)]
    assert all(item.is_restored for item in result)


@pytest.mark.timeout(20)
def test_ctrl_c_ends_what_is_carried_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    without_threads(monkeypatch, 0)

    def answer(request: httpx.Request) -> httpx.Response:
        if number_of(request) == 3:
            raise KeyboardInterrupt
        return echo(request)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        client = PhiClient(ENDPOINT, "a-key", http_client=http)
        with pytest.raises(KeyboardInterrupt) as caught:
            client.map(prompts(20), progress=False)
    assert caught.value.__notes__ == [
        "interrupted: 3 of 20 items are finished; give `checkpoint=` to keep them next time"
    ]


SCRIPT = """
import asyncio, json, os, signal, sys, threading, time
import httpx
from phi_client import AsyncPhiClient, PhiClient

kind, path = sys.argv[1:]
seen = threading.Semaphore(0)

def reply(request):
    number = int(json.loads(request.content)["messages"][-1]["content"])
    seen.release()
    choice = {"index": 0, "message": {"content": str(number)}, "finish_reason": "stop"}
    return None if number >= 3 else httpx.Response(200, json={"choices": [choice]})

def interrupt():
    for _ in range(5):
        seen.acquire()
    while open(path).read().count(chr(10)) < 4:
        pass
    os.kill(os.getpid(), signal.SIGINT)
    # A signal that comes just before a wait begins is seen only after it, as in any Python program: a second one,
    # that does nothing, ends the wait.
    while True:
        time.sleep(0.1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

signal.signal(signal.SIGUSR1, lambda *_: None)
threading.Thread(target=interrupt, daemon=True).start()
inputs = [str(number) for number in range(20)]
how = {"checkpoint": path, "progress": False, "concurrency": 5}

def wait(request):
    answer = reply(request)
    if answer is None:
        threading.Event().wait()
    return answer

async def wait_async(request):
    answer = reply(request)
    if answer is None:
        await asyncio.Event().wait()
    return answer

async def main():
    async with httpx.AsyncClient(transport=httpx.MockTransport(wait_async)) as http:
        client = AsyncPhiClient("https://x.models.ai.azure.com", "a-key", http_client=http)
        if kind == "async":
            await client.map(inputs, **how)
        elif kind == "task":
            await asyncio.create_task(client.map(inputs, **how))
        elif kind == "async in hand":
            async for item in client.map_as_completed(inputs, **how):
                if item.position == 2:
                    await asyncio.sleep(100)
        elif kind == "gather":
            await asyncio.gather(client.map(inputs, **how), asyncio.sleep(100))
        else:
            async with asyncio.TaskGroup() as group:
                group.create_task(client.map(inputs, **how))
                group.create_task(asyncio.sleep(100))

if kind == "sync":
    with httpx.Client(transport=httpx.MockTransport(wait)) as http:
        PhiClient("https://x.models.ai.azure.com", "a-key", http_client=http).map(inputs, **how)
elif kind == "in hand":
    with httpx.Client(transport=httpx.MockTransport(wait)) as http:
        client = PhiClient("https://x.models.ai.azure.com", "a-key", http_client=http)
        for item in client.map_as_completed(inputs, **how):
            if item.position == 2:
                threading.Event().wait(100)
elif kind == "bare loop":
    kind = "async"
    asyncio.new_event_loop().run_until_complete(main())
else:
    asyncio.run(main())
"""


@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C can't be sent to one process there")
@pytest.mark.parametrize(
    "kind", ["sync", "async", "task", "gather", "group", "in hand", "async in hand", "bare loop"]
)
def test_after_ctrl_c_the_last_line_says_how_to_go_on(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        start_new_session=True,
    )
    kept = path.read_text().count("\n") - 1
    assert kept >= 3
    lines = done.stderr.splitlines()
    if kind == "bare loop":
        # A loop that nobody closes complains of its tasks when they are collected, which may be later still.
        ended = max(number for number, line in enumerate(lines) if line.startswith("KeyboardInterrupt"))
        lines = [line for line in lines[ended:] if line.startswith("interrupted: ")]
    assert lines[-1] == (
        f"interrupted: {kept} of 20 items are finished and kept in {path}; the same call again goes on from there"
    )
    assert "Traceback" in done.stderr
    assert done.returncode != 0


def test_words_are_repeated_only_below_another_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_added", "_left"):
        monkeypatch.setattr(last_words, name, deque[tuple[float, str]](maxlen=8))
    monkeypatch.setattr(last_words, "_open", [])
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    said = KeyboardInterrupt()
    last_words.add_last_words(said, "words")
    ends: list[tuple[BaseException | None, float, list[str]]] = [
        (said, 100, []),
        (None, 100, []),
        (KeyboardInterrupt(), 100, ["words"]),
        (TimeoutError(), 160, ["words"]),
        (KeyboardInterrupt(), 161, []),
    ]
    for end, now, words in ends:
        assert last_words.unsaid(end, now) == words
    for _ in range(20):
        last_words.add_last_words(KeyboardInterrupt(), "more")
    assert len(last_words.unsaid(KeyboardInterrupt(), 100)) == 8


def test_what_is_open_or_was_left_is_said_of_an_interruption_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_added", "_left"):
        monkeypatch.setattr(last_words, name, deque[tuple[float, str]](maxlen=8))
    monkeypatch.setattr(last_words, "_open", [])
    monkeypatch.setattr("time.monotonic", lambda: 100.0)

    def broken() -> str:
        raise OSError(5, "broken")

    still_open, left, done = (partial(str, name) for name in ("open", "left", "done"))
    for one in (still_open, left, done, broken):
        last_words.begin(one)
    last_words.end(left, is_left=True)
    last_words.end(done, is_left=False)
    assert last_words.unsaid(KeyboardInterrupt(), 101) == ["left", "open"]
    assert last_words.unsaid(KeyboardInterrupt(), 106) == ["open"]
    assert last_words.unsaid(ValueError(), 101) == []


def test_a_cancelled_map_says_what_is_kept() -> None:
    async def run() -> list[str]:
        begun = asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            begun.set()
            await asyncio.Event().wait()
            return echo(request)

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            client = AsyncPhiClient(ENDPOINT, "a-key", http_client=http)
            work = asyncio.create_task(client.map(prompts(5), progress=False))
            await begun.wait()
            work.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await work
            return caught.value.__notes__

    assert asyncio.run(run()) == [
        "interrupted: 0 of 5 items are finished; give `checkpoint=` to keep them next time"
    ]


def test_reprs_hold_no_prompts_and_no_answers(phi: Driver) -> None:
    words = "planted words 4"
    phi.open().answer(
        httpx.Response(
            200,
            json={
                "choices": [{"index": 0, "message": {"content": f"\\boxed{{{words}}}"}}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
            },
        ),
        httpx.Response(400),
        *[
            httpx.Response(
                200, json={"choices": [{"index": 0, "message": {"content": f"\\boxed{{{words}}}"}}]}
            )
        ]
        * 2,
    )
    result = phi.map([words] * 2, concurrency=1)
    assert repr(result) == "<MapResult: 2 items, 1 failed, 7 tokens>"
    assert [repr(item) for item in result] == [
        "<MapItem 0: answered, 7 tokens>",
        "<MapItem 1: BadRequestError>",
    ]
    found = phi.solve(words, 2)
    assert found.answer == words
    assert repr(found) == "<Solution: 2 of 2 samples agree>"
    assert repr(found.votes) == "(<Vote: 2 samples>,)"


def broken_stream(*, on: str) -> Any:
    class Broken:
        def __getattr__(self, name: str) -> Callable[..., object]:
            if name == on:
                raise BrokenPipeError
            return lambda *arguments: True

    return Broken()


@pytest.mark.parametrize("on", ["isatty", "write", "flush"])
@pytest.mark.parametrize("progress", [True, None])
def test_a_bar_that_can_not_be_drawn_ends_nothing(
    phi: Driver, monkeypatch: pytest.MonkeyPatch, on: str, progress: bool | None
) -> None:
    phi.open().router.route().mock(side_effect=echo)
    monkeypatch.setattr("sys.stderr", broken_stream(on=on))
    assert not phi.map(prompts(5), progress=progress).failed


def test_a_closed_standard_error_ends_nothing(phi: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    import io  # noqa: PLC0415

    closed = io.StringIO()
    closed.close()
    phi.open().router.route().mock(side_effect=echo)
    monkeypatch.setattr("sys.stderr", closed)
    assert not phi.map(prompts(5), progress=True).failed
    assert not phi.map(prompts(5)).failed


def test_more_at_once_than_a_hundred_can_be_asked_for() -> None:
    most, running, lock = 0, 0, threading.Lock()
    barrier = threading.Barrier(150)

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal most, running
        with lock:
            running += 1
            most = max(most, running)
        if number_of(request) >= 200:
            barrier.wait(30)
        with lock:
            running -= 1
        return echo(request)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        client = PhiClient(ENDPOINT, "a-key", http_client=http)
        assert not client.map(prompts(350), concurrency=150, progress=False).failed
    assert most == 150


def test_a_timeout_of_all_is_no_reason_to_give_up(phi: Driver) -> None:
    phi.open(max_retries=0).answer(*[httpx.ReadTimeout("slow")] * 12)
    result = phi.map(prompts(12))
    assert all(isinstance(item.error, APITimeoutError) for item in result)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_each_answer_is_asked_for_once(phi: Driver, tmp_path: Path, seed: int) -> None:
    """Of runs that are left somewhere, with everything raised that may be, and then one more to the end."""
    chance = random.Random(seed)
    count, lock = 50, threading.Lock()
    given: Counter[int] = Counter()

    def answer(request: httpx.Request) -> httpx.Response:
        number = number_of(request)
        with lock:
            draw = chance.random()
            if draw < 0.15:
                raise chance.choice(FOREIGN)
            if draw < 0.5:
                return httpx.Response(chance.choice([400, 401, 429, 500, 503]), headers={"retry-after": "1"})
            given[number] += 1
        return echo(request)

    phi.open(max_retries=1).router.route().mock(side_effect=answer)
    path, concurrency = tmp_path / "c.jsonl", chance.choice([1, 3, 32])
    answered: set[int] = set()
    for _ in range(6):
        leave = chance.choice([None, 1, 5, 20])
        items = phi.map_as_completed(
            prompts(count), checkpoint=path, concurrency=concurrency, leave_after=leave
        )
        answered |= {item.position for item in items if item.completion is not None}
        kept = {
            line["position"]
            for line in map(json.loads, path.read_text().splitlines()[1:])
            if "completion" in line
        }
        assert answered <= kept == set(given)
        assert set(given.values()) <= {1}
