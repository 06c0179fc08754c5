"""The profile that a recording shows: what was recorded at the pace of a profile gives that profile again."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.latency.presets import PRESETS
from phi_emulator.latency.profile import Profile
from phi_emulator.latency.reading import read_file
from phi_emulator.recordings.exchanges import (
    End,
    RecordedChunk,
    RecordedExchange,
    RecordedHead,
    RecordedRequest,
)
from phi_emulator.recordings.file import RecordingFile, lines_of
from phi_emulator.recordings.measured import NoStreamsError, measure

REQUEST = RecordedRequest("serverless", "POST", "/chat/completions", None, {}, b'{"messages":[]}')


def event(delta: dict[str, Any], **members: Any) -> bytes:
    body = {"choices": [{"index": 0, "delta": delta, "finish_reason": None}], **members}
    return f"data: {json.dumps(body)}\n\n".encode()


def streamed(
    profile: Profile, tokens: int, *, number: int = 1, prompt: int = 10, end: End = End.COMPLETE
) -> RecordedExchange:
    """A stream that came at the pace of a profile."""
    times = [round(due * 1000) for due in islice(profile.due_times(prompt, number), tokens)]
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
    last = event({}, usage=usage) + b"data: [DONE]\n\n"
    chunks = [RecordedChunk(event({"role": "assistant", "content": ""}), 0)]
    chunks += [RecordedChunk(event({"content": "x"}), ms) for ms in times]
    chunks.append(RecordedChunk(last, times[-1] if times else 0))
    head = RecordedHead(200, {"content-type": "text/event-stream"}, 0)
    return RecordedExchange(REQUEST, head, tuple(chunks), end, chunks[-1].ms)


def whole(status: int = 200) -> RecordedExchange:
    body = b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}'
    return RecordedExchange(REQUEST, RecordedHead(status, {}, 5), (RecordedChunk(body, 9),), End.COMPLETE, 9)


@settings(max_examples=15, deadline=None)
@given(
    st.builds(
        Profile,
        first_s=st.floats(0.05, 3),
        gap_s=st.floats(0.004, 0.2),
        jitter=st.sampled_from([0.0, 0.1, 0.5]),
        first_jitter=st.sampled_from([0.0, 0.3]),
        chunk=st.sampled_from([1, 1, 4]),
        seed=st.integers(0, 99),
    )
)
def test_what_came_at_the_pace_of_a_profile_gives_it_again(profile: Profile) -> None:
    found = measure(streamed(profile, 300, number=number) for number in range(1, 17)).profile
    assert found.gap_s == pytest.approx(profile.gap_s, rel=0.06)
    assert found.jitter == pytest.approx(profile.jitter, rel=0.15, abs=0.03)
    assert found.first_s == pytest.approx(profile.first_s, rel=0.25, abs=0.001)
    assert found.first_jitter == pytest.approx(profile.first_jitter, rel=0.7, abs=0.02)
    assert found.chunk == profile.chunk
    assert found.prompt_s == 0


def test_what_long_prompts_take_is_told_apart() -> None:
    profile = Profile(first_s=0.5, prompt_s=0.002, gap_s=0.02)
    found = measure(streamed(profile, 20, prompt=prompt) for prompt in (10, 100, 1000, 4000)).profile
    assert found.first_s == pytest.approx(0.5, abs=0.002)
    assert found.prompt_s == pytest.approx(0.002, rel=0.01)
    assert found.first_jitter == pytest.approx(0, abs=0.01)


def test_one_stream_is_enough_and_what_tells_nothing_is_counted() -> None:
    found = measure(
        [
            whole(),
            whole(429),
            streamed(Profile(first_s=1, gap_s=0.1), 5),
            streamed(Profile(), 5, end=End.CUT_OFF),
            streamed(Profile(), 0),
        ]
    )
    assert (found.streams, found.tokens, found.left_out) == (1, 5, 4)
    assert found.profile == Profile(first_s=1, gap_s=0.1)


def test_tokens_that_no_event_tells_apart_are_those_of_the_usage() -> None:
    made = streamed(Profile(first_s=1, gap_s=0.1), 6)
    # Of the six texts three came in one event with the one before.
    fewer = tuple(chunk for place, chunk in enumerate(made.chunks) if place not in (2, 4, 6))
    found = measure([RecordedExchange(made.request, made.head, fewer, made.end, made.ms)]).profile
    assert found.chunk == 2
    assert found.gap_s == pytest.approx(0.1)


def test_without_a_stream_it_is_said_what_to_record() -> None:
    with pytest.raises(
        NoStreamsError, match="no stream with a text among its 1 exchanges: record one with `stream`"
    ):
        measure([whole()])


def recorded(path: Path, *exchanges: RecordedExchange) -> str:
    with RecordingFile(path) as file:
        for exchange in exchanges:
            file.add(lines_of(exchange))
    return str(path)


def test_the_command_prints_a_file_that_the_option_takes(tmp_path: Path) -> None:
    profile = Profile(first_s=0.8, gap_s=0.025)
    names = [
        recorded(tmp_path / 'a "day".jsonl', streamed(profile, 9), whole()),
        recorded(tmp_path / "b.jsonl", streamed(profile, 9)),
    ]
    done = CliRunner().invoke(phi_emulator, ["latency", "read", *names])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("# 2 streams with 18 tokens in ")
    assert "; 1 other exchanges tell nothing\n" in done.output
    file = tmp_path / "profile.toml"
    file.write_text(done.output, encoding="utf-8")
    found = read_file(file)
    assert found is not None
    assert found.source == f"2 streams in {', '.join(names)}"
    assert (found.first_s, found.gap_s, found.jitter, found.first_jitter) == (0.8, 0.025, 0, 0)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    for name, text in {
        recorded(tmp_path / "whole.jsonl", whole()): "there is no stream with a text",
        str(tmp_path / "none.jsonl"): "can't be read",
        recorded(tmp_path / "nothing.jsonl"): "there is no stream with a text among its 0 exchanges",
    }.items():
        done = CliRunner().invoke(phi_emulator, ["latency", "read", name])
        assert done.exit_code == 1
        assert name in done.output
        assert text in done.output
        assert "Traceback" not in done.output


def test_the_command_lists_the_presets_with_their_sources() -> None:
    done = CliRunner().invoke(phi_emulator, ["latency"])
    assert done.exit_code == 0
    assert [name for name in PRESETS if f"{name}\n" not in done.output] == []
    assert done.output.count("  from ") == done.output.count("  assumed: ") == len(PRESETS)
