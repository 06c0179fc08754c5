"""What a model folder says of itself, as `ort` needs it before and beside loading: settings, threads, a fingerprint.

Knows `genai_config.json` and files; must not import the native engine.
"""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from phi_emulator.engine.machine.context import ContextPlan, lowered
from phi_emulator.engine.machine.processors import usable_processors
from phi_emulator.engine.native.turn_ends import TurnEnds
from phi_emulator.models import PreparedModel
from phi_emulator.models.genai_config import PoolSettings, Settings, pool_of

__all__ = ["SHORT_TABLE", "fingerprint", "notes_of", "overlay", "wanted_threads"]

SHORT_TABLE: Final = 4096
"""Tokens that the shorter of a Phi's rotary tables reaches; GenAI itself takes this number for granted."""
_ONE_THREAD_BYTES: Final = 8 * 1024 * 1024
"""Memory of a model up to which one thread computes a step as fast as two (`phi-emulator bench --threads N`)."""
_VERSIONS: Final = {"genai": "onnxruntime-genai", "ort": "onnxruntime"}


def overlay(
    served: int,
    pool: PoolSettings | None,
    *,
    threads: int | None,
    profile: Path | None,
    ends: TurnEnds,
) -> dict[str, Any]:
    """What is laid over the folder's settings: a context, a pool, options of the session, and ends that it lacks."""
    model: dict[str, Any] = {"context_length": served}
    if not ends.are_the_folders:
        model["eos_token_id"] = list(ends.ids)
    options: dict[str, Any] = {} if profile is None else {"enable_profiling": str(profile)}
    if threads is not None:
        options["intra_op_num_threads"] = threads
    if options:
        model["decoder"] = {"session_options": options}
    return {"model": model} if pool is None else {"model": model, "engine": {"dynamic_batching": dict(pool)}}


def notes_of(plan: ContextPlan, ready: PreparedModel, *, is_static: bool) -> tuple[str, ...]:
    """What the user should read of the context and of how requests share the model."""
    notes = plan.notes or lowered(ready.declared_context, plan.served, "set --context")
    if not is_static:
        return notes
    because = f", because {ready.obstacle}" if ready.obstacle else ""
    waiting = f"static batching{because}: requests wait for those that run to end, and `seed` has no effect"
    if not ready.settings["model"]["type"].startswith("phi") or plan.served <= SHORT_TABLE:
        return (*notes, waiting)
    mixed = (
        f"static batching mixes the two rotary tables of a Phi with long RoPE: what grows past {SHORT_TABLE} tokens "
        f"goes wrong there (set --context {SHORT_TABLE})"
    )
    return (*notes, waiting, mixed)


def wanted_threads(settings: Settings, memory_bytes: int) -> int | None:
    """How many threads to ask for a model that takes so much memory; `None` where what would be taken is right.

    A very small model has no work for a second one: handing it a share takes as long as computing it, and it would turn
    on a core that the web, and whoever hears it, need.
    """
    declared = settings["model"]["decoder"].get("session_options", {}).get("intra_op_num_threads")
    if not declared and memory_bytes <= _ONE_THREAD_BYTES:
        return 1
    usable = usable_processors()
    if usable is None or (declared and declared <= usable):
        return None
    return usable


def fingerprint(folder: Path, settings: Settings, provider: str) -> str:
    """Model and graph by their content, and the versions that compute them.

    The weights count by their size only: reading gigabytes at each start would cost more than it tells.
    """
    graph = folder / settings["model"]["decoder"]["filename"]
    sizes = sorted((file.name, file.stat().st_size) for file in folder.iterdir() if file.is_file())
    content = hashlib.blake2b(graph.read_bytes(), digest_size=5)
    content.update(json.dumps([settings, sizes], sort_keys=True).encode())
    kind = "stock" if pool_of(settings) is None else "paged"
    versions = [f"{name}{metadata.version(package)}" for name, package in _VERSIONS.items()]
    return "_".join(["fp", content.hexdigest(), kind, provider, *versions])
