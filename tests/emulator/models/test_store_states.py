"""Stores in states that nothing of ours brings about: whatever lies there, commands answer in lines."""

from __future__ import annotations

import json
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.models import StoreError, resolve_model
from phi_emulator.models.store.catalog import PHI_4_MINI_REASONING
from phi_emulator.models.store.manifest import MANIFEST, Manifest, ModelFile
from phi_emulator.models.store.store import Store

REAL = PHI_4_MINI_REASONING.name
NAMES = ("a", REAL, "phi-tiny-arith", "con", "x\x1b[2J", "..a", "ä", "UPPER", "a--b")
VARIANTS = ("b", "cpu-int4", "local", "nul", "\u202e")
COMMANDS = (
    ["list"], ["show", "a"], ["show", REAL], ["verify", "a"], ["verify", REAL], ["export", "a", "OUT"],
    ["export", REAL, "OUT"], ["import", "JUNK"], ["add", "mine", "JUNK"], ["rm", "--yes", "a"],
    ["rm", "--yes", REAL], ["rm", "--yes", "x"], ["list"],
)  # fmt: skip


def junk(random_: random.Random) -> bytes:
    return random_.choice(
        [
            b"",
            b"{}",
            b"[" * 100_000,
            b'{"a": Infinity}',
            b'{"format": 1, "files": ' + b"9" * 5000 + b"}",
            b"\xff\xfe\x00",
            json.dumps({"mine": "/nowhere\x1b[2J", REAL: "/tmp"}).encode(),
            json.dumps({"mine": "\0", "b": "x" * 5000}).encode(),
            manifest_text(random_),
            manifest_text(random_),
        ]
    )


def manifest_text(random_: random.Random) -> bytes:
    files = (ModelFile("f", random_.choice([0, 1, 1 << 40]), "0" * 64),)
    manifest = Manifest(
        name=random_.choice(["a", REAL]), variant=random_.choice(["b", "cpu-int4"]), description="d\x1b", licence="",
        execution_provider="", repository="r\n", revision="v", files=files,
        hashes_from=random_.choice(["", "hub", "user", "x"]),
    )  # fmt: skip
    return manifest.to_json().encode()


def put(path: Path, random_: random.Random) -> None:
    """Something at a path: a file, a folder, a pipe, a link that leads nowhere or in a circle."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = random_.randrange(8)
        if path.is_fifo():
            return
        if kind == 0:
            path.mkdir(exist_ok=True)
        elif kind == 1:
            os.mkfifo(path)
        elif kind == 2:
            path.symlink_to(random_.choice(["nowhere", path.name, "..", "/etc/hostname"]))
        else:
            path.write_bytes(junk(random_))
    except OSError:
        pass  # a file stands where a folder would have to be: that is a state too


def fill(home: Path, random_: random.Random) -> None:
    for _ in range(random_.randrange(1, 8)):
        name, variant = random_.choice(NAMES), random_.choice(VARIANTS)
        place = home / "models" / name / variant
        put(
            random_.choice(
                [
                    home / "registered.json",
                    home / "models",
                    home / "incoming",
                    home / "locks",
                    home / "locks" / f"{name}--{variant}.lock",
                    home / "incoming" / f"{name}--{variant}",
                    home / "incoming" / f"{name}--{variant}" / "f",
                    place,
                    place / "0123456789ab",
                    place / "0123456789ab" / MANIFEST,
                    place / Manifest.from_json(manifest_text(random_)).identity / MANIFEST,
                    place / Manifest.from_json(manifest_text(random_)).identity / "f",
                ]
            ),
            random_,
        )


@pytest.mark.parametrize("seed", range(60))
def test_whatever_lies_in_a_store_commands_answer_in_lines(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    home = tmp_path / "home"
    fill(home, random_)
    (tmp_path / "junk").write_bytes(junk(random_))
    for words in COMMANDS:
        arguments = [str(tmp_path / word.lower()) if word.isupper() else word for word in words]
        result = CliRunner().invoke(phi_emulator, ["models", "--home", str(home), *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert all(line.isprintable() for line in result.output.split("\n"))
        assert result.exit_code in (0, 1)
        if words == ["list"]:
            assert "phi-tiny-arith" in result.output
        (tmp_path / "out").unlink(missing_ok=True)


@pytest.mark.parametrize("seed", range(60, 100))
def test_no_state_makes_the_official_name_lead_to_files_that_nobody_verified(
    tmp_path: Path, seed: int
) -> None:
    random_ = random.Random(seed)
    store = Store(tmp_path / "home")
    fill(store.home, random_)
    found = store.find(REAL)
    assert found is None or found.manifest.is_verified
    assert resolve_model("phi-tiny-arith", store).folder.is_dir()
    with suppress(StoreError):
        resolve_model(REAL, store)
        assert found is not None
