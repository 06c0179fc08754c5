"""Archives: what goes in comes out, and nothing that a stranger puts into one gets past the manifest."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from phi_emulator.models.archive import export_model, import_model
from phi_emulator.models.manifest import MANIFEST
from phi_emulator.models.store import Store, StoredModel, StoreError

from tests.limits import largest_file

if TYPE_CHECKING:
    from tests.emulator.models.conftest import Heard

    Pull = Callable[..., StoredModel]


@pytest.fixture
def model(pull: Pull) -> StoredModel:
    return pull()


@pytest.fixture
def archive(model: StoredModel, tmp_path: Path, heard: Heard) -> Path:
    path = tmp_path / "model.tar"
    export_model(model, path, heard)
    return path


@pytest.fixture
def other(tmp_path: Path) -> Store:
    """The store of another machine."""
    return Store(tmp_path / "other")


def rewrite(
    path: Path, change: Callable[[tarfile.TarInfo, bytes], Iterator[tuple[tarfile.TarInfo, bytes]]]
) -> None:
    """Write an archive anew, member by member."""
    with tarfile.open(path) as old:
        members = [(member, (old.extractfile(member) or io.BytesIO()).read()) for member in old]
    with tarfile.open(path, "w") as new:
        for member, body in members:
            for changed, content in change(member, body):
                new.addfile(changed, io.BytesIO(content))


def added(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def test_a_model_goes_from_one_store_to_another(
    model: StoredModel, archive: Path, other: Store, heard: Heard
) -> None:
    imported = import_model(other, archive, heard)
    assert imported.verify() == []
    assert imported.manifest.files == model.manifest.files
    assert imported.manifest.revision == model.manifest.revision
    assert other.find("phi-4-mini-reasoning", "cpu-int4") == imported
    assert other.partials() == []


def test_an_archive_tells_nothing_of_the_machine_it_is_from(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
    assert members[0].name == MANIFEST
    assert {(member.uname, member.uid, member.mtime) for member in members} == {("", 0, 0)}


def test_an_existing_file_is_not_overwritten(model: StoredModel, archive: Path, heard: Heard) -> None:
    with pytest.raises(StoreError, match="exists"):
        export_model(model, archive, heard)


def test_a_damaged_model_is_not_exported(model: StoredModel, tmp_path: Path, heard: Heard) -> None:
    file = model.folder / "merges.txt"
    file.write_bytes(bytes(file.stat().st_size))
    path = tmp_path / "damaged.tar"
    with pytest.raises(StoreError, match=r"`merges\.txt` is damaged"):
        export_model(model, path, heard)
    assert [*tmp_path.glob("damaged*")] == []


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_an_archive_that_is_cut_off_leaves_nothing(
    archive: Path, other: Store, heard: Heard, share: float
) -> None:
    body = archive.read_bytes()
    archive.write_bytes(body[: int(len(body) * share)])
    with pytest.raises(StoreError, match="is no archive that `models export` made, or is cut off"):
        import_model(other, archive, heard)
    assert (other.models(), other.partials()) == ([], [])


def test_other_bytes_than_the_manifest_lists_are_refused(archive: Path, other: Store, heard: Heard) -> None:
    rewrite(archive, lambda member, body: iter([(member, body.replace(b"#version", b"#Version"))]))
    with pytest.raises(StoreError, match=r"'merges\.txt' has another SHA-256"):
        import_model(other, archive, heard)
    assert (other.models(), other.partials()) == ([], [])


@pytest.mark.parametrize(
    "stranger",
    [
        added("../escape"),
        added("/absolute"),
        added("not-listed"),
        added("merges.txt", tarfile.SYMTYPE, "/etc/passwd"),
        added("merges.txt", tarfile.LNKTYPE, "config.json"),
        added("merges.txt", tarfile.FIFOTYPE),
        added("folder", tarfile.DIRTYPE),
    ],
    ids=lambda member: f"{member.name} {member.type!r}",
)
def test_members_that_the_manifest_does_not_list_are_refused(
    archive: Path, other: Store, heard: Heard, stranger: tarfile.TarInfo
) -> None:
    def change(member: tarfile.TarInfo, body: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        if member.name != stranger.name:
            yield member, body
        if member.name == MANIFEST:
            yield stranger, b""

    rewrite(archive, change)
    with pytest.raises(StoreError, match="does not list"):
        import_model(other, archive, heard)
    assert other.models() == []
    assert not (other.home.parent / "escape").exists()


def test_a_member_that_comes_twice_or_never_is_refused(archive: Path, other: Store, heard: Heard) -> None:
    copy = archive.with_name("copy.tar")
    copy.write_bytes(archive.read_bytes())
    rewrite(archive, lambda member, body: iter([(member, body)] * (1 + (member.name == "merges.txt"))))
    with pytest.raises(StoreError, match="does not list"):
        import_model(other, archive, heard)
    rewrite(copy, lambda member, body: iter([(member, body)] * (member.name != "merges.txt")))
    with pytest.raises(StoreError, match=r"merges\.txt is missing"):
        import_model(other, copy, heard)


@pytest.mark.parametrize(
    "change", [{"name": "../../up"}, {"variant": "/tmp"}, {"files": []}, {"format": 99}], ids=str
)
def test_a_manifest_that_leads_out_of_the_store_is_refused(
    archive: Path, other: Store, heard: Heard, change: dict[str, object]
) -> None:
    def forge(member: tarfile.TarInfo, body: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        if member.name == MANIFEST:
            body = json.dumps(json.loads(body) | change).encode()
            member.size = len(body)
        yield member, body

    rewrite(archive, forge)
    with pytest.raises(StoreError):
        import_model(other, archive, heard)
    assert not other.home.exists()


@pytest.mark.parametrize("body", [b"", b"text", b"PK\x03\x04" + bytes(2000)])
def test_another_kind_of_file_is_explained(tmp_path: Path, other: Store, heard: Heard, body: bytes) -> None:
    path = tmp_path / "other-kind"
    path.write_bytes(body)
    with pytest.raises(StoreError, match="is no archive"):
        import_model(other, path, heard)


def test_room_is_checked_on_both_ways(
    model: StoredModel, archive: Path, other: Store, heard: Heard, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="make room"):
        export_model(model, tmp_path / "second.tar", heard, free=lambda _folder: 1000)
    with pytest.raises(StoreError, match="make room"):
        import_model(other, archive, heard, free=lambda _folder: 1000)
    assert (other.models(), other.partials()) == ([], [])


def test_a_disk_that_fills_up_leaves_no_half_archive(
    model: StoredModel, tmp_path: Path, heard: Heard
) -> None:
    with largest_file(1_000_000), pytest.raises(StoreError, match="can't write"):
        export_model(model, tmp_path / "full.tar", heard)
    assert [*tmp_path.glob("full*")] == []
