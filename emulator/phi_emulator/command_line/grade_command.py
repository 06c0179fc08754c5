"""The command `phi-emulator grade`: options in, a grade, reports and an exit status out.

Exit statuses: 0 nothing found · 1 something found · 2 wrong usage, or a program that can't be graded · 130 Ctrl-C,
after what was found so far, as after other signals that end programs.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from phi_client.contract.service import SURFACES
from phi_emulator.command_line.child import client_environment
from phi_emulator.command_line.report_files import write_report
from phi_emulator.config import EmulatorConfig
from phi_emulator.models.printable import printable
from phi_emulator.platforms import ending_signals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phi_emulator.emulator import Emulator
    from phi_emulator.grading.grader import Grade

__all__ = ["environment", "grade"]

_FOUND: Final = 1
_NOT_GRADABLE: Final = 2
_INTERRUPTED: Final = 130
_OPENAI: Final = "openai_v1"
_OLDER_VERSION: Final = "2024-10-21"
_SHOWN: Final = 160
_REPEATS: Final = 3


def _verdicts() -> list[str]:
    from phi_emulator.grading.verdicts import VERDICTS  # noqa: PLC0415 - for this command alone

    return [*VERDICTS]


def _list(context: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if not wanted:
        return
    from phi_emulator.grading.verdicts import VERDICTS  # noqa: PLC0415 - for this command alone

    for verdict in VERDICTS.values():
        click.echo(f"{verdict.name}\n    {verdict.proof}\n    a good client {verdict.good}\n")
    context.exit()


def _names(_context: click.Context, option: click.Parameter, text: str | None) -> frozenset[str]:
    names = frozenset((text or "").replace(",", " ").split())
    known = _verdicts()
    for name in names:
        if name not in known:
            raise click.BadParameter(
                f"{printable(name, 40)!r} is no verdict: known are {', '.join(known)}", param=option
            )
    return names


def _report(_context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """A file that can be written, which is seen before the search."""
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {printable(str(path.parent), _SHOWN)!r}", param=option)
    return path


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--seed", type=click.IntRange(0), default=0, metavar="NUMBER", help="Of the search. [0]")
@click.option(
    "--seconds",
    type=click.FloatRange(1, 86_400),
    default=60.0,
    metavar="SECONDS",
    help="How long to search at most. [60]",
)
@click.option(
    "--patience",
    type=click.FloatRange(0.1, 86_400),
    metavar="SECONDS",
    help="Silence after which the program must have given up. [3600 in virtual time; else not judged]",
)
@click.option("--only", callback=_names, metavar="NAME,NAME", help="Look for these verdicts alone.")
@click.option("--ignore", callback=_names, metavar="NAME,NAME", help="Don't report these verdicts.")
@click.option("--replay", "line", metavar="LINE", help="Make this one trial, as a report names it.")
@click.option(
    "--repeats",
    type=click.IntRange(1, 1000),
    metavar="COUNT",
    help="How often a finding must show again [3], or a trial is made by --replay [1].",
)
@click.option(
    "--dialect", type=click.Choice([*SURFACES]), default="serverless", help="What PHI_ENDPOINT speaks."
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_report,
    help="Write all of it here.",
)
@click.option(
    "--junit",
    "junit_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a report for CI here.",
)
@click.option("--quiet", is_flag=True, help="Tell nothing of the trials.")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list,
    help="Show all verdicts, and what proves each.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def grade(  # noqa: PLR0917 - click's
    command: tuple[str, ...],
    seed: int,
    seconds: float,
    patience: float | None,
    only: frozenset[str],
    ignore: frozenset[str],
    line: str | None,
    repeats: int | None,
    dialect: str,
    json_file: Path | None,
    junit_file: Path | None,
    quiet: bool,  # noqa: FBT001 - click's
) -> None:
    """Run COMMAND against faults, and say what its client does wrong.

    COMMAND asks one question, prints the answer to stdout and ends with 0; or it ends with another status, and says on
    stderr what went wrong. Its environment leads it here: PHI_ENDPOINT and PHI_API_KEY, OPENAI_BASE_URL and
    OPENAI_API_KEY, AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY, AZURE_INFERENCE_ENDPOINT and
    AZURE_INFERENCE_CREDENTIAL. In its words {prompt}, {endpoint}, {key} and {model} are filled in; stdin has the
    question too. Put `--` before the command.
    """
    from phi_emulator.emulator import EmulatorError  # noqa: PLC0415 - for this command alone
    from phi_emulator.grading.grader import Grader, NotGradableError, Plan  # noqa: PLC0415
    from phi_emulator.grading.program import CannotStartError  # noqa: PLC0415
    from phi_emulator.grading.report import to_json, to_junit, to_text  # noqa: PLC0415
    from phi_emulator.grading.stage import staged  # noqa: PLC0415
    from phi_emulator.grading.trials import TrialError, read_trial  # noqa: PLC0415

    logging.getLogger("phi_emulator").setLevel(logging.CRITICAL)
    try:
        trial = None if line is None else read_trial(line)
    except TrialError as error:
        raise click.BadParameter(str(error), param_hint="--replay") from error
    ignored = ignore | (frozenset(_verdicts()) - only if only else frozenset[str]())
    plan = Plan(
        seed=seed,
        seconds=seconds,
        patience=patience,
        repeats=repeats or (_REPEATS if trial is None else 1),
        ignored=ignored,
    )
    config = EmulatorConfig(port=0, dialect=dialect, log_level="error")
    status = 0
    result: Grade | None = None
    try:
        with _interruptible(), staged(command, config, environment) as stage:
            grader = Grader(stage, plan, tell=_silent if quiet else _tell)
            result = grader.grade
            try:
                grader.search() if trial is None else grader.replay(trial)
                status = _FOUND if result.findings else 0
            except KeyboardInterrupt:
                status = _INTERRUPTED
    except (CannotStartError, NotGradableError, EmulatorError) as error:
        click.echo(f"phi-emulator: {printable(str(error), 1000)}", err=True)
        sys.exit(_NOT_GRADABLE)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    if result is not None:
        click.echo(to_text(result, command))
        reports = ((json_file, to_json(result, command)), (junit_file, to_junit(result, command, ignored)))
        try:
            for file, text in reports:
                if file is not None:
                    write_report(file, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            click.echo(f"phi-emulator: a report can't be written: {error}", err=True)
            status = _NOT_GRADABLE
    sys.exit(status)


def _interruptible() -> ExitStack:
    """While it is entered, all signals that end programs do what Ctrl-C does, so that no program is left behind."""
    restoring = ExitStack()
    for number in ending_signals(with_hangup=True):
        restoring.callback(signal.signal, number, signal.signal(number, signal.default_int_handler))
    return restoring


def _tell(line: str) -> None:
    click.echo(printable(line, _SHOWN), err=True)


def _silent(_line: str) -> None:
    pass


def environment(emulator: Emulator) -> Mapping[str, str]:
    """What leads clients of all makes to the emulator."""
    key, model = emulator.key, emulator.info.model
    needed = model if SURFACES[emulator.config.dialect].needs_model else None
    environ = client_environment(os.environ, endpoint=emulator.endpoint, key=key, model=needed)
    return environ | {
        "OPENAI_BASE_URL": emulator.endpoint_of(_OPENAI),
        "OPENAI_API_KEY": key,
        "AZURE_OPENAI_ENDPOINT": emulator.root,
        "AZURE_OPENAI_API_KEY": key,
        "OPENAI_API_VERSION": _OLDER_VERSION,
        "AZURE_INFERENCE_ENDPOINT": emulator.root,
        "AZURE_INFERENCE_CREDENTIAL": key,
        "PYTHONUTF8": "1",
    }
