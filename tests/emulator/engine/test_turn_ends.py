"""A folder that names no token that ends a turn is given it, with a word, or is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.protocol import EndReason, Engine, Sampling
from phi_emulator.models import resolve_model

from tests.emulator.engine.conftest import make_ort
from tests.emulator.engine.driver import Driver
from tests.emulator.loading import load_generator

ENDOFTEXT, END = 1012, 1015
NEITHER = 5
QUESTION = "What is 17 * 24?"


@pytest.fixture(params=[make_ort, load_generator], ids=["ort", "generator"])
def load(request: pytest.FixtureRequest) -> Callable[[Path], Engine]:
    loader: Callable[[Path], Engine] = request.param
    return loader


def folder_with(
    tmp_path: Path, template: str | None = None, tokenizer: dict[str, Any] | None = None, **model: Any
) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(resolve_model().folder, folder)
    config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    config["model"] |= model
    config["model"] = {name: value for name, value in config["model"].items() if value is not None}
    (folder / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    if tokenizer is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return folder


@pytest.mark.parametrize("named", [None, [], ENDOFTEXT, [ENDOFTEXT], [NEITHER]], ids=str)
def test_the_end_of_the_template_is_added_with_a_word(
    load: Callable[[Path], Engine], tmp_path: Path, named: object
) -> None:
    engine = load(folder_with(tmp_path, eos_token_id=named))
    try:
        assert any("`<|end|>`" in note and "was added" in note for note in engine.info.notes)
        driver = Driver(engine)
        driver.open(1, QUESTION, Sampling(400, temperature=0))
        driver.finish()
        assert driver.ends == {1: EndReason.STOP}
        assert driver.texts[1].endswith("\\boxed{408}.")
    finally:
        engine.close()


@pytest.mark.parametrize("named", [END, [END, ENDOFTEXT]], ids=str)
def test_a_folder_that_names_it_is_left_as_it_is(
    load: Callable[[Path], Engine], tmp_path: Path, named: object
) -> None:
    engine = load(folder_with(tmp_path, eos_token_id=named))
    assert not any("eos" in note or "<|end|>" in note for note in engine.info.notes)
    engine.close()


SILENT = "{% for m in messages %}{{ m['content'] }} {% endfor %}"


def test_a_template_that_ends_no_turn_takes_the_tokenizers_word(
    load: Callable[[Path], Engine], tmp_path: Path
) -> None:
    own = json.loads((resolve_model().folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    engine = load(folder_with(tmp_path, SILENT, own | {"eos_token": "<|end|>"}, eos_token_id=None))
    assert any("`<|end|>`" in note for note in engine.info.notes)
    engine.close()


@pytest.mark.parametrize(("named", "why"), [(None, "no answer would end"), ([99_999], "99999"), ([-1], "-1")])
def test_a_folder_without_an_end_is_refused(
    load: Callable[[Path], Engine], tmp_path: Path, named: object, why: str
) -> None:
    own = json.loads((resolve_model().folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    with pytest.raises(ModelLoadError, match=why):
        load(folder_with(tmp_path, SILENT, own | {"eos_token": None}, eos_token_id=named))
