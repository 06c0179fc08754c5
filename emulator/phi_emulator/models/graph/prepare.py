"""Makes a stock GenAI folder ready for GenAI's dynamic Engine, once, and beside the folder's own files.

Knows folders and their configuration; what becomes of the graph is `paged_graph`'s business. It must not know engines.

    MODEL/                              as it was downloaded
    └── .phi-emulator/graph-KEY/        written at the first load
        ├── model.onnx                  the rewritten graph, a few megabytes
        ├── genai_config.json           with the sizes of the Engine's pool
        └── everything else             hard links, so the weights are there once

KEY is a hash of the graph, its configuration and all that was chosen here: what fits is found again, what doesn't is
never taken. The few that were used last are kept, since several settings may take turns; the others go, and so do those
that no longer share the model's files, which would keep replaced weights on the disk. Hard links, because the runtime
refuses weights outside the graph's folder, behind symbolic links too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self, cast

from phi_emulator.models.durable import flush, make_folders, move_folder
from phi_emulator.models.genai_config import FILE, Settings, pool_of, read_settings
from phi_emulator.models.graph.geometry import (
    FLOAT_BITS,
    SHORT_POSITIONS,
    Geometry,
    NotConvertibleError,
    block_step,
    usual_bits,
)

__all__ = ["PreparedModel", "prepare_model"]

logger = logging.getLogger("phi_emulator.models")

FORMAT: Final = 7
"""Counts up when the same model would be prepared differently."""
DEFAULT_CONTEXT: Final = 8192
"""Tokens that are served unless more are asked for: a cache for the 131,072 of the real model takes 8.7 GB."""
BLOCK_SIZE: Final = 16
"""Tokens in a block of the pool: prefixes are shared in steps of it. Larger blocks were not faster."""
CHUNK_SIZE: Final = 16
"""Prompt tokens in a step beside others, who wait that long; a large model gains nothing by more."""
LONE_CHUNK: Final = 64
"""Prompt tokens in a step of a small model that reads for one alone: a tenth to a fifth quicker."""
MAX_SCHEDULED: Final = 256
CACHE_BYTES: Final = 4 * 2**30
"""What the pool takes at most: nearly eight full contexts of the real model. The system gives it memory as it fills."""
KEPT: Final = 4
"""Prepared graphs of one model that stay, a few megabytes each."""
_ABANDONED_S: Final = 3600
"""After so long, what a process was making was left by one that ended."""
_TYPES: Final = ("phi3", "llama")
SIDE_BY_SIDE: Final = 8
"""Sequences for which the pool has places; how many are used is measured on the machine."""


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A folder for the Engine."""

    folder: Path
    settings: Settings
    """What it says of itself."""
    source: Path
    """The folder that it was prepared from; `folder` itself where it was not."""
    declared_context: int
    """The model's own context, of which a prepared folder may serve less."""
    obstacle: str = ""
    """Why the folder is the stock one; empty when the Engine can run it with continuous batching."""
    cache_bits: int | None = None
    """Bits of a number in the pool; `None` where the folder was not prepared here."""

    @classmethod
    def unprepared(cls, folder: Path, settings: Settings, obstacle: str = "") -> Self:
        """A folder as it is."""
        return cls(folder, settings, folder, settings["model"].get("context_length", 0), obstacle)


class _UnpreparedError(Exception):
    """This folder stays as it is; the message says why."""


