"""Getting a model that is not here: what is said before a large download, what is asked, and how it ends.

What is said to the user and asked of him; what happens is the store's business. Must not import `huggingface_hub`
before something is to be fetched: `serve` with a model that is here does without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click

from phi_emulator.config import EmulatorConfig
from phi_emulator.doctor.forecast import Forecast, duration
from phi_emulator.models.printable import printable
from phi_emulator.models.store.catalog import PHI_4_MINI_REASONING, CatalogEntry, Variant
from phi_emulator.models.store.folder import NotPulledError, resolve_model
from phi_emulator.models.store.names import ManifestError
from phi_emulator.models.store.store import Store, StoredModel, StoreError, free_bytes, human_size

if TYPE_CHECKING:
    from phi_emulator.models.store.download import PullPlan
    from phi_emulator.models.store.pull import Progress

__all__ = ["announcement", "ask", "obtain_model", "pull_model", "say", "shown_progress", "told"]

_INTERRUPTED: Final = 130
_ASSUMED_MBIT: Final = 100
_MEGABIT: Final = 125_000
_HALF_A_MINUTE_S: Final = 30
_CPU: Final = "CPUExecutionProvider"


def say(text: str, *, err: bool = False) -> None:
    """Write lines to the terminal; what is in them from elsewhere can't do more there than be read."""
    click.echo("\n".join(map(printable, text.split("\n"))), err=err)


@contextmanager
def told() -> Generator[None]:
    """Say what went wrong in one line, with exit status 1."""
    try:
        yield
    except (StoreError, ManifestError) as error:
        raise click.ClickException(printable(str(error))) from error
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        raise click.ClickException(
            printable(f"can't read or write{where}: {error.strerror or error}")
        ) from error


@contextmanager
def shown_progress() -> Generator[Progress]:
    """Progress on the terminal, while the work goes on."""
    from phi_emulator.command_line.progress import show_progress  # noqa: PLC0415 - serving needs it not

    with show_progress(sys.stderr) as progress:
        yield progress


def obtain_model(config: EmulatorConfig, *, yes: bool) -> EmulatorConfig:
    """What `serve` shall serve: a model that is wanted and not here is pulled, once the user agrees.

    Without a wanted model it is the pulled Phi-4-mini-reasoning if it is here, else the bundled one.
    """
    with told():
        store = Store(config.home)
        if not config.has_model:
            return config
        if config.model is None:
            default = PHI_4_MINI_REASONING.variant()
            is_here = default is not None and store.find(PHI_4_MINI_REASONING.name, default.name) is not None
            return replace(config, model=PHI_4_MINI_REASONING.name) if is_here else config
        try:
            resolve_model(config.model, store)
        except NotPulledError as missing:
            say(f"`{config.model}` is not on this machine.", err=True)
            _check_answerable(yes=yes, otherwise=str(missing))  # before anybody else is asked
            pull_model(store, missing.entry, missing.variant, yes=yes)
    return config


def pull_model(
    store: Store, entry: CatalogEntry, variant: Variant, *, revision: str | None = None, yes: bool
) -> None:
    """Fetch a model, or what is missing of it, once the user agrees.

    Raises:
        StoreError: it can't be had; the message says what to do.
    """
    from phi_emulator.models.store.download import Hub  # noqa: PLC0415 - slow to import, and needed here alone
    from phi_emulator.models.store.pull import pull  # noqa: PLC0415

    reference = f"{entry.name}:{variant.name}"
    try:
        hub = Hub()
        plan = hub.plan(entry, variant, revision)
        held = store.held(entry.name, variant.name)
        if held is None or held.manifest.revision != plan.revision or not held.is_trusted:
            say(announcement(store, plan, held), err=True)
            ask("Download?", yes=yes, otherwise=f"run `phi-emulator models pull {reference} --yes`")
        with shown_progress() as progress:
            model, was_fetched = pull(store, plan, hub, progress)
    except KeyboardInterrupt:
        say(f"\nstopped: `phi-emulator models pull {reference}` goes on from what is here", err=True)
        sys.exit(_INTERRUPTED)
    state = "is here, verified" if was_fetched else "is here, and is what the hub lists"
    say(f"{reference} {state}: {model.folder}", err=True)


def announcement(
    store: Store,
    plan: PullPlan,
    held: StoredModel | None,
    *,
    forecast: Callable[[], Forecast] = Forecast.of,
) -> str:
    """What the user should know before so much is fetched: size, disk, time, memory and speed."""
    from phi_emulator.models.store.pull import still_to_fetch  # noqa: PLC0415

    entry, missing = plan.entry, still_to_fetch(store, plan)
    what = f"{entry.name}:{plan.variant.name} from {entry.repository} at {plan.revision[:12]}"
    seconds = missing / (_ASSUMED_MBIT * _MEGABIT)
    time = (
        "less than a minute" if seconds < _HALF_A_MINUTE_S else duration(max(seconds, 2 * _HALF_A_MINUTE_S))
    )
    lines = [
        f"{what}: {len(plan.files)} files, {human_size(plan.size)}, {entry.licence} licence",
        f"to fetch: {human_size(missing)}, about {time} at {_ASSUMED_MBIT} Mbit/s; free in {store.home}: "
        + human_size(free_bytes(store.home)),
        "that speed is assumed; how long it takes is measured once it runs",
    ]
    if plan.variant.execution_provider == _CPU:
        expected = forecast()
        lines += [f"memory: {expected.memory}", f"speed: on this processor {expected.speed}"]
    else:
        lines.append(f"it needs an ONNX Runtime GenAI with {plan.variant.execution_provider}")
    if held is not None:
        lines.append(f"it takes the place of {held.manifest.revision[:12] or 'files of no known origin'}")
    return "\n".join(lines)


def ask(question: str, *, yes: bool, otherwise: str) -> None:
    """Go on if the user says yes, or said so before.

    Raises:
        StoreError: he can't be asked, because this is no terminal; with what to do `otherwise`.
    """
    _check_answerable(yes=yes, otherwise=otherwise)
    if yes:
        return
    try:
        agrees = click.confirm(question, err=True)
    except click.Abort:
        sys.exit(_INTERRUPTED)
    if not agrees:
        click.echo("nothing was done", err=True)
        sys.exit(1)


def _check_answerable(*, yes: bool, otherwise: str) -> None:
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise StoreError(f"not a terminal, so nobody can be asked: {otherwise}")
