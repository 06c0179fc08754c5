"""The commands within a talk: what there is, and what was meant by a word that is none. It must not carry one out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from phi_emulator.models.printable import printable

__all__ = [
    "COMMANDS",
    "FENCE",
    "FORCED",
    "PASTED",
    "Command",
    "UnknownWordError",
    "is_open",
    "read_command",
    "unfenced",
]

FENCE: Final = '"""'
"""What begins and ends a question of several lines."""
PASTED: Final = re.compile(r"\[pasted #(\d+): [\d,]+ letters\]")
"""What stands for a long paste while a question is typed."""
_NEAR: Final = 0.5


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name, how its argument is written, what it does, and other programs' words for it."""

    name: str
    argument: str
    text: str
    others: tuple[str, ...] = ()


_ALL: Final = (
    Command("help", "", "show this", ("?", "h", "commands")),
    Command("retry", "", "ask the last question again", ("regen", "regenerate", "again", "redo", "r")),
    Command("clear", "", "begin a new talk", ("reset", "new", "forget")),
    Command("undo", "", "take the last question and its answer back", ("pop", "back")),
    Command(
        "thoughts",
        "[show|fold]",
        "show the last thoughts again; or how they come from now on",
        ("think", "thinking", "fold"),
    ),
    Command("system", "[TEXT|off]", "show, set or take away what the model is told beforehand", ("role",)),
    Command("temperature", "[NUMBER|off]", "how much chance there is in answers, 0 to 2", ("temp",)),
    Command("top_p", "[NUMBER|off]", "take from the likeliest tokens alone, 0 to 1", ("top-p", "topp")),
    Command(
        "max_tokens",
        "[COUNT|off]",
        "the longest answer, thoughts included",
        ("max-tokens", "num_predict", "tokens"),
    ),
    Command("seed", "[NUMBER|off]", "the same question gives the same answer", ()),
    Command(
        "save",
        "FILE",
        "save the talk: FILE.md for people, FILE.json for programs; /save! overwrites",
        ("write", "export"),
    ),
    Command(
        "info", "", "who answers, and what is set", ("show", "status", "model", "set", "settings", "options")
    ),
    Command("quit", "", "leave, as Ctrl-D does", ("bye", "exit", "q", "x")),
)
COMMANDS: Final[Mapping[str, Command]] = {command.name: command for command in _ALL}
_NAMES: Final = {other: command.name for command in _ALL for other in (command.name, *command.others)}
FORCED: Final = "!"


class UnknownWordError(Exception):
    """There is no such command; the message says which was meant."""


def read_command(line: str) -> tuple[str, str] | None:
    """The name and the argument of a command, which ends in `!` where it was written so; `None` for a question.

    Raises:
        UnknownWordError: there is no such command.
    """
    if not line.startswith("/"):
        return None
    word, _, rest = line[1:].partition(" ")
    word, *lines = word.split("\n", 1)
    rest = "\n".join([*lines, rest] if lines else [rest]).strip()
    forced = FORCED if word == f"save{FORCED}" else ""
    name = _NAMES.get(word.removesuffix(forced).lower())
    if name is not None:
        return name + forced, rest
    shown = printable(word, 40)
    near = difflib.get_close_matches(word.lower(), [*_NAMES], 1, _NEAR)
    meant = f"perhaps /{_NAMES[near[0]]}; " if near else ""
    raise UnknownWordError(
        f"there is no command /{shown}: {meant}/help lists them (a question that begins with / is written with a blank "
        "before it)"
    )


def is_open(text: str) -> bool:
    """Whether a question of several lines was begun by a fence and not ended."""
    begun = text.lstrip()
    if not begun.startswith(FENCE):
        return False
    return not begun.rstrip().endswith(FENCE) or len(begun.strip()) < 2 * len(FENCE)


def unfenced(text: str) -> str:
    """A question without the fences around it."""
    bare = text.strip()
    if bare.startswith(FENCE) and bare.endswith(FENCE) and len(bare) >= 2 * len(FENCE):
        return bare[len(FENCE) : -len(FENCE)].strip("\n")
    return bare
