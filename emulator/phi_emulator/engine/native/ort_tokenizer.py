"""A folder's texts and tokens by ONNX Runtime GenAI, without its model. Must not load one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime_genai

from phi_emulator.engine.native.native_text import NativeText
from phi_emulator.models.genai_config import Settings

__all__ = ["load_text"]

og: Any = onnxruntime_genai  # the package has no type information


def load_text(folder: Path, settings: Settings, *, context: int) -> NativeText:
    """The texts of the model in `folder`, of which `context` tokens are served. Builds older than the Engine can't.

    Raises:
        ModelLoadError: it has no token that ends an answer.
        RuntimeError, OSError, ValueError, LookupError, TypeError: its tokenizer can't be read.
    """
    return NativeText(og.Tokenizer(str(folder)), folder, settings, context=context)
