"""A talk as a file: Markdown for people, JSON for programs. It must not know terminals."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from phi_emulator.chat.conversation import Conversation, Turn
from phi_emulator.models.durable import move_file
from phi_emulator.models.printable import printable, without_controls

__all__ = ["SaveError", "save", "status_line", "turn_object"]

_ENDINGS: Final = (".md", ".markdown", ".json")
_MOST: Final = 240
_FAST: Final = 100


class SaveError(Exception):
    """It can't be saved; the message says what to do."""


def turn_object(turn: Turn) -> dict[str, Any]:
    """One question and its answer, as JSON can carry it.

    `answer` is the text after the reasoning, `boxed` the result in it; times are seconds since the question.
    """
    times = turn.times
    return {
        "question": turn.question,
        "answer": turn.content,
        "boxed": turn.boxed,
        "reasoning": turn.reasoning,
        "finish_reason": turn.finish_reason,
        "usage": turn.usage,
        "times": {
            "first_token_s": _rounded(turn.until_first_s),
            "answer_s": _rounded(None if times.answer is None else times.answer - times.asked),
            "total_s": _rounded(turn.seconds),
            "tokens_per_s": _rounded(turn.rate()),
        },
        "model": turn.model,
        "request_id": turn.request_id,
        "stopped": turn.is_stopped,
        "error": turn.problem or None,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def status_line(turn: Turn, now: float | None = None) -> list[str]:
    """What there is to say of a turn in figures, the most wanted first; `now` while it runs."""
    count = f"{turn.tokens:,}" if turn.is_counted else f"~{turn.tokens:,}"
    parts = [f"{count} token{'' if turn.tokens == 1 else 's'}"] if turn.tokens else []
    rate = turn.rate(now)
    if rate is not None:
        parts.append(f"{rate:,.0f}/s" if rate >= _FAST else f"{rate:.1f}/s")
    if turn.until_first_s is not None:
        parts.append(f"first after {turn.until_first_s:.2f} s")
    seconds = turn.seconds if now is None else now - turn.times.asked
    if seconds is not None:
        parts.append(f"{seconds:.1f} s")
    return parts


def save(conversation: Conversation, place: str, *, overwrite: bool, facts: Mapping[str, str]) -> Path:
    """Write the talk to a file, at once and whole; `facts` say who was asked.

    Raises:
        SaveError: it can't be written, or is there already and not to be overwritten.
    """
    try:
        path = Path(place).expanduser().absolute()
    except RuntimeError as error:
        raise SaveError("there is no home folder of that name: write the whole path") from error
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise SaveError("end the name in .md for people or in .json for programs")
    shown = printable(str(path), _MOST)
    text = _json(conversation, facts) if ending == ".json" else _markdown(conversation, facts)
    try:
        if path.is_dir():
            raise SaveError(f"{shown} is a folder")
        _write(path, text, overwrite=overwrite)
    except FileExistsError as error:
        raise SaveError(
            f"{shown} is there already: `/save! {printable(place, _MOST)}` overwrites it"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SaveError(f"can't write {shown}: {printable(reason, 80)}") from error
    return path


def _write(path: Path, text: str, *, overwrite: bool) -> None:
    """A draft beside it, which then takes its place: what was there is whole until then."""
    if not overwrite and path.exists():
        raise FileExistsError
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".draft", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
        draft.chmod(0o666 & ~_umask() if not path.exists() else path.stat().st_mode & 0o777)
        if not overwrite and path.exists():
            raise FileExistsError
        move_file(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _json(conversation: Conversation, facts: Mapping[str, str]) -> str:
    said = {
        **facts,
        "system": conversation.system or None,
        "options": conversation.options,
        "turns": [turn_object(turn) for turn in conversation.turns],
    }
    return json.dumps(said, indent=2, ensure_ascii=True) + "\n"


def _markdown(conversation: Conversation, facts: Mapping[str, str]) -> str:
    lines = ["# A talk", "", *(f"- {name}: {printable(value, _MOST)}" for name, value in facts.items())]
    lines += [f"- {name}: {value}" for name, value in conversation.options.items()]
    if conversation.system:
        lines += ["", "System:", "", *_quoted(conversation.system)]
    for turn in conversation.turns:
        lines += ["", "## Question", "", without_controls(turn.question).strip(), ""]
        if turn.reasoning.strip():
            lines += [
                "<details><summary>Thoughts</summary>",
                "",
                *_quoted(turn.reasoning),
                "",
                "</details>",
                "",
            ]
        lines += ["## Answer", "", without_controls(turn.content).strip() or "(none)", ""]
        if turn.boxed:
            lines += [f"**Result:** {printable(turn.boxed, _MOST)}", ""]
        ended = "stopped" if turn.is_stopped else turn.problem or turn.finish_reason or ""
        lines.append(
            "*" + " · ".join([*status_line(turn), *([printable(ended, _MOST)] if ended else [])]) + "*"
        )
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> list[str]:
    return [f"> {line}".rstrip() for line in without_controls(text).strip().split("\n")]
