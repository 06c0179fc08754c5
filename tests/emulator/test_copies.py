"""Exchanges of the journal are run again in each form in which they can be copied: shells, programs, replays, tests."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.copies import COPIES, CopyError
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.journal.entry import JournalEntry
from phi_emulator.recordings.file import read_recording
from phi_emulator.recordings.local import LocalApp, LocalServer
from phi_emulator.recordings.replaying import Replayer
from phi_emulator.recordings.shelf import Shelf

from phi_client.contract.service import SURFACES

HOSTILE = "it's \"six\"; $(touch /nowhere) `id` \\ $HOME \n\ttimes '''seven''' — ünï ✓ {x} %s"
ROOT = Path(__file__).parents[2]
SECONDS = 20
MESSAGES = [{"role": "user", "content": HOSTILE}]
PLAIN: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 40, "seed": 7, "temperature": 0.5}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    config = EmulatorConfig(port=0, journal_texts=True)
    with Emulator(
        config, make_engine=lambda: ScriptedEngine(lambda _: "<think>one</think>two three")
    ) as running:
        yield running


def asked(
    emulator: Emulator,
    body: object = None,
    *,
    path: str = "/chat/completions",
    method: str = "POST",
    headers: dict[str, str] | None = None,
    surface: str = "",
) -> JournalEntry:
    """The entry of a request, sent as it stands."""
    before = emulator.journal.last
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    name = {"openai_v1": "api-key", "foundry_models": "api-key"}.get(surface, "Authorization")
    key = emulator.key if name == "api-key" else f"Bearer {emulator.key}"
    with contextlib.suppress(httpx.HTTPError):
        httpx.request(
            method,
            emulator.root + path,
            content=content or None,
            headers={"Content-Type": "application/json", name: key, **(headers or {})},
            timeout=SECONDS,
        )
    return emulator.journal.wait_for(1, after=before)[-1]


EXCHANGES: dict[str, dict[str, Any]] = {
    "plain": {"body": PLAIN},
    "streamed": {"body": PLAIN | {"stream": True}},
    "streamed with usage": {"body": PLAIN | {"stream": True, "stream_options": {"include_usage": True}}},
    "defaults": {"body": {"messages": [{"role": "system", "content": "x"}, *MESSAGES]}},
    "openai": {
        "body": PLAIN | {"model": "phi"},
        "path": "/openai/v1/chat/completions",
        "surface": "openai_v1",
    },
    "foundry": {
        "body": PLAIN | {"model": "phi", "stream": True},
        "path": "/models/chat/completions?api-version=2024-05-01-preview",
        "surface": "foundry_models",
    },
    "managed": {"body": PLAIN, "path": "/managed-compute/v1/chat/completions"},
    "score": {
        "body": {"input_data": {"input_string": MESSAGES, "parameters": {"max_new_tokens": 20}}},
        "path": "/managed-compute/score",
    },
    "info": {"method": "GET", "path": "/info"},
    "extra": {"body": PLAIN | {"safe_mode": True}, "headers": {"extra-parameters": "pass-through"}},
    "no JSON": {"body": b'{"messages": [{"role": "user"'},
    "a wrong value": {"body": PLAIN | {"temperature": "hot"}},
    "no route": {"method": "GET", "path": "/nowhere"},
    "another method": {"method": "PUT"},
    "cut": {"body": PLAIN | {"stream": True}, "headers": {"x-phi-fault": "cut_body bytes=300 how=reset"}},
    "an error": {"body": PLAIN, "headers": {"x-phi-fault": "error error=rate_limited"}},
    "malformed": {"body": PLAIN | {"stream": True}, "headers": {"x-phi-fault": "malformed_event tokens=1"}},
    "never begun": {"body": PLAIN, "headers": {"x-phi-fault": "cut_head bytes=0 how=end"}},
}


@pytest.fixture(scope="module")
def entries(emulator: Emulator) -> dict[str, JournalEntry]:
    return {name: asked(emulator, **one) for name, one in EXCHANGES.items()}


def outcome(entry: JournalEntry) -> tuple[object, ...]:
    """What must be the same when it is asked again."""
    texts = None if entry.texts is None else (entry.texts.answer, entry.texts.reasoning)
    usage = None if entry.usage is None else (entry.usage.prompt, entry.usage.completion)
    timed = re.compile(r'("(?:id|created|trace_id|request_id)":\s*)("[^"]*"|\d+)|[0-9a-f-]{36}')
    said = texts and tuple(timed.sub("", text) for text in texts)
    return (
        entry.method,
        entry.status,
        entry.error_code,
        entry.ending,
        entry.finish_reason,
        entry.streamed,
        usage,
        said,
    )


def again(emulator: Emulator, program: str) -> JournalEntry:
    """The exchange that a program makes; whatever it raises is a part of it."""
    before = emulator.journal.last
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
        patch.setenv("PHI_API_KEY", emulator.key)
        with contextlib.suppress(httpx.HTTPError, Exception):
            exec(compile(program, "copied", "exec"), {"__name__": "copied"})
    [first, *_] = emulator.journal.wait_for(1, after=before)
    return first


@pytest.mark.parametrize("name", EXCHANGES)
def test_as_python_it_is_asked_again(emulator: Emulator, entries: dict[str, JournalEntry], name: str) -> None:
    entry = entries[name]
    program = COPIES["python"](entry, emulator.root)
    assert emulator.key not in program
    found = again(emulator, program)
    # A client that can't read an answer may leave before its end.
    assert found.status == 200 if name == "malformed" else outcome(found) == outcome(entry)


@pytest.mark.parametrize("name", EXCHANGES)
def test_as_a_program_of_openai_it_is_asked_again(
    emulator: Emulator, entries: dict[str, JournalEntry], name: str
) -> None:
    entry = entries[name]
    if not entry.path.endswith("/chat/completions") or entry.method != "POST" or name == "no JSON":
        with pytest.raises(CopyError, match="chat completions"):
            COPIES["openai"](entry, emulator.root)
        return
    program = COPIES["openai"](entry, emulator.root)
    assert emulator.key not in program
    found = again(emulator, program)
    # A client that can't read an answer may leave before its end.
    assert found.status == 200 if name == "malformed" else outcome(found) == outcome(entry)


@pytest.mark.skipif(shutil.which("curl") is None or os.name == "nt", reason="there is no curl")
@pytest.mark.parametrize("name", EXCHANGES)
def test_as_curl_it_is_asked_again(emulator: Emulator, entries: dict[str, JournalEntry], name: str) -> None:
    entry = entries[name]
    command = COPIES["curl"](entry, emulator.root)
    assert emulator.key not in command
    before = emulator.journal.last
    environment = {**os.environ, "PHI_API_KEY": emulator.key}
    subprocess.run(["sh", "-c", command], check=False, env=environment, capture_output=True, timeout=SECONDS)
    [again] = emulator.journal.wait_for(1, after=before)
    assert outcome(again) == outcome(entry)


def test_as_recordings_they_are_replayed(
    emulator: Emulator, entries: dict[str, JournalEntry], tmp_path: Path
) -> None:
    for name, one in EXCHANGES.items():
        entry = entries[name]
        path = tmp_path / "one.jsonl"
        path.write_text(COPIES["recording"](entry, ""), encoding="utf-8", newline="")
        assert emulator.key not in path.read_text(encoding="utf-8")
        shelf = Shelf({"one": read_recording(path)})
        server = LocalServer(LocalApp(Replayer(shelf, speed=0), root=shelf.surface, key=emulator.key))
        with server:
            content = one.get("body")
            content = (
                content if isinstance(content, bytes) else json.dumps(content).encode() if content else None
            )
            name_of_key, value = SURFACES[entry.surface].write_key(emulator.key)
            headers = {one: value for one, value in one.get("headers", {}).items() if one != "Authorization"}
            key = {name_of_key: value}
            try:
                answer = httpx.request(
                    one.get("method", "POST"),
                    server.root + one.get("path", "/chat/completions"),
                    content=content,
                    headers={"Content-Type": "application/json", **key, **headers},
                    timeout=SECONDS,
                )
            except httpx.HTTPError:
                assert entry.ending == "cut", name
                continue
        assert answer.status_code == entry.status, (name, answer.text)
        assert entry.sent is None or answer.content == entry.sent.body, name


def test_as_tests_they_pass(emulator: Emulator, entries: dict[str, JournalEntry], tmp_path: Path) -> None:
    for number, (name, entry) in enumerate(entries.items()):
        text = COPIES["test"](entry, "")
        assert emulator.key not in text
        (tmp_path / f"test_{number}.py").write_text(f"# {name}\n{text}", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PHI_", "PYTEST_"))
    } | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "emulator")))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "pytest_phi", "-p", "no:cacheprovider", str(tmp_path)],
        check=False, env=environment, capture_output=True, text=True, timeout=110, cwd=tmp_path,
    )  # fmt: skip
    assert f"{len(entries)} passed" in done.stdout, done.stdout[-6000:]


WHY_NOT: dict[str, tuple[dict[str, Any], str]] = {
    "a body that nobody read": (
        {"body": PLAIN, "headers": {"Authorization": "Bearer not-the-key-at-all"}},
        "before its body was read",
    ),
    "a body that is too long": (
        {"body": {"messages": [{"role": "user", "content": "six " * 20_000}]}},
        "too long",
    ),
    "a body of bytes": ({"body": b"\xff\xfe\x00"}, "no UTF-8"),
}


@pytest.mark.parametrize("form", COPIES)
@pytest.mark.parametrize("name", WHY_NOT)
def test_what_can_not_be_copied_is_said(emulator: Emulator, name: str, form: str) -> None:
    request, why = WHY_NOT[name]
    entry = asked(emulator, **request)
    with pytest.raises(CopyError, match=why):
        COPIES[form](entry, emulator.root)


def test_without_texts_it_is_said_how_to_keep_them(emulator: Emulator) -> None:
    with httpx.Client(base_url=emulator.root, headers={"Authorization": f"Bearer {emulator.key}"}) as client:
        client.post("/_emulator/settings", json={"journal_texts": False}).raise_for_status()
        entry = asked(emulator, PLAIN)
        answer = client.get(f"/_emulator/journal/{entry.id}/as/curl")
        assert answer.status_code == 409
        assert "journal_texts" in answer.text
        client.post("/_emulator/settings", json={"journal_texts": True}).raise_for_status()
        entry = asked(emulator, PLAIN)
        answer = client.get(f"/_emulator/journal/{entry.id}/as/curl")
        assert answer.text.startswith("curl ")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert client.get(f"/_emulator/journal/{entry.id}/as/cobol").status_code == 404
        assert client.get("/_emulator/journal/nobody/as/curl").status_code == 404
