"""What strangers may have written: JSON, names, texts and tar archives, made up by the hundred, none of them fatal."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tracemalloc
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from phi_emulator.command_line.commands import phi_emulator
from phi_emulator.models.printable import printable
from phi_emulator.models.store.archive import import_model
from phi_emulator.models.store.manifest import MANIFEST, Manifest
from phi_emulator.models.store.names import ManifestError, check_name, check_path, check_paths
from phi_emulator.models.store.store import Store, StoreError
from phi_emulator.models.store.tar_reader import TarError, read_members
from phi_emulator.models.strict_json import parse_json, read_json

if TYPE_CHECKING:
    from tests.emulator.models.conftest import Heard

DEEP = "[" * 100_000
HOSTILE_JSON = [
    '{"a": Infinity}',
    '{"a": -Infinity}',
    '{"a": NaN}',
    '{"a": 1e999}',
    '{"a": ' + "9" * 5000 + "}",
    DEEP,
    DEEP + "]" * 100_000,
    "[" * 80 + "]" * 80,
    '{"a":' * 100_000,
    '"\\ud800',
    "\0",
    "",
]
ESCAPES = "\x1b[2J\x1b]0;title\x07 \r\nsecond line\x9b31m\u202etxt.exe\u2066\u200b\ud800\x00\x7f\u2028"
GOOD: dict[str, Any] = {
    "format": 1,
    "name": "a",
    "variant": "b",
    "description": "d",
    "licence": "l",
    "execution_provider": "e",
    "repository": "r",
    "revision": "v",
    "files": [{"path": "f", "size": 1, "sha256": "0" * 64}],
    "placed_ns": 1,
}


def run(store: Store, *arguments: str) -> Result:
    return CliRunner().invoke(phi_emulator, ["models", "--home", str(store.home), *arguments])


def is_one_honest_line(result: Result) -> bool:
    """Whether a command failed with one line in which nothing is hidden."""
    assert not isinstance(result.exception, Exception), result.exc_info
    lines = result.output.splitlines()
    return result.exit_code == 1 and len(lines) == 1 and lines[0].isprintable()


@pytest.mark.parametrize("text", HOSTILE_JSON, ids=lambda text: text[:20])
def test_json_that_is_none_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of any wording
        parse_json(text)


def test_a_large_file_and_a_folder_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b" " * 2000)
    with pytest.raises(ValueError, match="larger than 1000 bytes"):
        read_json(path, 1000)
    with pytest.raises(OSError, match="no plain file"):
        read_json(tmp_path)


@pytest.mark.parametrize(
    "text", [*HOSTILE_JSON, "[]", '{"a": 1}', '{"../up": "x"}'], ids=lambda text: text[:20]
)
def test_a_list_of_names_that_can_not_be_read_hides_no_model(store: Store, text: str) -> None:
    store.home.mkdir()
    (store.home / "registered.json").write_text(text, encoding="utf-8")
    listed = run(store, "list")
    assert listed.exit_code == 0
    assert "phi-tiny-arith" in listed.output
    assert "registered.json' can't be read: delete it" in listed.output
    assert is_one_honest_line(run(store, "add", "mine", "."))
    assert is_one_honest_line(run(store, "show", "mine"))
    assert run(store, "show", "phi-tiny-arith").exit_code == 0


@pytest.mark.parametrize("text", HOSTILE_JSON, ids=lambda text: text[:20])
def test_a_manifest_that_can_not_be_read_hides_no_other_model_and_can_be_deleted(
    store: Store, text: str
) -> None:
    folder = store.home / "models" / "broken" / "local" / "0123456789ab"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    assert "broken:local    " in run(store, "list").output
    assert "phi-tiny-arith" in run(store, "list").output
    assert is_one_honest_line(run(store, "show", "broken"))
    assert run(store, "rm", "--yes", "broken").exit_code == 0
    assert store.unreadable() == []


def test_a_manifest_at_another_models_place_is_none(store: Store) -> None:
    manifest = Manifest.from_json(json.dumps(GOOD))
    for name, variant, identity in [
        ("phi-4-mini-reasoning", "cpu-int4", manifest.identity),
        ("a", "c", manifest.identity),
        ("a", "b", "0123456789ab"),
    ]:
        folder = store.home / "models" / name / variant / identity
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    assert store.models() == []
    assert len(store.unreadable()) == 3


def test_names_of_the_catalog_can_not_be_registered_by_hand(store: Store, tmp_path: Path) -> None:
    store.home.mkdir()
    text = json.dumps({"phi-4-mini-reasoning": str(tmp_path), "mine": str(tmp_path)})
    (store.home / "registered.json").write_text(text, encoding="utf-8")
    assert [*store.registered()] == ["mine"]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_manifest_is_read_whole_or_refused(data: st.DataObject) -> None:
    changed = dict(GOOD)
    for name in data.draw(st.sets(st.sampled_from([*GOOD, "more"]), max_size=2)):
        changed[name] = data.draw(ANY_JSON | st.text())
    if data.draw(st.booleans()):
        inner = st.fixed_dictionaries({"path": st.text(), "size": ANY_JSON, "sha256": st.just("0" * 64)})
        changed["files"] = data.draw(st.lists(inner, max_size=3))
    refusal, manifest = "", Manifest.from_json(json.dumps(GOOD))
    try:
        manifest = Manifest.from_json(json.dumps(changed))
    except ManifestError as error:
        refusal = str(error)
    assert refusal.isprintable()
    texts = [getattr(manifest, field.name) for field in fields(manifest) if field.type == "str"]
    assert all(text.isprintable() for text in texts)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert len(manifest.identity) == 12


@settings(max_examples=500, deadline=None)
@given(st.text())
def test_every_text_can_be_shown_in_one_line(text: str) -> None:
    shown = printable(text, 50)
    assert shown.isprintable()
    assert len(shown) <= 51
    shown.encode()
    assert printable(shown, 60) == shown


def test_a_manifests_texts_do_nothing_to_a_terminal(store: Store, tmp_path: Path) -> None:
    body = b"x"
    manifest = GOOD | {
        "description": ESCAPES,
        "repository": ESCAPES,
        "revision": ESCAPES,
        "licence": ESCAPES,
        "execution_provider": ESCAPES,
        "files": [{"path": "f", "size": 1, "sha256": hashlib.sha256(body).hexdigest()}],
    }
    path = tmp_path / "forged.tar"
    write_tar(path, [(MANIFEST, json.dumps(manifest).encode()), ("f", body)])
    for arguments in (["import", str(path)], ["list"], ["show", "a"], ["verify", "a"], ["rm", "--yes", "a"]):
        result = run(store, *arguments)
        assert result.exit_code == 0, result.output
        assert all(line.isprintable() for line in result.output.split("\n")), arguments


@pytest.mark.parametrize(
    "name",
    ["con", "prn", "aux", "nul", "com1", "lpt9", "conin$", "aux.x", "con.tar.gz", "a.", "a..", "a ", " a", "a\n", "ä",
     "-a", "a\x1b"],
)  # fmt: skip
def test_names_that_some_platform_reads_otherwise_are_refused(name: str) -> None:
    with pytest.raises(ManifestError):
        check_name(name)
    check_name("con-x")


@pytest.mark.parametrize(
    "path",
    ["NUL", "a/CON.txt", "com1", "a/Lpt\u00b9.x", "a ", "a.", "a./b", " a", "a//b", "./a", "a/", "a/./b", "a\\b", "C:x",
     "a?b", "a\x1bb", "a\u202eb", "a\u200bb", "a\ud800", "x.PART", "x.part/y", ".phi-emulator/graph-0/model.onnx",
     ".PHI-EMULATOR/x", "Phi-Emulator.JSON", "x" * 201, "/".join("a" * 9), "CON .txt", "a\n"],
)  # fmt: skip
def test_paths_that_some_platform_reads_otherwise_are_refused(path: str) -> None:
    with pytest.raises(ManifestError):
        check_path(path)


@pytest.mark.parametrize(
    "paths", [["a", "A"], ["a", "a/b"], ["a/b", "A"], ["\u00e9", "e\u0301"], ["ß", "SS"]]
)
def test_paths_in_each_others_way_are_refused(paths: list[str]) -> None:
    for order in (paths, paths[::-1]):
        with pytest.raises(ManifestError, match="in the way"):
            check_paths(order)
    check_paths(["a/b", "a/c", "d"])


@settings(max_examples=500, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("aAü./\\ :~\x00\n\u202e$1CONcom"), max_size=12) | st.text(max_size=30)
)
def test_a_path_that_is_taken_stays_inside_and_is_itself(path: str) -> None:
    refusal = ""
    try:
        check_path(path)
    except ManifestError as error:
        refusal = str(error)
    assert refusal.isprintable()
    if refusal:
        return
    root = Path("/root/of/it")
    inside = root / path
    assert inside.relative_to(root).as_posix() == path
    assert ".." not in inside.parts


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, body in members:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))


def header(name: str, size: int, kind: bytes) -> bytes:
    """A header of any kind that claims any size."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


