"""From a name or a path to a model folder, or to an error that says what to do."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from phi_emulator.models import BUNDLED, ModelNotFoundError, NotPulledError, Store, resolve_model
from phi_emulator.models.store.store import StoredModel

from tests.hub_server import REPOSITORY, HubServer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


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


def test_the_real_model_is_not_here_and_the_error_says_how_to_get_it(store: Store) -> None:
    with pytest.raises(
        NotPulledError, match=r"`phi-emulator models pull phi-4-mini-reasoning` \(about 4\.85 GB"
    ):
        resolve_model("phi-4-mini-reasoning", store)


def test_an_unknown_name_lists_the_known_ones(store: Store) -> None:
    with pytest.raises(ModelNotFoundError, match="phi-tiny-arith"):
        resolve_model("phi-5", store)


def test_a_folder_without_a_genai_config_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"genai_config\.json"):
        resolve_model(str(tmp_path))


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "half", "tokenizer.json", graph="other.onnx")
    with pytest.raises(ModelNotFoundError, match=r"other\.onnx, tokenizer_config\.json"):
        resolve_model(str(folder))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"model": 1}',
        '{"model": {"decoder": {"filename": 1}}}',
        '{"model": {"decoder": {"filename": "model.onnx"}, "context_length": "many"}}',
        '{"model": {"decoder": {"filename": "model.onnx", "head_size": 0}}}',
        '{"model": {"decoder": {"filename": "model.onnx", "session_options": []}}}',
        '{"model": {"decoder": {"filename": "model.onnx"}}, "engine": {"dynamic_batching": 1}}',
        '{"model": {"decoder": {"filename": "model.onnx"}}',
    ],
)
def test_an_unreadable_config_is_explained(tmp_path: Path, text: str) -> None:
    (tmp_path / "genai_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelNotFoundError, match="can't be read"):
        resolve_model(str(tmp_path))


def test_an_unknown_variant_lists_the_known_ones(store: Store) -> None:
    with pytest.raises(ModelNotFoundError, match="it has `cpu-int4`, `gpu-int4`, `npu-int4`"):
        resolve_model("phi-4-mini-reasoning:fp32", store)


def test_a_variant_that_is_not_here_is_named_in_the_command_to_run(store: Store) -> None:
    with pytest.raises(NotPulledError, match=r"`phi-emulator models pull phi-4-mini-reasoning:gpu-int4`"):
        resolve_model("phi-4-mini-reasoning:gpu-int4", store)


@pytest.mark.parametrize("wanted", ["phi-4-mini-reasoning", "phi-4-mini-reasoning:cpu-int4"])
def test_a_pulled_model_answers_under_the_name_without_its_variant(
    pull: Callable[[], StoredModel], store: Store, server: HubServer, wanted: str
) -> None:
    folder = pull().folder
    found = resolve_model(wanted, store)
    assert (found.name, found.folder) == ("phi-4-mini-reasoning", folder)
    assert found.description.endswith(f"cpu-int4, from `{REPOSITORY}` at {server.commit[:12]}")


def test_a_pulled_model_with_a_short_file_is_not_loaded(
    pull: Callable[[], StoredModel], store: Store
) -> None:
    (pull().folder / "model.onnx.data").write_bytes(b"short")
    with pytest.raises(
        ModelNotFoundError, match=r"damaged \(model\.onnx\.data has 5 bytes.*models pull phi-4"
    ):
        resolve_model("phi-4-mini-reasoning", store)


def test_a_registered_folder_is_found_by_its_name(store: Store, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "mine", "model.onnx", *TOKENIZER_FILES)
    store.register("my-phi", folder)
    found = resolve_model("my-phi", store)
    assert (found.name, found.folder) == ("my-phi", folder)
    folder.rename(tmp_path / "moved")
    with pytest.raises(ModelNotFoundError, match=r"is gone.*models rm my-phi"):
        resolve_model("my-phi", store)


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "is empty"), (b"version https://git-lfs.github.com/spec/v1\noid x\n", "git lfs pull")],
    ids=["empty", "pointer"],
)
def test_files_that_are_not_the_files_themselves_are_told(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    folder = folder_with(tmp_path / "mine", "model.onnx", "model.onnx.data", *TOKENIZER_FILES)
    (folder / name).write_bytes(content)
    with pytest.raises(ModelNotFoundError, match=f"{name}' .*{expected}"):
        resolve_model(str(folder))


def test_a_folder_without_a_chat_template_is_explained(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "mine", "model.onnx", *TOKENIZER_FILES)
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelNotFoundError, match=r"chat_template\.jinja"):
        resolve_model(str(folder))
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert resolve_model(str(folder)).name == "mine"
