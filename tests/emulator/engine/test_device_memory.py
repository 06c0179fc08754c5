"""Memory where the model will be: weights by what the graph refers to, a card's by its driver."""

from __future__ import annotations

import ctypes
import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phi_emulator.engine.machine.context import plan_pool
from phi_emulator.engine.machine.device_memory import free_on_card, memory_of
from phi_emulator.engine.machine.devices import CPU, DEVICES
from phi_emulator.engine.machine.memory import needed_bytes
from phi_emulator.engine.machine.weight_files import weight_bytes

from tests.emulator.loading import prepare_model

PHI3 = Path(__file__).parent / "folders" / "phi3"
GB = 10**9
NO_DECODER: Any = {"model": {"decoder": {"filename": "x"}}}
REAL = {"num_hidden_layers": 32, "num_key_value_heads": 8, "head_size": 128}


@pytest.mark.parametrize("graph", ["model.onnx", "phi3-mini-4k-instruct-cpu-int4.onnx", "a[b]*.onnx"])
@pytest.mark.parametrize("data", [".data", "-weights.bin"])
def test_weights_count_whatever_the_files_are_called_also_once_prepared(
    tmp_path: Path, graph: str, data: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(PHI3, folder)
    model = onnx.load(folder / "model.onnx")
    for file in folder.glob("model.onnx*"):
        file.unlink()
    onnx.save(model, folder / graph, save_as_external_data=True, location=f"of{data}", size_threshold=0)
    config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    config["model"]["decoder"]["filename"] = graph
    (folder / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
    size = (folder / f"of{data}").stat().st_size
    assert needed_bytes(folder, config)[0] == size + (folder / graph).stat().st_size
    ready = prepare_model(folder)
    prepared = json.loads((ready.folder / "genai_config.json").read_text(encoding="utf-8"))
    assert needed_bytes(ready.folder, prepared)[0] >= size


def test_weights_inside_the_graph_and_graphs_that_are_none_count_by_their_size(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x00" * 1000)
    (tmp_path / "m.onnx.data").write_bytes(b"\x00" * 5000)
    assert weight_bytes(tmp_path / "m.onnx") == 6000
    assert weight_bytes(tmp_path / "nothing.onnx") == 0


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_for_a_graph_are_a_number_of_bytes(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "any.onnx"
    file.write_bytes(content)
    assert weight_bytes(file) == len(content)


class Driver:
    """A driver of NVIDIA's, as far as it is asked. `fails` names the call that goes wrong."""

    def __init__(self, free: int, fails: str = "") -> None:
        self.free, self.fails, self.held, self.pushed = free, fails, 0, 0
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> int:
            if name == self.fails:
                return 999
            if name == "cuDeviceGet":
                self.asked.append(given[1])
            if name == "cuMemGetInfo_v2":
                given[0]._obj.value = self.free
            self.held += {"cuDevicePrimaryCtxRetain": 1, "cuDevicePrimaryCtxRelease_v2": -1}.get(name, 0)
            self.pushed += {"cuCtxPushCurrent_v2": 1, "cuCtxPopCurrent_v2": -1}.get(name, 0)
            return 0

        return call


def test_a_cards_memory_is_asked_of_its_driver_and_everything_is_given_back() -> None:
    driver = Driver(7 * GB)
    assert free_on_card(1, lambda name: driver) == 7 * GB
    assert (driver.asked, driver.held, driver.pushed) == ([1], 0, 0)


@pytest.mark.parametrize(
    "call", ["cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2", "cuMemGetInfo_v2"]
)
def test_a_driver_that_does_not_say_is_no_error(call: str) -> None:
    driver = Driver(7 * GB, fails=call)
    assert free_on_card(0, lambda name: driver) is None
    assert (driver.held, driver.pushed) == (0, 0)


def test_a_machine_without_a_driver_is_no_error() -> None:
    def load(name: str) -> Any:
        raise OSError(name)

    assert free_on_card(0, load) is None
    assert ctypes.sizeof(ctypes.c_size_t) == 8


def test_only_a_card_has_memory_of_its_own_and_the_folder_says_which() -> None:
    asked: list[int] = []

    def ask(card: int) -> int:
        asked.append(card)
        return 5 * GB

    decoder: Any = {"session_options": {"provider_options": [{"cuda": {"device_id": "2"}}]}}
    settings: Any = {"model": {"decoder": decoder}}
    named = memory_of(DEVICES["cuda"], settings, ask)
    assert named is not None
    assert named() == 5 * GB
    assert memory_of(DEVICES["cuda"], NO_DECODER, ask) is not None
    assert memory_of(CPU, NO_DECODER, ask) is None
    assert asked == [2, 0]
    assert memory_of(DEVICES["cuda"], NO_DECODER, lambda card: None) is None


@pytest.mark.parametrize("pool", [{"block_size": 256}, {"block_size": 256, "num_blocks": 4096}], ids=str)
def test_a_pool_on_a_card_is_sized_by_the_card(tmp_path: Path, pool: dict[str, int]) -> None:
    with (tmp_path / "model.onnx.data").open("wb") as file:
        file.truncate(3 * GB)
    (tmp_path / "model.onnx").write_bytes(b"")
    config: Any = {
        "model": {"context_length": 131_072, "decoder": {"filename": "model.onnx", **REAL}},
        "engine": {"dynamic_batching": pool},
    }
    sizes: list[int] = []
    for there in (8, 24):

        def available(there: int = there) -> int:
            return there * GB

        _, sized = plan_pool(tmp_path, config, None, max_running=4, available=available, in_memory=True)
        sizes.append(sized["num_blocks"])
    assert sizes[0] < sizes[1]
    _, a_token = needed_bytes(tmp_path, config)
    for there, blocks in zip((8, 24), sizes, strict=True):
        assert 3 * GB + blocks * 256 * a_token <= there * GB


def test_a_file_that_is_no_graph_is_counted_without_being_read_through(tmp_path: Path) -> None:
    graph = tmp_path / "model.onnx"
    with graph.open("wb") as file:
        file.truncate(5_000_000_000)  # no block of it is on the disk
    assert weight_bytes(graph) == 5_000_000_000
    graph.write_bytes(b"\x08\x01" * 2_000_000)
    assert weight_bytes(graph) == 4_000_000
