"""The chat as a person has it: in a pseudo-terminal, of 40, 80 and 200 columns."""

from __future__ import annotations

import os
import re
import signal
import stat
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from wcwidth import wcswidth

from tests.emulator.chat.conftest import STEPS

if TYPE_CHECKING:
    from phi_emulator import Emulator

    from tests.emulator.chat.conftest import Start

CTRL_C, CTRL_D, CTRL_T, UP = "\x03", "\x04", "\x14", "\x1b[A"
DIM = b"\x1b[0;2m"


def is_raw(terminal: int) -> bool:
    return not termios.tcgetattr(terminal)[3] & termios.ICANON


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_talk(terminal: Start, environ: dict[str, str], tmp_path: Path, columns: int) -> None:
    seen = terminal(columns=columns)
    seen.sees("/help lists commands")
    # All at once: what is typed while an answer comes is asked after it.
    seen.send("formula\rwide\rhostile\r/tempature\r/temperature 0.5\r")
    seen.sees("temperature: 0.5")
    text = seen.text
    assert "│ Let x² = 2." in text
    assert "So x = (-b ± √(b²-4ac))/(2a)" in " ".join(text.split())
    assert "┌─────┐\n│ 3/4 │\n└─────┘" in text
    assert re.search(r"\d+ tokens · .*first after [\d.]+\s+s · [\d.]+ s", text)
    assert "perhaps\n/temperature" in text or "perhaps /temperature" in text
    assert all(wcswidth(line) <= columns for line in text.splitlines())
    # The thoughts alone are dim, and the model's escapes never reach the terminal.
    assert DIM + "│ Let x² = 2.".encode() in seen.raw
    assert DIM + b"So x" not in seen.raw
    assert [
        found
        for found in (b"\x1b[2J", b"\x1b]0;", b"\x1b[31m", b"\x07", b"\x9b31m", b"\x08\x08")
        if found in seen.raw
    ] == []
    seen.send(f"/save {tmp_path / 'talk.md'}\r/save {tmp_path / 'talk.md'}\r/retry\r")
    seen.sees("overwrites")
    seen.sees(">>> hostile")
    seen.send(CTRL_D)
    assert seen.ends() == 0
    assert "**Result:** \\frac{3}{4}" in (tmp_path / "talk.md").read_text(encoding="utf-8")
    history = Path(environ["XDG_STATE_HOME"]) / "phi-emulator" / "chat-history.jsonl"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert history.read_text().startswith('"formula"\n"wide"\n')


def test_thoughts_are_folded_by_a_key_while_they_come(terminal: Start, emulator: Emulator) -> None:
    seen = terminal(rows=16)
    seen.sees("/help lists")
    before = emulator.journal.last
    seen.send("thinks long\r")
    seen.sees(STEPS[4][:20])
    seen.send(CTRL_T)
    seen.until(lambda: "▸ thinking" in seen.shown and "step" not in seen.shown)
    seen.send(CTRL_T)
    seen.until(lambda: "step" in seen.shown)
    seen.resize(50, 20)
    seen.resize(120, 30)
    seen.send(CTRL_C)
    seen.sees("stopped")
    (ended,) = emulator.journal.wait_for(after=before)
    assert ended.ending == "hung up"
    seen.send(CTRL_C)
    seen.sees("Ctrl-D or /quit leaves")
    seen.send("/thoughts fold\rformula\r")
    seen.sees("▸ thought for")
    seen.sees("│ 3/4 │")
    assert "Let x²" not in seen.text
    seen.send("/thoughts\r")
    seen.sees("│ Let x² = 2.")
    seen.send("/quit\r")
    assert seen.ends() == 0


