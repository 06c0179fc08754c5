"""The checkpoint's file: what is written comes back, a torn end is cut off, and what does not belong is refused."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from phi_client import ConfigurationError
from phi_client._map.checkpoint import Checkpoint

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ["a", "b", "c"]
HOSTS = ["one.example"]


def done(position: int) -> dict[str, Any]:
    return {"position": position, "completion": {"choices": []}}


def written(path: Path, *records: dict[str, Any]) -> bytes:
    checkpoint = Checkpoint(path, KEYS, HOSTS)
    for record in records:
        checkpoint.write(record)
    checkpoint.close()
    return path.read_bytes()


def positions(path: Path, keys: list[str] = KEYS, hosts: list[str] = HOSTS) -> list[int]:
    checkpoint = Checkpoint(path, keys, hosts)
    checkpoint.close()
    return sorted(checkpoint.records)


def refusal(path: Path, keys: list[str] = KEYS, hosts: list[str] = HOSTS) -> str:
    before = path.read_bytes()
    with pytest.raises(ConfigurationError) as caught:
        Checkpoint(path, keys, hosts)
    assert path.read_bytes() == before
    return str(caught.value)


def test_what_was_written_comes_back_and_is_readable_json(tmp_path: Path) -> None:
    content = written(tmp_path / "c.jsonl", done(2), done(0))
    assert positions(tmp_path / "c.jsonl") == [0, 2]
    head, *lines = [json.loads(line) for line in content.splitlines()]
    assert head == {"format": "phi_client.map/2", "hosts": HOSTS}
    assert lines[0] == {"position": 2, "key": "c", "completion": {"choices": []}}


def test_what_this_run_has_written_is_counted_by_the_file(tmp_path: Path) -> None:
    written(tmp_path / "c.jsonl", done(0))
    checkpoint = Checkpoint(tmp_path / "c.jsonl", KEYS, HOSTS)
    assert checkpoint.written() == 0
    checkpoint.write(done(2))
    assert checkpoint.written() == 1
    checkpoint.write(done(1))
    assert checkpoint.written() == 2
    checkpoint.close()
    assert positions(tmp_path / "c.jsonl") == [0, 1, 2]


def test_a_line_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c.jsonl", KEYS, HOSTS)
    checkpoint.write(done(1))
    assert (tmp_path / "c.jsonl").read_bytes().endswith(b"\n")
    assert (tmp_path / "c.jsonl").read_bytes().count(b"\n") == 2
    checkpoint.close()


def test_failed_items_are_kept_for_the_reader_and_not_as_answers(tmp_path: Path) -> None:
    written(tmp_path / "c.jsonl", done(0), {"position": 1, "error": {"type": "RateLimitError"}})
    assert positions(tmp_path / "c.jsonl") == [0]


def test_a_file_that_was_torn_anywhere_loses_its_last_line_only(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    whole = written(path, done(0), done(1))
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        complete = sum(end <= size for end in ends)
        assert positions(path) == list(range(max(0, complete - 1)))
        written(path, done(2))
        assert positions(path)[-1] == 2
        assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_a_last_line_of_garbage_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(written(path, done(0)) + b"\0\0\0\0\n")
    assert positions(path) == [0]


def test_a_broken_line_in_the_middle_is_not_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    head, first, second = written(path, done(0), done(1)).splitlines(keepends=True)
    path.write_bytes(head + first[:9] + b"\n" + second)
    assert "line 2 of the checkpoint" in refusal(path)


@pytest.mark.parametrize(
    "content", [b"my notes\n", b"my notes", b'{"a": 1}\n', b'{"a": 1}', b"[1]\n", b"\xff\xfe\n"]
)
def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(content)
    assert "give another file" in refusal(path)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["a", "x", "c"], "item 1 (line 3)"),
        (["a"], "there are 1 inputs"),
        (["b", "a", "c"], "item 0 (line 2)"),
    ],
)
def test_other_inputs_are_noticed(tmp_path: Path, keys: list[str], says: str) -> None:
    written(tmp_path / "c.jsonl", done(0), done(1))
    assert says in refusal(tmp_path / "c.jsonl", keys)


def test_inputs_may_be_added_at_the_end(tmp_path: Path) -> None:
    written(tmp_path / "c.jsonl", done(0))
    assert positions(tmp_path / "c.jsonl", [*KEYS, "d"]) == [0]


def test_answers_of_another_host_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "c.jsonl", done(0))
    assert "holds answers of one.example, and this client asks two.example" in refusal(
        tmp_path / "c.jsonl", hosts=["two.example"]
    )
    assert positions(tmp_path / "c.jsonl", hosts=["one.example", "two.example"]) == [0]


@pytest.mark.skipif(sys.platform == "win32", reason="no lock keeps two processes apart there")
def test_two_at_once_are_refused(tmp_path: Path) -> None:
    first = Checkpoint(tmp_path / "c.jsonl", KEYS, HOSTS)
    assert "in use by another `map`" in refusal(tmp_path / "c.jsonl")
    first.close()
    assert positions(tmp_path / "c.jsonl") == []


def test_a_place_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be opened"):
        Checkpoint(tmp_path / "missing" / "c.jsonl", KEYS, HOSTS)
    with pytest.raises(ConfigurationError, match="can't be opened"):
        Checkpoint(tmp_path, KEYS, HOSTS)
