"""Judges: each verdict against what truly went over the wire, and nothing said where it can be seen in two ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from phi_emulator.grading.answers import write_text
from phi_emulator.grading.judges import JUDGES, Habit, judge
from phi_emulator.grading.program import Run
from phi_emulator.grading.stage import Outcome
from phi_emulator.grading.trials import read_trial
from phi_emulator.grading.verdicts import VERDICTS
from phi_emulator.grading.wire import Delivery, Ending, Seen, service_words

TEXT = write_text("plain", 1, 1)
ANSWER = TEXT.text.rpartition("</think>")[2]
HABIT = Habit(answer=(0, 1, 2, 3), patience=3600.0)
WHOLE = json.dumps({"choices": [{"message": {"content": TEXT.text}, "finish_reason": "stop"}]}).encode()
ERROR = json.dumps({"error": {"code": "x", "message": "The service is out of order today."}}).encode()


def seen(at: float = 0.0, status: int = 200, sent: bytes = WHOLE, **more: Any) -> Seen:
    given: dict[str, Any] = {
        "path": "/chat/completions",
        "credentials": frozenset({"k"}),
        "body": b'{"messages": []}',
        "jumped": at,
        "ended_at": at,
        "ended_jumped": at,
        "ending": Ending.WHOLE,
    }
    return Seen(at=at, status=status, sent=bytearray(sent), **(given | more))


def outcome(
    *exchanges: Seen, status: int | None = 0, out: str = ANSWER, err: str = "", line: str = "", **more: Any
) -> Outcome:
    trial = read_trial(f"plain seed=1 pieces=7{line and ' | '}{line}")
    given: dict[str, Any] = {"leaks": (), "texts": (TEXT,), "is_virtual": True, "seconds": 1.0} | more
    return Outcome(trial, Run(status, out, err, 0.1), exchanges, **given)


def stream(*contents: str, reason: str | None = "stop", done: bool = True, more: bytes = b"") -> bytes:
    choices: list[dict[str, Any]] = [{"delta": {"content": text}, "finish_reason": None} for text in contents]
    choices += [{"delta": {}, "finish_reason": reason}] if reason else []
    data = b"".join(b"data: " + json.dumps({"choices": [one]}).encode() + b"\n\n" for one in choices)
    return data + more + (b"data: [DONE]\n\n" if done else b"")


def streamed(sent: bytes, **more: Any) -> Seen:
    return seen(sent=sent, body=b'{"messages": [], "stream": true}', **more)


def limited(asked: str, at: float = 0.0, **more: Any) -> Seen:
    return seen(at, 429, ERROR, headers={"retry-after": asked}, **more)


WRONG = {
    "a retry that comes too soon": (outcome(limited("30"), seen(2)), "retry-after-ignored"),
    "a retry after a part of the wait": (outcome(limited("30"), seen(29)), "retry-after-ignored"),
    "a retry before a date": (
        outcome(limited("Thu, 01 Jan 1970 00:01:00 GMT", ended_unix=10.0), seen(20)),
        "retry-after-ignored",
    ),
    "a retry though the wait is for ever": (outcome(limited("999999999"), seen(60)), "retry-after-ignored"),
    "two retries at once": (
        outcome(*(seen(0, 500, ERROR) for _ in range(3)), status=1, err=ERROR.decode()),
        "retry-storm",
    ),
    "a bad request again": (
        outcome(seen(0, 400, ERROR), seen(9, 400, ERROR), status=1, err=ERROR.decode()),
        "retry-storm",
    ),
    "retries without end": (
        outcome(*(seen(60.0 * n, 503, ERROR) for n in range(11)), status=1, err=ERROR.decode()),
        "retry-storm",
    ),
    "five in a second": (
        outcome(*(seen(0.1 * n, 503, ERROR) for n in range(5)), status=1, err=ERROR.decode()),
        "retry-storm",
    ),
    "a stream without a finish reason": (
        outcome(streamed(stream(TEXT.text, reason=None))),
        "cut-taken-as-whole",
    ),
    "a stream that was cut": (
        outcome(streamed(stream(TEXT.text, reason=None, done=False), ending=Ending.CUT)),
        "cut-taken-as-whole",
    ),
    "a finish reason that is not through": (
        outcome(streamed(stream(TEXT.text, done=False)[:-1], ending=Ending.CUT)),
        "cut-taken-as-whole",
    ),
    "an error in the stream": (
        outcome(streamed(stream(TEXT.text, reason=None, more=b"data: " + ERROR + b"\n\n"))),
        "cut-taken-as-whole",
    ),
    "silence sat out": (outcome(seen(ended_at=3600.5), line="1 wait seconds=3600"), "no-read-limit"),
    "a key elsewhere": (outcome(seen(), leaks=("at 127.0.0.1:1",)), "key-sent-elsewhere"),
    "words lost": (outcome(seen(0, 500, ERROR), status=1, out="", err="HTTP 500"), "error-body-lost"),
    "an error taken for an answer": (outcome(seen(0, 500, ERROR), out="sorry"), "error-body-lost"),
    "words of a stream lost": (
        outcome(streamed(stream("x", reason=None, more=b"data: " + ERROR + b"\n\n")), status=1, err="bad"),
        "error-body-lost",
    ),
    "thoughts printed": (outcome(seen(), out=TEXT.text), "thoughts-in-answer"),
    "one word of the thoughts": (outcome(seen(), out=TEXT.thoughts[7] + ANSWER), "thoughts-in-answer"),
    "a cut answer": (outcome(seen(sent=WHOLE.replace(b'"stop"', b'"length"'))), "cut-answer-scored"),
    "a filtered answer": (
        outcome(streamed(stream(TEXT.text, reason="content_filter"))),
        "cut-answer-scored",
    ),
    "asked again after a cut": (
        outcome(streamed(stream(TEXT.text, reason=None, done=False), ending=Ending.CUT), seen(5)),
        "billed-twice",
    ),
    "asked again after a whole answer": (outcome(seen(), seen(5)), "billed-twice"),
    "half of the answer": (outcome(seen(), out=TEXT.answer[0]), "wrong-answer"),
    "the answer twice": (outcome(seen(), out=ANSWER + ANSWER), "wrong-answer"),
    "an answer from nothing": (outcome(seen(sent=b"{}"), out=""), "wrong-answer"),
    "a good answer refused": (outcome(seen(), status=1, out="", err="bad", line="1 split"), "wrong-answer"),
}
FINE = {
    "an answer": outcome(seen()),
    "the wait that was asked for": outcome(limited("30"), seen(30)),
    "an hour more": outcome(limited("30"), seen(3630)),
    "no retry": outcome(limited("30"), status=1, out="", err="429: The service is out of order today."),
    "a wait that no clock can read": outcome(limited("soon"), seen(1)),
    "a date that has passed": outcome(limited("Thu, 01 Jan 1970 00:00:05 GMT", ended_unix=9.0), seen(1)),
    "retries that back off": outcome(seen(0, 500, ERROR), seen(0.5, 500, ERROR), seen(1.7)),
    "one at once": outcome(seen(0, 500, ERROR), seen(0.001)),
    "at once, as the service says": outcome(*(limited("0", 0.001 * n) for n in range(3)), seen(0.004)),
    "ten polite retries": outcome(*(limited("30", 31.0 * n) for n in range(11)), seen(400)),
    "another credential after 401": outcome(seen(0, 401, ERROR), seen(0.1, credentials=frozenset({"other"}))),
    "another path after 404": outcome(seen(0, 404, ERROR), seen(0.1, path="/v1/chat/completions")),
    "no [DONE], and a finish reason": outcome(streamed(stream(TEXT.text, done=False))),
    "cut after its finish reason": outcome(
        streamed(stream(TEXT.text, done=False), ending=Ending.CUT), status=1, err="cut"
    ),
    "cut, and an error": outcome(
        streamed(stream(TEXT.text, reason=None, done=False), ending=Ending.CUT), status=1, err="cut"
    ),
    "silence that was left": outcome(
        seen(ended_at=300, status=0, sent=b"", ending=Ending.LEFT), status=1, line="1 wait seconds=3600"
    ),
    "words in other quotes and spaces": outcome(
        seen(0, 500, ERROR), status=1, out="", err="x\\nThe  service\nis out of  order today"
    ),
    "an error without words": outcome(seen(0, 500, b'{"code": 7}'), status=1, out="", err="HTTP 500"),
    "a cut answer that is told": outcome(
        seen(sent=WHOLE.replace(b'"stop"', b'"length"')), err="the answer is cut"
    ),
    "a cut answer as an error": outcome(seen(sent=WHOLE.replace(b'"stop"', b'"length"')), status=1, err="x"),
    "asked again with more room": outcome(
        seen(sent=WHOLE.replace(b'"stop"', b'"length"')),
        seen(5, body=b'{"messages": [], "max_tokens": 9}'),
    ),
    "another question": outcome(seen(), seen(5, body=b'{"messages": ["b"]}')),
    "a good answer under a strange type refused": outcome(
        seen(), status=1, out="", err="no JSON", line="1 content_type"
    ),
    "no answer, and an error": outcome(seen(sent=b"{}"), status=1, out="", err="no answer"),
    "thoughts on stderr": outcome(seen(), err=TEXT.text),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name: str) -> None:
    case, verdict = WRONG[name]
    assert verdict in judge(case, HABIT)


@pytest.mark.parametrize("name", FINE)
def test_what_is_right_is_left_alone(name: str) -> None:
    assert judge(FINE[name], HABIT) == {}


def test_each_verdict_has_a_judge_and_a_case() -> None:
    assert JUDGES.keys() == VERDICTS.keys() == {verdict for _, verdict in WRONG.values()}


def test_what_is_ignored_is_not_said() -> None:
    assert judge(outcome(seen(), out=TEXT.text), HABIT, frozenset({"thoughts-in-answer"})) == {}


def test_on_a_busy_machine_what_was_not_waited_is_no_wait() -> None:
    busy = [seen(0.3 * n, 500, ERROR, jumped=0.0, ended_jumped=0.0) for n in range(3)]
    assert "retry-storm" in judge(outcome(*busy, status=1, err=ERROR.decode()), HABIT)
    assert "retry-storm" not in judge(outcome(*busy, status=1, err=ERROR.decode(), is_virtual=False), HABIT)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("cut", [0, 1, 5])
def test_a_stream_is_read_as_far_as_it_came(ending: str, cut: int) -> None:
    sent = stream("a", "b", done=False).replace(b"\n", ending.encode())
    one = streamed(sent[: len(sent) - cut], ending=Ending.CUT)
    assert one.content == "ab"
    assert (one.delivery is Delivery.ANSWER) == (cut < len(ending))


def test_a_page_has_no_words_that_could_be_lost() -> None:
    assert service_words(seen(0, 502, b"<html>Bad gateway, try again later</html>")) == []
    assert service_words(seen(0, 500, b'{"message": "Internal Server Error"}')) == []
    assert service_words(seen(0, 429, b"Please come back in a while")) == ["Please come back in a while"]
