"""`phi-emulator models`: what it says, and what stays as it was when something is wrong."""

from __future__ import annotations

import shutil
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.command_line.model_commands import obtain_model
from phi_emulator.config import EmulatorConfig
from phi_emulator.doctor.doctor import Doctor
from phi_emulator.doctor.trial import Trial, TrialError
from phi_emulator.models import BUNDLED, resolve_model
from phi_emulator.models.store.catalog import PHI_4_MINI_REASONING
from phi_emulator.models.store.store import Store, StoredModel

from tests.emulator.loading import prepare_model

Pull = Callable[[], StoredModel]
FOLDERS = Path(__file__).parents[1] / "engine" / "folders"
NAME = "phi-4-mini-reasoning"


def run(store: Store, *arguments: str) -> Result:
    return CliRunner().invoke(phi_emulator, ["models", "--home", str(store.home), *arguments])


def fails(store: Store, *arguments: str) -> str:
    """The one line that a failing command says."""
    result = run(store, *arguments)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    return result.output


def no_trial(*_arguments: object, **_more: object) -> Trial:
    raise TrialError("not tried")


def row(store: Store, name: str) -> str:
    (line,) = [line for line in run(store, "list").output.splitlines() if line.startswith(name + " ")]
    return " ".join(line.split()[1:])


def test_list_shows_what_is_bundled_and_what_can_be_pulled(store: Store) -> None:
    assert row(store, "phi-tiny-arith") == "bundled phi-emulator"
    assert row(store, f"{NAME}:cpu-int4").startswith("can be pulled about 4.85 GB microsoft/")
    assert row(store, f"{NAME}:gpu-int4").startswith("can be pulled about 3.38 GB")


def test_list_shows_what_is_here_and_what_is_damaged(pull: Pull, store: Store) -> None:
    model = pull()
    assert row(store, f"{NAME}:cpu-int4") == f"here 2.7 MB {PHI_4_MINI_REASONING.repository}"
    (model.folder / "merges.txt").unlink()
    assert row(store, f"{NAME}:cpu-int4").startswith("damaged: merges.txt is missing")


def test_list_shows_what_was_begun(store: Store) -> None:
    incoming = store.incoming(NAME, "cpu-int4")
    incoming.mkdir(parents=True)
    (incoming / "model.onnx.data.0123.part").write_bytes(bytes(1500))
    assert row(store, f"{NAME}:cpu-int4").startswith("begun, 1.5 kB are here")


def test_show_names_folder_origin_licence_and_hashes(pull: Pull, store: Store) -> None:
    model = pull()
    text = run(store, "show", NAME).output
    assert str(model.folder) in text
    assert f"{PHI_4_MINI_REASONING.repository} at {model.manifest.revision}" in text
    assert "MIT" in text
    assert all(file.sha256 in text for file in model.manifest.files)
    assert str(BUNDLED.folder) in run(store, "show", "phi-tiny-arith").output


def test_verify_reads_every_byte(pull: Pull, store: Store) -> None:
    model = pull()
    assert "is whole: 12 files" in run(store, "verify", NAME).output
    data = model.folder / "model.onnx.data"
    body = bytearray(data.read_bytes())
    body[1234] ^= 1
    data.write_bytes(body)
    result = run(store, "verify", NAME)
    assert result.exit_code == 1
    assert f"model.onnx.data has another SHA-256: `phi-emulator models pull {NAME}`" in result.output


def test_export_and_import_move_a_model(pull: Pull, store: Store, tmp_path: Path) -> None:
    model = pull()
    other = Store(tmp_path / "other")
    content = model.manifest.content
    assert f"content {content}" in run(store, "export", NAME, str(tmp_path / "phi.tar")).output
    assert f"content   {content}" in run(store, "show", NAME).output
    result = run(other, "import", str(tmp_path / "phi.tar"), "--content", content)
    assert f"{NAME}:cpu-int4 is here, verified, from {PHI_4_MINI_REASONING.repository} at" in result.output
    assert other.models()[0].manifest.files == model.manifest.files
    assert "verified  by the digest that you gave" in run(other, "show", NAME).output


def test_what_is_not_verified_is_marked_wherever_it_is_shown(
    pull: Pull, store: Store, tmp_path: Path
) -> None:
    pull()
    other = Store(tmp_path / "other")
    run(store, "export", NAME, str(tmp_path / "phi.tar"))
    name = f"{NAME}-imported"
    assert f"{name}:cpu-int4 is here, not verified" in run(other, "import", str(tmp_path / "phi.tar")).output
    assert row(other, f"{name}:cpu-int4") == "here, not verified 2.7 MB an archive"
    assert row(other, f"{NAME}:cpu-int4").startswith("can be pulled")
    assert "verified  no" in run(other, "show", name).output
    assert "is not verified" in run(other, "verify", name).output
    found = resolve_model(name, other)
    assert found.description.endswith("(imported, not verified)")
    assert not found.is_verified
    findings = Doctor(
        EmulatorConfig(model=name), {}, pulled_to=other.home, trial=no_trial, speed=lambda: 1e9
    ).findings()
    assert [f.status for f in findings if f.subject == "model" and "imported, not verified" in f.text] == [
        "note"
    ]
    assert obtain_model(EmulatorConfig(home=str(other.home)), yes=False).model is None
    assert f"`phi-emulator models pull {NAME}`" in fails(other, "show", NAME)


