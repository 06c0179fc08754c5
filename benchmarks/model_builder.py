# ruff: noqa: INP001  # a folder of commands, no package
"""Runs GenAI's model builder on a checkpoint. It must not know which model that is.

The builder needs packages that are no dependencies of this project: `pip install --group train` brings them.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["build_model", "require_packages"]

_NEEDED: Final = ("torch", "transformers", "tokenizers", "onnx", "onnx_ir", "onnxruntime_genai", "tqdm")


def require_packages(*more: str) -> None:
    """See that what builds a model is installed.

    Raises:
        SystemExit: something is missing; the message says what, and how to get it.
    """
    missing = [name for name in (*_NEEDED, *more) if importlib.util.find_spec(name) is None]
    if missing:
        others = [name.replace("_", "-") for name in more if name in missing]
        install = " ".join(["pip install --group train", *others])
        raise SystemExit(f"{', '.join(missing)} must be installed to build a model: run  {install}")


def build_model(checkpoint: Path, target: Path, **options: str) -> None:
    """Make a GenAI int4 folder for the CPU of a checkpoint; `options` are the builder's extra ones.

    Raises:
        SystemExit: the builder failed; the message has the end of what it said.
    """
    command = [
        sys.executable,
        "-m",
        "onnxruntime_genai.models.builder",
        "-i",
        str(checkpoint),
        "-o",
        str(target),
    ]
    with tempfile.TemporaryDirectory() as cache:
        command += ["-p", "int4", "-e", "cpu", "-c", cache]
        if options:
            command += ["--extra_options", *(f"{name}={value}" for name, value in options.items())]
        done = subprocess.run(command, capture_output=True, check=False, encoding="utf-8", errors="replace")  # noqa: S603
    if done.returncode:
        raise SystemExit(f"the model builder failed:\n{done.stderr[-2000:]}")
