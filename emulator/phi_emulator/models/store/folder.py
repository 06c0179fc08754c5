"""From what the user named to a folder that can be loaded, or to an error that says what to do.

The checks stand in front of the native loader, whose own words name a file and a C++ function at best.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from phi_emulator.models.genai_config import FILE, Settings, read_settings
from phi_emulator.models.printable import printable
from phi_emulator.models.store.catalog import BUNDLED, CATALOG, CatalogEntry, Variant
from phi_emulator.models.store.names import check_path
from phi_emulator.models.store.store import Store, StoreError, expanded, human_size, is_folder
from phi_emulator.models.strict_json import read_json

__all__ = ["ModelFolder", "ModelNotFoundError", "NotPulledError", "check_folder", "resolve_model"]

_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json")
_MOST_SETTINGS: Final = 64 << 20
"""Bytes of a file of settings; a tokenizer's may list every token that was added."""
_LFS_POINTER: Final = b"version https://git-lfs"


class ModelNotFoundError(StoreError):
    """There is no such model here; the message says what to do."""


class NotPulledError(ModelNotFoundError):
    """The catalog knows the model, and it is not in the store."""

    def __init__(self, entry: CatalogEntry, variant: Variant) -> None:
        wanted = entry.name if variant == entry.variant() else f"{entry.name}:{variant.name}"
        super().__init__(
            f"`{wanted}` is not on this machine: get it with `phi-emulator models pull {wanted}` "
            f"(about {human_size(variant.about_bytes)} from `{entry.repository}`, {entry.licence} licence)"
        )
        self.entry = entry
        self.variant = variant


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A GenAI model folder."""

    name: str
    """As responses carry it."""
    folder: Path
    description: str
    """A phrase for the banner."""
    is_verified: bool
    """False where nobody but an archive says what it is."""
    settings: Settings = field(repr=False, compare=False)
    """What it says of itself."""


class _Found(NamedTuple):
    """A `ModelFolder` that has not been looked into."""

    name: str
    folder: Path
    description: str
    is_verified: bool = True


def resolve_model(wanted: str | None = None, store: Store | None = None) -> ModelFolder:
    """Find a model by `NAME` or `NAME:VARIANT`, or by the path of a GenAI folder; the bundled model by default.

    Raises:
        NotPulledError: the catalog knows it, and it is not in the store.
        ModelNotFoundError: no such name or folder, or files are missing or damaged in it.
        StoreError: the store can't be read.
    """
    store = store or Store()
    wanted = wanted or BUNDLED.name
    found = _bundled(wanted) or _stored(wanted, store) or _registered(wanted, store)
    if found is None:
        folder = expanded(Path(wanted))
        if not is_folder(folder):
            names = [*CATALOG, *(model.manifest.reference for model in store.models()), *_names(store)]
            known = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
            raise ModelNotFoundError(
                f"{wanted!r} is neither a known model ({known}) nor a folder: give one of them"
            )
        found = _Found(folder.resolve().name, folder.resolve(), "a model folder of yours")
    return ModelFolder(*found, check_folder(found.folder))


def _names(store: Store) -> list[str]:
    try:
        return [*store.registered()]
    except StoreError:
        return []


def _bundled(wanted: str) -> _Found | None:
    entry = CATALOG.get(wanted)
    if entry is None or entry.folder is None:
        return None
    return _Found(entry.name, entry.folder, entry.description)


def _stored(wanted: str, store: Store) -> _Found | None:
    name, _, variant = wanted.partition(":")
    entry = CATALOG.get(name)
    if entry is not None:
        chosen = entry.variant(variant or None)
        if chosen is None:
            names = ", ".join(f"`{known.name}`" for known in entry.variants) or "none"
            raise ModelNotFoundError(f"`{name}` has no variant {variant!r}: it has {names}")
        model = store.find(name, chosen.name)
        if model is None and store.held(name, chosen.name) is not None:
            raise ModelNotFoundError(
                f"what is here as `{name}:{chosen.name}` was never compared with the hub's files: run `phi-emulator "
                f"models pull {name}:{chosen.name}`, which does that and fetches what differs"
            )
        if model is None:
            raise NotPulledError(entry, chosen)
    else:
        model = store.find(name, variant or None)
        if model is None:
            return None
    damage = model.damage()
    if damage:
        reference = model.manifest.reference
        remedy = f"run `phi-emulator models pull {reference}`" if entry else "import it again"
        raise ModelNotFoundError(f"`{reference}` is damaged ({damage[0]}): {remedy}")
    manifest = model.manifest
    origin = f", from `{manifest.repository}` at {manifest.revision[:12]}" if manifest.repository else ""
    if not manifest.is_verified:
        origin = " (imported, not verified)"
    description = f"{manifest.description}, {manifest.variant}{origin}"
    return _Found(manifest.name, model.folder, description, manifest.is_verified)


def _registered(wanted: str, store: Store) -> _Found | None:
    folder = store.registered().get(wanted)
    if folder is None:
        return None
    if not is_folder(folder):
        raise ModelNotFoundError(
            f"`{wanted}` stands for {str(folder)!r}, which is gone: bring it back, or `phi-emulator models rm {wanted}`"
        )
    return _Found(wanted, folder, "a model folder of yours")


def check_folder(folder: Path) -> Settings:
    """Check what can be seen of a GenAI model folder without loading it; return what it says of itself.

    Raises:
        ModelNotFoundError: it is none, files are missing, empty, cut off or not the files themselves, or the native
            loader can't be told of it, which takes names as UTF-8.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise ModelNotFoundError(
            f"{str(folder)!r} has bytes in its name that are no UTF-8, and ONNX Runtime GenAI can't be told of it: "
            "rename what is named so"
        ) from None
    config = folder / FILE
    if not config.is_file():
        raise ModelNotFoundError(
            f"{str(folder)!r} has no `genai_config.json`, so it is no ONNX Runtime GenAI model folder: "
            "give the folder that holds it"
        )
    again = "get the model's files again"
    try:
        settings = read_settings(folder)
        graph = check_path(settings["model"]["decoder"]["filename"])
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"{str(config)!r} can't be read ({printable(str(error), 200)}): {again}"
        ) from error
    names = (graph, *_TOKENIZER_FILES)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelNotFoundError(f"{str(folder)!r} lacks {', '.join(missing)}: {again}")
    data = {path for path in folder.iterdir() if path.name.startswith(graph)}
    for path in data | {folder / name for name in names}:
        if path.is_file():
            _check_content(path)
    try:
        of_tokens = read_json(folder / "tokenizer_config.json", _MOST_SETTINGS)
        has_template = bool(of_tokens.get("chat_template")) or (folder / "chat_template.jinja").is_file()
    except (OSError, ValueError, AttributeError) as error:
        raise ModelNotFoundError(
            f"{str(folder / 'tokenizer_config.json')!r} can't be read: {again}"
        ) from error
    if not has_template:
        raise ModelNotFoundError(
            f"{str(folder)!r} has no chat template: put `chat_template.jinja` there, or `chat_template` "
            "into `tokenizer_config.json`"
        )
    return settings


def _check_content(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if not start:
        raise ModelNotFoundError(f"{str(path)!r} is empty: get the model's files again")
    if start == _LFS_POINTER:
        raise ModelNotFoundError(f"{str(path)!r} is a Git LFS pointer: run `git lfs pull` in its repository")
