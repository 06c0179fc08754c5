"""A folder that can't be loaded gives one error that says what to do, whatever the native loader makes of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.machine.memory import available_bytes, check_memory, needed_bytes
from phi_emulator.models import ModelNotFoundError, Store, resolve_model
from phi_emulator.models.genai_config import read_settings

from tests.emulator.engine.conftest import make_ort

GB = 1_000_000_000
# As genai_config.json of a 3.8B Phi-4-mini says.
REAL: Any = {
    "model": {
        "decoder": {
            "filename": "model.onnx",
            "num_hidden_layers": 32,
            "num_key_value_heads": 8,
            "head_size": 128,
        }
    }
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copied = tmp_path / "model"
    shutil.copytree(resolve_model().folder, copied)
    return copied


def cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        body = path.read_bytes()
        path.write_bytes(body[: int(len(body) * share)])

    return damage


def put(name: str, body: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(body)

    return damage


def lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def configure(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "genai_config.json"
        settings = json.loads(path.read_text(encoding="utf-8"))
        change(settings)
        path.write_text(json.dumps(settings), encoding="utf-8")

    return damage


FILES = "get them again"
CONFIG = "its `genai_config.json` can't be used"
TEMPLATE = "put `chat_template.jinja`"
CASES = {
    "no weights": (lose("model.onnx.data"), FILES),
    "weights cut": (cut("model.onnx.data", 0.5), FILES),
    "weights cut at the end": (cut("model.onnx.data", 0.9999), FILES),
    "graph cut": (cut("model.onnx", 0.5), FILES),
    "graph of zeros": (put("model.onnx", bytes(5000)), FILES),
    "graph is a page": (put("model.onnx", b"<html>not found</html>"), FILES),
    "tokenizer cut": (cut("tokenizer.json", 0.5), FILES),
    "tokenizer of nothing": (put("tokenizer.json", b"[]"), FILES),
    "tokenizer settings of nothing": (put("tokenizer_config.json", b"[]"), FILES),
    "no template": (lose("chat_template.jinja"), TEMPLATE),
    "broken template": (put("chat_template.jinja", b"{% for x in %}"), TEMPLATE),
    "too many layers": (
        configure(lambda settings: settings["model"]["decoder"].update(num_hidden_layers=99)),
        FILES,
    ),
    "no context": (configure(lambda settings: settings["model"].pop("context_length")), CONFIG),
    "other type": (
        configure(lambda settings: settings["model"].update(type="other")),
        "does not know such models",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_error_says_what_to_do(folder: Path, case: str) -> None:
    damage, expected = CASES[case]
    damage(folder)
    with pytest.raises(ModelLoadError) as raised:
        make_ort(folder, model="damaged")
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


def sparse(path: Path, size: int) -> None:
    """A file of that size that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    sparse(tmp_path / "model.onnx", 52_000_000)
    sparse(tmp_path / "model.onnx.data", 4_800_000_000)
    return tmp_path


def test_a_model_of_the_real_size_needs_its_weights_and_256_kb_a_token(real: Path) -> None:
    assert needed_bytes(real, REAL) == (4_852_000_000, 262_144)
    assert needed_bytes(real, REAL, 8) == (4_852_000_000, 66_048)  # and 66 KB in bytes


def test_a_model_that_does_not_fit_is_refused_with_the_context_that_would(real: Path) -> None:
    with pytest.raises(
        ModelLoadError, match=r"needs 7\.0 GB of memory.*6\.0 GB are there.*at most 4379,"
    ) as raised:
        check_memory(real, REAL, 8192, lambda: 6 * GB)
    check_memory(real, REAL, 4379, lambda: 6 * GB)
    assert "--context" in str(raised.value)


def test_a_model_whose_weights_do_not_fit_gets_no_such_advice(real: Path) -> None:
    with pytest.raises(ModelLoadError, match="end other programs, or take a smaller model"):
        check_memory(real, REAL, 1, lambda: 4 * GB)


def test_a_pool_counts_by_what_one_request_fills_of_it(real: Path) -> None:
    pool: Any = {**REAL, "engine": {"dynamic_batching": {"num_blocks": 10**6, "block_size": 16}}}
    with pytest.raises(ModelLoadError, match=r"needs 7\.0 GB of memory"):
        check_memory(real, REAL, 8192, lambda: 6 * GB)
    check_memory(real, pool, 8192, lambda: 6 * GB)


def test_a_small_model_does_not_ask_for_the_memory() -> None:
    bundled = resolve_model().folder
    settings = read_settings(bundled)

    def never() -> int:
        raise AssertionError

    check_memory(bundled, settings, 4096, never)


def test_this_machine_has_memory() -> None:
    assert available_bytes() > 0


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("is_own", [True, False])
def test_the_memory_that_a_group_leaves_is_all_there_is(
    tmp_path: Path, version: int, is_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a container, which sees its group as the root, or of a service, whose group has a path."""
    monkeypatch.setattr("phi_emulator.platforms.kills_for_memory", lambda: True)
    assert available_bytes(tmp_path) > 100  # no group says anything
    top = tmp_path / "sys" / "fs" / "cgroup"
    top = top / "memory" if version == 1 else top
    group = top / "system" / "phi" if is_own else top
    group.mkdir(parents=True)
    (tmp_path / "proc" / "self").mkdir(parents=True)
    line = "4:cpu,memory:/system/phi\n0::/\n" if version == 1 else "0::/system/phi\n"
    (tmp_path / "proc" / "self" / "cgroup").write_text(line, encoding="utf-8")
    said = (
        {
            "memory.limit_in_bytes": "1000\n",
            "memory.usage_in_bytes": "950\n",
            "memory.stat": "cache 5\ntotal_cache 20\n",
        }
        if version == 1
        else {"memory.max": "1000\n", "memory.current": "950\n", "memory.stat": "anon 5\nfile 20\n"}
    )
    for name, text in said.items():
        (group / name).write_text(text, encoding="ascii")
    assert available_bytes(tmp_path) == 70
    for name in ("memory.max", "memory.limit_in_bytes"):
        (group / name).write_text("max\n", encoding="ascii")
    assert available_bytes(tmp_path) > 100


def test_where_nobody_is_ended_for_it_all_memory_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phi_emulator.platforms.kills_for_memory", lambda: False)
    assert available_bytes() == psutil.virtual_memory().total


def test_a_folder_whose_name_is_no_utf_8_is_refused_in_words(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    odd = folder.parent / os.fsdecode(b"m\xff")
    try:
        folder.rename(odd)
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(ModelNotFoundError, match="rename"):
        resolve_model(str(odd))
    done = CliRunner().invoke(
        phi_emulator, ["models", "add", "odd", str(odd)], env={"PHI_EMULATOR_HOME": str(home)}
    )
    assert done.exit_code == 1
    assert "rename what is named so" in done.output
    assert "odd" not in Store(home).registered()
