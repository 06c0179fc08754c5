"""What to do about what the native loader says when it can't load a folder.

GenAI has one class for all its errors, so they are told apart by their texts, as 0.18 writes them. Must not import it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from phi_emulator.engine.errors import ModelLoadError

__all__ = ["load_error"]

_AGAIN: Final = (
    "its files are damaged or do not fit together: get them again (`phi-emulator models pull` in the store)"
)
_OTHER_BUILD: Final = (
    "it asks for an execution provider that the installed ONNX Runtime GenAI lacks: "
    "serve a folder that is built for the CPU, such as `phi-4-mini-reasoning:cpu-int4`"
)
_LONGEST: Final = 200
_REMEDIES: Final = (
    ("Unsupported model_type", "the installed ONNX Runtime GenAI does not know such models"),
    ("Cuda interface not available", _OTHER_BUILD),
    ("DML provider requested", _OTHER_BUILD),
    ("not supported in this build", _OTHER_BUILD),
    ("Unknown provider name", _OTHER_BUILD),
    ("chat template", "put `chat_template.jinja` of the model into the folder"),
    ("allocate", "there is not enough memory: lower `--context`, or end other programs"),
    ("genai_config.json", "its `genai_config.json` can't be used: get the model's files again"),
    ("context_length", "its `genai_config.json` can't be used: get the model's files again"),
)


def load_error(folder: Path, error: Exception) -> ModelLoadError:
    """The error to raise in place of `error`: what it says, and what to do."""
    said = " ".join(str(error).split()) or type(error).__name__
    remedy = next((remedy for text, remedy in _REMEDIES if text.lower() in said.lower()), _AGAIN)
    short = said if len(said) <= _LONGEST else said[:_LONGEST] + "…"
    return ModelLoadError(f"{str(folder)!r} can't be used: {remedy}. ONNX Runtime GenAI says: {short}")
