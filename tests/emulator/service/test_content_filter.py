"""Rules come from a file or are made up; a text is judged by the words in it, and an answer is cut before them."""

# ruff: noqa: RUF001 - letters that look like others are what is tested

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.config import ConfigError, EmulatorConfig
from phi_emulator.service.content_filter import DEFAULT_RULES, AnswerFilter, ContentFilter, Rule

SAFE = {"filtered": False, "severity": "safe"}


def watched(answer: AnswerFilter, *pieces: str) -> str:
    return "".join(map(answer.feed, pieces)) + answer.flush()


def test_nothing_is_found_in_a_harmless_prompt() -> None:
    verdict = ContentFilter(DEFAULT_RULES).judge_prompt("What is 17 * 24?")
    assert not verdict.is_blocked
    assert verdict.found == {}


def test_the_worst_severity_of_a_category_counts() -> None:
    rules = [Rule("ow", "violence", "low"), Rule("ouch", "violence", "high")]
    verdict = ContentFilter(rules).judge_prompt("Ow! OUCH!")
    assert verdict.found == {"violence": "high"}
    assert verdict.is_blocked


@pytest.mark.parametrize(
    ("word", "blocks"),
    [("phi-filter-violence", True), ("phi-note-violence", False), ("phi-filter-jailbreak", True)],
)
def test_the_words_that_come_with_it(word: str, blocks: bool) -> None:
    assert ContentFilter(DEFAULT_RULES).judge_prompt(f"a {word} b").is_blocked is blocks


def test_what_is_low_is_noted_and_passes() -> None:
    low = ContentFilter([Rule("hm", "hate", "low")])
    verdict = low.judge_prompt("Hm.")
    assert verdict.found == {"hate": "low"}
    assert not verdict.is_blocked


def test_an_answer_is_cut_before_a_word_that_blocks() -> None:
    answer = AnswerFilter([Rule("bad", "hate", "high"), Rule("meh", "sexual", "low")])
    assert watched(answer, "a Meh", " b", "A", "D end") == "a Meh "
    assert answer.stopped
    assert answer.results["hate"] == {"filtered": True, "severity": "high"}
    assert answer.results["sexual"] == {"filtered": False, "severity": "low"}
    assert answer.results["violence"] == SAFE
    assert answer.results["protected_material_text"] == {"filtered": False, "detected": False}


def test_a_category_of_prompts_alone_does_not_touch_an_answer() -> None:
    assert ContentFilter([Rule("x", "jailbreak", "high")]).watch_answer() is None
    assert not ContentFilter([Rule("x", "protected_material_text", "low")]).judge_prompt("x").is_blocked


WORDS = ["ab", "b", "bab", "σ", "ασ", "ß", "i", "aβ"]


@given(
    st.lists(st.text("aAbßİΑαΣσςβ", max_size=4), max_size=6),
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(["hate", "sexual"])), max_size=4, unique=True),
    st.sampled_from(["low", "high"]),
)
def test_what_is_cut_and_found_does_not_depend_on_the_pieces(
    pieces: list[str], words: list[tuple[str, str]], severity: str
) -> None:
    rules = [Rule("ab", "violence", "high"), *(Rule(word, category, severity) for word, category in words)]
    text = "".join(pieces)
    readings = []
    for cut in ([text], pieces, list(text)):
        machine = AnswerFilter(rules)
        readings.append((watched(machine, *cut), machine.stopped, machine.results))
    assert readings[0] == readings[1] == readings[2]


@given(st.text("aAbßİΣσςKſ"))
def test_an_answer_is_judged_as_a_prompt_is(text: str) -> None:
    rules = [Rule(word, "hate", "high") for word in ("aσ", "k", "ß", "s")]
    machine = AnswerFilter(rules)
    shown = watched(machine, *text)
    assert machine.stopped == ContentFilter(rules).judge_prompt(text).is_blocked
    assert text.startswith(shown)


def test_rules_of_ones_own_are_read_from_a_file_once(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"hate": {"Word": "low"}}', encoding="utf-8")
    config = EmulatorConfig(content_filter=str(file))
    file.unlink()
    assert config.rules == (Rule("word", "hate", "low"),)
    assert EmulatorConfig().rules == ()
    assert EmulatorConfig(content_filter="default").rules == DEFAULT_RULES


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"fun": {}}',
        '{"hate": []}',
        '{"hate": {"x": "huge"}}',
        '{"hate": {"x": "safe"}}',
        '{"hate": {"": "low"}}',
        '{"hate": {" ": "low"}}',
        json.dumps({"hate": {"x" * 201: "low"}}),
        json.dumps({"hate": {str(number): "low" for number in range(1001)}}),
        "[" * 100_000,
        " " * 2**20 + "{}",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_a_file_that_holds_no_rules_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^content_filter: .*rules\.json"):
        EmulatorConfig(content_filter=str(file))


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^content_filter: "):
        EmulatorConfig(content_filter="nowhere.json")
