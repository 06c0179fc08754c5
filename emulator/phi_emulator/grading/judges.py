"""Judges: from what a program did, and what truly went over the wire, to what it does wrong.

Each is held to the proof of its verdict in `verdicts`; where something can be seen in two ways, nothing is said.
It must not run anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Final

from phi_emulator.faults.duties import Duty
from phi_emulator.faults.rules import Fault
from phi_emulator.grading.answers import Text
from phi_emulator.grading.stage import Outcome
from phi_emulator.grading.trials import Step
from phi_emulator.grading.wire import Delivery, Ending, Seen, service_words

__all__ = ["JUDGES", "Habit", "judge"]

_HOPELESS: Final = frozenset({400, 401, 403, 404, 405, 413, 415, 422, 431})
"""Statuses with which the same request fails again."""
_EARLY_S: Final = 0.05
_DATE_S: Final = 1.05
"""A date has whole seconds."""
_AT_ONCE_S: Final = 0.02
_RUSH: Final = 5
_RUSH_S: Final = 1.0
_BUSY_S: Final = 1.0
"""How long a program on a busy machine may be busy between two requests."""
_MOST_REQUESTS: Final = 10
_WORDS_SHOWN: Final = 24
"""Letters of the service's words that are enough."""
_SHOWN: Final = 100
_TOLD: Final = re.compile(
    r"length|cut|truncat|incomplet|partial|max_(?:completion_|output_)?tokens|token limit|budget|limit|filter"
    r"|interrupt|unfinished|not finish|too long",
    re.IGNORECASE,
)
"""What says that an answer isn't whole."""
_SILENT: Final = ("wait", "stall", "comments_only")


@dataclass(frozen=True, slots=True)
class Habit:
    """What a program prints when nothing is wrong: which words of the answer, by their place, in order.

    `patience` is how many seconds of silence are too many; `None` where that can't be judged.
    """

    answer: Sequence[int]
    patience: float | None


def judge(outcome: Outcome, habit: Habit, ignored: frozenset[str] = frozenset()) -> dict[str, str]:
    """What a program does wrong in a trial: names of verdicts, each with what proves it."""
    found: dict[str, str] = {}
    for name, look in JUDGES.items():
        if name not in ignored:
            proof = next(look(outcome, habit), None)
            if proof is not None:
                found[name] = proof
    return found


def _retry_after(outcome: Outcome, _habit: Habit) -> Iterator[str]:
    for number, (seen, following) in enumerate(pairwise(outcome.seen), 1):
        asked = seen.asks_to_wait
        wait = None if asked is None else _seconds(asked, seen)
        if wait is None or wait <= 0:
            continue
        came = following.at - seen.ended_at
        slack = _EARLY_S if str(asked).strip().isdecimal() else _DATE_S
        if came < wait - slack:
            yield (
                f"the service asked for {wait:,.0f} s (Retry-After: {asked}), and request {number + 1} came "
                f"after {came:.2f} s"
            )


def _seconds(asked: str, seen: Seen) -> float | None:
    """What a `Retry-After` asks for, counted from the end of its answer; a date is told by the answer's own."""
    try:
        return float(asked)
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(asked).timestamp()
    except ValueError:
        return None
    return until - seen.ended_unix


def _storm(outcome: Outcome, _habit: Habit) -> Iterator[str]:
    seen = outcome.seen
    for number, (one, following) in enumerate(pairwise(seen), 1):
        if one.status in _HOPELESS and _is_same(one, following):
            yield f"request {number} was answered with {one.status}, and request {number + 1} is the same again"
    failed = [pair for pair in pairwise(seen) if _may_pass(*pair)]
    rushed = [
        _waited(one, following, outcome) < _AT_ONCE_S and not _says_at_once(one) for one, following in failed
    ]
    if any(first and second for first, second in pairwise(rushed)):
        yield f"two waits in a row of less than {_AT_ONCE_S * 1000:.0f} ms before the same request"
    for start in range(len(failed) - _RUSH + 2):
        took = sum(_waited(*pair, outcome) for pair in failed[start : start + _RUSH - 1])
        if took < _RUSH_S and len(failed[start : start + _RUSH - 1]) == _RUSH - 1:
            yield f"{_RUSH} times the same request with waits of {took:.2f} s in all"
    unasked = [one for one, _ in failed if one.asks_to_wait is None]
    if len(unasked) >= _MOST_REQUESTS:
        yield f"{len(seen)} times the same request, and the service asked for none of it"


def _waited(one: Seen, following: Seen, outcome: Outcome) -> float:
    """How long a program waited between two requests. What it was busy with meanwhile is no wait, if that is known."""
    passed = following.at - one.ended_at
    jumped = following.jumped - one.ended_jumped
    return jumped if outcome.is_virtual and passed - jumped < _BUSY_S else passed


def _may_pass(one: Seen, following: Seen) -> bool:
    return one.delivery is not Delivery.ANSWER and _is_same(one, following)


def _says_at_once(seen: Seen) -> bool:
    asked = seen.asks_to_wait
    wait = None if asked is None else _seconds(asked, seen)
    return wait is not None and wait <= 0


def _is_same(one: Seen, other: Seen) -> bool:
    return (one.path, one.credentials, one.body) == (other.path, other.credentials, other.body)


