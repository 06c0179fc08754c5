"""Whether a model can fit into this machine's memory, asked before it is loaded.

A process that takes more than there is gets killed by Linux without a word, in the middle of loading or of an answer.
Knows files and sizes; must not know how a model is run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from phi_emulator import platforms
from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.machine.control_groups import control_groups
from phi_emulator.engine.machine.weight_files import weight_bytes
from phi_emulator.models.genai_config import Settings, pool_of
from phi_emulator.models.graph.geometry import (
    BYTE_BITS,
    FLOAT_BITS,
    cached_layers,
    head_bytes,
    usual_bits,
)

__all__ = [
    "LOADING",
    "available_bytes",
    "check_memory",
    "forecast",
    "memory_phrase",
    "needed_bytes",
]

LOADING: Final = 1.7
"""Loading a model of Phi-4-mini's size was measured to take this many times its files; loaded it takes 1.6 times."""

_SMALL: Final = 1_000_000_000
"""Nobody who has less than that to spare runs a model of any size; below it, asking costs more than it saves."""
_HALF_BITS: Final = 16
_SYSTEM: Final = Path("/")


def check_memory(
    folder: Path,
    settings: Settings,
    context: int,
    available: Callable[[], int] | None = None,
    *,
    cache_bits: int | None = None,
) -> None:
    """Refuse what can't fit: the weights, and the cache of one request that fills `context`.

    It is a lower bound: the weights as they are in their files.
    `settings` is the content of `genai_config.json`; a pool's memory is given by the system as it fills.

    Raises:
        ModelLoadError: more is needed than is there.
    """
    weights, a_token = needed_bytes(folder, settings, cache_bits)
    needed = weights + a_token * context
    if needed < _SMALL:
        return
    there = (available or available_bytes)()
    if needed <= there:
        return
    fits = (there - weights) // a_token if a_token else 0
    remedy = "end other programs, or take a smaller model"
    if fits > 0:
        remedy = f"lower `--context` to at most {fits}, or end other programs"
    raise ModelLoadError(
        f"the model in {str(folder)!r} needs {needed / 1e9:.1f} GB of memory ({weights / 1e9:.1f} for its weights, the "
        f"rest for {context} tokens of context), and {there / 1e9:.1f} GB are there: {remedy}"
    )


def needed_bytes(folder: Path, settings: Settings, cache_bits: int | None = None) -> tuple[int, int]:
    """Bytes of the weights, and bytes of a token in a cache whose numbers have `cache_bits`.

    Without it they have 32, or what a pool of others is likely to have.
    """
    decoder = settings["model"]["decoder"]
    weights = weight_bytes(folder / decoder["filename"])
    try:
        layers = cached_layers(decoder)
        heads, size = (int(decoder[name]) for name in ("num_key_value_heads", "head_size"))
    except KeyError:
        return weights, 0  # the native loader will say what it thinks of such a folder
    if cache_bits is None:
        is_pool = pool_of(settings) is not None
        is_large = usual_bits(layers, heads, size) == BYTE_BITS
        cache_bits = _HALF_BITS if is_pool and is_large else FLOAT_BITS
    return weights, layers * heads * head_bytes(size, cache_bits)


def forecast(folder: Path, settings: Settings, tokens: int, cache_bits: int | None = None) -> dict[str, int]:
    """What a model takes with a cache of so many tokens, as the fields of an `EngineInfo`."""
    weights, a_token = needed_bytes(folder, settings, cache_bits)
    return {"weights_bytes": int(LOADING * weights), "cache_bytes": tokens * a_token}


def memory_phrase(weights_bytes: int, cache_bytes: int) -> str:
    """A forecast in words."""
    return (
        f"about {weights_bytes / 1e9:.1f} GB of memory for the model, and up to {cache_bytes / 1e9:.1f} GB for its "
        "cache as it fills"
    )


def available_bytes(system: Path = _SYSTEM) -> int:
    """Bytes that this process may still take before it is killed. `system` is the root of the file system."""
    import psutil  # noqa: PLC0415 - a small model does without it

    memory = psutil.virtual_memory()
    if not platforms.kills_for_memory():
        return memory.total
    of_groups = [_left(folder) for folder in control_groups("memory", system)]
    there = memory.available + psutil.swap_memory().free
    return min([there, *(left for left in of_groups if left is not None)])


def _left(folder: Path) -> int | None:
    """What a control group has left, in either version's files; the kernel takes from the files that it keeps."""
    for most, used, kept in (
        ("memory.max", "memory.current", "file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
    ):
        with suppress(OSError, ValueError, KeyError):  # no limit, or no such file
            limit, taken = (int((folder / name).read_text(encoding="ascii")) for name in (most, used))
            lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
            return limit - taken + int(dict(line.split() for line in lines)[kept])
    return None
