"""The command `phi-emulator chat`: options in, a talk or one answer, an exit status out.

Who is asked is decided here; what is said, in the room `chat`. Exit statuses: 0 a whole answer, or the end of a talk ·
1 no answer · 2 wrong usage · 3 cut off by the limit of tokens · 4 held back by the content filter · 130 Ctrl-C ·
141 nobody reads the answer any more · 128 + n after signal n.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from phi_emulator.command_line.options import GroupedCommand, chat_options, grouped

__all__ = ["chat"]

_STDIN: Final = "-"
_MOST_STDIN: Final = 16 * 2**20
_GROUP: Final = "The talk"
_TALK: Final = (
    "url", "system", "temperature", "top_p", "max_tokens", "seed", "thoughts", "as_json", "no_history", "yes",
)  # fmt: skip


@click.command(cls=GroupedCommand)
@grouped(
    _GROUP,
    "--url",
    metavar="URL",
    help="Whom to ask: a running emulator, or any endpoint. [default see above]",
)
@grouped(_GROUP, "--system", metavar="TEXT", help="What the model is told beforehand.")
@grouped(_GROUP, "--temperature", type=click.FloatRange(0, 2), metavar="NUMBER", help="0 to 2. [default 0.8]")
@grouped(_GROUP, "--top-p", type=click.FloatRange(0, 1), metavar="NUMBER", help="0 to 1. [default 0.95]")
@grouped(
    _GROUP,
    "--max-tokens",
    type=click.IntRange(1, 1_000_000),
    metavar="COUNT",
    help="Longest answer. [default 32768]",
)
@grouped(_GROUP, "--seed", type=int, metavar="NUMBER", help="For the same answer again.")
@grouped(
    _GROUP,
    "--thoughts",
    type=click.Choice(["show", "fold"]),
    default="show",
    help="Thoughts dimmed, or a line in their place. [default show]",
)
@grouped(_GROUP, "--json", "as_json", is_flag=True, help="Print one JSON object with all of it.")
@grouped(_GROUP, "--no-history", is_flag=True, help="Neither read nor write the history of questions.")
@grouped(_GROUP, "--yes", is_flag=True, help="Download the model without asking, if it is not here.")
@chat_options
@click.argument("prompt", nargs=-1)
def chat(prompt: tuple[str, ...], **given: Any) -> None:
    """Talk to the model in the terminal; with PROMPT, ask this one question. `-` in it stands for what is piped in.

    Asked is what --url names; else an emulator of its own, where a setting of one is given; else PHI_ENDPOINT; else
    the emulator that runs here; else one of its own.
    """
    from phi_emulator.command_line.chat_run import Asked, run  # noqa: PLC0415 - for this command alone

    talk = {name: given.pop(name) for name in _TALK}
    settings = {name: value for name, value in given.items() if value is not None}
    question = _question(prompt)
    if question is None and talk["as_json"]:
        raise click.UsageError('`--json` is for one question: `phi-emulator chat --json "What is 6 * 7?"`')
    if talk["url"] is not None and set(settings) - {"key", "config_file"}:
        names = ", ".join(sorted(set(settings) - {"key", "config_file"}))
        raise click.UsageError(f"`--url` asks what runs already, and {names} is of an emulator of its own")
    sys.exit(run(Asked(question=question, settings=settings, **talk)))


def _question(words: tuple[str, ...]) -> str | None:
    """What is asked; `None` for a talk."""
    if not words:
        if sys.stdin is not None and sys.stdin.isatty():
            return None
        words = (_STDIN,)
    # What is piped in stands apart from the words around it.
    place = words.index(_STDIN) if _STDIN in words else len(words)
    parts = [words[:place], *([(_piped(),), words[place + 1 :]] if place < len(words) else [])]
    question = "\n\n".join(filter(None, (" ".join(part).strip() for part in parts)))
    if not question:
        raise click.UsageError("nothing was asked: the question is empty")
    return question


def _piped() -> str:
    """Standard input, whole."""
    data = b"" if sys.stdin is None else sys.stdin.buffer.read(_MOST_STDIN + 1)
    if len(data) > _MOST_STDIN:
        raise click.UsageError("what is piped in is larger than 16 MB: ask about a part of it")
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"what is piped in is no UTF-8 text (byte {error.start})") from None