def _cut_taken(outcome: Outcome, _habit: Habit) -> Iterator[str]:
    last = outcome.last
    if outcome.run.status == 0 and last is not None and last.delivery is Delivery.BROKEN:
        what = "holds an error or what is no JSON" if last.has_broken_event else "has no finish reason"
        yield f"exit status 0, and the answer {what} ({len(last.sent)} bytes, {last.ending.value})"


def _no_limit(outcome: Outcome, habit: Habit) -> Iterator[str]:
    if habit.patience is None:
        return
    for number, seen in enumerate(outcome.seen, 1):
        fault = _fault(outcome.trial.step_of(number))
        if fault is None or fault.effect.name not in _SILENT or fault.number("seconds") < habit.patience:
            continue
        if seen.ending is Ending.WHOLE and seen.ended_at - seen.at >= habit.patience:
            yield f"{fault.number('seconds'):,.0f} s of silence were sat out"


def _fault(step: Step | None) -> Fault | None:
    return step.what if step is not None and isinstance(step.what, Fault) else None


def _elsewhere(outcome: Outcome, _habit: Habit) -> Iterator[str]:
    for leak in outcome.leaks:
        yield f"the key arrived {leak}"


def _lost_words(outcome: Outcome, _habit: Habit) -> Iterator[str]:
    last = outcome.last
    if last is None or outcome.run.status is None:
        return
    words = service_words(last)
    if not words or (outcome.run.status == 0 and last.delivery is not Delivery.ERROR):
        return
    printed = _plain(outcome.run.printed + " " + outcome.run.complained)
    if not any(_plain(text)[:_WORDS_SHOWN] in printed for text in words):
        yield f"the service said {json.dumps(words[0][:_SHOWN])}, and the program says {_shown(outcome)}"


def _shown(outcome: Outcome) -> str:
    said = (outcome.run.complained.strip() or outcome.run.printed.strip()).rpartition("\n")[2]
    return json.dumps(said[:_SHOWN], ensure_ascii=False) if said else "nothing"


def _plain(text: str) -> str:
    """Without escapes, quotes, case and the widths of spaces, in which a text may change on its way."""
    for escape, meant in (("\\n", " "), ("\\t", " "), ("\\", ""), ('"', "'")):
        text = text.replace(escape, meant)
    return " ".join(text.split()).casefold()


def _thoughts(outcome: Outcome, _habit: Habit) -> Iterator[str]:
    if outcome.run.status != 0:
        return
    for text in outcome.texts:
        thoughts, _ = text.found_in(outcome.run.printed)
        if thoughts:
            yield f"{len(thoughts)} words of the thoughts are in what it printed as its answer"


def _scored(outcome: Outcome, _habit: Habit) -> Iterator[str]:
    last = outcome.last
    if last is None or outcome.run.status != 0 or last.delivery is not Delivery.SHORT:
        return
    said = outcome.run.complained + outcome.run.printed
    if not _TOLD.search(said):
        yield f"exit status 0, the finish reason was {last.finish_reason!r}, and nothing is said of it"


def _twice(outcome: Outcome, _habit: Habit) -> Iterator[str]:
    for number, (one, following) in enumerate(pairwise(outcome.seen), 1):
        if not one.has_begun_an_answer or one.messages != following.messages:
            continue
        if one.delivery is Delivery.SHORT and one.body != following.body:
            continue  # asked again with another budget
        yield (
            f"request {number} was answered with {len(one.sent)} bytes of an answer, and request {number + 1} "
            "asks the same again"
        )


def _other_answer(outcome: Outcome, habit: Habit) -> Iterator[str]:
    last, status = outcome.last, outcome.run.status
    if last is None or status is None:
        return
    text = outcome.text_of(last)
    if status == 0:
        if last.delivery is Delivery.NOTHING:
            yield "exit status 0, and the service sent no answer"
        elif last.delivery is Delivery.ANSWER and text is not None:
            yield from _compare(outcome, habit, text)
    elif last.delivery is Delivery.ANSWER and text is not None and text.answer and _is_to_be_read(outcome):
        yield f"exit status {status}, and the answer was whole: {_shown(outcome)}"


def _compare(outcome: Outcome, habit: Habit, text: Text) -> Iterator[str]:
    _, answer = text.found_in(outcome.run.printed)
    if text.answer and answer != [*habit.answer]:
        yield f"of the answer's words it printed {answer}, and with nothing wrong {[*habit.answer]}"
    for other in outcome.texts:
        if other is not text and other.found_in(outcome.run.printed)[1]:
            yield "what it printed holds words of an attempt that failed"


def _is_to_be_read(outcome: Outcome) -> bool:
    """Whether all that went wrong with the last exchange leaves its answer as it is."""
    fault = _fault(outcome.trial.step_of(len(outcome.seen)))
    is_whole = outcome.last is not None and outcome.last.ending is Ending.WHOLE
    return is_whole and (fault is None or fault.duty is Duty.SAME_ANSWER)


JUDGES: Final[Mapping[str, Callable[[Outcome, Habit], Iterator[str]]]] = {
    "retry-after-ignored": _retry_after,
    "retry-storm": _storm,
    "cut-taken-as-whole": _cut_taken,
    "no-read-limit": _no_limit,
    "key-sent-elsewhere": _elsewhere,
    "error-body-lost": _lost_words,
    "thoughts-in-answer": _thoughts,
    "cut-answer-scored": _scored,
    "billed-twice": _twice,
    "wrong-answer": _other_answer,
}
"""By the name of the verdict."""
