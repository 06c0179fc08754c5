"""From what the user named to a folder that can be loaded, or to an error that says what to do.

The checks stand in front of the native loader because some of what it would meet there (weights that are not where the
graph says) ends the process without words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from phi_emulator.models.catalog import BUNDLED, CATALOG

__all__ = ["ModelFolder", "ModelNotFoundError", "resolve_model"]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


class ModelNotFoundError(Exception):
    """There is no such model here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A GenAI model folder."""

    name: str
    """As responses carry it."""
    folder: Path
    description: str
    """A phrase for the banner."""


def resolve_model(wanted: str | None = None) -> ModelFolder:
    """Find a model by its name in the catalog or by the path of a GenAI folder; the bundled model by default.

    Raises:
        ModelNotFoundError: no such name or folder, or files are missing in it.
    """
    entry = BUNDLED if wanted is None else CATALOG.get(wanted)
    if entry is not None:
        if entry.folder is None:
            raise ModelNotFoundError(f"`{entry.name}` is not on this machine: {entry.how_to_get}")
        _check(entry.folder)
        return ModelFolder(entry.name, entry.folder, entry.description)
    folder = Path(str(wanted)).expanduser()
    if not folder.is_dir():
        names = ", ".join(f"`{name}`" for name in CATALOG)
        raise ModelNotFoundError(
            f"{wanted!r} is neither a known model ({names}) nor a folder: give one of them"
        )
    _check(folder)
    return ModelFolder(folder.resolve().name, folder.resolve(), "a model folder of yours")


def _check(folder: Path) -> None:
    config = folder / "genai_config.json"
    if not config.is_file():
        raise ModelNotFoundError(
            f"{str(folder)!r} has no `genai_config.json`, so it is no ONNX Runtime GenAI model folder: "
            "give the folder that holds it"
        )
    try:
        graph = str(json.loads(config.read_text(encoding="utf-8"))["model"]["decoder"]["filename"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelNotFoundError(f"{str(config)!r} can't be read: get the model's files again") from error
    missing = [name for name in (graph, *_TOKENIZER_FILES) if not (folder / name).is_file()]
    if missing:
        raise ModelNotFoundError(f"{str(folder)!r} lacks {', '.join(missing)}: get the model's files again")
