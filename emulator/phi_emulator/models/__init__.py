"""Finds a model's files and makes them ready. Knows folders, names and graphs.

Knows nothing of engines that run them, of HTTP or of Azure.
"""

from phi_emulator.models.graph.geometry import short_positions
from phi_emulator.models.graph.prepare import PreparedModel, prepare_model
from phi_emulator.models.store.catalog import BUNDLED, PHI_4_MINI_REASONING
from phi_emulator.models.store.folder import ModelFolder, ModelNotFoundError, NotPulledError, resolve_model
from phi_emulator.models.store.store import Store, StoreError

__all__ = [
    "BUNDLED",
    "PHI_4_MINI_REASONING",
    "ModelFolder",
    "ModelNotFoundError",
    "NotPulledError",
    "PreparedModel",
    "Store",
    "StoreError",
    "prepare_model",
    "resolve_model",
    "short_positions",
]
