"""Taking secrets and prompts out of what a service says, because services echo them.

It must not know where the text goes, and must never be given an answer (2xx): an answer is the caller's, every byte.
How they are found in whatever disguise is the contract's (`contract.secrets`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar, cast

from phi_client.contract.secrets import (
    SECRET,
    SECRET_RUN,
    all_letters,
    find_runs,
    letters_in,
    placed_letters,
)

__all__ = ["Secrets"]

_T = TypeVar("_T")

_PROMPT: Final = "[prompt]"
_PROMPT_RUN: Final = 16
_SHORTEST_PROMPT: Final = 8
"""Shorter texts occur by chance, and say nothing."""
_SHORTEST_IN_WORDS: Final = 6
"""Shorter secrets are taken out as words of their own only: `k` is in every sentence."""
_SHORTEST_IN_ANSWERS: Final = 8
"""Shorter secrets are left in the headers of an answer, where `none` and `stop` are words of the protocol."""
_SAYING: Final = frozenset(
    (
        "arguments",
        "content",
        "data",
        "description",
        "reasoning",
        "reasoning_content",
        "refusal",
        "text",
        "url",
    )
)
"""The names under which a request says something."""
_MOST_PROMPT: Final = 2_000_000
_MOST_TEXT: Final = 65_536
"""Characters of one text that are shown at most."""
_BETWEEN: Final = "\n"
"""Ends a text among the letters of several."""

_SHORT_NUMBER: Final = re.compile(r"\d{1,4}")
_LONG_NUMBER: Final = 10**5
_LONGEST_NUMBER: Final = 10**100


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not be shown of one request: its credentials, and the prompts in its body."""

    values: tuple[str, ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)

    def scrub(self, said: _T) -> _T:
        """What a service said, decoded, without secrets and prompts: a text, or JSON of any form."""
        try:
            texts = list(dict.fromkeys(_leaves(said)))
            clean = dict(zip(texts, _without(texts, self._marks()), strict=True))
            return cast("_T", _with_leaves(said, clean))
        except RecursionError:
            return cast("_T", None)

    def scrub_headers(self, headers: Mapping[str, str], *, of_answer: bool) -> dict[str, str]:
        """Headers without secrets and prompts; of an answer's, without secrets that can't be a word of the protocol.

        A short number is one in any reply: `Retry-After: 5` is no echo of the key `5`.
        """
        marks = self._secret_marks()
        if of_answer:
            marks = [mark for mark in marks if len(mark.text) >= _SHORTEST_IN_ANSWERS]
            return dict(zip(headers, _without(list(headers.values()), marks), strict=True))
        values = _without(list(headers.values()), self._marks())
        names = _without(list(headers), [mark for mark in marks if len(mark.text) >= SECRET_RUN])
        return {
            name: given if _SHORT_NUMBER.fullmatch(given) else value
            for name, given, value in zip(names, headers.values(), values, strict=True)
        }

    def and_of(self, values: Collection[str]) -> Secrets:
        """These, and what else must not be shown."""
        return replace(self, values=(*self.values, *values)) if values else self

    def _marks(self) -> list[_Mark]:
        """All that is looked for, secrets before prompts and the longer before the shorter."""
        prompts = [_Mark(text, _PROMPT, _PROMPT_RUN) for text in _prompts_in(self.body)]
        return [*self._secret_marks(), *sorted(prompts, key=lambda mark: -len(mark.text))]

    def _secret_marks(self) -> list[_Mark]:
        secrets = sorted({value for value in self.values if value}, key=len, reverse=True)
        return [_Mark(value, SECRET, SECRET_RUN) for value in secrets]


@dataclass(frozen=True, slots=True)
class _Mark:
    """A text to look for, what takes its place, and how many of its characters in a row are enough."""

    text: str
    stand_in: str
    run: int

    @property
    def shortest(self) -> int:
        """How long it must be to be taken out wherever it stands."""
        return _SHORTEST_PROMPT if self.stand_in == _PROMPT else _SHORTEST_IN_WORDS


