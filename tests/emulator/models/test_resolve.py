"""From a name or a path to a model folder, or to an error that says what to do."""

import json
from pathlib import Path

import pytest
from phi_emulator.models import BUNDLED, ModelNotFoundError, resolve_model


def folder_with(path: Path, *names: str, graph: str = "model.onnx") -> Path:
    path.mkdir()
    config = {"model": {"decoder": {"filename": graph}}}
    (path / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in names:
        (path / name).write_text('{"chat_template": "{{ messages }}"}', encoding="utf-8")
    return path


def test_nothing_asked_for_gives_the_bundled_model() -> None:
    assert resolve_model() == resolve_model(BUNDLED.name)
    assert resolve_model().name == "phi-tiny-arith"
    assert "not Phi-4-mini-reasoning" in resolve_model().description


def test_the_bundled_model_is_within_its_eight_megabytes() -> None:
    assert sum(file.stat().st_size for file in resolve_model().folder.iterdir()) <= 8_000_000


def test_a_folder_answers_under_its_own_name(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "mine", "model.onnx", "tokenizer.json", "tokenizer_config.json")
    assert resolve_model(str(folder)).name == "mine"


def test_the_real_model_is_not_here_yet_and_the_error_says_how_to_get_it() -> None:
    with pytest.raises(ModelNotFoundError, match="microsoft/Phi-4-mini-reasoning-onnx"):
        resolve_model("phi-4-mini-reasoning")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelNotFoundError, match="phi-tiny-arith"):
        resolve_model("phi-5")


def test_a_folder_without_a_genai_config_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"genai_config\.json"):
        resolve_model(str(tmp_path))


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "half", "tokenizer.json", graph="other.onnx")
    with pytest.raises(ModelNotFoundError, match=r"other\.onnx, tokenizer_config\.json"):
        resolve_model(str(folder))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"model": 1}'])
def test_an_unreadable_config_is_explained(tmp_path: Path, text: str) -> None:
    (tmp_path / "genai_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelNotFoundError, match="can't be read"):
        resolve_model(str(tmp_path))
