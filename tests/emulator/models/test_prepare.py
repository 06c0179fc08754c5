"""Stock folders become folders for the dynamic Engine: once, beside themselves, sharing the weights."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from phi_emulator.models import resolve_model
from phi_emulator.models.graph import prepare
from phi_emulator.models.graph.geometry import cached_layers, short_positions, usual_bits
from phi_emulator.models.graph.prepare import DEFAULT_CONTEXT, KEPT

from tests.emulator.loading import prepare_model
from tests.emulator.models.stock_models import HEAD_SIZE, KV_HEADS, LAYERS, Stock, write_stock_model


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    return write_stock_model(tmp_path / "stock", Stock(tables=(4096, 16_384)))


def config_of(folder: Path) -> dict[str, dict[str, object]]:
    config: dict[str, dict[str, object]] = json.loads(
        (folder / "genai_config.json").read_text(encoding="utf-8")
    )
    return config


def test_the_weights_are_shared_with_the_stock_folder(stock: Path) -> None:
    prepared = prepare_model(stock)
    assert not prepared.obstacle
    assert prepared.folder.is_relative_to(stock)
    assert (prepared.folder / "model.onnx.data").samefile(stock / "model.onnx.data")
    assert not (prepared.folder / "model.onnx").samefile(stock / "model.onnx")


def test_the_stock_folder_stays_as_it_was(stock: Path) -> None:
    before = {path.name: path.read_bytes() for path in stock.iterdir()}
    prepare_model(stock)
    assert {path.name: path.read_bytes() for path in stock.iterdir() if path.is_file()} == before


def test_what_was_prepared_is_found_again(stock: Path) -> None:
    first = prepare_model(stock)
    written = (first.folder / "model.onnx").stat().st_mtime_ns
    assert prepare_model(stock) == first
    assert (first.folder / "model.onnx").stat().st_mtime_ns == written


def test_each_context_has_a_graph_of_its_own(stock: Path) -> None:
    folders = {
        prepare_model(stock, context_length=context).folder for context in (None, 2048, 16_384, 99_999)
    }
    contexts = {config_of(folder)["model"]["context_length"] for folder in folders}
    assert contexts == {DEFAULT_CONTEXT, 2048, 16_384}  # the model holds no more


def test_two_rotary_tables_are_served_where_the_shorter_does_not_reach_all(stock: Path) -> None:
    for context, short, layers in ((4096, None, LAYERS), (4097, 4096, LAYERS + 1)):
        decoder = config_of(prepare_model(stock, context_length=context).folder)["model"]["decoder"]
        assert isinstance(decoder, dict)
        assert short_positions(decoder) == short
        assert decoder["num_hidden_layers"] == layers
        assert cached_layers(decoder) == LAYERS


def test_what_an_earlier_version_prepared_is_not_taken(stock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "FORMAT", prepare.FORMAT - 1)
    earlier = prepare_model(stock).folder
    monkeypatch.undo()
    assert prepare_model(stock).folder != earlier


def test_a_changed_graph_is_prepared_anew(stock: Path) -> None:
    first = prepare_model(stock).folder
    graph = stock / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\x12\x03new")  # the field of the producer's name
    assert prepare_model(stock).folder != first


def test_replaced_weights_are_linked_anew(stock: Path) -> None:
    first = prepare_model(stock).folder
    content = (stock / "model.onnx.data").read_bytes()
    (stock / "model.onnx.data").unlink()
    (stock / "model.onnx.data").write_bytes(content)
    again = prepare_model(stock).folder
    assert again == first
    assert (again / "model.onnx.data").samefile(stock / "model.onnx.data")


def test_a_half_made_folder_is_made_anew(stock: Path) -> None:
    first = prepare_model(stock).folder
    (first / "model.onnx").unlink()
    assert (prepare_model(stock).folder / "model.onnx").is_file()


def test_several_that_prepare_at_the_same_time_get_the_same_whole_folder(stock: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = {prepared.folder for prepared in pool.map(prepare_model, [stock] * 4)}
    assert len(folders) == 1
    assert list((stock / ".phi-emulator").iterdir()) == list(folders)
    assert (folders.pop() / "model.onnx").is_file()


def test_nothing_else_is_left_beside(stock: Path) -> None:
    prepared = prepare_model(stock).folder
    assert list(prepared.parent.iterdir()) == [prepared]


def graphs_of(stock: Path) -> set[Path]:
    return set((stock / ".phi-emulator").iterdir())


def test_only_the_graphs_that_were_used_last_stay(stock: Path) -> None:
    folders = [prepare_model(stock, context_length=context).folder for context in range(2048, 2058)]
    for age, folder in enumerate(reversed(folders[-KEPT:])):
        os.utime(folder, (1000 - age, 1000 - age))
    kept = graphs_of(stock)
    assert kept == set(folders[-KEPT:])
    again = prepare_model(stock, context_length=2054).folder  # the one that was used longest ago, and is now
    assert again == folders[-KEPT]
    new = prepare_model(stock, context_length=4000).folder
    assert graphs_of(stock) == {again, new, *folders[-KEPT + 2 :]}


def test_graphs_that_hold_replaced_weights_go_at_once(stock: Path) -> None:
    for context in (2048, 2049):
        prepare_model(stock, context_length=context)
    weights = stock / "model.onnx.data"
    body = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(body)
    new = prepare_model(stock, context_length=2050).folder
    assert graphs_of(stock) == {new}


def test_what_a_killed_process_was_making_goes_in_time(stock: Path) -> None:
    beside = stock / ".phi-emulator"
    old, young = beside / "making-old", beside / "making-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (1000, 1000))
    ready = prepare_model(stock).folder
    assert graphs_of(stock) == {young, ready}


def test_a_prepared_graph_is_written_through_before_it_takes_its_place(
    stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(prepare, "flush", lambda path: flushed.append(path.name))
    ready = prepare_model(stock).folder
    assert set(flushed) == {"model.onnx", "genai_config.json"}
    assert ready.is_dir()


def test_the_cache_holds_what_it_may_and_a_longer_context_is_lowered(stock: Path) -> None:
    token = 2 * LAYERS * KV_HEADS * HEAD_SIZE * 4
    for limit, context, cached in (
        (2**30, 4096, 8 * 4096),
        (6000 * token, 4096, 6000),
        (2000 * token, 2000, 2000),
    ):
        config = config_of(prepare_model(stock, context_length=4096, cache_bytes=limit).folder)
        pool = config["engine"]["dynamic_batching"]
        assert isinstance(pool, dict)
        assert config["model"]["context_length"] == context
        assert pool["num_blocks"] * pool["block_size"] == cached


def test_a_cache_of_bytes_holds_more_and_whole_rows_of_it(stock: Path) -> None:
    token = 2 * LAYERS * KV_HEADS * (HEAD_SIZE + 1)
    limit = 1000 * token
    prepared = prepare_model(stock, context_length=4096, cache_bytes=limit, cache_bits=8)
    config = config_of(prepared.folder)
    pool = config["engine"]["dynamic_batching"]
    assert isinstance(pool, dict)
    assert prepared.cache_bits == 8
    assert (
        pool["num_blocks"] == 1000 // 16 // 16 * 16
    )  # 64 numbers in a head, two heads, two sizes of steps each
    assert config["model"]["context_length"] == pool["num_blocks"] * 16
    assert prepare_model(stock, context_length=4096).folder != prepared.folder


@pytest.mark.parametrize("bits", [8, 32])
def test_a_cache_that_may_hold_nothing_is_an_obstacle(stock: Path, bits: int) -> None:
    prepared = prepare_model(stock, cache_bytes=2000, cache_bits=bits)
    assert prepared.folder == stock
    assert "raise `--cache-mb`" in prepared.obstacle


@pytest.mark.parametrize(("layers", "bits"), [(31, 32), (32, 8)])
def test_large_models_keep_bytes(layers: int, bits: int) -> None:
    assert usual_bits(layers, kv_heads=2, head_size=128) == bits  # 2,048 bytes a layer in 32 bits


def test_a_ready_folder_is_taken_as_it_is() -> None:
    bundled = resolve_model().folder
    assert prepare_model(bundled).folder == bundled
    assert not prepare_model(bundled).obstacle


def test_another_type_of_model_is_an_obstacle(tmp_path: Path) -> None:
    stock = write_stock_model(tmp_path / "stock", Stock(type="qwen2"))
    prepared = prepare_model(stock)
    assert prepared.folder == stock
    assert "'qwen2'" in prepared.obstacle


def test_an_unknown_attention_is_an_obstacle_and_leaves_nothing_behind(tmp_path: Path) -> None:
    stock = write_stock_model(tmp_path / "stock", Stock(attention={"softcap": 30.0}))
    assert "softcap" in prepare_model(stock).obstacle
    assert not (stock / ".phi-emulator").exists()


def test_a_model_for_another_execution_provider_is_an_obstacle(stock: Path) -> None:
    config = json.loads((stock / "genai_config.json").read_text(encoding="utf-8"))
    config["model"]["decoder"]["session_options"]["provider_options"] = [{"cuda": {}}]
    (stock / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert "execution provider" in prepare_model(stock).obstacle


def test_a_folder_that_can_not_be_written_to_is_an_obstacle(stock: Path) -> None:
    (stock / ".phi-emulator").write_text("a file where the folder would be")
    prepared = prepare_model(stock)
    assert prepared.folder == stock
    assert "written" in prepared.obstacle


@pytest.mark.parametrize("model", [{}, {"type": "phi3"}, {"type": "phi3", "decoder": None}])
def test_an_odd_configuration_is_an_obstacle(stock: Path, model: Any) -> None:
    assert "usual form" in prepare.prepare_model(stock, {"model": model}).obstacle


def test_a_graph_that_is_none_is_an_obstacle(stock: Path) -> None:
    (stock / "model.onnx").write_bytes(b"no graph at all")
    assert prepare_model(stock).obstacle
