"""What a client can do wrong, as data: the reports, the docs and the judges have their words from here.

It must not know how anything is found out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["VERDICTS", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that a client does wrong.

    `proof` is what must have happened for it to be said, `good` what a good client does, `scenarios` where it shows.
    """

    name: str
    title: str
    scenarios: str
    proof: str
    good: str


_ALL: Final = (
    Verdict(
        "retry-after-ignored",
        "`Retry-After` ignored",
        "429 with `Retry-After` in seconds, as a date, or of 31 years",
        "The next request for the same question comes before the wait is over that the service asked for.",
        "tries again after that wait, or raises an error at once",
    ),
    Verdict(
        "retry-storm",
        "retry storm",
        "errors that pass, errors that stay, errors that no repetition mends",
        "The same request again after a status that it can't outlive (400, 401, 403, 404, 405, 413, 415, 422, 431), "
        "two waits in a row of less than 20 ms, five requests within a second, or more than ten without "
        "a wait that the service asked for.",
        "repeats what can succeed, a few times, after waits that grow",
    ),
    Verdict(
        "cut-taken-as-whole",
        "cut answer taken as whole",
        "connections cut at any byte, streams without a finish reason, broken events, errors in the stream",
        "The program ends with 0, and of the last answer no finish reason had arrived.",
        "raises an error, in which the text is that came",
    ),
    Verdict(
        "no-read-limit",
        "no read limit",
        "silence before the first byte, silence in the stream, nothing but comments",
        "The program waits as long as the silence lasts: an hour of its own time, or `--patience`.",
        "raises an error when its limit is reached",
    ),
    Verdict(
        "key-sent-elsewhere",
        "key sent elsewhere",
        "redirects to another port or host; any answer",
        "The key arrives at an address that was not configured, stands in a URL, or in what the program prints.",
        "follows no redirect to another origin, or without the key",
    ),
    Verdict(
        "error-body-lost",
        "error body lost",
        "errors in the place of the answer and in the stream",
        "The service says in words what is wrong, and these words are not in what the program prints.",
        "raises an error that has the service's words",
    ),
    Verdict(
        "thoughts-in-answer",
        "thoughts in the answer",
        "tags whole, cut anywhere, without a beginning; a box among the thoughts",
        "The program ends with 0, and what it printed as its answer holds words of the thoughts.",
        "gives thoughts and answer apart",
    ),
    Verdict(
        "cut-answer-scored",
        "cut answer scored as an answer",
        "`length` and `content_filter`, in the answer and in the thoughts",
        "The program ends with 0 after an answer with such a finish reason, and says nothing of it.",
        "raises an error, or says that the answer is cut",
    ),
    Verdict(
        "billed-twice",
        "tokens billed twice",
        "answers that are cut after they began",
        "The same messages are sent again after tokens of an answer to them had arrived.",
        "raises an error: whoever asked decides whether to pay again",
    ),
    Verdict(
        "wrong-answer",
        "another answer than was sent",
        "bodies in pieces, other line ends, a 200 that is no answer, an attempt that failed half-way",
        "The program ends with 0, and its answer isn't that of the last exchange; or with an error, and the answer "
        "was whole.",
        "gives the answer, the whole answer and nothing else",
    ),
)

VERDICTS: Final[Mapping[str, Verdict]] = {verdict.name: verdict for verdict in _ALL}
"""All verdicts by name."""
