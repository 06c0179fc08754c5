"""What `record` and `replay` do: a local server until a signal comes, and what is said of it.

It must not know how exchanges are recorded or answered.

Exit statuses: 0 after a clean stop in which all was recorded or answered · 1 if something was not, or could not start ·
2 wrong usage.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from phi_client.contract.dialects.endpoint import Endpoint, EndpointError, resolve_endpoint
from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.service import SERVERLESS, SURFACES, Surface
from phi_emulator.command_line.config_commands import checked
from phi_emulator.command_line.stopping import StopSignals
from phi_emulator.config import SETTINGS, EmulatorConfig
from phi_emulator.documents import counted
from phi_emulator.models.printable import printable
from phi_emulator.platforms import raise_file_limit
from phi_emulator.recordings.file import RecordingError, RecordingFile
from phi_emulator.recordings.local import AnswerStep, LocalApp, LocalServer
from phi_emulator.recordings.places import root_for
from phi_emulator.recordings.recording import Recorder, Upstream, entra_token
from phi_emulator.recordings.replaying import Replayer
from phi_emulator.recordings.shelf import load_shelf
from phi_emulator.service.entra import Authority
from phi_emulator.settings.sources import FILE_NAME, Sources
from phi_emulator.web.listening import ListenError

__all__ = ["run_record", "run_replay"]

_LOOK_EVERY_S: Final = 0.5


def run_record(file: Path, sources: Sources, *, allow_http: bool, append: bool) -> int:
    """Record until a signal comes; returns the exit status.

    Raises:
        click.ClickException: it can't be begun.
    """
    config = checked(sources)
    endpoint = _endpoint_of(config, sources, allow_http=allow_http)
    credential = entra_token(endpoint.dialect.token_scope) if config.record_entra else _key_of(endpoint)
    surface = SURFACES[endpoint.dialect.name]
    try:
        upstream = Upstream(endpoint, credential, is_token=config.record_entra)
        with RecordingFile(file, append=append) as written:
            recorder = Recorder(upstream, written)
            what = f"recording {endpoint.base_url} in {file}"
            _serve(recorder, what, surface, root=root_for(surface), config=config)
    except RecordingError as error:
        raise click.ClickException(printable(str(error))) from error
    lost = f"; {recorder.lost} could not be, see above" if recorder.lost else ""
    click.echo(printable(f"{counted(recorder.recorded, 'exchange')} recorded in {file}{lost}"), err=True)
    return 1 if recorder.lost else 0


def run_replay(files: Sequence[Path], sources: Sources) -> int:
    """Replay until a signal comes; returns the exit status.

    Raises:
        click.ClickException: it can't be begun.
    """
    config = checked(sources)
    _log_to_stderr()
    try:
        shelf = load_shelf(files, after_last=config.replay_after_last)
    except RecordingError as error:
        raise click.ClickException(printable(str(error))) from error
    replayer = Replayer(shelf, speed=config.replay_speed)
    dialect = sources.values.get("dialect")  # its default is that of an emulator
    surface = shelf.surface if dialect is None else SURFACES[dialect]
    root = root_for(surface) if dialect is None else surface
    what = f"replaying {counted(len(shelf), 'exchange')} of {', '.join(map(str, files))}"
    _serve(replayer, what, surface, root=root, config=config)
    unanswered = f", {replayer.unanswered} not" if replayer.unanswered else ""
    click.echo(f"{counted(replayer.answered, 'request')} answered{unanswered}", err=True)
    return 1 if replayer.unanswered else 0


def _endpoint_of(config: EmulatorConfig, sources: Sources, *, allow_http: bool) -> Endpoint:
    """The endpoint that is to be recorded."""
    if config.record_to is None:
        one = SETTINGS["record_to"]
        raise click.UsageError(
            f"no endpoint is named: `{one.option} URL`, `{one.name}` in {FILE_NAME}, or {one.variable}"
        )
    try:
        return resolve_endpoint(config.record_to, config.record_dialect, allow_http=allow_http)
    except EndpointError as error:
        raise click.UsageError(printable(f"{sources.origins['record_to'].place}: {error}")) from error


def _serve(step: AnswerStep, what: str, surface: Surface, *, root: Surface, config: EmulatorConfig) -> None:
    """Serve until a signal comes."""
    _log_to_stderr()
    raise_file_limit()
    key, drain_s = config.key_of(surface.name), config.drain_seconds
    app = LocalApp(
        step,
        root=root,
        key=config.key,
        surface_keys=config.surface_keys,
        authority=Authority(config.tenant),
        max_body_bytes=config.max_body_bytes,
    )
    try:
        with StopSignals() as signals, LocalServer(app, port=config.port, drain_seconds=drain_s) as server:
            shown = f"key {key}" if key == EMULATOR_KEY else "the key that is set"
            # As a client recognises it: the root is taken for serverless.
            place = server.root if surface is root is SERVERLESS else server.endpoint_of(surface)
            click.echo(printable(f"phi-emulator: {what} at {place} ({shown}); Ctrl-C stops"), err=True)
            while not signals.came(within_s=_LOOK_EVERY_S):
                if not server.is_running:
                    raise click.ClickException("the server ended by itself; its log says why")
            click.echo(
                f"stopping: running requests may take {drain_s:g} s; Ctrl-C again stops at once", err=True
            )
    except ListenError as error:
        raise click.ClickException(printable(str(error))) from error


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)


def _key_of(endpoint: Endpoint) -> Callable[[], str]:
    key = os.environ.get("PHI_API_KEY") or (EMULATOR_KEY if endpoint.is_loopback else "")
    if not key:
        raise click.UsageError(
            "the endpoint's key is wanted in PHI_API_KEY, or `--entra` for your Entra ID sign-in"
        )
    return lambda: key
