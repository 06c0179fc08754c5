"""What a script's rule answers: a text and how it is cut, usage, finish reason, and what goes wrong with it.

It must not know when it is answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType
from typing import Final

from phi_client.contract.marks import THINK_CLOSE, THINK_OPEN
from phi_emulator.documents import DocumentError, near, shown
from phi_emulator.engine.protocol import EndReason, Recital
from phi_emulator.faults.reading import read_line
from phi_emulator.faults.rules import Fault, read_fault
from phi_emulator.models.strict_json import list_of
from phi_emulator.scripts.errors import (
    ScriptError,
    read_spoken,
    read_table,
    read_text,
    read_whole,
    script_error,
)
from phi_emulator.scripts.traces import TRACES

__all__ = ["REPLIES", "USAGE", "Reply", "read_reply"]

REPLIES: Final[Mapping[str, str]] = {
    "answer": "the text of the answer",
    "reasoning": "its reasoning, which is said before it between `<think>` and `</think>`",
    "trace": "one of [the traces](#traces) in the place of both",
    "model": "`true`: the model answers",
    "chunks": 'how the text is cut: `"token"`, which is the default, a number of letters, or a list '
    "of texts that together are the whole answer",
    "finish_reason": f"what is said to have ended it: {', '.join(EndReason)}",
    "usage": "a table of `prompt_tokens`, `completion_tokens`, `total_tokens`, said in the place of what was counted",
    "fault": 'one of [the faults](faults.md#effects) as a line, `"stall tokens=2"`, or as a table with `effect`; '
    "`error` and `retry_after` need no answer",
}
"""What a reply may hold."""

_TEXTS: Final = ("answer", "reasoning")
_IN_PLACE: Final = ("error", "retry_after")
"""Effects that leave nothing to answer."""
USAGE: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. Without a recital it is the model's."""

    recital: Recital | None = None
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    fault: Fault | None = None

    @property
    def needs_model(self) -> bool:
        """Whether the model has to answer."""
        return self.recital is None and (self.fault is None or self.fault.effect.name not in _IN_PLACE)


def read_reply(table: Mapping[str, object]) -> Reply:
    """The reply in a table.

    Raises:
        ScriptError: it has another form.
    """
    for key in table:
        if key not in REPLIES:
            raise ScriptError(f"there is nothing of that name{near(key, REPLIES)}", key)
    fault = _read_fault(table["fault"]) if "fault" in table else None
    recital = _read_recital(table)
    if "model" in table and table["model"] is not True:
        raise ScriptError(
            f"{shown(table['model'])} is not `true`; leave it out where a text is the answer", "model"
        )
    if recital is None and "model" not in table and (fault is None or fault.effect.name not in _IN_PLACE):
        raise ScriptError(
            "it says no answer: `answer`, `reasoning`, `trace`, a list of `chunks`, or `model = true`"
        )
    if recital is not None and "model" in table:
        raise ScriptError("the text and the model can't both be the answer: leave one out", "model")
    if recital is None:
        for key in ("chunks", "finish_reason"):
            if key in table:
                raise ScriptError("only the answer of a script can have it, and there is none", key)
    return Reply(recital=recital, usage=_read_usage(table.get("usage", {})), fault=fault)


def _read_recital(table: Mapping[str, object]) -> Recital | None:
    chunks = table.get("chunks", "token")
    sources = [key for key in ("trace", *_TEXTS) if key in table]
    pieces = list_of(chunks)
    if pieces is not None:
        if sources:
            raise ScriptError(f"a list of chunks is the whole answer: leave `{sources[0]}` out", "chunks")
        texts = [read_spoken(text, "chunks", number) for number, text in enumerate(pieces)]
        if not all(texts):
            raise ScriptError("an empty chunk is none", "chunks", texts.index(""))
        found = Recital("".join(texts), tuple(accumulate(map(len, texts)))[:-1])
    elif "trace" in table:
        if len(sources) > 1:
            raise ScriptError(f"it is the whole answer: leave `{sources[1]}` out", "trace")
        name = read_text(table["trace"], "trace")
        if name not in TRACES:
            raise ScriptError(f"{shown(name)} is no trace{near(name, TRACES)}", "trace")
        found = TRACES[name].recital
        if "chunks" in table:
            found = Recital(found.text, _cuts(chunks, found.text), found.end)
    elif sources:
        text = _text_of(table)
        found = Recital(text, _cuts(chunks, text))
    else:
        return None
    if "finish_reason" in table:
        found = Recital(found.text, found.cuts, _read_end(table["finish_reason"]))
    return found


def _text_of(table: Mapping[str, object]) -> str:
    answer = read_spoken(table["answer"], "answer") if "answer" in table else ""
    if "reasoning" not in table:
        return answer
    reasoning = f"{THINK_OPEN}\n{read_spoken(table['reasoning'], 'reasoning')}\n{THINK_CLOSE}"
    return f"{reasoning}\n\n{answer}" if answer else reasoning


def _cuts(chunks: object, text: str) -> range | None:
    if chunks == "token":
        return None
    if isinstance(chunks, str):
        raise ScriptError(
            f"{shown(chunks)} is not `token`, no number of letters and no list of texts", "chunks"
        )
    letters = read_whole(chunks, "chunks", least=1)
    return range(letters, len(text), letters)


def _read_end(value: object) -> EndReason:
    name = read_text(value, "finish_reason")
    try:
        return EndReason(name)
    except ValueError:
        raise ScriptError(
            f"{shown(name)} is no finish reason{near(name, [*EndReason])}", "finish_reason"
        ) from None


def _read_usage(value: object) -> Mapping[str, int]:
    given: dict[str, int] = {}
    for key, count in read_table(value, "usage").items():
        if key not in USAGE:
            raise ScriptError(f"there is nothing of that name{near(key, USAGE)}", "usage", key)
        given[key] = read_whole(count, "usage", key, least=0)
    return MappingProxyType(given)


def _read_fault(value: object) -> Fault:
    try:
        return read_line(value) if isinstance(value, str) else read_fault(read_table(value))
    except DocumentError as error:
        raise script_error(error, "fault") from None