def prepare_model(
    folder: Path,
    settings: Settings,
    *,
    context_length: int | None = None,
    cache_bytes: int = CACHE_BYTES,
    cache_bits: int | None = None,
) -> PreparedModel:
    """The folder to load in the place of `folder`: itself when it is ready, or can't be made so.

    `settings` is what it says of itself.
    `context_length` is how many tokens are to be served; as many as the model declares, and as `cache_bytes` hold, at
    most. A number in the cache takes `cache_bits`, 8 or 32; without it 8 in large models, which is faster too.
    """
    try:
        if pool_of(settings) is not None:
            return PreparedModel.unprepared(folder, settings)
        config = cast("dict[str, Any]", deepcopy(settings))
        geometry, held = _geometry(config, context_length or DEFAULT_CONTEXT, cache_bytes, cache_bits)
        ready = _prepared(folder, config, geometry, held)
        declared = settings["model"]["context_length"]
        return PreparedModel(ready, read_settings(ready), folder, declared, cache_bits=geometry.cache_bits)
    except _UnpreparedError as error:
        obstacle = str(error)
    except ImportError as error:
        obstacle = f"{error.name} is not installed"
    except OSError as error:
        obstacle = f"no files can be written beside it ({error.strerror or error})"
    except (KeyError, TypeError, AttributeError, ValueError):
        obstacle = f"its `{FILE}` has not the usual form"
    return PreparedModel.unprepared(folder, settings, obstacle)


