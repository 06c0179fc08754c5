"""What a grammar costs is found out where it costs nobody anything, and what is too much is refused in our words."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from phi_emulator.engine.errors import EngineStoppedError, GuidanceError, SequenceError
from phi_emulator.engine.native.grammar_checks import GrammarChecks
from phi_emulator.engine.native.guidance_errors import guidance_error
from phi_emulator.engine.protocol import Marks
from phi_emulator.forms.grammar import ANY_OBJECT, Form, JsonForm, RegexForm, write_grammar
from phi_emulator.models import resolve_model
from phi_emulator.models.genai_config import read_settings

from tests.emulator.engine.conftest import make_ort
from tests.emulator.engine.test_decoding import FOLDERS

PATIENCE_S = 30.0
"""Much longer than a process takes to start on a machine that is busy."""
INTEGER = {"type": "integer"}


def written(form: Form) -> str:
    return write_grammar(Marks(), form)


@pytest.fixture(scope="module")
def checks() -> Iterator[GrammarChecks]:
    folder = resolve_model().folder
    checks = GrammarChecks(folder, read_settings(folder))
    yield checks
    checks.close()


def alternatives(*sizes: int) -> dict[str, Any]:
    """As many objects with properties of their own as the product of the sizes says."""
    return {
        "allOf": [
            {
                "anyOf": [
                    {"type": "object", "properties": {f"a{place}_{number}": {"type": "string"}}}
                    for number in range(size)
                ]
            }
            for place, size in enumerate(sizes)
        ]
    }


COSTLY: dict[str, Form] = {
    "many items": JsonForm({"type": "array", "items": INTEGER, "maxItems": 60_000}),
    "a million items": JsonForm({"type": "array", "items": INTEGER, "maxItems": 10**6}),
    "items without end": JsonForm({"type": "array", "items": INTEGER, "maxItems": 10**8}),
    "least items": JsonForm({"type": "array", "items": INTEGER, "minItems": 5000, "maxItems": 10**5}),
    "a multiple": JsonForm({"type": "integer", "multipleOf": 99_999_989}),
    "multiples": JsonForm({"allOf": [{"multipleOf": 9973}, {"multipleOf": 9967}]}),
    "combinations": JsonForm(alternatives(6, 6, 6, 6, 6)),
    "optional letters": RegexForm("a?" * 5000 + "a" * 5000),
}


@pytest.mark.parametrize("name", COSTLY)
def test_what_takes_too_much_is_refused_in_our_own_words_and_the_next_is_checked(
    checks: GrammarChecks, name: str
) -> None:
    began = time.monotonic()
    with pytest.raises(GuidanceError, match="simpler") as caught:
        checks.check(written(COSTLY[name]))
    assert not re.search(r"panic|assert|::|\.rs|memory allocation|signal", str(caught.value))
    checks.check(written(JsonForm({"type": "object", "properties": {"a": INTEGER}})))
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize(
    "form",
    [
        ANY_OBJECT,
        JsonForm({"type": "array", "items": INTEGER, "maxItems": 100}),
        JsonForm(alternatives(4, 4, 4)),
        JsonForm({"type": "integer", "multipleOf": 9_973}),
        JsonForm({"enum": ["x" * 100 + str(number) for number in range(100)]}),
        RegexForm(r"(a{1,1000}){1,1000}"),
    ],
    ids=lambda form: str(form)[:40],
)
def test_what_people_ask_for_is_taken(checks: GrammarChecks, form: Form) -> None:
    checks.check(written(form))


def test_a_verdict_is_found_once(monkeypatch: pytest.MonkeyPatch, checks: GrammarChecks) -> None:
    costly = written(JsonForm({"type": "array", "items": INTEGER, "maxItems": 61_000}))
    good = written(RegexForm("once"))
    asked: list[str] = []
    compile_it = checks._compile

    def counted(grammar: str) -> GuidanceError | None:
        asked.append(grammar)
        return compile_it(grammar)

    monkeypatch.setattr(checks, "_compile", counted)
    for _ in range(3):
        checks.check(good)
        with pytest.raises(GuidanceError):
            checks.check(costly)
    assert asked == [good, costly]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_process_has_the_served_models_tokens(folder: Path) -> None:
    checks = GrammarChecks(folder, read_settings(folder))
    try:
        checks.check(written(JsonForm({"const": "naïve 日本 😀"})))
        with pytest.raises(GuidanceError, match="Invalid type: nonsense"):
            checks.check(written(JsonForm({"type": "nonsense"})))
    finally:
        checks.close()


def test_closing_ends_the_process_also_in_the_midst_of_a_grammar() -> None:
    folder = resolve_model().folder
    checks = GrammarChecks(folder, read_settings(folder))
    checks.check(written(ANY_OBJECT))
    # Processes of other tests may have ended and not been collected yet.
    living = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    (child,) = [one for one in living if "ort_generator_process" in " ".join(one.cmdline())][-1:]
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            checks.check(written(COSTLY["items without end"]))
        except (GuidanceError, EngineStoppedError) as error:
            raised.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    checks.close()
    asking.join(PATIENCE_S)
    assert len(raised) == 1
    assert not child.is_running()
    with pytest.raises(EngineStoppedError):
        checks.check(written(RegexForm("later")))


def test_a_process_that_cannot_be_started_fails_the_one_who_asked(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(resolve_model().folder, folder)
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    checks = GrammarChecks(folder, read_settings(folder))
    with pytest.raises(SequenceError, match="can't be started"):
        checks.check(written(ANY_OBJECT))
    checks.close()


@pytest.mark.parametrize(
    "complaint",
    [
        "panic: assertion failed: grammar.symbols.len() < u16::MAX as usize - 10",
        "Error creating grammar: at 7(7): called `Option::unwrap()` on a `None` value",
        "Error creating grammar: thread '<unnamed>' panicked at src/lib.rs:5:1",
        "Error creating grammar: at 7(7): failed to compile JSON schema: Some(1e300) \x1b[31m",
        "",
        "std::bad_alloc",
    ],
)
def test_complaints_that_are_not_known_are_not_passed_on(complaint: str) -> None:
    assert str(guidance_error(complaint)) == "the schema or the expression can't be followed: make it simpler"


def test_an_engine_is_not_held_up_by_what_is_being_checked() -> None:
    engine = make_ort()
    try:
        engine.prepare_guidance(written(ANY_OBJECT))
        longest, done = 0.0, threading.Event()

        def check() -> None:
            with pytest.raises(GuidanceError):
                engine.check_guidance(written(COSTLY["a million items"]))
            done.set()

        threading.Thread(target=check).start()
        last = time.monotonic()
        while not done.wait(0.002):
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        assert longest < 0.5, "the interpreter was held"
    finally:
        engine.close()
