"""What a model folder says of itself in its `genai_config.json`: the one place that reads it, and the shape of it.

A start reads each folder's file once and hands it on. Knows the file; must not know what is made of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict, cast

from phi_emulator.models.strict_json import object_of, read_json

__all__ = ["FILE", "DecoderSettings", "ModelSettings", "PoolSettings", "Settings", "pool_of", "read_settings"]

FILE: Final = "genai_config.json"


class SessionSettings(TypedDict):
    """Options of ONNX Runtime's session."""

    provider_options: NotRequired[list[dict[str, Any]] | None]
    intra_op_num_threads: NotRequired[int]


class DecoderSettings(TypedDict):
    """The graph."""

    filename: str
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_size: int
    inputs: NotRequired[dict[str, str]]
    session_options: NotRequired[SessionSettings]


class ModelSettings(TypedDict):
    """The model."""

    type: str
    vocab_size: int
    context_length: int
    decoder: DecoderSettings
    eos_token_id: NotRequired[object]
    """A number, or several; other builders write other things, which `turn_ends` reads."""


class PoolSettings(TypedDict):
    """The pool of GenAI's Engine."""

    block_size: int
    num_blocks: int
    max_batch_size: NotRequired[int]
    max_scheduled_tokens: NotRequired[int]
    prefix_caching: NotRequired[bool]


class EngineSettings(TypedDict):
    """How GenAI's Engine runs the model."""

    dynamic_batching: NotRequired[PoolSettings]


class Settings(TypedDict):
    """A `genai_config.json`, as far as it is looked at; nobody changes one that was handed on.

    A folder may lack more than is marked here: who misses it raises `KeyError`, which is taken for the folder's fault.
    """

    model: ModelSettings
    search: NotRequired[dict[str, Any]]
    engine: NotRequired[EngineSettings]


_OBJECTS: Final = {
    "model": "",
    "decoder": "model",
    "session_options": "decoder",
    "inputs": "decoder",
    "search": "",
    "engine": "",
    "dynamic_batching": "engine",
}
"""What is an object, and in which other one."""
_NEEDED: Final = ("model", "decoder")
_NUMBERS: Final = (
    ("model", ("vocab_size", "context_length")),
    ("decoder", ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_size")),
    ("dynamic_batching", ("block_size", "num_blocks")),
)


def pool_of(settings: Settings) -> PoolSettings | None:
    """The pool of a folder for GenAI's Engine with continuous batching; `None` in others. It may lack its sizes."""
    return settings.get("engine", {}).get("dynamic_batching")


def read_settings(folder: Path) -> Settings:
    """The settings of the model in `folder`. What is named in `Settings` is of that type, if it is there.

    Raises:
        OSError: the file can't be read.
        ValueError: it is no JSON, too large, or has another form.
    """
    content = read_json(folder / FILE)
    found = {"": object_of(content) or {}}
    for name, outer in _OBJECTS.items():
        inner = object_of(found[outer].get(name, None if name in _NEEDED else {}))
        if inner is None:
            raise ValueError(f"`{name}` in {FILE} is no object")
        found[name] = inner
    if not isinstance(found["decoder"].get("filename"), str):
        raise ValueError(f"`model.decoder.filename` in {FILE} is no text")  # noqa: TRY004 - of the file
    for section, names in _NUMBERS:
        for name in names:
            number = found[section].get(name, 1)
            if type(number) is not int or number < 1:
                raise ValueError(f"`{name}` in {FILE} is {number!r:.40}, not a whole number above 0")
    return cast("Settings", content)
