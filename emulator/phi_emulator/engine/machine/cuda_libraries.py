"""NVIDIA's libraries, where pip has put them.

GenAI asks the system's loader for them, which does not look into site-packages: installed with pip, they were not found
(`libcublasLt.so.13`). ONNX Runtime knows where they are and can load them beforehand; GenAI then finds them loaded.
"""

from __future__ import annotations

import contextlib
import io
import logging
from typing import Any

__all__ = ["load_cuda_libraries"]

logger = logging.getLogger("phi_emulator.engine")


def load_cuda_libraries() -> None:
    """Load what pip has installed of CUDA and cuDNN; does nothing for builds without CUDA."""
    import onnxruntime  # noqa: PLC0415 - wanted for this device alone

    runtime: Any = onnxruntime
    said = io.StringIO()
    # It prints what it does not find, which is no harm where the system has it.
    with contextlib.redirect_stdout(said):
        runtime.preload_dlls()
    for line in said.getvalue().splitlines():
        logger.debug("%s", line)