def test_keys_of_the_line(terminal: Start, environ: dict[str, str]) -> None:
    seen = terminal()
    seen.sees("/help lists")
    seen.send("\x1b[200~pasted one\npasted two\x1b[201~")
    seen.sees("... pasted two")
    seen.send(CTRL_C)
    seen.until(lambda: "pasted" not in seen.shown)
    seen.send("one\x1b\rtwo")
    seen.sees("... two")
    seen.send(CTRL_C)
    seen.send('"""\rcut\r')
    seen.sees("... cut")
    assert "half an" not in seen.text
    seen.send('"""\r')
    seen.sees("half an")
    seen.send("\x1b[200~" + "huge " * 20_000 + "\x1b[201~")
    seen.sees("[pasted #1: 100,000 letters]")
    seen.send("\r")
    seen.sees("/clear begins a new talk")
    seen.send(CTRL_D)
    assert seen.ends() == 0
    again = terminal()
    again.sees("/help lists")
    again.send(UP)
    again.sees("... cut")
    again.send("\r")
    again.sees("half an")
    again.signal(signal.SIGTERM)
    assert again.ends() == 143


def test_a_retry_is_told_and_can_be_stopped(terminal: Start) -> None:
    seen = terminal()
    seen.sees("/help lists")
    seen.send("busy\r")
    seen.sees("attempt 2 in")
    seen.send(CTRL_C)
    seen.sees("stopped")
    seen.send("broken\r")
    seen.sees("/retry asks again")
    seen.send(CTRL_D)
    assert seen.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_terminal_is_given_back_whatever_ends_it(terminal: Start, number: signal.Signals) -> None:
    seen = terminal()
    seen.sees("/help lists")
    seen.send("thinks long\r")
    seen.sees("step 2")
    assert is_raw(seen.inner)
    seen.signal(number)
    if number == signal.SIGINT:
        # As the key: it stops the answer, and not the program.
        seen.sees("stopped")
        seen.send(CTRL_D)
    assert seen.ends() == (0 if number == signal.SIGINT else 128 + number)
    assert not is_raw(seen.inner)


def test_one_question_on_a_terminal(terminal: Start) -> None:
    seen = terminal("formula")
    assert seen.ends() == 0
    assert seen.text.startswith("│ Let x² = 2.\n\nSo x")
    stopped = terminal("stalls", environ={"NO_COLOR": "1"})
    stopped.sees("half")
    stopped.send(CTRL_C)
    assert stopped.ends() == 130
    assert "stopped" in stopped.text
    # Attributes, no colours.
    assert not re.search(rb"\x1b\[(?:\d+;)*(?:3[0-9]|4[0-9]|9[0-7])[;m]", seen.raw + stopped.raw)


def test_a_terminal_that_can_do_nothing_gets_plain_lines(terminal: Start) -> None:
    seen = terminal(environ={"TERM": "dumb"})
    seen.sees(">>>")
    seen.send("formula\n")
    seen.sees("result: \\frac{3}{4}")
    assert "[thoughts]\nLet" in seen.text
    seen.send('"""\nbegun\n')
    seen.sees("... ...")
    seen.send(CTRL_C)
    seen.sees("leaves")
    seen.send("stalls\n")
    seen.sees("half")
    seen.send(CTRL_C)
    seen.sees("stopped")
    seen.send("/nothing\n" + CTRL_D)
    assert seen.ends() == 0
    assert "there is no command /nothing" in seen.text
    assert b"\x1b" not in seen.raw


def test_without_lines_and_roots_it_is_drawn_in_ascii(terminal: Start) -> None:
    seen = terminal("formula", environ={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert seen.ends() == 0
    assert "| Let x^2 = 2." in seen.text
    assert "+-----+\n| 3/4 |\n+-----+" in seen.text
    assert seen.raw.isascii()


def test_answers_of_a_talk_can_be_piped_on(terminal: Start) -> None:
    reading, writing = os.pipe()
    seen = terminal(stdout=writing)
    os.close(writing)
    seen.sees(">>>")
    seen.send("formula\n")
    seen.sees("result:")
    seen.send(CTRL_D)
    assert seen.ends() == 0
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read().count(b"\n") == 1
    assert "So" not in seen.text


def test_an_emulator_of_its_own_is_started_and_asked(environ: dict[str, str]) -> None:
    from tests.emulator.chat.terminal import Terminal  # noqa: PLC0415

    seen = Terminal("--temperature", "0", environ=environ)
    try:
        seen.sees("phi-tiny-arith on this machine")
        seen.send("What is 6 * 7?\r")
        seen.sees("│ 42 │")
        seen.send(CTRL_D)
        assert seen.ends() == 0
    finally:
        seen.close()
