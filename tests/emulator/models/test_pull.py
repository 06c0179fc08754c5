"""Pulling from a hub on loopback: what arrives is whole, and what goes wrong loses nothing that came."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from phi_emulator.models.store.catalog import PHI_4_MINI_REASONING
from phi_emulator.models.store.download import Hub, HubError
from phi_emulator.models.store.manifest import BY_ARCHIVE, MANIFEST, ModelFile
from phi_emulator.models.store.store import PART, Store, StoredModel, StoreError

from tests.hub_server import CPU_FOLDER, HubServer
from tests.limits import largest_file

if TYPE_CHECKING:
    from tests.emulator.models.conftest import Heard

    Pull = Callable[..., StoredModel]

DATA = "model.onnx.data"
TOKENIZER = "tokenizer.json"
SMALL = "genai_config.json"


def content(server: HubServer, name: str) -> bytes:
    return server.files[f"{CPU_FOLDER}/{name}"]


def partial_sizes(store: Store) -> dict[str, int]:
    return {path.name.split(".")[0]: path.stat().st_size for path in store.home.rglob(f"*{PART}")}


def test_a_pulled_model_has_the_hubs_bytes_and_hashes(pull: Pull, server: HubServer, store: Store) -> None:
    model = pull()
    expected = {
        path.removeprefix(CPU_FOLDER + "/"): body
        for path, body in server.files.items()
        if path.startswith(CPU_FOLDER)
    }
    assert {file.path: (model.folder / file.path).read_bytes() for file in model.manifest.files} == expected
    assert {file.path: file.sha256 for file in model.manifest.files} == {
        path: hashlib.sha256(body).hexdigest() for path, body in expected.items()
    }
    assert (model.manifest.revision, model.manifest.licence) == (server.commit, "MIT")
    assert store.find("phi-4-mini-reasoning", "cpu-int4") == model
    assert store.partials() == []
    assert model.verify() == []


def test_a_listing_in_several_pages_is_read_to_its_end(pull: Pull, server: HubServer) -> None:
    server.page = 3
    assert len(pull().manifest.files) == len(server.listing(CPU_FOLDER))


def test_progress_adds_up_to_what_is_fetched(pull: Pull, heard: Heard, server: HubServer) -> None:
    server.fail(DATA, cut_after=700_000)
    server.fail(DATA, status=503, times=5)
    with pytest.raises(HubError):
        pull()
    came = sum(heard.counts)
    heard.counts.clear()
    size = pull().manifest.size
    assert heard.stages[0] == ("downloading 12 files", size, 0)
    assert heard.stages[-1] == ("downloading 12 files", size, came)
    verified = sum(total for text, total, _ in heard.stages if text.startswith("verifying"))
    assert sum(heard.counts) == verified + size - came


def test_a_model_that_is_here_and_whole_is_not_fetched_again(pull: Pull, server: HubServer) -> None:
    first = pull()
    sent = sum(request.sent for request in server.requests)
    assert pull() == first
    assert sum(request.sent for request in server.requests) == sent


def test_a_connection_that_breaks_goes_on_where_it_broke(
    pull: Pull, server: HubServer, waits: list[float]
) -> None:
    server.fail(DATA, cut_after=1_000_000)
    server.fail(DATA, cut_after=500_000)
    assert pull().verify() == []
    assert server.ranges(DATA) == [None, "bytes=1000000-", "bytes=1500000-"]
    assert server.sent(DATA) == len(content(server, DATA))
    assert waits == [1.0, 1.0], "bytes came in between, so the count of failures begins anew"


def test_what_came_before_giving_up_is_kept_and_used(pull: Pull, server: HubServer, store: Store) -> None:
    server.fail(DATA, cut_after=700_000)
    server.fail(DATA, status=503, times=5)
    with pytest.raises(HubError, match=r"answers 503: try again later; what came is kept"):
        pull()
    assert store.models() == []
    assert [(partial.name, partial.variant) for partial in store.partials()] == [
        ("phi-4-mini-reasoning", "cpu-int4")
    ]
    assert partial_sizes(store) == {"model": 700_000}
    assert pull().verify() == []
    assert server.sent(DATA) == len(content(server, DATA)), "no byte was sent twice"


def test_waits_grow_and_the_hubs_own_wait_is_kept(pull: Pull, server: HubServer, waits: list[float]) -> None:
    server.fail(TOKENIZER, status=503, times=3)
    server.fail(TOKENIZER, status=429, headers={"Retry-After": "77"})
    assert pull().verify() == []
    assert waits == [1.0, 2.0, 4.0, 77.0]


def test_a_server_that_ignores_ranges_sends_the_file_anew(
    pull: Pull, server: HubServer, heard: Heard
) -> None:
    server.fail(DATA, cut_after=1_000_000)
    server.fail(DATA, ignores_range=True)
    assert pull().verify() == []
    assert server.sent(DATA) == 1_000_000 + len(content(server, DATA))
    assert -1_000_000 in heard.counts


@pytest.mark.parametrize("name", [DATA, SMALL], ids=["kept apart", "in the repository"])
def test_other_bytes_than_listed_are_refused_and_not_kept(
    pull: Pull, server: HubServer, store: Store, name: str
) -> None:
    server.fail(name, change=lambda body: b"?" + body[1:], origin="storage" if name == DATA else "hub")
    with pytest.raises(HubError, match=f"the bytes of `{name}` from 127.0.0.1 are not those that it lists"):
        pull()
    assert store.models() == []
    assert not any(partial_sizes(store).values())
    assert pull().verify() == []


@pytest.mark.parametrize("change", [lambda body: body + b"!", lambda body: body[:-1]], ids=["more", "less"])
def test_another_number_of_bytes_than_listed_is_refused(
    pull: Pull, server: HubServer, store: Store, change: Callable[[bytes], bytes]
) -> None:
    server.fail(DATA, change=change, times=20)
    with pytest.raises(HubError):
        pull()
    assert store.models() == []


def test_a_part_that_was_damaged_on_disk_is_fetched_anew(pull: Pull, server: HubServer, store: Store) -> None:
    server.fail(DATA, cut_after=700_000)
    server.fail(DATA, status=503, times=5)
    with pytest.raises(HubError):
        pull()
    (part,) = store.home.rglob(f"{DATA}*{PART}")
    part.write_bytes(b"\0" * 700_000)
    assert pull().verify() == []
    assert server.ranges(DATA)[-2:] == ["bytes=700000-", None]


def test_a_finished_file_that_was_damaged_before_the_end_is_fetched_anew(
    pull: Pull, server: HubServer, store: Store
) -> None:
    server.fail(TOKENIZER, status=404, headers={"X-Error-Code": "EntryNotFound"})
    with pytest.raises(HubError):
        pull()
    (data,) = store.home.rglob(DATA)
    data.write_bytes(b"\0" * data.stat().st_size)
    assert pull().verify() == []
    assert len(server.ranges(DATA)) == 2


def test_a_damaged_model_is_repaired_by_fetching_what_is_wrong(
    pull: Pull, server: HubServer, store: Store
) -> None:
    model = pull()
    before = server.sent(DATA)
    (model.folder / TOKENIZER).write_bytes(b"{}")
    assert [*model.verify()] == [f"{TOKENIZER} has 2 bytes instead of {len(content(server, TOKENIZER))}"]
    assert pull().verify() == []
    assert server.sent(DATA) == before
    assert len(server.ranges(TOKENIZER)) == 2


def test_a_new_commit_takes_the_place_of_the_old_one(pull: Pull, server: HubServer, store: Store) -> None:
    old = pull()
    server.commit = "beef" + "0" * 36
    server.files[f"{CPU_FOLDER}/config.json"] = b'{"changed": true}'
    new = pull()
    assert [model.manifest.revision for model in store.models()] == [server.commit]
    assert not old.folder.exists()
    assert (new.folder / "config.json").read_bytes() == b'{"changed": true}'


def test_a_file_that_the_new_commit_lacks_does_not_stay(pull: Pull, server: HubServer) -> None:
    server.fail(DATA, status=404, headers={"X-Error-Code": "EntryNotFound"})
    with pytest.raises(HubError):
        pull()
    del server.files[f"{CPU_FOLDER}/added_tokens.json"]
    assert not (pull().folder / "added_tokens.json").exists()


REFUSALS: dict[str, dict[str, Any]] = {
    "check `HF_TOKEN`": {"status": 401},
    "unset one that has expired": {
        "status": 401,
        "headers": {"X-Error-Message": "Invalid credentials in Authorization header"},
    },
    "accept its conditions at https://huggingface.co/microsoft/Phi": {
        "status": 403,
        "headers": {"X-Error-Code": "GatedRepo"},
    },
    "accept its conditions": {"status": 403},
    "or not for everybody": {"status": 404, "headers": {"X-Error-Code": "RepoNotFound"}},
    "answers 418": {"status": 418},
}


@pytest.mark.parametrize("expected", REFUSALS)
def test_a_refusal_says_what_to_do_at_once(
    pull: Pull, server: HubServer, waits: list[float], expected: str
) -> None:
    server.fail("/revision/main", origin="hub", **REFUSALS[expected])
    with pytest.raises(HubError) as raised:
        pull()
    assert expected in str(raised.value)
    assert waits == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_hub_that_recovers_is_asked_again(
    pull: Pull, server: HubServer, waits: list[float], status: int
) -> None:
    server.fail("/revision/main", status=status, origin="hub")
    assert pull().verify() == []
    assert waits == [1.0]


def test_a_limit_of_requests_that_stays_is_named(pull: Pull, server: HubServer) -> None:
    server.fail("/revision/main", status=429, times=6, origin="hub")
    with pytest.raises(HubError, match="takes no more requests for now"):
        pull()


def test_an_unknown_revision_and_an_empty_folder_are_named(hub: Hub, server: HubServer) -> None:
    entry = PHI_4_MINI_REASONING
    cpu, _, npu = entry.variants
    with pytest.raises(HubError, match="no such revision"):
        hub.plan(entry, cpu, "no-such-branch")
    with pytest.raises(HubError, match="no such folder or file"):
        hub.plan(entry, npu)


def test_a_hub_that_is_not_there_is_said_at_once(server: HubServer, waits: list[float]) -> None:
    entry = PHI_4_MINI_REASONING
    with HubServer() as gone:
        pass
    with pytest.raises(HubError, match=r"can't reach 127\.0\.0\.1 \(ConnectError\).*`HF_ENDPOINT`.*import"):
        Hub(gone.endpoint, sleep=waits.append).plan(entry, entry.variants[0])
    assert waits == []


def test_a_password_in_the_endpoint_is_not_shown(server: HubServer) -> None:
    entry = PHI_4_MINI_REASONING
    server.fail("/revision/main", status=418, origin="hub")
    endpoint = server.endpoint.replace("//", "//me:secret-password@")
    with pytest.raises(HubError) as raised:
        Hub(endpoint).plan(entry, entry.variants[0])
    assert "secret-password" not in str(raised.value)


def test_the_token_goes_to_the_hub_alone_and_into_no_message(
    pull: Pull, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret-token")
    server.fail(DATA, status=418)
    with pytest.raises(HubError) as raised:
        pull()
    tokens = {(request.origin, request.token) for request in server.requests}
    assert tokens == {("hub", "Bearer hf_secret-token"), ("storage", None)}
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "path",
    [
        *(
            f"{CPU_FOLDER}/{name}"
            for name in ("../up", "a/../../up", "a\\b", "phi-emulator.json", "x.part", "C:x")
        ),
        "/absolute",
        "elsewhere/x",
    ],
)
def test_paths_that_leave_the_folder_are_refused(
    pull: Pull, server: HubServer, store: Store, path: str
) -> None:
    server.listed_paths = lambda listed: path if listed.endswith("merges.txt") else listed
    with pytest.raises(HubError, match="lists what no model folder holds"):
        pull()
    assert not store.home.exists()


def test_a_disk_without_room_is_said_before_anything_is_fetched(
    pull: Pull, server: HubServer, store: Store
) -> None:
    with pytest.raises(StoreError, match=r"has 1\.0 MB free and 2\.7 MB are still to be written: make room"):
        pull(free=lambda _folder: 1_000_000)
    assert sum(request.sent for request in server.requests) == 0


def test_room_is_needed_only_for_what_is_missing(pull: Pull, server: HubServer) -> None:
    asked: list[Path] = []
    server.fail(DATA, cut_after=2_000_000)
    server.fail(DATA, status=503, times=5)
    with pytest.raises(HubError):
        pull()

    def little(folder: Path) -> int:
        asked.append(folder)
        return (64 << 20) + len(content(server, DATA)) - 2_000_000 + 200_000

    assert pull(free=little).verify() == []
    assert len(asked) == 1


def test_a_disk_that_fills_up_while_writing_is_said_and_the_pull_goes_on_later(
    pull: Pull, store: Store
) -> None:
    # Python ignores SIGXFSZ, so the write fails with EFBIG where a full disk gives ENOSPC: the same way for us.
    with (
        largest_file(1_000_000),
        pytest.raises(StoreError, match=r"can't write to .* are missing: make room"),
    ):
        pull()
    assert store.models() == []
    (part,) = store.home.rglob(f"*{PART}")
    assert part.stat().st_size == 1_000_000
    assert pull().verify() == []


def test_two_pulls_of_one_model_do_not_mix(pull: Pull, server: HubServer, store: Store) -> None:
    server.fail(DATA, hold_after=1_000)
    first: list[Any] = []
    thread = threading.Thread(target=lambda: first.append(pull()))
    thread.start()
    assert server.held.wait(20)
    with pytest.raises(StoreError, match="another process is working on `phi-4-mini-reasoning:cpu-int4`"):
        pull()
    server.released.set()
    thread.join(20)
    assert first[0].verify() == []


def test_what_a_lying_mirror_listed_is_compared_with_the_next_hubs_list(
    pull: Pull, server: HubServer, store: Store
) -> None:
    right = dict(server.files)
    server.files[f"{CPU_FOLDER}/{DATA}"] = content(server, DATA)[:-1] + b"?"
    server.files[f"{CPU_FOLDER}/more.bin"] = b"not in the right one"
    wrong = pull()
    server.files = right  # at the same commit
    sent = server.sent(TOKENIZER)
    assert pull().verify() == []
    assert {file.path for file in store.models()[0].manifest.files} == {
        path.removeprefix(CPU_FOLDER + "/") for path in right if path.startswith(CPU_FOLDER)
    }
    assert (store.models()[0].folder / DATA).read_bytes() == content(server, DATA)
    assert not wrong.folder.exists()
    assert server.sent(TOKENIZER) == sent, "what was right is kept"


@pytest.mark.parametrize("begun", ["a folder", "a link", "a file above"])
def test_whatever_a_mirror_left_at_a_files_place_is_in_nobodys_way(
    pull: Pull, server: HubServer, store: Store, tmp_path: Path, begun: str
) -> None:
    server.files[f"{CPU_FOLDER}/inner/x"] = b"x"
    incoming = store.incoming("phi-4-mini-reasoning", "cpu-int4")
    incoming.mkdir(parents=True)
    (tmp_path / "elsewhere").write_bytes(b"keep")
    if begun == "a folder":
        (incoming / DATA / "inner").mkdir(parents=True)
        part = f"{TOKENIZER}.{hashlib.sha256(content(server, TOKENIZER)).hexdigest()[:12]}{PART}"
        (incoming / part / "inner").mkdir(parents=True)
    elif begun == "a link":
        (incoming / DATA).symlink_to(tmp_path / "elsewhere")
    else:
        (incoming / "inner").write_bytes(b"a file where a folder is to be")
    assert pull().verify() == []
    assert (tmp_path / "elsewhere").read_bytes() == b"keep"


def test_a_model_that_nobody_vouches_for_is_compared_and_then_may_bear_its_name(
    pull: Pull, server: HubServer, store: Store
) -> None:
    model = pull()
    manifest = replace(model.manifest, hashes_from=BY_ARCHIVE)  # as a release before this one imported it
    (model.folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    assert store.find("phi-4-mini-reasoning") is None
    sent = server.sent(DATA)
    assert pull().manifest.is_verified
    assert store.find("phi-4-mini-reasoning") is not None
    assert server.sent(DATA) == sent, "right files are not fetched again"


def test_a_forged_model_under_the_official_name_is_replaced(
    pull: Pull, server: HubServer, store: Store
) -> None:
    model = pull()
    forged = b"{}  # forged"
    (model.folder / SMALL).write_bytes(forged)
    sha256 = hashlib.sha256(forged).hexdigest()
    files = tuple(
        ModelFile(file.path, len(forged), sha256) if file.path == SMALL else file
        for file in model.manifest.files
    )
    manifest = replace(model.manifest, files=files)
    (model.folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    model.folder.rename(model.folder.with_name(manifest.identity))
    held = store.held("phi-4-mini-reasoning")
    assert held is not None
    assert held.verify() == []
    assert (pull().folder / SMALL).read_bytes() == content(server, SMALL)


@pytest.mark.parametrize(
    "lie", [{"oid": "../../../up"}, {"oid": "\x1b[2J" + "0" * 40}, {"size": -1}, {"size": 1 << 60}], ids=str
)
def test_hashes_and_sizes_that_are_none_are_refused(
    pull: Pull, server: HubServer, store: Store, lie: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = server.listing
    monkeypatch.setattr(server, "listing", lambda folder: [item | lie for item in honest(folder)])
    with pytest.raises(HubError, match="lists what no model folder holds") as raised:
        pull()
    assert str(raised.value).isprintable()
    assert not store.home.exists()
