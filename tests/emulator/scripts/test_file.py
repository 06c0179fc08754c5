"""A script's file while it is changed: whole or not at all, whoever writes it and however."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from phi_emulator.scripts.errors import ScriptError
from phi_emulator.scripts.file import ScriptFile
from phi_emulator.scripts.rules import Script

ONE = "[[rule]]\nanswer = 'one'\n"
TWO = "[[rule]]\nanswer = 'two'\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "answers.toml"
    path.write_text(ONE, encoding="utf-8")
    return path


class Taker:
    """Takes what is read, and tells the first answer of it."""

    def __init__(self) -> None:
        self.answers: list[str] = []

    def __call__(self, script: Script) -> None:
        recital = script.rules[0].replies[0].recital
        self.answers.append("" if recital is None else recital.text)


def replaced(path: Path, text: str) -> None:
    """As editors and `os.replace` do it."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def rewritten(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("write", [replaced, rewritten])
def test_a_change_is_taken_once_of_the_same_size_too(path: Path, write: object) -> None:
    assert callable(write)
    file, take = ScriptFile(path), Taker()
    take(file.read())
    assert not file.reread(take)
    for text in (TWO, ONE, TWO):
        write(path, text)
        assert file.reread(take)
        assert not file.reread(take)
    assert take.answers == ["one", "two", "one", "two"]
    assert (file.reloads, file.trouble) == (3, "")


@pytest.mark.parametrize("bad", ["[[rule]]\nanser = 'a'", "", "[[rule]\n", "\0"])
def test_a_bad_change_is_not_taken_and_said_until_it_is_mended(path: Path, bad: str) -> None:
    file, take = ScriptFile(path), Taker()
    file.read()
    replaced(path, bad)
    assert file.reread(take)
    assert str(path) in file.trouble
    assert take.answers == []
    replaced(path, TWO)
    assert file.reread(take)
    assert (take.answers, file.trouble) == (["two"], "")


def test_a_file_that_goes_and_comes_back_is_followed(path: Path) -> None:
    file, take = ScriptFile(path), Taker()
    file.read()
    path.unlink()
    assert file.reread(take)
    assert "No such file" in file.trouble
    path.write_text(TWO, encoding="utf-8")
    assert file.reread(take)
    assert take.answers == ["two"]


def test_what_nobody_takes_is_said(path: Path) -> None:
    file = ScriptFile(path)
    file.read()
    replaced(path, TWO)

    def refuse(script: Script) -> None:
        raise ScriptError("it needs a model")

    assert file.reread(refuse)
    assert file.trouble == "it needs a model"


def test_however_it_is_written_only_whole_scripts_are_taken(path: Path) -> None:
    file, take, stop = ScriptFile(path), Taker(), threading.Event()
    file.read()
    texts = [
        f"[[rule]]\nanswer = '{name}'\n" + "[[rule]]\nanswer = 'more'\n" * 400 for name in ("one", "two")
    ]

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            text = texts[number % 2].encode()
            if number % 3:
                # In its place: for a moment it is empty.
                with path.open("wb", buffering=0) as open_file:
                    open_file.write(text)
            else:
                replaced(path, text.decode())
            stop.wait(0.045)

    writer = threading.Thread(target=write)
    writer.start()
    counts: set[int] = set()

    def take_whole(script: Script) -> None:
        take(script)
        counts.add(len(script.rules))

    while len(take.answers) < 12:
        file.reread(take_whole)
    stop.set()
    writer.join()
    assert counts == {401}
    assert set(take.answers) <= {"one", "two"}
