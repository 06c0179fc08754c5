"""Which builds of the native engine are installed, and whether they stand in each other's way.

Knows names and versions of packages; must not import the native engine, because finding out what is wrong with it must
not need it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Final

__all__ = ["ENGINES", "RUNTIMES", "Build", "conflicts", "has_engine_api", "installed_builds"]

ENGINES: Final = (
    "onnxruntime-genai",
    "onnxruntime-genai-cuda",
    "onnxruntime-genai-directml",
    "onnxruntime-genai-winml",
)
"""Builds of ONNX Runtime GenAI. All of them install into the one folder `onnxruntime_genai`."""
RUNTIMES: Final = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-windowsml",
)
"""Builds of ONNX Runtime. All of them install into the one folder `onnxruntime`."""
_ENGINE_API: Final = (0, 18)
"""The version whose Engine, with turns and events, `ort.py` runs."""
_FITS: Final = {
    "onnxruntime-genai": "onnxruntime",
    "onnxruntime-genai-cuda": "onnxruntime-gpu",
    "onnxruntime-genai-directml": "onnxruntime-directml",
}


@dataclass(frozen=True, slots=True)
class Build:
    """An installed package."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def installed_builds(
    names: Iterable[str] = (*ENGINES, *RUNTIMES), version: Callable[[str], str] = metadata.version
) -> list[Build]:
    """Those of `names` that are installed."""
    found: list[Build] = []
    for name in names:
        try:
            found.append(Build(name, version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found


def conflicts(builds: Sequence[Build]) -> list[str]:
    """What is wrong with having these builds together, each with what to do."""
    found: list[str] = []
    engines = [build for build in builds if build.name in ENGINES]
    runtimes = [build for build in builds if build.name in RUNTIMES]
    for group in (engines, runtimes):
        if len(group) > 1:
            names = " ".join(build.name for build in group)
            found.append(
                f"{', '.join(map(str, group))} overwrite each other's files: run  python -m pip uninstall -y {names}  "
                "and install the one that you need"
            )
    if len(engines) == 1 and runtimes:
        wanted = _FITS.get(engines[0].name)
        if wanted is not None and wanted not in [build.name for build in runtimes]:
            found.append(
                f"{engines[0]} needs {wanted}, and {runtimes[0]} is installed: run  pip install {wanted}"
            )
    return found


def has_engine_api(builds: Sequence[Build] | None = None) -> bool:
    """True when the installed build has the Engine that `ort.py` runs; one without metadata is taken for new."""
    builds = installed_builds(ENGINES) if builds is None else builds
    versions = [
        tuple(map(int, re.findall(r"\d+", build.version)[:2])) for build in builds if build.name in ENGINES
    ]
    # Of several, the last one to be installed has won, and which that was is not known: the oldest is always right,
    # because newer builds have what the older ones have.
    return min(versions, default=_ENGINE_API) >= _ENGINE_API
