"""A model folder as Generators of old builds of ONNX Runtime GenAI can load it: a view of links, with other settings.

Knows what those builds can't read, and the process that loads; must not change a folder.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Final, cast

from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.machine.devices import Device
from phi_emulator.engine.native.asked_process import AskedProcess, AskingError
from phi_emulator.models.genai_config import FILE, Settings

__all__ = ["HOST", "STOCK_GRAPH", "link", "load_host"]

HOST: Final = "phi_emulator.engine.native.ort_generator_process"
"""The module of the process."""
STOCK_GRAPH: Final = "generator.onnx"
"""Beside a paged graph, the graph for Generators over the same weights."""
_MISSING: Final = object()
# How 0.14 complains of what newer model builders write; a folder must work without an edit all the same.
_UNKNOWN: Final = re.compile(r'JSON Error: (?P<path>[\w:]+): Unknown value "(?P<key>\w+)"')
# What transformers 5 calls the class that was `PreTrainedTokenizerFast`; 0.13 knows the older name alone.
_NEWER_CLASS: Final = "TokenizersBackend"
_OLDER_CLASS: Final = "PreTrainedTokenizerFast"
_PAGED: Final = ("block_table", "cumulative_sequence_lengths", "past_sequence_lengths")


def load_host(
    process: AskedProcess,
    folder: Path,
    settings: Settings,
    view: Path,
    *,
    device: Device,
    context: int,
    profile: Path | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Have a process load a folder, through links in the empty folder `view` where it can't be as it is.

    Returns what the model says of itself, and the settings that were left out because the build is too old.

    Raises:
        AskingError: it can't be loaded.
        ModelLoadError: the folder has no graph for Generators.
    """
    shown = _for_generators(folder, settings)
    seen = folder if shown == settings else _show(folder, shown, view)
    left_out: list[str] = []
    where = None if profile is None else str(profile)
    while True:
        try:
            about = process.ask("load", folder=str(seen), device=device.name, profile=where, context=context)
        except AskingError as error:
            unknown = _UNKNOWN.search(str(error))
            if unknown is not None and _leave_out(shown, unknown["path"].split(":"), unknown["key"]):
                left_out.append(f"{unknown['path'].replace(':', '.')}.{unknown['key']}")
                seen = _show(folder, shown, view)
            elif _NEWER_CLASS in str(error) and _rename_class(_show(folder, shown, view)):
                seen = view
            else:
                raise
        else:
            return about, left_out


def _for_generators(folder: Path, settings: Settings) -> dict[str, Any]:
    """A copy of `settings` without what is for the Engine, over the stock graph that lies beside a paged one.

    Raises:
        ModelLoadError: the graph is paged, and there is no other.
    """
    shown = cast("dict[str, Any]", copy.deepcopy(settings))
    shown.pop("engine", None)
    decoder: dict[str, Any] = shown["model"]["decoder"]
    inputs: dict[str, str] = decoder.get("inputs", {})
    if "block_table" in inputs:
        if not (folder / STOCK_GRAPH).is_file():
            raise ModelLoadError(
                f"the graph in {str(folder)!r} is for ONNX Runtime GenAI's Engine, which the installed build is too "
                "old for: take the folder as the model builder made it"
            )
        for name in _PAGED:
            inputs.pop(name, None)
        inputs["attention_mask"] = "attention_mask"
        decoder["filename"] = STOCK_GRAPH
    return shown


def _leave_out(settings: dict[str, Any], path: list[str], key: str) -> bool:
    """Remove a key; False if it is not there."""
    section = settings
    for name in path:
        inner: Any = section.get(name)
        if not isinstance(inner, dict):
            return False
        section = cast("dict[str, Any]", inner)
    return section.pop(key, _MISSING) is not _MISSING


def _rename_class(view: Path) -> bool:
    """Give the tokenizer of a folder of links the older name of its class; False if it has it already."""
    path = view / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    if settings.get("tokenizer_class") != _NEWER_CLASS:
        return False
    path.unlink()  # it is a link, and what it leads to is the user's
    path.write_text(json.dumps(settings | {"tokenizer_class": _OLDER_CLASS}), encoding="utf-8")
    return True


def _show(folder: Path, settings: dict[str, Any], view: Path) -> Path:
    """Make `view` a folder of links to what is in `folder`, with `settings` for its `genai_config.json`."""
    for path in folder.iterdir():
        where = view / path.name
        if path.is_file() and path.name != FILE and not where.exists():
            link(path.resolve(), where)
    (view / FILE).write_text(json.dumps(settings), encoding="utf-8")
    return view


def link(path: Path, where: Path) -> None:
    """Make a link, or a copy where the system gives none."""
    for make in (
        os.symlink,
        os.link,
        shutil.copyfile,
    ):  # Windows gives the first to few, the second on one drive
        try:
            make(path, where)
        except OSError:
            if make is shutil.copyfile:
                raise
        else:
            return
