"""How much memory a card has to give, asked of NVIDIA's driver without loading a model.

Knows the driver's library; must not import ONNX Runtime. A model's cache on a card is sized by this, and not by what
the machine has beside it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, cast

from phi_emulator.engine.machine.devices import Device
from phi_emulator.models.genai_config import Settings
from phi_emulator.platforms import cuda_driver

__all__ = ["free_on_card", "memory_of"]


def memory_of(
    device: Device, settings: Settings, ask: Callable[[int], int | None] | None = None
) -> Callable[[], int] | None:
    """What tells the bytes that a model may take on `device`; None where that is this machine's, or not known.

    `settings` is the content of `genai_config.json`, which may name one of several cards.
    """
    if device.provider != "cuda":
        return None
    free = (ask or free_on_card)(_card(settings))
    return None if free is None else lambda: free


def _card(settings: Settings) -> int:
    session = settings["model"]["decoder"].get("session_options", {})
    for entry in session.get("provider_options") or ():
        for name, options in entry.items():
            if name.lower() == "cuda" and isinstance(options, dict):
                return int(cast("dict[str, Any]", options).get("device_id", 0))
    return 0


def free_on_card(card: int, load: Callable[[str], Any] = ctypes.CDLL) -> int | None:
    """Free bytes on the card of that number among those that this process may see; None without a driver."""
    try:
        driver = load(cuda_driver())
    except OSError:
        return None
    device, context = ctypes.c_int(), ctypes.c_void_p()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), card):
        return None
    # The context is the one that ONNX Runtime will have as well.
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return None
    try:
        if driver.cuCtxPushCurrent_v2(context):
            return None
        failed = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)
    return None if failed else int(free.value)
