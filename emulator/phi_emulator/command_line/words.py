"""What a user may have meant by a word that is no command: other programs' words, and slips of the pen.

It must not know what the commands do.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from phi_emulator.models.printable import printable

__all__ = ["HelpfulGroup"]

_MODELS: Final = "models"
# Words of ollama, docker, foundry and others, with what does that here; `*` stands for what was written after the word.
_ELSEWHERE: Final[Mapping[str, str]] = {
    "run": "chat --model *", "start": "serve", "up": "serve", "server": "serve", "launch": "serve",
    "pull": "models pull *", "get": "models pull *", "download": "models pull *", "fetch": "models pull *",
    "install": "models pull *", "list": "models list", "ls": "models list", "model": "models list",
    "rm": "models rm *", "remove": "models rm *", "delete": "models rm *", "del": "models rm *",
    "uninstall": "models rm *", "show": "models show *", "info": "models show *", "inspect": "models show *",
    "import": "models import *", "load": "models import *", "export": "models export *", "save": "models export *",
    "add": "models add *", "register": "models add *", "verify": "models verify *", "check": "doctor",
    "diagnose": "doctor", "status": "doctor", "benchmark": "bench", "test": "exec -- *", "execute": "exec -- *",
    "with": "exec -- *", "ask": "chat *", "talk": "chat *", "prompt": "chat *", "repl": "chat", "generate": "chat *",
    "complete": "chat *", "interactive": "chat", "cli": "chat", "judge": "grade -- *", "score": "grade -- *",
    "version": "--version", "help": "--help",
}  # fmt: skip
_EXPLAINED: Final[Mapping[str, str]] = {
    "ps": "each `phi-emulator serve` is a process of its own, and its `/_emulator/status` says what it does",
    "stop": "Ctrl-C in its terminal, or SIGTERM, stops `phi-emulator serve`",
    "logs": "`phi-emulator serve` writes its log to its own terminal; `--log-level debug` says more",
}
_NEAR: Final = 0.6


class HelpfulGroup(click.Group):
    """A group that answers a word it doesn't know with the command that does it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which was meant."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            root = ctx.find_root().command
            commands = root.commands if isinstance(root, click.Group) else self.commands
            ctx.fail(_advice(args[0], args[1:], commands, inside=ctx.info_name if ctx.parent else None))
        return super().resolve_command(ctx, args)


def _advice(word: str, rest: Sequence[str], commands: Mapping[str, Any], inside: str | None) -> str:
    """One sentence for the user."""
    shown = printable(word, 40)
    complaint = f"`{shown}` is no command" + (f" of `{inside}`" if inside else "")
    explained = _EXPLAINED.get(word.lower())
    if explained is not None:
        return f"{complaint}: {explained}"
    known = {name: name for name in commands}
    models = commands.get(_MODELS)
    if isinstance(models, click.Group):
        inner = {name: _as_written(name, command) for name, command in models.commands.items()}
        known = known | inner if inside is None else inner | known
    meant = _ELSEWHERE.get(word.lower()) or known.get(word.lower())
    if meant is None:
        near = difflib.get_close_matches(word.lower(), [*known, *_ELSEWHERE], 1, _NEAR)
        meant = (known.get(near[0]) or _ELSEWHERE[near[0]]) if near else None
    if meant is None:
        return f"{complaint}: `phi-emulator --help` lists them"
    return f"{complaint}: run `phi-emulator {_filled(meant, rest)}`"


def _as_written(name: str, command: click.Command) -> str:
    takes_words = any(isinstance(parameter, click.Argument) for parameter in command.params)
    return f"{_MODELS} {name} *" if takes_words else f"{_MODELS} {name}"


def _filled(meant: str, rest: Sequence[str]) -> str:
    """The command with what was written after the wrong word."""
    if not meant.endswith(" *"):
        return meant
    if rest:
        return printable(f"{meant[:-1]}{shlex.join(rest)}", 200)
    if meant.startswith(("exec", "grade")):
        return f"{meant[:-1]}COMMAND"
    if meant == "chat *":
        return "chat"
    return meant[:-1] + "NAME"
