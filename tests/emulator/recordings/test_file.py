"""The file of a recording: what is written is read again, whatever it is, and what was not ended is not there."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.recordings.exchanges import (
    End,
    RecordedChunk,
    RecordedExchange,
    RecordedHead,
    RecordedRequest,
)
from phi_emulator.recordings.file import RecordingError, RecordingFile, lines_of, read_recording

ASKED = RecordedRequest(
    "serverless",
    "POST",
    "/v1/chat/completions",
    "2024-05-01-preview",
    {"content-type": "application/json"},
    b'{"messages":[{"content":"6 * 7?","role":"user"}]}',
)
STREAM = RecordedExchange(
    ASKED,
    RecordedHead(200, {"content-type": "text/event-stream"}, 3),
    (RecordedChunk(b"data: 1\n\n", 4), RecordedChunk("data: größer\n\n".encode(), 19)),
    End.COMPLETE,
    19,
)

texts = st.text('az09 {}[]:,"\\\n\r\0\x85é\u2028\ud7ff\U0001f600', max_size=12)
headers = st.dictionaries(st.text("ab-", min_size=1, max_size=3), st.text('a "=,;\t', max_size=5), max_size=3)
times = st.lists(st.integers(0, 10**6), min_size=9, max_size=9).map(sorted)
bodies = st.binary(max_size=40) | texts.map(str.encode) | st.sampled_from([b"{}", b"[" * 60 + b"]" * 60])


@st.composite
def exchanges(draw: st.DrawFn) -> RecordedExchange:
    ms = draw(times)
    has_head = draw(st.booleans())
    chunks = draw(st.lists(bodies, max_size=6)) if has_head else []
    ends = set(End) - {End.UNREACHABLE if has_head else End.COMPLETE}
    return RecordedExchange(
        RecordedRequest(
            draw(texts),
            draw(texts),
            draw(texts),
            draw(st.none() | texts),
            draw(headers),
            draw(bodies),
        ),
        RecordedHead(draw(st.integers(200, 599)), draw(headers), ms[0]) if has_head else None,
        tuple(RecordedChunk(data, at) for data, at in zip(chunks, ms[1:], strict=False)),
        draw(st.sampled_from(sorted(ends))),
        ms[-1],
    )


def written(folder: Path, *recorded: RecordedExchange) -> Path:
    path = folder / "tape.jsonl"
    path.unlink(missing_ok=True)
    with RecordingFile(path) as file:
        for exchange in recorded:
            file.add(lines_of(exchange))
    return path


@settings(deadline=None)  # a disk takes the time that it takes
@given(st.lists(exchanges(), max_size=3))
def test_what_is_written_is_read_again(recorded: list[RecordedExchange]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = read_recording(written(Path(folder), *recorded))
    assert not found.is_cut
    for one, other in zip(found.exchanges, recorded, strict=True):
        assert (one.head, one.chunks, one.end, one.ms) == (other.head, other.chunks, other.end, other.ms)
        assert one.request.headers == other.request.headers
        try:
            assert json.loads(one.request.body) == json.loads(other.request.body)
        except (ValueError, RecursionError):
            assert one.request.body == other.request.body


def test_a_file_is_readable_and_the_same_each_time(tmp_path: Path) -> None:
    assert written(tmp_path, STREAM).read_text(encoding="utf-8").splitlines() == [
        '{"format":"phi-emulator recording","version":1}',
        (
            '{"request":{"api_version":"2024-05-01-preview","headers":{"content-type":"application/json"},'
            '"json":{"messages":[{"content":"6 * 7?","role":"user"}]},"method":"POST",'
            '"path":"/v1/chat/completions","surface":"serverless"}}'
        ),
        '{"response":{"headers":{"content-type":"text/event-stream"},"ms":3,"status":200}}',
        '{"ms":4,"text":"data: 1\\n\\n"}',
        '{"ms":19,"text":"data: größer\\n\\n"}',
        '{"end":"complete","ms":19}',
    ]


def test_whatever_is_cut_off_at_the_end_the_exchanges_before_it_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, STREAM, STREAM)
    content = path.read_bytes()
    one = len(written(tmp_path, STREAM).read_bytes())
    for size in range(one, len(content)):
        path.write_bytes(content[:size])
        found = read_recording(path)
        assert (found.exchanges, found.is_cut, found.whole_bytes) == ((STREAM,), size > one, one)


def test_what_was_cut_off_makes_room_for_what_is_added(tmp_path: Path) -> None:
    path = written(tmp_path, STREAM)
    whole = path.read_bytes()
    path.write_bytes(whole + lines_of(STREAM)[:-9])
    with RecordingFile(path, append=True) as file:
        file.add(lines_of(STREAM))
    assert path.read_bytes() == whole + lines_of(STREAM)


def test_a_recording_is_not_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path, STREAM)
    before = path.read_bytes()
    with pytest.raises(RecordingError, match="--append"):
        RecordingFile(path)
    assert path.read_bytes() == before


def test_what_is_no_recording_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\n", encoding="utf-8")
    with pytest.raises(RecordingError, match=r"notes\.txt:1: this is no recording"):
        RecordingFile(path, append=True)
    assert path.read_text(encoding="utf-8") == "dear diary\n"


REQUEST = lines_of(STREAM).split(b"\n")[0].decode()
RESPONSE = '{"response":{"ms":1,"status":200}}'


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (['{"end":"complete","ms":1}'], ":2: an exchange begins with its `request`"),
        ([REQUEST, REQUEST], ":3: a request begins before"),
        ([REQUEST, '{"end":"complete","ms":1}'], ":3: no exchange without a `response` ends so"),
        ([REQUEST, RESPONSE, '{"end":"unreachable","ms":1}'], ":4: no exchange with a `response` ends so"),
        ([REQUEST, RESPONSE, '{"end":"later","ms":1}'], ":4: `end` is one of 'complete'"),
        ([REQUEST, RESPONSE, RESPONSE], ":4: an exchange has one `response`"),
        ([REQUEST, '{"ms":1,"text":""}'], ":3: what is sent comes after its `response`"),
        ([REQUEST, RESPONSE, '{"ms":0,"text":""}'], ":4: `ms` is a whole number"),
        ([REQUEST, RESPONSE, '{"ms":1e3,"text":""}'], ":4: `ms` is a whole number"),
        ([REQUEST, RESPONSE, '{"ms":1000000000,"text":""}'], ":4: `ms` is a whole number"),
        ([REQUEST, RESPONSE, '{"ms":1,"base64":"?"}'], ":4: `base64` is none"),
        ([REQUEST, RESPONSE, '{"ms":1}'], ":4: there is neither `text` nor `base64`"),
        ([REQUEST, '{"response":{"ms":1,"status":99}}'], ":3: `status` is a number from 200 to 599"),
        ([REQUEST, '{"response":{"headers":{"a":"b\\r\\nc: d"},"ms":1,"status":200}}'], ":3: the header 'a'"),
        (["[1]"], ":2: a line is no object"),
        (["{"], ":2: "),
        (['{"request":{"method":1}}'], ":2: `surface` is no text"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, lines: list[str], complaint: str) -> None:
    path = tmp_path / "tape.jsonl"
    first = '{"format":"phi-emulator recording","version":1}'
    path.write_text("\n".join([first, *lines, ""]), encoding="utf-8")
    with pytest.raises(RecordingError) as caught:
        read_recording(path)
    assert complaint in str(caught.value)


def test_a_version_to_come_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text('{"format":"phi-emulator recording","version":2}\n', encoding="utf-8")
    with pytest.raises(RecordingError, match="version 2 is not known"):
        read_recording(path)


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tape.jsonl"
    with RecordingFile(path) as file:
        file.add(lines_of(STREAM))
        before = path.read_bytes()

        def full(_path: Path) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("phi_emulator.recordings.file.flush", full)
            with pytest.raises(RecordingError, match="No space left"):
                file.add(lines_of(STREAM))
        assert path.read_bytes() == before
        file.add(lines_of(STREAM))
    assert read_recording(path).exchanges == (STREAM, STREAM)


def test_the_file_that_the_guide_shows_is_one(tmp_path: Path) -> None:
    guide = Path(__file__).parents[3] / "docs/how-to/record-and-replay.md"
    (shown,) = re.findall(r"```json\n(\{\"format\".*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "tape.jsonl"
    path.write_text(shown, encoding="utf-8")
    (exchange,) = read_recording(path).exchanges
    assert lines_of(exchange) == "".join(shown.splitlines(keepends=True)[1:]).encode()
