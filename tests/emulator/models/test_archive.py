"""Archives: what goes in comes out, and nothing that a stranger puts into one gets past the manifest."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from phi_emulator.models.store.archive import export_model, import_model
from phi_emulator.models.store.catalog import CATALOG, PHI_4_MINI_REASONING
from phi_emulator.models.store.manifest import BY_CATALOG, BY_HUB, BY_USER, MANIFEST
from phi_emulator.models.store.store import Store, StoredModel, StoreError

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


def forge(path: Path, **changes: object) -> None:
    """Write another manifest into an archive."""

    def change(member: tarfile.TarInfo, body: bytes) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        if member.name == MANIFEST:
            body = json.dumps(json.loads(body) | changes).encode()
            member.size = len(body)
        yield member, body

    rewrite(path, change)


def added(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def test_a_model_goes_from_one_store_to_another(
    model: StoredModel, archive: Path, other: Store, heard: Heard
) -> None:
    imported = import_model(other, archive, heard, content=model.manifest.content)
    assert imported.verify() == []
    assert imported.manifest.files == model.manifest.files
    assert imported.manifest.revision == model.manifest.revision
    assert imported.manifest.is_verified
    assert other.find("phi-4-mini-reasoning", "cpu-int4") == imported
    assert other.partials() == []


def test_a_name_of_the_catalog_is_not_given_on_an_archives_word(
    archive: Path, other: Store, heard: Heard
) -> None:
    imported = import_model(other, archive, heard)
    assert imported.verify() == []
    assert (imported.manifest.reference, imported.manifest.is_verified) == (
        "phi-4-mini-reasoning-imported:cpu-int4",
        False,
    )
    assert other.find("phi-4-mini-reasoning") is None
    assert other.find("phi-4-mini-reasoning-imported") == imported


def test_what_the_catalog_vouches_for_needs_no_digest(
    model: StoredModel, archive: Path, other: Store, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, *others = PHI_4_MINI_REASONING.variants
    known = replace(cpu, contents=frozenset({model.manifest.content}))
    entry = replace(PHI_4_MINI_REASONING, variants=(known, *others))
    monkeypatch.setitem(CATALOG, entry.name, entry)
    imported = import_model(other, archive, heard)
    assert (imported.manifest.name, imported.manifest.hashes_from) == (entry.name, BY_CATALOG)


@pytest.mark.parametrize("claim", [BY_HUB, BY_CATALOG, BY_USER, "anybody"])
def test_an_archive_can_not_say_that_it_is_verified(
    archive: Path, other: Store, heard: Heard, claim: str
) -> None:
    forge(archive, hashes_from=claim)
    imported = import_model(other, archive, heard)
    assert (imported.manifest.name, imported.manifest.is_verified) == ("phi-4-mini-reasoning-imported", False)


def test_another_digest_than_the_users_is_refused(archive: Path, other: Store, heard: Heard) -> None:
    with pytest.raises(StoreError, match="it is another model"):
        import_model(other, archive, heard, content="0" * 64)
    with pytest.raises(StoreError, match="64 digits"):
        import_model(other, archive, heard, content="short")
    assert other.models() == []


@pytest.mark.parametrize("name", ["phi-tiny-arith", "phi-4-mini-reasoning"])
def test_a_name_of_the_catalog_can_not_be_asked_for(
    archive: Path, other: Store, heard: Heard, name: str
) -> None:
    with pytest.raises(StoreError, match="belongs to the catalog's own files"):
        import_model(other, archive, heard, name=name)


def test_a_name_of_ones_own_folder_is_not_taken_over(archive: Path, other: Store, heard: Heard) -> None:
    other.register("mine", Path.cwd())
    with pytest.raises(StoreError, match="`mine` is a folder of yours"):
        import_model(other, archive, heard, name="mine")
    assert import_model(other, archive, heard, name="theirs").manifest.name == "theirs"


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
    forge(archive, **change)
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
