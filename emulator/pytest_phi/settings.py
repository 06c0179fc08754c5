"""What the command line, the ini and a test's mark say. It must not load anything of the emulator."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pytest_phi.recordings import RecordingOptions

__all__ = ["MODES", "Settings", "add_options", "recording_options"]

MODES: Final = ("none", "once", "new", "all")
_OUTLIVING: Final = ("join", "refuse")
_UNUSED: Final = ("ignore", "fail")
_FOLDER: Final = "recordings"
_ENDING: Final = ".jsonl"
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.,=+\[\]()-]+")
_MOST_OF_NAME: Final = 100


def add_options(parser: pytest.Parser) -> None:
    """The options and the ini's settings."""
    group = parser.getgroup("phi", "Phi-4-mini-reasoning: emulator, faults, scripts and recordings")
    group.addoption(
        "--phi-model",
        metavar="NAME",
        help="What answers: a model's name or folder, or scripted:FILE; else the ini's `phi_model`, then "
        "PHI_EMULATOR_MODEL, then the bundled model.",
    )
    group.addoption(
        "--phi-record",
        choices=MODES,
        help="What becomes of tests with `@pytest.mark.phi_recording`: `none` replays, and a missing recording fails; "
        "`once` records those that are missing; `new` also what a recording has no answer for; `all` records anew.",
    )
    group.addoption(
        "--phi-real",
        action="store_true",
        help="Let tests ask real endpoints, as the ini's `phi_real` and PHI_ALLOW_REAL=1 do.",
    )
    parser.addini("phi_model", "What answers: a model's name or folder, or scripted:FILE.")
    parser.addini("phi_real", "Whether tests may ask real endpoints.", type="bool", default=False)
    parser.addini(
        "phi_record", "As --phi-record; where CI is set in the environment, `none`.", default="none"
    )
    parser.addini(
        "phi_outliving",
        "Requests of a client that was made in a test that is over: `join` the test that runs, or `refuse` them.",
        default="join",
    )
    parser.addini(
        "phi_unused",
        "Rules of a script that answered nothing: `ignore` them, or `fail` the test.",
        default="ignore",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for a run."""

    model: str
    record: str
    outliving: str
    unused: str

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """What was asked for.

        Raises:
            pytest.UsageError: the ini has a value that there is not.
        """
        record = config.getoption("--phi-record") or _ini(config, "phi_record", MODES, unless="CI")
        return cls(
            model=config.getoption("--phi-model") or str(config.getini("phi_model")),
            record=record,
            outliving=_ini(config, "phi_outliving", _OUTLIVING),
            unused=_ini(config, "phi_unused", _UNUSED),
        )


def recording_options(mark: pytest.Mark, test_file: Path, test_id: str, mode: str) -> RecordingOptions:
    """What a test's mark says, over what holds for the run.

    The file is in the folder `recordings` beside the test's: by the mark's name, or by the test's.

    Raises:
        ValueError: the mark says what can't be.
    """
    from pytest_phi.recordings import RecordingOptions  # noqa: PLC0415 - few tests have one

    given = dict(zip(("name",), mark.args, strict=False)) | dict(mark.kwargs)
    unknown = sorted(given.keys() - {"name", "speed", "after_last"})
    if len(mark.args) > 1 or unknown:
        told = ", ".join(unknown) or "a second name"
        raise ValueError(f"the mark takes a name, `speed` and `after_last`, and not {told}")
    speed, after_last, name = given.get("speed", 0.0), given.get("after_last", "repeat"), given.get("name")
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 <= speed < float("inf"):
        raise ValueError(
            f"`speed` {speed!r} is not a number from 0: 1 is as fast as it was, 0 waits for nothing"
        )
    if after_last not in ("repeat", "fail"):
        raise ValueError(f"`after_last` {after_last!r} is neither `repeat` nor `fail`")
    if name is None:
        path = PurePosixPath(test_file.stem, _name_of(test_id))
    elif isinstance(name, str) and name:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name:
            raise ValueError(f"the name {name!r} leads out of the folder `{_FOLDER}`")
    else:
        raise ValueError(f"the name {name!r} is none of a file")
    ending = "" if path.name.endswith(_ENDING) else _ENDING
    return RecordingOptions(
        file=test_file.parent / _FOLDER / path.with_name(path.name + ending),
        mode=mode,  # type: ignore[arg-type]  # one of MODES
        speed=float(speed),
        after_last=after_last,
    )


def _name_of(test_id: str) -> str:
    """A file's name for a test: of its class, function and parameters. Different tests have different ones."""
    name = test_id.partition("::")[2].replace("::", ".")
    safe = _NOT_IN_NAMES.sub("_", name)
    if safe == name and len(safe) <= _MOST_OF_NAME:
        return safe
    return f"{safe[:_MOST_OF_NAME]}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _ini(config: pytest.Config, name: str, words: tuple[str, ...], *, unless: str = "") -> str:
    word = str(config.getini(name))
    if word not in words:
        raise pytest.UsageError(f"`{name}` {word!r} is none of {', '.join(words)}")
    return words[0] if unless and os.environ.get(unless) else word
