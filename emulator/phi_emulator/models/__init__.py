"""Finds a model's files. Knows folders and names; knows nothing of engines that run them, of HTTP or of Azure."""

from phi_emulator.models.catalog import BUNDLED, PHI_4_MINI_REASONING
from phi_emulator.models.folder import ModelFolder, ModelNotFoundError, NotPulledError, resolve_model
from phi_emulator.models.store import Store, StoreError

__all__ = [
    "BUNDLED",
    "PHI_4_MINI_REASONING",
    "ModelFolder",
    "ModelNotFoundError",
    "NotPulledError",
    "Store",
    "StoreError",
    "resolve_model",
]
