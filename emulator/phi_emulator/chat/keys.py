"""What keys do in a talk, beside those that edit a line as everywhere (Emacs' keys, arrows, Ctrl-R).

It must not decide what becomes of a question.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from phi_emulator.chat.words import PASTED, is_open
from phi_emulator.models.printable import without_controls

if TYPE_CHECKING:
    from prompt_toolkit.buffer import Buffer

    from phi_emulator.chat.screen import Screen

__all__ = ["bindings", "expanded"]

_LONG_PASTE: Final = 3000
"""Letters of a paste from which on a word stands for it: drawing a megabyte with each key takes seconds."""
_pastes: WeakKeyDictionary[Buffer, list[str]] = WeakKeyDictionary()


def expanded(buffer: Buffer) -> str:
    """What was typed, with long pastes in the place of the words that stand for them."""
    pastes = _pastes.get(buffer, [])

    def paste(found: re.Match[str]) -> str:
        number = int(found[1])
        return pastes[number - 1] if 0 < number <= len(pastes) else found[0]

    return PASTED.sub(paste, buffer.text)


def bindings(screen: Screen) -> KeyBindings:
    """The keys of a talk."""
    keys = KeyBindings()
    buffer = screen.buffer

    @keys.add("enter")
    @keys.add("c-j")
    def _enter(_event: KeyPressEvent) -> None:
        if is_open(buffer.text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _another_line(_event: KeyPressEvent) -> None:
        buffer.insert_text("\n")

    @keys.add("c-c")
    @keys.add("<sigint>")
    def _stop(_event: KeyPressEvent) -> None:
        screen.stop()

    @keys.add("c-d", filter=Condition(lambda: not buffer.text))
    def _leave(_event: KeyPressEvent) -> None:
        screen.leave()

    @keys.add("c-t")
    def _fold(_event: KeyPressEvent) -> None:
        screen.toggle_thoughts()

    @keys.add(Keys.BracketedPaste)
    def _paste(event: KeyPressEvent) -> None:
        text = without_controls(event.data.replace("\r\n", "\n").replace("\r", "\n"))
        if len(text) > _LONG_PASTE:
            pastes = _pastes.setdefault(buffer, [])
            pastes.append(text)
            text = f"[pasted #{len(pastes)}: {len(text):,} letters]"
        buffer.insert_text(text)

    return keys
