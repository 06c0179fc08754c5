"""How a model is to be loaded, as the user chose it: one value from the settings to the engine.

It must not decide anything: what is left out, those decide who load.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phi_emulator.engine.machine.devices import AUTO
from phi_emulator.models.graph.prepare import CACHE_BYTES

__all__ = ["ModelOptions"]


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What may be chosen of a model beside its folder."""

    model: str
    """The name that responses carry."""
    device: str = AUTO
    """The execution provider, as `--device` takes it."""
    context_length: int | None = None
    """Tokens of prompt and answer together; `None` is as many as the folder and the memory allow."""
    cache_bytes: int = CACHE_BYTES
    """What the cache of a prepared model may take."""
    cache_bits: int | None = None
    """Bits of a number in the cache of a prepared model, 8 or 32; `None` takes 8 in large models."""
    deterministic: bool = False
    """One request at a time, each without what others left in the cache, and without drafts: sums may be rounded
    otherwise beside others."""
    max_running: int | None = None
    """Sequences side by side at most; `None` is as many as the folder says, or as `calibrations` found worthwhile."""
    threads: int | None = None
    """Threads that compute a step; `None` is as many as the folder or ONNX Runtime says, and no more than there are
    processors for this process."""
    profile: Path | None = None
    """Where ONNX Runtime writes what ran where; it costs time."""
    calibrations: Path | None = None
    """The folder that keeps how many sequences are worthwhile side by side; measured once, and only with one."""
