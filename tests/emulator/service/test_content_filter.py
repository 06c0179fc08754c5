"""Rules come from a file or are made up; a text is judged by the words in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from phi_emulator.config import ConfigError, EmulatorConfig
from phi_emulator.service.content_filter import DEFAULT_RULES, Rule, verdict


def test_a_harmless_text_has_no_verdict() -> None:
    assert verdict(DEFAULT_RULES, "What is 17 * 24?") is None


def test_the_worst_severity_of_a_category_counts() -> None:
    rules = [Rule("ow", "violence", "low"), Rule("ouch", "violence", "high")]
    found = verdict(rules, "Ow! OUCH!")
    assert found is not None
    assert found["violence"] == {"filtered": True, "severity": "high"}
    assert found["jailbreak"] == {"filtered": False, "detected": False}


def test_rules_of_ones_own_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"hate": {"Word": "low"}}', encoding="utf-8")
    assert EmulatorConfig(content_filter=str(file)).rules == (Rule("word", "hate", "low"),)
    assert EmulatorConfig().rules == ()
    assert EmulatorConfig(content_filter="default").rules == DEFAULT_RULES


@pytest.mark.parametrize(
    "text", ["", "[]", '{"fun": {}}', '{"hate": []}', '{"hate": {"x": "huge"}}', '{"hate": {"": "low"}}']
)
def test_a_file_that_holds_no_rules_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"`content_filter`.*rules\.json"):
        EmulatorConfig(content_filter=str(file))


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="`content_filter`"):
        EmulatorConfig(content_filter="nowhere.json")
