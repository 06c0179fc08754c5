"""Twelve answers as reasoning models give them when something goes wrong, each with what a person reads in it.

All are about one question, so that they can be compared: what 17 * 24 is. It must not know who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from phi_emulator.engine.protocol import EndReason, Recital

__all__ = ["TRACES", "Trace"]

_WORKED: Final = "17 * 24 is 17 * 20 + 17 * 4. That is 340 + 68 = 408."
_SAID: Final = r"The answer is \boxed{408}."
_FENCE: Final = "```"
_DOUBT: Final = "Wait, let me check that again. 340 + 68 = 408. "
_CUT: Final = "17 * 24 is 17 * 20 + 17 * 4. The first one is 340, and the second"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A canned answer. `reasoning`, `content` and `answer` are what a person takes for each, without blanks around."""

    name: str
    what: str
    recital: Recital
    reasoning: str
    content: str = ""
    answer: str | None = None


def _trace(
    name: str,
    what: str,
    text: str,
    *,
    reasoning: str,
    content: str = "",
    answer: str | None = None,
    cuts: range | None = None,
    end: EndReason = EndReason.STOP,
) -> Trace:
    recital = Recital(text, cuts, end)
    return Trace(name=name, what=what, recital=recital, reasoning=reasoning, content=content, answer=answer)


def _thought(reasoning: str, content: str) -> str:
    """As the model writes it when all is well."""
    return f"<think>\n{reasoning}\n</think>\n\n{content}"


_FENCED: Final = f"""An answer should look like this:

{_FENCE}
<think>my steps</think>
\\boxed{{my result}}
{_FENCE}

{_WORKED}"""
_FIRST_THOUGHT: Final = "17 * 24 is about 400."
_TWICE: Final = (
    f"<think>\n{_FIRST_THOUGHT}\n</think>\n\n<think>\nMore exactly: {_WORKED}\n</think>\n\n{_SAID}"
)
_CHINESE: Final = "17 乘以 24。先算 17 乘以 20 得 340。再算 17 乘以 4 得 68。一共是 408。"

_ALL: Final = (
    _trace(
        "cut-off",
        "The budget of tokens ends in the reasoning.",
        f"<think>\n{_CUT}",
        reasoning=_CUT,
        end=EndReason.LENGTH,
    ),
    _trace(
        "no-box",
        "The answer is said, and put into no box.",
        _thought(_WORKED, "The answer is 408."),
        reasoning=_WORKED,
        content="The answer is 408.",
    ),
    _trace(
        "two-boxes",
        "A first box is taken back by a second one.",
        _thought(_WORKED, r"The answer is \boxed{398}. No, 340 + 68 is \boxed{408}."),
        reasoning=_WORKED,
        content=r"The answer is \boxed{398}. No, 340 + 68 is \boxed{408}.",
        answer="408",
    ),
    _trace(
        "empty-box",
        "The box has nothing in it.",
        _thought(_WORKED, r"The answer is \boxed{}."),
        reasoning=_WORKED,
        content=r"The answer is \boxed{}.",
    ),
    _trace(
        "unclosed-tag",
        "The reasoning is never closed, though the answer seems to be there.",
        f"<think>\n{_WORKED}\n\n{_SAID}",
        reasoning=f"{_WORKED}\n\n{_SAID}",
    ),
    _trace(
        "unopened-tag",
        "The reasoning is closed and was never opened.",
        f"{_WORKED}\n</think>\n\n{_SAID}",
        reasoning=_WORKED,
        content=_SAID,
        answer="408",
    ),
    _trace(
        "tag-in-a-fence",
        "The reasoning quotes both tags in a fence of code before it is closed.",
        _thought(_FENCED, _SAID),
        reasoning=_FENCED,
        content=_SAID,
        answer="408",
    ),
    _trace(
        "split-tags",
        "Each chunk of a stream has one letter, so every tag is split.",
        _thought(_WORKED, _SAID),
        reasoning=_WORKED,
        content=_SAID,
        answer="408",
        cuts=range(1, len(_thought(_WORKED, _SAID))),
    ),
    _trace(
        "loop",
        "The reasoning repeats itself until the budget of tokens ends.",
        f"<think>\n{_WORKED} {_DOUBT * 40}".rstrip(),
        reasoning=f"{_WORKED} {_DOUBT * 40}".rstrip(),
        end=EndReason.LENGTH,
    ),
    _trace(
        "answer-in-reasoning",
        "The answer stands in the reasoning only, and nothing follows it.",
        f"<think>\n{_WORKED} {_SAID}\n</think>",
        reasoning=f"{_WORKED} {_SAID}",
    ),
    _trace(
        "other-language",
        "The reasoning is in another language than question and answer, in letters that tokens split.",
        _thought(_CHINESE, _SAID),
        reasoning=_CHINESE,
        content=_SAID,
        answer="408",
    ),
    _trace(
        "reasoning-twice",
        "A second block of reasoning follows the first.",
        _TWICE,
        reasoning=f"{_FIRST_THOUGHT}\n\nMore exactly: {_WORKED}",
        content=_SAID,
        answer="408",
    ),
)

TRACES: Final[Mapping[str, Trace]] = {trace.name: trace for trace in _ALL}
"""All traces by name."""