def test_a_folder_of_ones_own_can_be_named_exported_and_imported(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    assert run(store, "add", "mine", str(BUNDLED.folder)).exit_code == 0
    assert row(store, "mine") == f"here {BUNDLED.folder}"
    assert run(store, "export", "mine", str(tmp_path / "mine.tar")).exit_code == 0
    assert run(other, "import", str(tmp_path / "mine.tar")).exit_code == 0
    assert obtain_model(EmulatorConfig(model="mine", home=str(other.home)), yes=False).model == "mine"
    assert row(other, "mine:local").endswith("an archive")
    assert run(store, "rm", "mine").output == "mine is no name any more; its folder stays\n"
    assert BUNDLED.folder is not None
    assert BUNDLED.folder.is_dir()


def test_rm_asks_and_deletes(pull: Pull, store: Store) -> None:
    pull()
    assert "nobody can be asked: give `--yes`" in fails(store, "rm", NAME)
    result = run(store, "rm", "--yes", NAME)
    assert result.output == f"deleted {NAME}:cpu-int4, 2.7 MB are free again\n"
    assert store.models() == []


def test_rm_deletes_what_was_begun(store: Store) -> None:
    incoming = store.incoming(NAME, "gpu-int4")
    incoming.mkdir(parents=True)
    assert run(store, "rm", "--yes", f"{NAME}:gpu-int4").exit_code == 0
    assert store.partials() == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pull", "llama"], "`llama` can't be pulled: `phi-4-mini-reasoning` can"),
        (["pull", "phi-tiny-arith"], "can't be pulled"),
        (["pull", f"{NAME}:fp64"], "it has `cpu-int4`, `gpu-int4`, `npu-int4`"),
        (["rm", "--yes", NAME], "is not in the store"),
        (["rm", "--yes", "../up"], "is not in the store"),
        (["verify", "phi-tiny-arith"], "no hashes to compare with"),
        (["show", NAME], f"`phi-emulator models pull {NAME}`"),
        (["export", NAME, "x.tar"], f"`phi-emulator models pull {NAME}`"),
        (["import", "no-such-file.tar"], "No such file"),
        (["add", NAME, "."], "is taken"),
        (["add", "No Name", str(BUNDLED.folder)], "can't be a name"),
        (["add", "mine", "/no-such-folder"], "genai_config.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_done_is_said_in_one_line(store: Store, arguments: list[str], expected: str) -> None:
    assert expected in fails(store, *arguments)
    assert store.models() == []


def test_serve_takes_the_pulled_model_and_else_the_bundled_one(pull: Pull, store: Store) -> None:
    nothing_named = EmulatorConfig(home=str(store.home))
    assert obtain_model(nothing_named, yes=False).model is None
    pull()
    assert obtain_model(nothing_named, yes=False).model == NAME
    named = EmulatorConfig(home=str(store.home), model="phi-tiny-arith")
    assert obtain_model(named, yes=False) == named


def test_serve_without_a_terminal_says_what_to_run(store: Store) -> None:
    handler = signal.getsignal(signal.SIGINT)
    result = CliRunner().invoke(
        phi_emulator, ["serve", "--port", "0", "--home", str(store.home), "--model", NAME]
    )
    assert result.exit_code == 1
    assert f"`phi-emulator models pull {NAME}`" in result.output
    assert signal.getsignal(signal.SIGINT) is handler


def test_the_home_comes_from_the_environment(pull: Pull, store: Store) -> None:
    pull()
    result = CliRunner().invoke(phi_emulator, ["models", "list"], env={"PHI_EMULATOR_HOME": str(store.home)})
    assert f"{NAME}:cpu-int4  here" in result.output


def test_a_folder_that_was_served_is_exported_with_its_weights_once(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(FOLDERS / "phi3", folder)
    (folder / ".git" / "lfs").mkdir(parents=True)
    (folder / ".git" / "lfs" / "model.onnx.data").write_bytes(b"the weights once more")
    for context in (None, 128):
        assert prepare_model(folder, context_length=context).folder != folder
    assert run(store, "add", "mine", str(folder)).exit_code == 0
    assert run(store, "export", "mine", str(tmp_path / "mine.tar")).exit_code == 0
    with tarfile.open(tmp_path / "mine.tar") as archive:
        names = archive.getnames()
    assert set(names) == {path.name for path in (FOLDERS / "phi3").iterdir()} | {"phi-emulator.json"}
    assert len(names) == len(set(names))