def _leaves(said: object) -> Iterator[str]:
    """The texts in JSON of any form, names of members among them, and long numbers, as which a key may be echoed."""
    if isinstance(said, str):
        yield said
    elif _is_long_number(said):
        yield str(said)
    elif isinstance(said, Mapping):
        for name, value in cast("Mapping[object, object]", said).items():
            yield from _leaves(name)
            yield from _leaves(value)
    elif isinstance(said, list | tuple):
        for value in cast("list[object]", said):
            yield from _leaves(value)


def _with_leaves(said: object, clean: Mapping[str, str]) -> object:
    if isinstance(said, str):
        return clean[said]
    if _is_long_number(said):
        shown = clean[str(said)]
        return said if shown == str(said) else shown
    if isinstance(said, Mapping):
        members = cast("Mapping[object, object]", said)
        return {_with_leaves(name, clean): _with_leaves(value, clean) for name, value in members.items()}
    if isinstance(said, list | tuple):
        return [_with_leaves(value, clean) for value in cast("list[object]", said)]
    return said


def _is_long_number(said: object) -> bool:
    # Python refuses to write those of thousands of digits, and nobody's key is one.
    return type(said) is int and _LONG_NUMBER <= abs(said) < _LONGEST_NUMBER


def _without(texts: list[str], marks: list[_Mark]) -> list[str]:
    """Each text with a word in the place of all that is marked. All at once: a prompt may be long."""
    texts = [text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…" for text in texts]
    if not any(texts) or not marks:
        return texts
    for mark in marks:
        if len(mark.text) >= mark.shortest:
            texts = [text.replace(mark.text, mark.stand_in) for text in texts]
    joined = "".join(all_letters(text) + _BETWEEN for text in texts)
    runs: list[tuple[_Mark, str, tuple[int, int]]] = []
    for mark in marks:
        wanted = letters_in(mark.text)
        size = min(mark.run, len(wanted))
        if not size or (mark.stand_in == _PROMPT and size < _SHORTEST_PROMPT):
            continue
        runs += ((mark, wanted, run) for run in find_runs(joined, wanted[:_MOST_PROMPT], size))
    if not runs:
        return texts  # as nearly always
    places = [
        (number, start, end)
        for number, text in enumerate(texts)
        for _, start, end in (*placed_letters(text), (_BETWEEN, len(text), len(text)))
    ]
    found: list[list[tuple[int, int, str]]] = [[] for _ in texts]
    for mark, wanted, (first, last) in runs:
        number, start, _ = places[first]
        end = places[last - 1][2]
        if len(wanted) >= _SHORTEST_IN_WORDS or _is_word(texts[number], start, end):
            found[number].append((start, end, mark.stand_in))
    return [_replaced(text, spans) for text, spans in zip(texts, found, strict=True)]


def _is_word(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return not before.isalnum() and not after.isalnum()


def _replaced(text: str, found: list[tuple[int, int, str]]) -> str:
    """`text` with what was found replaced; of two that overlap, one stands for both."""
    if not found:
        return text
    parts: list[str] = []
    done = 0
    covered: tuple[int, str] | None = None
    for start, end, stand_in in sorted(found):
        if covered is not None and start <= covered[0]:
            best = SECRET if SECRET in (covered[1], stand_in) else stand_in
            parts[-1] = best
            covered = max(covered[0], end), best
            done = covered[0]
            continue
        parts += [text[done:start], stand_in]
        covered, done = (end, stand_in), end
    return "".join([*parts, text[done:]])


def _prompts_in(body: bytes | None) -> list[str]:
    """Every text in a request that says something, of whatever form."""
    if body is None:
        return []
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return []
    return list(dict.fromkeys(_texts(value)))


def _texts(value: object) -> Iterable[str]:
    """What is said in a request, its pictures and the descriptions of its tools among it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += cast("list[object]", one)
        elif isinstance(one, dict):
            for name, member in cast("dict[str, object]", one).items():
                if not isinstance(member, str):
                    waiting.append(member)
                elif name in _SAYING and len(member) >= _SHORTEST_PROMPT:
                    yield member
