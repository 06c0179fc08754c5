"""The store: what counts as being in it, names for folders elsewhere, and what is left after a process was killed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from phi_emulator.models import durable
from phi_emulator.models.store.manifest import MANIFEST, Manifest, ManifestError, ModelFile, check_name
from phi_emulator.models.store.store import Store, StoreError, human_size

HELD = """
import sys
from phi_emulator.models.store.store import Store
with Store(sys.argv[1]).lock("a", "b"):
    print("held", flush=True)
    sys.stdin.read()
"""


def manifest_of(store: Store, name: str = "a", variant: str = "b", text: str = "content") -> Manifest:
    """Write a file into `incoming` and describe it."""
    incoming = store.incoming(name, variant)
    incoming.mkdir(parents=True, exist_ok=True)
    (incoming / "f").write_text(text, encoding="utf-8")
    files = (ModelFile("f", len(text), hashlib.sha256(text.encode()).hexdigest()),)
    return Manifest(
        name=name, variant=variant, description="", licence="", execution_provider="",
        repository="", revision="", files=files,
    )  # fmt: skip


def test_nothing_is_written_by_looking(store: Store) -> None:
    assert (store.models(), store.partials(), store.registered(), store.find("a")) == ([], [], {}, None)
    assert not store.home.exists()


def test_what_is_placed_can_be_found_and_removed(store: Store) -> None:
    placed = store.place(manifest_of(store))
    assert store.find("a") == store.find("a", "b") == placed
    assert store.find("a", "c") is None
    assert store.remove("a", "b") > len("content")
    assert store.models() == []
    assert not any(path.is_file() for path in store.home.rglob("*") if path.suffix != ".lock")


def test_a_folder_without_its_manifest_is_no_model_and_is_swept(store: Store) -> None:
    left = store.place(manifest_of(store, text="old")).folder
    (left / MANIFEST).unlink()  # as after a removal that was killed
    assert store.models() == []
    new = store.place(manifest_of(store, text="new"))
    assert [*new.folder.parent.iterdir()] == [new.folder]


def test_of_two_whole_models_the_newer_counts(store: Store) -> None:
    old = store.place(manifest_of(store, text="old"))
    kept = {path.name: path.read_bytes() for path in old.folder.iterdir()}
    new = store.place(manifest_of(store, text="new"))
    old.folder.mkdir()  # as if the process had been killed before it could delete the old one
    for name, body in kept.items():
        (old.folder / name).write_bytes(body)
    assert store.models() == [new]


def test_a_manifest_that_can_not_be_read_is_no_model(store: Store) -> None:
    placed = store.place(manifest_of(store))
    (placed.folder / MANIFEST).write_text('{"format": 1', encoding="utf-8")
    assert store.models() == []


def test_missing_short_and_changed_files_are_told_apart(store: Store) -> None:
    placed = store.place(manifest_of(store))
    file = placed.folder / "f"
    assert placed.verify() == []
    file.write_text("CONTENT", encoding="utf-8")
    assert (placed.damage(), placed.verify()) == ([], ["f has another SHA-256"])
    file.write_text("con", encoding="utf-8")
    assert placed.verify() == ["f has 3 bytes instead of 7"]
    file.unlink()
    assert placed.verify() == ["f is missing"]


def test_a_lock_holds_against_other_processes_and_ends_with_them(store: Store) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HELD, str(store.home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match="another process is working on `a:b`"), store.lock("a", "b"):
            pass
        with store.lock("a", "c"):
            pass
        other.kill()
    with store.lock("a", "b"):
        pass


def test_a_folder_of_ones_own_gets_a_name_and_loses_it(store: Store, tmp_path: Path) -> None:
    store.register("mine", tmp_path)
    store.register("other", tmp_path)
    store.register("mine", None)
    assert store.registered() == {"other": tmp_path}
    assert tmp_path.is_dir()


@pytest.mark.parametrize("text", ["{", "[]", '{"../up": "x"}'])
def test_a_list_of_names_that_can_not_be_read_is_explained(store: Store, text: str) -> None:
    store.home.mkdir()
    (store.home / "registered.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=r"registered\.json.*delete it"):
        store.registered()


def test_a_home_that_can_not_be_written_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="set PHI_EMULATOR_HOME"), Store(tmp_path / "file").lock("a", "b"):
        pass


@pytest.mark.parametrize("name", ["", "../a", "A", "a/b", "a:b", ".a", "a--b", "a" * 65])
def test_names_that_are_no_folders_are_refused(name: str) -> None:
    with pytest.raises(ManifestError):
        check_name(name)


def test_a_manifest_survives_its_file(store: Store) -> None:
    manifest = manifest_of(store)
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"name": "../up"},
        {"files": []},
        {"files": [{"path": "../f", "size": 1, "sha256": "0" * 64}]},
        {"files": [{"path": "f", "size": -1, "sha256": "0" * 64}]},
        {"files": [{"path": "f", "size": 1, "sha256": "0"}]},
        {"files": [{"path": path, "size": 1, "sha256": "0" * 64} for path in ("f", "F")]},
        {"files": 3},
        {"licence": 3},
        {"more": "x"},
    ],
    ids=str,
)
def test_a_manifest_from_a_stranger_is_checked(store: Store, change: dict[str, object]) -> None:
    text = json.dumps(json.loads(manifest_of(store).to_json()) | change)
    with pytest.raises(ManifestError):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1500, "1.5 kB"), (2_700_000, "2.7 MB"), (4_853_313_044, "4.85 GB")]
)
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    assert human_size(size) == text


def test_a_model_is_on_the_disk_with_every_folder_above_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    renamed: list[int] = []
    monkeypatch.setattr(durable, "write_through", flushed.append)
    real = Path.rename

    def rename(path: Path, to: Path) -> Path:
        renamed.append(len(flushed))
        return real(path, to)

    monkeypatch.setattr(Path, "rename", rename)
    incoming = store.incoming("a", "b")
    manifest = manifest_of(store)
    (incoming / "inner" / "deep").mkdir(parents=True)
    placed = store.place(manifest)
    before = set(flushed[: renamed[0]])
    after = set(flushed[renamed[0] :])
    assert {incoming, incoming / "inner", incoming / "inner" / "deep", incoming / MANIFEST} <= before
    assert {store.home, store.home / "models", store.home / "models" / "a"} <= before
    assert {placed.folder.parent, incoming.parent} <= after


def test_a_list_of_names_is_on_the_disk(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(durable, "write_through", flushed.append)
    store.register("mine", tmp_path)
    assert flushed[-2:] == [store.home / "registered.part", store.home]
