"""A talk, without a terminal: what is asked, what is sent along, what the commands do."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.chat.conversation import Conversation, Times, Turn
from phi_emulator.chat.history import QuestionHistory
from phi_emulator.chat.saving import SaveError, save
from phi_emulator.chat.session import Session
from phi_emulator.chat.words import COMMANDS, UnknownWordError, is_open, read_command, unfenced

from phi_client import AsyncPhiClient

if TYPE_CHECKING:
    from phi_emulator import Emulator


SLASH = "/help lists them (a question that begins with / is written with a blank before it)"


class Recorder:
    """A face that notes what it was told; its lines are given beforehand."""

    def __init__(self, *lines: str) -> None:
        self.folds = False
        self.lines = [*lines]
        self.said: list[str] = []
        self.ended: list[Turn] = []
        self.shown: list[Turn] = []
        self.heard = ""

    async def read(self) -> str | None:
        return self.lines.pop(0) if self.lines else None

    async def say(self, *lines: str) -> None:
        self.said += lines

    async def begin(self, turn: Turn) -> None:
        del turn

    async def hear(self, turn: Turn, reasoning: str, content: str) -> None:
        del turn
        self.heard += reasoning + content

    async def end(self, turn: Turn) -> None:
        self.ended.append(turn)

    async def show_thoughts(self, turn: Turn) -> None:
        self.shown.append(turn)

    def notice(self, text: str) -> None:
        self.said.append(text)


def talk(emulator: Emulator, *lines: str) -> tuple[Recorder, Session]:
    """What comes of lines."""

    async def run() -> tuple[Recorder, Session]:
        face = Recorder(*lines)
        async with AsyncPhiClient(emulator.endpoint, emulator.key) as client:
            session = Session(client, face, Conversation(), facts={"model": "m"})
            await session.run()
            return face, session

    return asyncio.run(run())


def test_a_question_is_answered_with_thoughts_result_and_figures(emulator: Emulator) -> None:
    face, session = talk(emulator, "/temperature 0", "What is 6 * 7?")
    (turn,) = face.ended
    assert (turn.content, turn.boxed, turn.finish_reason) == (r"The answer is \boxed{42}.", "42", "stop")
    assert turn.reasoning
    assert turn.is_counted
    assert turn.until_first_s is not None
    assert turn.seconds is not None
    assert turn.seconds >= turn.until_first_s > 0
    assert session.facts["model"] == "phi-tiny-arith"


def test_what_was_answered_is_sent_along_without_thoughts() -> None:
    said = Conversation("Be brief.")
    for content, reasoning in (("a1", "r1"), ("", "r2"), ("a3", "")):
        said.turns.append(Turn(f"q{len(said.turns) + 1}", Times(0.0), reasoning=reasoning, content=content))
    assert [(one["role"], one["content"]) for one in said.messages("q4")] == [
        ("system", "Be brief."), ("user", "q1"), ("assistant", "a1"), ("user", "q3"), ("assistant", "a3"),
        ("user", "q4"),
    ]  # fmt: skip


def test_retry_undo_and_clear_take_turns_back(emulator: Emulator) -> None:
    face, session = talk(
        emulator, "/retry", "formula", "cut", "/retry", "/undo", "/undo", "/undo", "formula", "/clear"
    )
    assert [turn.question for turn in face.ended] == ["formula", "cut", "cut", "formula"]
    assert session.conversation.turns == []
    assert face.said.count("nothing was asked yet") == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/temperature 0.2", "temperature: 0.2"),
        ("/temp 3", "temperature takes a number from 0 to 2: /temperature [NUMBER|off]"),
        ("/temperature nan", "temperature takes a number from 0 to 2: /temperature [NUMBER|off]"),
        ("/temperature hot", "temperature takes a number from 0 to 2: /temperature [NUMBER|off]"),
        ("/temperature", "temperature: (default)"),
        ("/max_tokens 1.5", "max_tokens takes a whole number from 1 to 1000000: /max_tokens [COUNT|off]"),
        ("/seed 7", "seed: 7"),
        ("/system Be brief.", "system: Be brief."),
        ("/system", "system: (none)"),
        ("/thoughts", "there are no thoughts to show"),
        ("/thoughts fold", "thoughts are folded from now on"),
        ("/thoughts maybe", "write /thoughts, /thoughts show or /thoughts fold"),
        ("/save", "write /save FILE.md or /save FILE.json"),
        ("/save x.md", "nothing was asked yet"),
        ("/sve x.md", f"there is no command /sve: perhaps /save; {SLASH}"),
        ("/Temprature 1", f"there is no command /Temprature: perhaps /temperature; {SLASH}"),
    ],
)  # fmt: skip
def test_a_command_says_what_it_did(emulator: Emulator, line: str, said: str) -> None:
    assert talk(emulator, line)[0].said == [said]


@pytest.mark.parametrize("leaving", ["/quit", "/bye", "/exit", "/q"])
def test_every_word_for_leaving_leaves(emulator: Emulator, leaving: str) -> None:
    assert talk(emulator, leaving, "/help")[0].said == []


def test_help_lists_every_command(emulator: Emulator) -> None:
    text = "\n".join(talk(emulator, "/?")[0].said)
    assert [name for name in COMMANDS if f"/{name}" not in text] == []


def test_info_tells_what_is_set(emulator: Emulator) -> None:
    said = talk(emulator, "/temperature 0", "formula", "/info")[0].said
    assert "set: temperature 0.0" in said
    assert any(line.startswith("so far: 1 question,") for line in said)


@pytest.mark.parametrize(
    ("question", "told", "kept"),
    [
        ("broken", "what came is kept", "half "),
        ("no", "ask it in other words", ""),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do_and_the_talk_goes_on(
    emulator: Emulator, question: str, told: str, kept: str
) -> None:
    face, _ = talk(emulator, question, "formula")
    failed, answered = face.ended
    assert told in failed.problem
    assert "\n" not in failed.problem
    assert failed.content.startswith(kept)
    assert answered.boxed == r"\frac{3}{4}"


def test_what_nobody_can_answer_is_said(emulator: Emulator) -> None:
    async def run() -> Recorder:
        face = Recorder("hello")
        async with AsyncPhiClient(emulator.endpoint, "a-wrong-key-00", max_retries=0) as client:
            await Session(client, face, Conversation(), facts={}).run()
        async with AsyncPhiClient("http://127.0.0.1:9", "a-key-000000", max_retries=0) as client:
            face.lines.append("hello")
            await Session(client, face, Conversation(), facts={}).run()
        return face

    wrong_key, nobody = asyncio.run(run()).ended
    assert "set PHI_API_KEY" in wrong_key.problem
    assert nobody.problem.startswith("nothing listens there: start `phi-emulator serve`")


def test_a_stopped_answer_is_kept_and_ends_the_models_work(emulator: Emulator) -> None:
    class Impatient(Recorder):
        session: Session

        async def hear(self, turn: Turn, reasoning: str, content: str) -> None:
            await super().hear(turn, reasoning, content)
            if len(turn.content) >= 3:
                assert self.session.interrupt()

    async def run() -> Impatient:
        face = Impatient("stalls", "formula")
        async with AsyncPhiClient(emulator.endpoint, emulator.key) as client:
            face.session = Session(client, face, Conversation(), facts={})
            assert not face.session.interrupt()
            while (line := await face.read()) is not None and not face.ended:
                await face.session.take(line)
            return face

    stopped = asyncio.run(run()).ended[0]
    assert stopped.is_stopped
    assert stopped.content.startswith("hal")
    assert stopped.problem == ""


# Files.


def a_talk() -> Conversation:
    done = Times(0.0, first=0.5, answer=1.0, last=2.0, ended=2.0)
    turn = Turn(
        "q \x1b[31m",
        done,
        reasoning="r",
        content="c \ud800 乘 </details>",
        boxed="4",
        finish_reason="stop",
        pieces=9,
    )
    return Conversation("Be brief.", {"temperature": 0.2}, [turn])


def test_a_talk_is_saved_for_people_and_for_programs(tmp_path: Path) -> None:
    text = save(a_talk(), str(tmp_path / "a.md"), overwrite=False, facts={"model": "m"}).read_text(
        encoding="utf-8"
    )
    assert "**Result:** 4" in text
    assert "- temperature: 0.2" in text
    assert "\x1b" not in text
    found = json.loads(
        save(a_talk(), str(tmp_path / "a.JSON"), overwrite=False, facts={"model": "m"}).read_bytes()
    )
    assert found["model"] == "m"
    assert found["turns"][0]["boxed"] == "4"
    assert found["turns"][0]["times"] == {
        "first_token_s": 0.5,
        "answer_s": 1.0,
        "total_s": 2.0,
        "tokens_per_s": 5.3333,
    }


def test_a_file_that_is_there_is_overwritten_only_on_demand_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("mine")
    file.chmod(0o640)
    with pytest.raises(SaveError, match=r"is there already: `/save! .*a\.md` overwrites it"):
        save(a_talk(), str(file), overwrite=False, facts={})
    assert file.read_text() == "mine"
    save(a_talk(), str(file), overwrite=True, facts={})
    assert "Question" in file.read_text(encoding="utf-8")
    assert [one.name for one in tmp_path.iterdir()] == ["a.md"]
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "name", ["a.txt", "a", "nowhere/a.md", "~nobody-of-that-name/a.md", "x" * 300 + ".md", "a\0.md", ".md"]
)
def test_what_cant_be_written_is_said(tmp_path: Path, name: str) -> None:
    place = name if name.startswith("~") else str(tmp_path / name)
    with pytest.raises(SaveError) as caught:
        save(a_talk(), place, overwrite=False, facts={})
    assert "\n" not in str(caught.value)
    assert [*tmp_path.iterdir()] == []


def test_history_is_kept_for_its_owner_alone_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "made" / "history.jsonl"
    key = "a-secret-key-0123456789"
    history = QuestionHistory(file, [key])
    for text in ("one", "of\nseveral lines", " begins with a blank", f"my key is {key}", f"cut: {key[:18]}",
                 "x" * 20_000, "[pasted #1: 5,000 letters]", "last 乘"):  # fmt: skip
        history.store_string(text)
    assert [*QuestionHistory(file).load_history_strings()] == ["last 乘", "of\nseveral lines", "one"]
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_history_that_is_damaged_too_long_or_not_writable_is_no_reason_to_fail(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_bytes(b'"one"\n{"half\n\xff\n7\n' + b"".join(b'"%d"\n' % number for number in range(1300)))
    assert [*QuestionHistory(file).load_history_strings()][:2] == ["1299", "1298"]
    assert len(file.read_bytes().splitlines()) == 1000
    QuestionHistory(tmp_path).store_string("a folder is in its place")
    assert [*QuestionHistory(tmp_path).load_history_strings()] == []
    assert os.listdir(tmp_path) == ["history.jsonl"]  # noqa: PTH208


# Words.


@settings(deadline=None)
@given(st.text(max_size=60))
def test_every_line_is_a_question_a_command_or_answered_with_one(line: str) -> None:
    try:
        found = read_command(line)
    except UnknownWordError as error:
        assert str(error).isprintable()  # noqa: PT017 - one of three outcomes
        return
    assert (found is None) is not line.startswith("/")
    assert found is None or found[0].removesuffix("!") in COMMANDS


@pytest.mark.parametrize(
    ("text", "begun"),
    [('"""', True), ('"""a', True), ('"""a\nb"""', False), ('"""a"""', False), ("a", False), ('a """', False),
     ('""""""', False), ('"""a\n"""\n', False)],
)  # fmt: skip
def test_several_lines_stand_between_fences(text: str, begun: bool) -> None:
    assert is_open(text) is begun


def test_fences_are_no_part_of_a_question() -> None:
    assert unfenced('"""\na\nb\n"""') == "a\nb"
    assert unfenced(" / is a sign ") == "/ is a sign"


def figures(**changes: Any) -> Turn:
    return Turn("q", Times(0.0, **changes), pieces=11)


def test_a_rate_is_told_only_where_there_was_time_to_tell() -> None:
    assert figures(first=1.0, last=3.0).rate() == pytest.approx(5)
    assert figures(first=1.0, last=1.001).rate() is None
    assert figures().rate() is None
    assert figures(first=1.0).rate(now=2.0) == pytest.approx(10)