def _geometry(
    config: dict[str, Any], context_length: int, cache_bytes: int, cache_bits: int | None
) -> tuple[Geometry, int]:
    """The shape of the model, and the most tokens that its pool may hold."""
    model: dict[str, Any] = config["model"]
    decoder: dict[str, Any] = model["decoder"]
    if model["type"] not in _TYPES:
        raise _UnpreparedError(f"its type is {model['type']!r}, and {' and '.join(_TYPES)} are known")
    if decoder["session_options"].get("provider_options"):
        raise _UnpreparedError("it was made for another execution provider than the CPU")
    layers, heads, size = decoder["num_hidden_layers"], decoder["num_key_value_heads"], decoder["head_size"]
    geometry = Geometry(
        layers=layers,
        heads=decoder["num_attention_heads"],
        kv_heads=heads,
        head_size=size,
        vocabulary=model["vocab_size"],
        context_length=min(model["context_length"], context_length),
        block_size=BLOCK_SIZE,
        cache_bits=cache_bits or usual_bits(layers, heads, size),
    )
    held = geometry.whole_blocks(cache_bytes // geometry.token_bytes // BLOCK_SIZE) * BLOCK_SIZE
    if not held:
        raise _UnpreparedError("its cache may take less than its smallest size: raise `--cache-mb`")
    return replace(geometry, context_length=min(geometry.context_length, held)), held


def _prepared(folder: Path, config: dict[str, Any], geometry: Geometry, held: int) -> Path:
    model, decoder = config["model"], config["model"]["decoder"]
    stock = folder / decoder["filename"]
    engine = _engine_settings(geometry, held)
    content = stock.read_bytes()
    chosen = json.dumps([FORMAT, asdict(geometry), engine, config], sort_keys=True)
    key = hashlib.blake2b(content + chosen.encode(), digest_size=8).hexdigest()
    ready = folder / ".phi-emulator" / f"graph-{key}"
    links = {file.name: file for file in _files(folder) if file.name not in (stock.name, FILE)}
    if _is_whole(ready, links):
        _tidy(ready, links)
        return ready
    # Imported late: it takes a moment, and is needed once in a model's life.
    import onnx  # noqa: PLC0415

    from phi_emulator.models.graph.paged_graph import rewrite_graph  # noqa: PLC0415

    logger.info("preparing %s for continuous batching; this is done once", folder.name)
    try:
        graph = onnx.load_model_from_string(content)
    except (
        Exception
    ) as error:  # the parser's own class belongs to a package that is not a dependency of this one
        raise _UnpreparedError("its graph can't be read") from error
    try:
        short_positions = rewrite_graph(graph, geometry)
    except NotConvertibleError as error:
        raise _UnpreparedError(str(error)) from error
    outside = {
        Path(entry.value)
        for t in graph.graph.initializer
        for entry in t.external_data
        if entry.key == "location"
    }
    if not all(path.name == str(path) and path.name in links for path in outside):
        raise _UnpreparedError("its weights lie outside its folder")
    decoder["filename"] = "model.onnx"
    decoder["inputs"] = {
        name: name
        for name in ("input_ids", "block_table", "cumulative_sequence_lengths", "past_sequence_lengths")
    } | {"past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"}
    decoder.pop("sliding_window", None)
    if short_positions is not None:
        decoder["num_hidden_layers"] = geometry.layers + 1
        # GenAI takes what entries there are, and refuses unknown ones elsewhere.
        decoder["session_options"][SHORT_POSITIONS] = str(short_positions)
    model["context_length"] = config["search"]["max_length"] = geometry.context_length
    config["search"]["chunk_size"] = _chunk_size(geometry)
    config["engine"] = {"dynamic_batching": engine}
    _place(ready, {"model.onnx": graph.SerializeToString(), FILE: _json(config)}, links)
    _tidy(ready, links)
    logger.info("prepared %s", folder.name)
    return ready


def _chunk_size(geometry: Geometry) -> int:
    is_small = usual_bits(geometry.layers, geometry.kv_heads, geometry.head_size) == FLOAT_BITS
    return LONE_CHUNK if is_small else CHUNK_SIZE


def _engine_settings(geometry: Geometry, held: int) -> dict[str, int]:
    """How many sequences can run side by side, and how large their pool is, of which `held` tokens may be."""
    blocks = -(-SIDE_BY_SIDE * geometry.context_length // geometry.block_size)
    spare = block_step(geometry.kv_heads, geometry.head_size, geometry.cache_bits) - 1
    return {
        "block_size": geometry.block_size,
        "num_blocks": min(geometry.whole_blocks(blocks + spare), held // geometry.block_size),
        "max_batch_size": SIDE_BY_SIDE,
        "max_scheduled_tokens": MAX_SCHEDULED,
    }


def _json(config: Mapping[str, Any]) -> bytes:
    return (json.dumps(config, indent=1) + "\n").encode()


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_file())


def _is_whole(ready: Path, links: Mapping[str, Path]) -> bool:
    """Whether it is there, and still shares the model's files: these may have been replaced since."""
    try:
        return (ready / "model.onnx").is_file() and all(
            (ready / name).samefile(file) for name, file in links.items()
        )
    except OSError:
        return False


def _place(ready: Path, written: Mapping[str, bytes], links: Mapping[str, Path]) -> None:
    """Make `ready` in one move, so that nobody ever meets half of it."""
    make_folders(ready.parent)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=ready.parent))
    try:
        for name, content in written.items():
            (making / name).write_bytes(content)
            flush(making / name)
        for name, file in links.items():
            (making / name).hardlink_to(file.resolve())
        making.chmod(0o755)
        try:
            move_folder(making, ready)
        except OSError:
            # Something is there: what another process made from the same key meanwhile, or what is no longer whole.
            if not _is_whole(ready, links):
                shutil.rmtree(ready)
                move_folder(making, ready)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _tidy(ready: Path, links: Mapping[str, Path]) -> None:
    """Note that `ready` is in use, and delete what serves nothing any more beside it.

    A process that has loaded one of them goes on with it: on Windows it can't be deleted, elsewhere its files stay
    until they are closed. One that is about to load it takes the stock graph instead.
    """
    with suppress(OSError):  # it may be another user's
        os.utime(ready)
    others: list[tuple[float, Path]] = []
    now = time.time()
    for path in ready.parent.glob("*-*"):
        with suppress(OSError):
            if path == ready:
                continue
            used = path.stat().st_mtime
            if path.name.startswith("making-"):
                if now - used > _ABANDONED_S:
                    shutil.rmtree(path, ignore_errors=True)
            elif _is_whole(path, links):
                others.append((used, path))
            else:
                shutil.rmtree(path, ignore_errors=True)
    for _, path in sorted(others, reverse=True)[KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)
