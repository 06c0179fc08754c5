"""Execution providers by the names that people use, and how one is decided on: by loading the model there.

Knows names, and what to install for each; must not import the native engine, whose `is_…_available()` answer for
providers that can't be used (0.18 says so of three).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.machine.builds import Build, installed_builds
from phi_emulator.engine.machine.cuda_libraries import load_cuda_libraries
from phi_emulator.models.genai_config import Settings

__all__ = [
    "AUTO",
    "CPU",
    "DEVICES",
    "Device",
    "DeviceError",
    "candidates",
    "declared_providers",
    "on_a_device",
]

T = TypeVar("T")

AUTO: Final = "auto"
_LONGEST: Final = 200
_NO_PACKAGE: Final = (
    "no build of `onnxruntime-genai` on PyPI has it: install a build of your own, which is then tried"
)


class DeviceError(ModelLoadError):
    """The device that was asked for can't be had; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device, as each of those who speak of it calls it."""

    name: str
    """As `--device` takes it."""
    provider: str
    """As GenAI's configuration names it; empty for the CPU, which is what is left when nothing is named."""
    execution_provider: str
    """As ONNX Runtime names it."""
    how_to_get: str
    """What to install."""
    reports: tuple[str, ...] = ()
    """What a loaded model may call its device, in lower case; empty where that says nothing (they share the CPU's)."""
    package: str = ""
    """The build of GenAI that has it."""
    how_to_mend: str = ""
    """What to look at when that build is installed and the device can't be had all the same."""

    def check_report(self, reported: str) -> None:
        """Compare with what the loaded model says of itself.

        Raises:
            DeviceError: it runs elsewhere.
        """
        if self.reports and reported.lower() not in self.reports:
            raise DeviceError(f"the model was loaded for {self.name}, and says that it runs on {reported}")

    def select_in(self, config: Any, declared: Sequence[str]) -> None:
        """Name this device in a GenAI configuration; a folder's own options for it stay."""
        if self.provider == "cuda":
            load_cuda_libraries()
        if [name.lower() for name in declared] == [self.provider.lower()]:
            return
        config.clear_providers()
        if self.provider:
            config.append_provider(self.provider)


CPU: Final = Device(
    "cpu", "", "CPUExecutionProvider", 'python -m pip install "phi-client[emulator]"', reports=("cpu",)
)
DEVICES: Final[Mapping[str, Device]] = {
    device.name: device
    for device in (
        CPU,
        Device(
            "cuda",
            "cuda",
            "CUDAExecutionProvider",
            'python -m pip install "phi-client[emulator-cuda]"',
            reports=("cuda",),
            package="onnxruntime-genai-cuda",
            how_to_mend=(
                "its build is installed: see that `nvidia-smi` shows a card and a driver for CUDA 13; for libraries "
                'that are missing  pip install "onnxruntime-gpu[cuda,cudnn]"'
            ),
        ),
        Device(
            "directml",
            "dml",
            "DmlExecutionProvider",
            'python -m pip install "phi-client[emulator-directml]"  (Windows only)',
            reports=("dml", "directml"),
            package="onnxruntime-genai-directml",
            how_to_mend="its build is installed: see that the card's driver has DirectX 12 (`dxdiag`)",
        ),
        Device("webgpu", "webgpu", "WebGpuExecutionProvider", _NO_PACKAGE, reports=("webgpu",)),
        Device("openvino", "OpenVINO", "OpenVINOExecutionProvider", _NO_PACKAGE),
        Device("qnn", "QNN", "QNNExecutionProvider", _NO_PACKAGE),
    )
}
_ALIASES: Final = {
    alias.lower(): device
    for device in DEVICES.values()
    for alias in (device.name, device.provider, device.execution_provider)
    if alias
}


def declared_providers(settings: Settings) -> list[str]:
    """The execution providers that a folder was made for, as its `genai_config.json` names them."""
    session = settings["model"]["decoder"].get("session_options", {})
    return [name for entry in session.get("provider_options") or () for name in entry]


def candidates(wanted: str, settings: Settings) -> list[Device]:
    """The devices to try, in order. `auto` tries a GPU only for folders that were made for one.

    A folder that was made for the CPU has operators that CUDA and DirectML lack for its types; ONNX Runtime then
    runs these on the CPU without a word.
    """
    if wanted != AUTO:
        return [DEVICES[wanted]]
    found = [_ALIASES[name.lower()] for name in declared_providers(settings) if name.lower() in _ALIASES]
    if any(device is not CPU for device in found):
        found += [DEVICES["cuda"], DEVICES["directml"]]
    return list(dict.fromkeys([*found, CPU]))


def on_a_device(
    wanted: str,
    settings: Settings,
    load: Callable[[Device, str], T],
    *,
    builds: Callable[[], Sequence[Build]] = installed_builds,
) -> T:
    """Load on the first device that takes the model. `load` is told the device and why it is the one.

    Raises:
        DeviceError: none takes it, or not the one that was asked for.
        ModelLoadError: as `load` raises it for the CPU, where it is not the device's fault.
    """
    refusals: list[str] = []
    for device in candidates(wanted, settings):
        try:
            return load(device, _reason(wanted, refusals))
        except ModelLoadError as error:
            if device is CPU:
                raise
            if wanted != AUTO:
                raise DeviceError(_refusal(device, error, builds())) from error
            refusals.append(_refusal(device, error, builds()))
    raise DeviceError("; ".join(refusals))  # unreachable while the CPU is the last candidate


def _refusal(device: Device, error: ModelLoadError, builds: Sequence[Build]) -> str:
    said = _short(str(error.__cause__ or error))
    names = [build.name for build in builds]
    if device.package in names:
        remedy = device.how_to_mend
    elif device.package and names:
        # All builds install into the same two folders.
        remedy = f"python -m pip uninstall -y {' '.join(names)} && {device.how_to_get}"
    else:
        remedy = device.how_to_get
    return f"`{device.name}` can't be had here ({said}): {remedy}"


def _reason(wanted: str, refusals: Sequence[str]) -> str:
    if wanted != AUTO:
        return "as asked for"
    return f"chosen by auto: {'; '.join(refusals) or 'the model was made for it'}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
