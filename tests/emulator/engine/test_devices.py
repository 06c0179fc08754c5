"""Devices: decided by trying, refused with what to install, and told apart by what the loaded model says of itself."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.machine.builds import Build, conflicts, has_engine_api, installed_builds
from phi_emulator.engine.machine.devices import (
    AUTO,
    CPU,
    DEVICES,
    Device,
    DeviceError,
    candidates,
    declared_providers,
    on_a_device,
)
from phi_emulator.engine.protocol import EngineInfo
from phi_emulator.models import genai_config, resolve_model

from tests.emulator.loading import load_engine

HERE = [name for name in DEVICES if name != "cpu"]


def declaring(*providers: str) -> genai_config.Settings:
    options: list[dict[str, Any]] = [{name: {}} for name in providers]
    settings: Any = {"model": {"decoder": {"session_options": {"provider_options": options}}}}
    found: genai_config.Settings = settings
    return found


@pytest.fixture
def made_for_cuda(tmp_path: Path) -> Path:
    folder = tmp_path / "gpu"
    shutil.copytree(resolve_model().folder, folder)
    path = folder / "genai_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["model"]["decoder"]["session_options"]["provider_options"] = [
        {"cuda": {"enable_cuda_graph": "0"}}
    ]
    path.write_text(json.dumps(settings), encoding="utf-8")
    return folder


def info_of(folder: Path, device: str) -> EngineInfo:
    engine = load_engine(folder, model="x", device=device)
    try:
        return engine.info
    finally:
        engine.close()


# This machine has the CPU's build alone, or else the suite would have to know what it has.
@pytest.mark.parametrize("device", HERE)
def test_a_device_that_cannot_be_had_is_an_error_that_says_what_to_install(device: str) -> None:
    with pytest.raises(DeviceError) as caught:
        load_engine(resolve_model().folder, model="x", device=device)
    assert f"`{device}` can't be had here" in str(caught.value)
    assert str(caught.value).endswith(DEVICES[device].how_to_get)


def test_what_to_install_names_the_extras_of_this_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    assert {"emulator", "emulator-cuda", "emulator-directml"} <= set(project["optional-dependencies"])
    assert [
        name for name in ("cpu", "cuda", "directml") if "phi-client[emulator" not in DEVICES[name].how_to_get
    ] == []


def test_auto_takes_the_cpu_for_a_model_that_was_made_for_it() -> None:
    info = info_of(resolve_model().folder, AUTO)
    assert (info.execution_provider, info.why) == (
        "CPUExecutionProvider",
        "chosen by auto: the model was made for it",
    )


def test_auto_says_what_it_tried_in_vain(made_for_cuda: Path) -> None:
    info = info_of(made_for_cuda, AUTO)
    assert info.execution_provider == "CPUExecutionProvider"
    assert "`cuda` can't be had here (Cuda interface not available" in info.why
    assert DEVICES["cuda"].how_to_get in info.why
    assert "`directml` can't be had here" in info.why


def test_the_cpu_can_be_asked_for_where_the_folder_names_another(made_for_cuda: Path) -> None:
    info = info_of(made_for_cuda, "cpu")
    assert (info.execution_provider, info.why) == ("CPUExecutionProvider", "as asked for")


def test_a_damaged_model_is_not_blamed_on_the_device(made_for_cuda: Path) -> None:
    (made_for_cuda / "model.onnx").write_bytes(b"no graph")
    (made_for_cuda / "generator.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelLoadError) as caught:
        load_engine(made_for_cuda, model="x", device=AUTO)
    assert not isinstance(caught.value, DeviceError)


@pytest.mark.parametrize(
    ("wanted", "declared", "tried"),
    [
        (AUTO, [], ["cpu"]),
        (AUTO, ["cuda"], ["cuda", "directml", "cpu"]),
        (AUTO, ["dml"], ["directml", "cuda", "cpu"]),
        (AUTO, ["DmlExecutionProvider"], ["directml", "cuda", "cpu"]),
        (AUTO, ["WebGPU"], ["webgpu", "cuda", "directml", "cpu"]),
        (AUTO, ["a-provider-of-the-future"], ["cpu"]),
        ("directml", ["cuda"], ["directml"]),
        ("cpu", ["cuda"], ["cpu"]),
    ],
)
def test_the_order_of_trying(wanted: str, declared: list[str], tried: list[str]) -> None:
    settings = declaring(*declared)
    assert declared_providers(settings) == declared
    assert [device.name for device in candidates(wanted, settings)] == tried


def test_the_first_device_that_takes_the_model_is_taken() -> None:
    seen: list[str] = []

    def load(device: Device, why: str) -> str:
        seen.append(device.name)
        if device.name == "cuda":
            raise ModelLoadError("no driver")
        return why

    why = on_a_device(AUTO, declaring("cuda"), load)
    assert seen == ["cuda", "directml"]
    assert why.startswith("chosen by auto: `cuda` can't be had here (no driver): ")


def test_where_the_build_is_installed_it_is_not_what_to_install() -> None:
    def load(device: Device, why: str) -> str:
        raise ModelLoadError("CUDA driver version is insufficient")

    installed = builds("onnxruntime-genai-cuda 0.18.0", "onnxruntime-gpu 1.31.1")
    with pytest.raises(DeviceError) as caught:
        on_a_device("cuda", declaring(), load, builds=lambda: installed)
    assert "pip uninstall" not in str(caught.value)
    assert "nvidia-smi" in str(caught.value)


def test_the_build_that_is_installed_goes_first() -> None:
    def load(device: Device, why: str) -> str:
        raise ModelLoadError("not built with DML support")

    installed = builds("onnxruntime-genai-cuda 0.18.0", "onnxruntime-gpu 1.31.1")
    with pytest.raises(
        DeviceError, match="pip uninstall -y onnxruntime-genai-cuda onnxruntime-gpu && python -m pip install"
    ):
        on_a_device("directml", declaring(), load, builds=lambda: installed)


@pytest.mark.parametrize(
    ("device", "reported", "is_right"),
    [
        ("cuda", "CUDA", True),
        ("cuda", "CPU", False),
        ("directml", "DML", True),
        ("directml", "DirectML", True),
        ("directml", "CPU", False),
        ("webgpu", "CUDA", False),
        ("cpu", "CPU", True),
        ("cpu", "CUDA", False),
        ("qnn", "CPU", True),
    ],
)
def test_a_model_that_says_it_runs_elsewhere_is_refused(
    device: str, reported: str, *, is_right: bool
) -> None:
    if is_right:
        DEVICES[device].check_report(reported)
    else:
        with pytest.raises(DeviceError, match=f"says that it runs on {reported}"):
            DEVICES[device].check_report(reported)


class Settings:
    """Stands for GenAI's `Config`, whose providers can't be read back."""

    def __init__(self) -> None:
        self.providers = ["cuda with options of the folder"]

    def clear_providers(self) -> None:
        self.providers.clear()

    def append_provider(self, name: str) -> None:
        self.providers.append(name)


@pytest.mark.parametrize(
    ("device", "declared", "named"),
    [
        (DEVICES["cuda"], ["cuda"], ["cuda with options of the folder"]),
        (DEVICES["directml"], ["cuda"], ["dml"]),
        (DEVICES["cuda"], ["cuda", "dml"], ["cuda"]),
        (CPU, ["cuda"], []),  # 0.14 knows no provider of the name `cpu`
    ],
)
def test_a_folders_own_options_stay_where_they_are_for_the_device(
    device: Device, declared: list[str], named: list[str]
) -> None:
    config = Settings()
    device.select_in(config, declared)
    assert config.providers == named


def builds(*texts: str) -> list[Build]:
    return [Build(*text.split()) for text in texts]


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        (builds("onnxruntime-genai 0.18.0", "onnxruntime 1.32.0"), []),
        (builds("onnxruntime-genai-cuda 0.18.0", "onnxruntime-gpu 1.31.1"), []),
        (builds("onnxruntime-genai-directml 0.14.1", "onnxruntime-directml 1.26.0"), []),
        (
            builds("onnxruntime-genai 0.18.0", "onnxruntime-genai-cuda 0.18.0", "onnxruntime-gpu 1.31.1"),
            ["pip uninstall -y onnxruntime-genai onnxruntime-genai-cuda"],
        ),
        (
            builds("onnxruntime-genai-cuda 0.18.0", "onnxruntime 1.32.0", "onnxruntime-gpu 1.31.1"),
            ["pip uninstall -y onnxruntime onnxruntime-gpu"],
        ),
        (builds("onnxruntime-genai-cuda 0.18.0", "onnxruntime 1.32.0"), ["pip install onnxruntime-gpu"]),
        (builds("onnxruntime-genai-winml 0.14.1", "onnxruntime-windowsml 1.26.0"), []),
    ],
)
def test_builds_that_overwrite_each_other_are_named(installed: list[Build], said: list[str]) -> None:
    found = conflicts(installed)
    assert len(found) == len(said)
    assert all(remedy in text for remedy, text in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("installed", "has"),
    [
        (builds("onnxruntime-genai 0.18.0"), True),
        (builds("onnxruntime-genai-cuda 1.0"), True),
        (builds("onnxruntime-genai 0.17.1"), False),
        (builds("onnxruntime-genai-directml 0.14.1"), False),
        (builds("onnxruntime-genai 0.18.0.dev20260101"), True),
        (builds("onnxruntime-genai 0.18.0", "onnxruntime-genai-directml 0.14.1"), False),
        ([], True),
    ],
)
def test_the_engine_is_used_where_the_build_has_it(installed: list[Build], *, has: bool) -> None:
    assert has_engine_api(installed) is has


def test_installed_packages_are_found_by_their_metadata() -> None:
    def version(name: str) -> str:
        if name != "b":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    lookup: Callable[[str], str] = version
    assert installed_builds(["a", "b"], lookup) == [Build("b", "1.0")]
    assert installed_builds(), "the suite runs on an installed build"
