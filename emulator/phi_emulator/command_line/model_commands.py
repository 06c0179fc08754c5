"""The commands `phi-emulator models …`.

What is said to the user and asked of him; what happens is the store's business.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from phi_emulator.command_line.config_commands import gathered
from phi_emulator.command_line.obtaining import ask, obtain_model, pull_model, say, shown_progress, told
from phi_emulator.command_line.words import HelpfulGroup
from phi_emulator.models.printable import printable
from phi_emulator.models.store.catalog import CATALOG, CatalogEntry, Variant
from phi_emulator.models.store.folder import check_folder, resolve_model
from phi_emulator.models.store.manifest import BY_USER, Manifest, ModelFile, sha256_of
from phi_emulator.models.store.names import MANIFEST, check_name
from phi_emulator.models.store.store import Store, StoredModel, StoreError, expanded, human_size, is_folder
from phi_emulator.settings.setting import environment_name

if TYPE_CHECKING:
    from phi_emulator.models.store.pull import Progress

__all__ = ["models", "obtain_model"]

_YES = click.option("--yes", "-y", is_flag=True, help="Do it without asking.")


@click.group(cls=HelpfulGroup)
@click.option(
    "--home",
    metavar="FOLDER",
    default=None,
    help=f"Folder of the store. [env {environment_name('home')}; default the user's data folder]",
)
@click.pass_context
def models(context: click.Context, home: str | None) -> None:
    """The models on this machine: get, check, move and delete them.

    NAME is a name that `list` shows, such as phi-4-mini-reasoning, with a variant where it has several:
    phi-4-mini-reasoning:gpu-int4.
    """
    with told():
        context.obj = Store(gathered({"home": home}).values.get("home"))


_pass_store = click.make_pass_decorator(Store)


@models.command("list")
@_pass_store
def list_(store: Store) -> None:
    """Show the models that are here, and those that can be pulled."""
    with told():
        rows = [("NAME", "STATE", "SIZE", "FROM"), *_catalog_rows(store), *_store_rows(store)]
        complaint = ""
        try:
            for name, folder in store.registered().items():
                rows.append((name, "here" if is_folder(folder) else "gone", "", str(folder)))
        except StoreError as error:  # of the names alone: the models are here all the same
            complaint = str(error)
    shown = [tuple(printable(cell, 300) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(3)]
    for row in shown:
        say("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))
    if complaint:
        say(complaint, err=True)


def _catalog_rows(store: Store) -> list[tuple[str, str, str, str]]:
    """What the catalog has and the store has not."""
    here = {model.manifest.reference for model in store.models()}
    here |= {f"{found.name}:{found.variant}" for found in store.unreadable()}
    begun = {f"{partial.name}:{partial.variant}": partial for partial in store.partials()}
    rows: list[tuple[str, str, str, str]] = []
    for entry in CATALOG.values():
        if entry.folder is not None:
            rows.append((entry.name, "bundled", "", "phi-emulator"))
        for variant in entry.variants:
            reference = f"{entry.name}:{variant.name}"
            have = begun.pop(reference, None)
            if reference not in here:
                state = f"begun, {human_size(have.size)} are here" if have else "can be pulled"
                rows.append((reference, state, f"about {human_size(variant.about_bytes)}", entry.repository))
    for reference, left in begun.items():
        if reference not in here:
            rows.append((reference, "an import that did not end: delete it", human_size(left.size), ""))
    return rows


def _store_rows(store: Store) -> list[tuple[str, str, str, str]]:
    """What the store has, and in which state it is."""
    rows: list[tuple[str, str, str, str]] = []
    for model in store.models():
        manifest = model.manifest
        damage = model.damage()
        state = "here" if manifest.is_verified else "here, not verified"
        if damage:
            state = f"damaged: {damage[0]}"
        elif not model.is_trusted:
            state = "not verified: pull it, which compares it with the hub"
        origin = (manifest.repository if manifest.is_verified else "") or "an archive"
        rows.append((manifest.reference, state, human_size(manifest.size), origin))
    rows += [
        (f"{found.name}:{found.variant}", f"damaged: its manifest ({found.reason})", "", "")
        for found in store.unreadable()
    ]
    return rows


@models.command()
@click.argument("name")
@click.option("--revision", metavar="REV", default=None, help="Branch, tag or commit; without it the newest.")
@_YES
@_pass_store
def pull(store: Store, name: str, revision: str | None, yes: bool) -> None:  # noqa: FBT001 - click's
    """Download NAME from the Hugging Face hub, or go on with a download that did not end.

    Every file is verified before the model can be used. A model that is here is verified, and what is damaged is
    fetched again. HF_ENDPOINT names a mirror, HF_TOKEN is sent if it is set, HF_HUB_OFFLINE forbids it all.
    """
    with told():
        entry, variant = _in_catalog(name)
        pull_model(store, entry, variant, revision=revision, yes=yes)


@models.command()
@click.argument("name")
@_pass_store
def show(store: Store, name: str) -> None:
    """Show where NAME is, where it is from, and its files with their SHA-256."""
    with told():
        model = _find(store, name)
        if model is None:
            found = resolve_model(name, store)
            say(f"{found.name}: {found.description}\n  folder  {found.folder}")
            return
        manifest = model.manifest
        say(f"{manifest.reference}: {manifest.description}")
        say(f"  folder    {model.folder}")
        say(f"  verified  {_verified_phrase(manifest)}")
        if manifest.repository:
            claim = "" if manifest.is_verified else ", as its archive says"
            say(f"  from      {manifest.repository} at {manifest.revision}{claim}")
        say(f"  licence   {manifest.licence or 'not known'}")
        say(f"  built for {manifest.execution_provider or 'not known'}")
        say(f"  size      {human_size(manifest.size)}")
        say(f"  content   {manifest.content}")
        for file in manifest.files:
            say(f"  {file.sha256}  {file.size:>13,}  {file.path}")


@models.command()
@click.argument("name")
@_pass_store
def verify(store: Store, name: str) -> None:
    """Read every file of NAME and compare it with the SHA-256 that it had when it came into the store."""
    with told(), shown_progress() as progress:
        model = _needed(store, name)
        progress.begin(f"verifying {model.manifest.reference}", model.manifest.size)
        damage = model.verify(progress.advance)
    if damage:
        remedy = (
            f"`phi-emulator models pull {name}` fetches what is wrong"
            if name.partition(":")[0] in CATALOG
            else ("import it again")
        )
        raise click.ClickException("; ".join(damage) + f": {remedy}")
    said = "" if model.manifest.is_verified else "; whose files these are is not verified"
    say(f"{model.manifest.reference} is whole: {len(model.manifest.files)} files{said}")


@models.command()
@click.argument("name")
@_YES
@_pass_store
def rm(store: Store, name: str, yes: bool) -> None:  # noqa: FBT001 - click's
    """Delete NAME from the store, or what an unfinished pull of it has.

    A name that `add` gave is taken away; the folder it stands for stays.
    """
    with told():
        if name in store.registered():
            store.register(name, None)
            say(f"{name} is no name any more; its folder stays")
            return
        head, _, variant = name.partition(":")
        if model := _find(store, name, is_trusted=False):
            variant = model.manifest.variant
        elif not variant and (entry := CATALOG.get(head)) and (default := entry.variant()):
            variant = default.name
        left = {(partial.name, partial.variant) for partial in store.partials()}
        left |= {(found.name, found.variant) for found in store.unreadable()}
        if not variant:
            variant = next((of for named, of in sorted(left) if named == head), "")
        if model is None and (head, variant) not in left:
            raise StoreError(f"`{name}` is not in the store: `phi-emulator models list` shows what is")
        ask(f"Delete {head}:{variant}?", yes=yes, otherwise="give `--yes`")
        say(f"deleted {head}:{variant}, {human_size(store.remove(head, variant))} are free again")


@models.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@_pass_store
def add(store: Store, name: str, folder: Path) -> None:
    """Give NAME to a GenAI model folder of yours, which stays where it is."""
    with told():
        if name in CATALOG or store.held(name) is not None:
            raise StoreError(f"`{name}` is taken: give another name")
        check_name(name)
        check_folder(expanded(folder))
        store.register(name, expanded(folder))
        say(f"{name} stands for {folder}: serve it with `phi-emulator serve --model {name}`")


@models.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@_pass_store
def export(store: Store, name: str, file: Path) -> None:
    """Write NAME into one FILE, for `models import` on a machine without a network."""
    with told(), shown_progress() as progress:
        from phi_emulator.models.store.archive import export_model  # noqa: PLC0415 - serving needs it not

        model = _find(store, name) or _as_model(store, name, progress)
        export_model(model, file, progress)
        content = model.manifest.content
    say(f"wrote {file}, {human_size(file.stat().st_size)}, content {content}")


@models.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", default=None, help="What to call it; without it as FILE does.")
@click.option(
    "--content",
    metavar="DIGEST",
    default=None,
    help="What `models show` says as its content where it was pulled.",
)
@_pass_store
def import_(store: Store, file: Path, name: str | None, content: str | None) -> None:
    """Take the model in FILE, which `models export` wrote, into the store.

    Hashes in the file guard against damage. They don't say who made it, so the model is marked as not verified, and
    does not bear a name of the catalog, unless the digest that you give with --content is its own.
    """
    with told(), shown_progress() as progress:
        from phi_emulator.models.store.archive import import_model  # noqa: PLC0415 - serving needs it not

        model = import_model(store, file, progress, name=name, content=content)
    manifest = model.manifest
    origin = f", from {manifest.repository} at {manifest.revision}" if manifest.repository else ""
    if manifest.is_verified:
        say(f"{manifest.reference} is here, verified{origin}")
        return
    claim = f" (it says that it is{origin.removeprefix(',')})" if origin else ""
    say(f"{manifest.reference} is here, not verified: nobody but the archive says what it is{claim}")


def _verified_phrase(manifest: Manifest) -> str:
    if not manifest.is_verified:
        return "no: nobody but the archive says what it is"
    return (
        "by the digest that you gave" if manifest.hashes_from == BY_USER else f"by the {manifest.hashes_from}"
    )


def _in_catalog(name: str) -> tuple[CatalogEntry, Variant]:
    head, _, wanted = name.partition(":")
    entry = CATALOG.get(head)
    if entry is None or not entry.repository:
        names = ", ".join(f"`{known.name}`" for known in CATALOG.values() if known.repository)
        raise StoreError(
            f"`{name}` can't be pulled: {names} can; for a folder of yours there is `models add`"
        )
    variant = entry.variant(wanted or None)
    if variant is None:
        names = ", ".join(f"`{known.name}`" for known in entry.variants)
        raise StoreError(f"`{head}` has no variant {wanted!r}: it has {names}")
    return entry, variant


def _find(store: Store, name: str, *, is_trusted: bool = True) -> StoredModel | None:
    head, _, variant = name.partition(":")
    entry = CATALOG.get(head)
    chosen = entry.variant(variant or None) if entry else None
    find = store.find if is_trusted else store.held
    return find(head, chosen.name if chosen else variant or None)


def _needed(store: Store, name: str) -> StoredModel:
    model = _find(store, name)
    if model is None:
        raise StoreError(f"`{name}` is not in the store, so there are no hashes to compare with")
    return model


def _as_model(store: Store, name: str, progress: Progress) -> StoredModel:
    """A folder outside of the store as if it were in it, so that it can be exported.

    Hidden folders are left out: prepared graphs share the weights with the folder, and `.git` has them once more.
    """
    found = resolve_model(name, store)
    paths = sorted(
        path for path in found.folder.rglob("*") if path.is_file() and _is_the_models(path, found.folder)
    )
    progress.begin(f"reading {found.name}", sum(path.stat().st_size for path in paths))
    files = tuple(
        ModelFile(
            path.relative_to(found.folder).as_posix(), path.stat().st_size, sha256_of(path, progress.advance)
        )
        for path in paths
    )
    manifest = Manifest(
        name=found.name, variant="local", description=found.description, licence="", execution_provider="",
        repository="", revision="", files=files,
    )  # fmt: skip
    return StoredModel(manifest, found.folder)


def _is_the_models(path: Path, folder: Path) -> bool:
    inner = path.relative_to(folder)
    return inner.as_posix() != MANIFEST and not any(part.startswith(".") for part in inner.parts)
