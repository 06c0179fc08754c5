"""The commands `phi-emulator models …`, and what `serve` asks before it fetches a model.

What is said to the user and asked of him; what happens is the store's business. Must not import `huggingface_hub`
before something is to be fetched: `serve` with a model that is here does without them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from phi_emulator.config import EmulatorConfig, environment_name
from phi_emulator.models.catalog import CATALOG, PHI_4_MINI_REASONING, CatalogEntry, Variant
from phi_emulator.models.folder import NotPulledError, check_folder, resolve_model
from phi_emulator.models.manifest import Manifest, ManifestError, ModelFile, check_name, sha256_of
from phi_emulator.models.store import Store, StoredModel, StoreError, free_bytes, human_size

if TYPE_CHECKING:
    from phi_emulator.models.download import Plan
    from phi_emulator.models.pull import Progress

__all__ = ["models", "obtain_model"]

_INTERRUPTED: Final = 130
_MEGABIT: Final = 125_000
_YES = click.option("--yes", "-y", is_flag=True, help="Do it without asking.")


@click.group()
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
    context.obj = Store(home or os.environ.get(environment_name("home")))


_pass_store = click.make_pass_decorator(Store)


@models.command("list")
@_pass_store
def list_(store: Store) -> None:
    """Show the models that are here, and those that can be pulled."""
    with _told():
        here = {model.manifest.reference: model for model in store.models()}
        begun = {f"{partial.name}:{partial.variant}": partial for partial in store.partials()}
        rows = [("NAME", "STATE", "SIZE", "FROM")]
        for entry in CATALOG.values():
            if entry.folder is not None:
                rows.append((entry.name, "bundled", "", "phi-emulator"))
            for variant in entry.variants:
                reference = f"{entry.name}:{variant.name}"
                if reference not in here:
                    have = begun.get(reference)
                    state = f"begun, {human_size(have.size)} are here" if have else "can be pulled"
                    rows.append(
                        (reference, state, f"about {human_size(variant.about_bytes)}", entry.repository)
                    )
        for reference, model in here.items():
            damage = model.damage()
            state = f"damaged: {damage[0]}" if damage else "here"
            origin = model.manifest.repository or "an archive"
            rows.append((reference, state, human_size(model.manifest.size), origin))
        for name, folder in store.registered().items():
            rows.append((name, "here" if folder.is_dir() else "gone", "", str(folder)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        click.echo(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        )


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
    with _told():
        entry, variant = _in_catalog(name)
        _pull(store, entry, variant, revision=revision, yes=yes)


@models.command()
@click.argument("name")
@_pass_store
def show(store: Store, name: str) -> None:
    """Show where NAME is, where it is from, and its files with their SHA-256."""
    with _told():
        model = _find(store, name)
        if model is None:
            found = resolve_model(name, store)
            click.echo(f"{found.name}: {found.description}\n  folder  {found.folder}")
            return
        manifest = model.manifest
        click.echo(f"{manifest.reference}: {manifest.description}")
        click.echo(f"  folder    {model.folder}")
        if manifest.repository:
            click.echo(f"  from      {manifest.repository} at {manifest.revision}")
        click.echo(f"  licence   {manifest.licence or 'not known'}")
        click.echo(f"  built for {manifest.execution_provider or 'not known'}")
        click.echo(f"  size      {human_size(manifest.size)}")
        for file in manifest.files:
            click.echo(f"  {file.sha256}  {file.size:>13,}  {file.path}")


@models.command()
@click.argument("name")
@_pass_store
def verify(store: Store, name: str) -> None:
    """Read every file of NAME and compare it with the SHA-256 that it had when it came into the store."""
    with _told(), _progress() as progress:
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
    click.echo(f"{model.manifest.reference} is whole: {len(model.manifest.files)} files")


@models.command()
@click.argument("name")
@_YES
@_pass_store
def rm(store: Store, name: str, yes: bool) -> None:  # noqa: FBT001 - click's
    """Delete NAME from the store, or what an unfinished pull of it has.

    A name that `add` gave is taken away; the folder it stands for stays.
    """
    with _told():
        if name in store.registered():
            store.register(name, None)
            click.echo(f"{name} is no name any more; its folder stays")
            return
        head, _, variant = name.partition(":")
        if model := _find(store, name):
            variant = model.manifest.variant
        elif not variant and (entry := CATALOG.get(head)) and (default := entry.variant()):
            variant = default.name
        begun = {(partial.name, partial.variant) for partial in store.partials()}
        if model is None and (head, variant) not in begun:
            raise StoreError(f"`{name}` is not in the store: `phi-emulator models list` shows what is")
        _ask(f"Delete {head}:{variant}?", yes=yes, otherwise="give `--yes`")
        click.echo(f"deleted {head}:{variant}, {human_size(store.remove(head, variant))} are free again")


@models.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@_pass_store
def add(store: Store, name: str, folder: Path) -> None:
    """Give NAME to a GenAI model folder of yours, which stays where it is."""
    with _told():
        if name in CATALOG or store.find(name) is not None:
            raise StoreError(f"`{name}` is taken: give another name")
        check_name(name)
        check_folder(folder.expanduser())
        store.register(name, folder.expanduser())
        click.echo(f"{name} stands for {folder}: serve it with `phi-emulator serve --model {name}`")


@models.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@_pass_store
def export(store: Store, name: str, file: Path) -> None:
    """Write NAME into one FILE, for `models import` on a machine without a network."""
    with _told(), _progress() as progress:
        from phi_emulator.models.archive import export_model  # noqa: PLC0415 - serving needs it not

        export_model(_find(store, name) or _as_model(store, name, progress), file, progress)
    click.echo(f"wrote {file}, {human_size(file.stat().st_size)}")


@models.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_pass_store
def import_(store: Store, file: Path) -> None:
    """Take the model in FILE, which `models export` wrote, into the store.

    Hashes in the file guard against damage. They don't say who made it: import what you trust.
    """
    with _told(), _progress() as progress:
        from phi_emulator.models.archive import import_model  # noqa: PLC0415 - serving needs it not

        model = import_model(store, file, progress)
    manifest = model.manifest
    origin = f", from {manifest.repository} at {manifest.revision}" if manifest.repository else ""
    click.echo(f"{manifest.reference} is here{origin}")


def obtain_model(config: EmulatorConfig, *, yes: bool) -> EmulatorConfig:
    """What `serve` shall serve: a model that is wanted and not here is pulled, once the user agrees.

    Without a wanted model it is the pulled Phi-4-mini-reasoning if it is here, else the bundled one.
    """
    store = Store(config.home)
    with _told():
        if config.model is None:
            default = PHI_4_MINI_REASONING.variant()
            is_here = default is not None and store.find(PHI_4_MINI_REASONING.name, default.name) is not None
            return replace(config, model=PHI_4_MINI_REASONING.name) if is_here else config
        try:
            resolve_model(config.model, store)
        except NotPulledError as missing:
            size = human_size(missing.variant.about_bytes)
            click.echo(f"`{config.model}` is not on this machine.", err=True)
            _ask(f"Download about {size} from {missing.entry.repository}?", yes=yes, otherwise=str(missing))
            _pull(store, missing.entry, missing.variant, yes=True)
    return config


def _pull(
    store: Store, entry: CatalogEntry, variant: Variant, *, revision: str | None = None, yes: bool
) -> None:
    from phi_emulator.models.download import Hub  # noqa: PLC0415 - slow to import, and needed here alone
    from phi_emulator.models.pull import pull as pull_model  # noqa: PLC0415

    reference = f"{entry.name}:{variant.name}"
    try:
        hub = Hub()
        plan = hub.plan(entry, variant, revision)
        held = store.find(entry.name, variant.name)
        if held is None or held.manifest.revision != plan.revision:
            _announce(store, plan, held)
            _ask("Download?", yes=yes, otherwise=f"run `phi-emulator models pull {reference} --yes`")
        with _progress() as progress:
            model, was_fetched = pull_model(store, plan, hub, progress)
    except KeyboardInterrupt:
        click.echo(f"\nstopped: `phi-emulator models pull {reference}` goes on from what is here", err=True)
        sys.exit(_INTERRUPTED)
    state = "is here, verified" if was_fetched else "was here already, and is whole"
    click.echo(f"{reference} {state}: {model.folder}", err=True)


def _announce(store: Store, plan: Plan, held: StoredModel | None) -> None:
    """Say what is about to be fetched, before it is."""
    from phi_emulator.models.pull import still_to_fetch  # noqa: PLC0415

    entry, missing = plan.entry, still_to_fetch(store, plan)
    click.echo(
        f"{entry.name}:{plan.variant.name} from {entry.repository} at {plan.revision[:12]}: {len(plan.files)} files, "
        f"{human_size(plan.size)}, {entry.licence} licence\n"
        f"to fetch: {human_size(missing)}, about {_duration(missing)} at 100 Mbit/s; "
        f"free in {store.home}: {human_size(free_bytes(store.home))}",
        err=True,
    )
    if plan.variant.execution_provider != "CPUExecutionProvider":
        click.echo(f"it needs an ONNX Runtime GenAI with {plan.variant.execution_provider}", err=True)
    if held is not None:
        click.echo(f"it takes the place of {held.manifest.revision[:12]}", err=True)


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


def _find(store: Store, name: str) -> StoredModel | None:
    head, _, variant = name.partition(":")
    entry = CATALOG.get(head)
    chosen = entry.variant(variant or None) if entry else None
    return store.find(head, chosen.name if chosen else variant or None)


def _needed(store: Store, name: str) -> StoredModel:
    model = _find(store, name)
    if model is None:
        raise StoreError(f"`{name}` is not in the store, so there are no hashes to compare with")
    return model


def _as_model(store: Store, name: str, progress: Progress) -> StoredModel:
    """A folder outside of the store as if it were in it, so that it can be exported."""
    found = resolve_model(name, store)
    paths = sorted(path for path in found.folder.rglob("*") if path.is_file())
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


def _ask(question: str, *, yes: bool, otherwise: str) -> None:
    """Go on if the user says yes, or said so before.

    Raises:
        StoreError: he can't be asked, because this is no terminal; with what to do `otherwise`.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise StoreError(f"not a terminal, so nobody can be asked: {otherwise}")
    try:
        agrees = click.confirm(question, err=True)
    except click.Abort:
        sys.exit(_INTERRUPTED)
    if not agrees:
        click.echo("nothing was done", err=True)
        sys.exit(1)


def _duration(size: int) -> str:
    minutes = round(size / (100 * _MEGABIT) / 60)
    return f"{minutes} min" if minutes else "less than a minute"


@contextmanager
def _told() -> Generator[None]:
    """Say what went wrong in one line, with exit status 1."""
    try:
        yield
    except (StoreError, ManifestError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _progress() -> Generator[Progress]:
    from phi_emulator.progress import show_progress  # noqa: PLC0415 - serving needs it not

    with show_progress(sys.stderr) as progress:
        yield progress
