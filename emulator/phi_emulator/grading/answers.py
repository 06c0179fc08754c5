"""The answers of a trial: texts of unlikely words, so that it can be told which of them a program printed.

It must not know who asks, nor how an answer travels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

__all__ = ["KINDS", "Text", "write_text"]

KINDS: Final[Mapping[str, str]] = {
    "plain": "thoughts in tags, then the answer",
    "no-thoughts": "an answer without thoughts",
    "unopened": "thoughts without the opening tag",
    "box-in-thoughts": "thoughts that box another number first",
    "cut-in-thoughts": "thoughts that never end, and no answer",
}
"""What a text may be."""

_BEGINNINGS: Final = "bdfgklmnprstvz"
_VOWELS: Final = "aeiou"
_BEYOND_ASCII: Final = "éößøčž語数かな한Жλ€😀"
_BETWEEN_DIGITS: Final = re.compile(r"(?<=\d)[, _\u00a0\u202f](?=\d{3})")


@dataclass(frozen=True, slots=True)
class Text:
    """One answer, and the words in it that nothing else has, those of its thoughts and those of its answer."""

    text: str
    thoughts: tuple[str, ...]
    answer: tuple[str, ...]

    def found_in(self, printed: str) -> tuple[list[int], list[int]]:
        """Which words of the thoughts and which of the answer were printed, by their place, in order."""
        # A number may be printed with separators.
        plain = _BETWEEN_DIGITS.sub("", printed)
        return _found(self.thoughts, plain), _found(self.answer, plain)


def _found(words: Sequence[str], text: str) -> list[int]:
    if not words:
        return []
    places = {word: number for number, word in enumerate(words)}
    return [places[word] for word in re.findall("|".join(map(re.escape, words)), text)]


def write_text(kind: str, seed: int, number: int) -> Text:
    """The answer to the `number`-th request that is answered in a trial; another one for each number and seed."""
    chance = Random(f"{seed} {number}")  # noqa: S311 - to be repeated is what it is for
    thoughts = [_word(chance) for _ in range(8)]
    answer = [_word(chance) for _ in range(3)]
    result, guess = (str(chance.randrange(1_000_000, 10_000_000)) for _ in range(2))
    box = f" So \\boxed{{{guess}}}, or not." if kind == "box-in-thoughts" else ""
    thinking = f"Let me see: {' '.join(thoughts[:4])}.{box} Then {' '.join(thoughts[4:])}."
    answering = f"It is {' '.join(answer)}, and so \\boxed{{{result}}}"
    if box:
        thoughts.append(guess)
    answer.append(result)
    match kind:
        case "no-thoughts":
            return Text(answering, (), tuple(answer))
        case "unopened":
            text = f"{thinking}\n</think>\n\n{answering}"
        case "cut-in-thoughts":
            return Text(f"<think>\n{thinking}", tuple(thoughts), ())
        case _:
            text = f"<think>\n{thinking}\n</think>\n\n{answering}"
    return Text(text, tuple(thoughts), tuple(answer))


def _word(chance: Random) -> str:
    syllables = [chance.choice(_BEGINNINGS) + chance.choice(_VOWELS) for _ in range(4)]
    return "".join([*syllables[:2], chance.choice(_BEYOND_ASCII), *syllables[2:]])