CLAIMS = {
    "a pax header of 6 GB": header("x", 6_000_000_000, tarfile.XHDTYPE),
    "a global pax header": header("x", 6_000_000_000, tarfile.XGLTYPE),
    "a long name of 6 GB": header("x", 6_000_000_000, tarfile.GNUTYPE_LONGNAME),
    "a long link of 6 GB": header("x", 6_000_000_000, tarfile.GNUTYPE_LONGLINK),
    "a manifest of 6 GB": header(MANIFEST, 6_000_000_000, tarfile.REGTYPE),
    "a sparse file": header(MANIFEST, 10, tarfile.GNUTYPE_SPARSE),
    "many headers": (header("x", 20, tarfile.XHDTYPE) + b"20 comment=xxxxxxxx\n".ljust(512, b"\0")) * 5000,
    "a negative size": header(MANIFEST, -5, tarfile.REGTYPE),
    "a manifest that is a link": header(MANIFEST, 0, tarfile.SYMTYPE),
    "a size that is no number": header("x", 18, tarfile.XHDTYPE) + b"18 size=Infinity1\n".ljust(512, b"\0"),
    "a length past the end": header("x", 18, tarfile.XHDTYPE) + b"99999999 path=xxxx\n".ljust(512, b"\0"),
    "a length of 0": header("x", 18, tarfile.XHDTYPE) + b"0 path=xxxxxxxxxxx\n".ljust(512, b"\0"),
    "compressed": b"\x1f\x8b" + bytes(2000),
}  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_an_archive_costs_no_more_than_it_is_large(
    store: Store, tmp_path: Path, heard: Heard, claim: str
) -> None:
    path = tmp_path / "claims.tar"
    path.write_bytes(CLAIMS[claim] + bytes(10_240))
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match="is no archive") as raised:
            import_model(store, path, heard)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4_000_000
    assert str(raised.value).isprintable()
    assert not (store.home / "models").exists()


def whole() -> bytes:
    body = b"x" * 600
    manifest = GOOD | {"files": [{"path": "f", "size": 600, "sha256": SHA_OF_X}]}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in ((MANIFEST, json.dumps(manifest).encode()), ("f", body)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


SHA_OF_X = "5130b33e6b87fbf5316ed9049e98924eb110800bcbaaad8050f642fba6df37c9"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_an_archive_with_any_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    archive = bytearray(whole())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 2600))
        archive[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del archive[data.draw(st.integers(0, len(archive))) :]
    said = ""
    try:
        for member in read_members(io.BytesIO(bytes(archive))):
            while member.read(100):
                pass
    except TarError as error:
        said = str(error)
    assert said.isprintable()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=150), st.binary(max_size=1500)), max_size=4))
def test_what_tarfile_writes_is_read(members: list[tuple[str, bytes]]) -> None:
    members = [
        (name, body)
        for name, body in members
        if "\0" not in name and name.isprintable() and not name.endswith("/")
    ]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, body in members:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    out.seek(0)
    assert [(member.name, member.read(2000)) for member in read_members(out)] == members
