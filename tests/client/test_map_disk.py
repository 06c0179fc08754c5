"""A checkpoint and the disk: an answer is there within a second whatever else goes on, and none is lost."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from phi_client import AsyncPhiClient, CheckpointError, ConfigurationError, PhiClient
from phi_client._map.checkpoint import SYNC_S, Checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Driver

ENDPOINT = "https://phi.eastus2.models.ai.azure.com"
PROMPTS = [f"number {number}" for number in range(12)]
LONG_S = 20.0


def echo(request: httpx.Request) -> httpx.Response:
    text = json.loads(request.content)["messages"][-1]["content"]
    return httpx.Response(
        200, json={"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}
    )


class Disk:
    """Counts the lines of a file that were forced to it, and lets others wait for that."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.lines = 0
        self.changed = threading.Condition()
        self._force = os.fsync
        monkeypatch.setattr("os.fsync", self.force)

    def force(self, descriptor: int) -> None:
        self._force(descriptor)
        with self.changed:
            self.lines = self.path.read_bytes().count(b"\n") - 1
            self.changed.notify_all()

    def has(self, items: int) -> bool:
        """Wait until so many items are there."""
        with self.changed:
            return self.changed.wait_for(lambda: self.lines >= items, LONG_S)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.jsonl"


@pytest.fixture
def disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(path, monkeypatch)


def test_answers_are_on_the_disk_while_another_takes_long(path: Path, disk: Disk) -> None:
    """Of a sync client: nobody ends the slow one before the others are on the disk."""

    def answer(request: httpx.Request) -> httpx.Response:
        if b"number 0" in request.content:
            assert disk.has(3)
        return echo(request)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        client = PhiClient(ENDPOINT, "a-key", http_client=http)
        assert not client.map(PROMPTS[:4], checkpoint=path, progress=False).failed
    assert disk.lines == 4


def test_answers_are_on_the_disk_while_another_takes_long_async(path: Path, disk: Disk) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        if b"number 0" in request.content:
            assert await asyncio.to_thread(disk.has, 3)
        return echo(request)

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            client = AsyncPhiClient(ENDPOINT, "a-key", http_client=http)
            assert not (await client.map(PROMPTS[:4], checkpoint=path, progress=False)).failed

    asyncio.run(run())
    assert disk.lines == 4


def test_answers_are_on_the_disk_while_the_caller_dawdles(path: Path, disk: Disk) -> None:
    """Also those that end meanwhile, which the caller has not been given."""
    with httpx.Client(transport=httpx.MockTransport(echo)) as http:
        client = PhiClient(ENDPOINT, "a-key", http_client=http)
        items = client.map_as_completed(PROMPTS[:4], checkpoint=path, progress=False)
        next(items)
        assert disk.has(4)
        assert len(list(items)) == 3


def test_answers_are_on_the_disk_while_the_caller_dawdles_async(path: Path, disk: Disk) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(echo)) as http:
            client = AsyncPhiClient(ENDPOINT, "a-key", http_client=http)
            items = client.map_as_completed(PROMPTS[:4], checkpoint=path, progress=False)
            await anext(items)
            assert await asyncio.to_thread(disk.has, 4)
            assert len([item async for item in items]) == 3

    asyncio.run(run())


def test_the_disk_is_not_forced_for_each_of_many(
    phi: Driver, path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[int] = []
    count = disk.force

    def force(descriptor: int) -> None:
        forced.append(descriptor)
        count(descriptor)

    monkeypatch.setattr("os.fsync", force)
    phi.open().router.route().mock(side_effect=echo)
    phi.map(PROMPTS * 10, checkpoint=path)
    assert disk.lines == 120
    assert len(forced) < 60
    assert SYNC_S <= 0.5


def failing(code: int) -> Any:
    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_full_disk_ends_the_whole_and_loses_no_answer(
    phi: Driver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = os.write

    def write(descriptor: int, data: memoryview) -> int:
        if b"number 7" in bytes(data):
            # A part of the line finds room.
            written(descriptor, data[:9])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(descriptor, data)

    phi.open().router.route().mock(side_effect=echo)
    monkeypatch.setattr("os.write", write)
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        phi.map(PROMPTS, checkpoint=path, concurrency=1)
    finished = caught.value.finished
    assert [item.completion.content for item in finished] == PROMPTS[:8]
    assert "7 of 12 items are kept in it, and `map` has all 8" in str(caught.value)
    monkeypatch.undo()
    result = phi.map(PROMPTS, checkpoint=path)
    assert [item.is_restored for item in result] == [True] * 7 + [False] * 5


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_can_not_be_forced_ends_the_whole(
    phi: Driver, path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    phi.open().router.route().mock(side_effect=echo)
    phi.map(PROMPTS[:2], checkpoint=path)
    monkeypatch.setattr("os.fsync", failing(code))
    with pytest.raises(CheckpointError, match="2 of 12 items are kept") as caught:
        phi.map(PROMPTS, checkpoint=path)
    assert caught.value.finished.items[0].is_restored
    assert [item.completion.content for item in caught.value.finished][:2] == PROMPTS[:2]
    monkeypatch.undo()
    assert not phi.map(PROMPTS, checkpoint=path).failed


def test_what_can_not_be_begun_is_said_before_anything_is_sent(
    phi: Driver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = phi.open().router.route().mock(side_effect=echo)
    monkeypatch.setattr("os.write", failing(errno.EROFS))
    with pytest.raises(ConfigurationError, match="can't be written: Read-only file system"):
        phi.map(PROMPTS, checkpoint=path)
    assert not route.called


def test_a_line_that_is_forced_once_is_not_forced_again(path: Path, disk: Disk) -> None:
    checkpoint = Checkpoint(path, ["a", "b", "c"], ["here"])
    done: dict[str, Any] = {"completion": {}}
    assert checkpoint.write({"position": 0, **done})
    assert not checkpoint.write({"position": 1, **done})
    assert (checkpoint.safe, checkpoint.written(), disk.lines) == (0, 2, 0)
    checkpoint.sync()
    checkpoint.sync()
    assert (checkpoint.safe, disk.lines) == (2, 2)
    assert not checkpoint.write({"position": 2, "error": {}})
    assert checkpoint.write({"position": 2, **done})
    checkpoint.close()
    assert disk.lines == 4
    assert not checkpoint.write({"position": 2, **done})
    checkpoint.sync()
    checkpoint.close()
    assert repr(checkpoint) == f"<Checkpoint {str(path)!r}: 0 answers of earlier runs>"


def test_a_file_system_without_locks_is_no_obstacle(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fcntl")
    monkeypatch.setattr("fcntl.flock", failing(errno.ENOLCK))
    Checkpoint(path, ["a"], ["here"]).close()
    assert path.exists()


@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_does_not_keep_the_lock(path: Path) -> None:
    checkpoint = Checkpoint(path, ["a"], ["here"])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    checkpoint.close()
    Checkpoint(path, ["a"], ["here"]).close()
    os.close(writing)
    os.waitpid(child, 0)
    os.close(reading)
