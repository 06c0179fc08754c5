"""A server on loopback that speaks as much of the Hugging Face hub's protocol as a download uses, with faults.

What it sends is written from the hub's documentation and from what `huggingface_hub` asks for, not taken from the code
under test. Large files are redirected to a second origin, as the hub redirects to its storage. It keeps a record of
each request and of the bytes that went out.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["BUNDLED_FOLDER", "CPU_FOLDER", "REPOSITORY", "Fault", "HubServer", "Request", "real_repository"]

REPOSITORY: Final = "microsoft/Phi-4-mini-reasoning-onnx"
CPU_FOLDER: Final = "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4"
GPU_FOLDER: Final = "gpu/gpu-int4-rtn-block-32"
BUNDLED_FOLDER: Final = Path(__file__).parents[1] / "emulator/phi_emulator/models/bundled/phi-tiny-arith"
_LARGE: Final = 30_000
_CHUNK: Final = 16_384


def real_repository() -> dict[str, bytes]:
    """The bundled model's files under the names that the real repository has."""
    files = {path.name: path.read_bytes() for path in BUNDLED_FOLDER.iterdir()}
    settings = json.loads(files["tokenizer_config.json"])
    # The real folder keeps its template here and has no file of its own for it.
    settings["chat_template"] = files.pop("chat_template.jinja").decode()
    files["tokenizer_config.json"] = json.dumps(settings).encode()
    for name in ("added_tokens.json", "config.json", "special_tokens_map.json", "vocab.json"):
        files[name] = b'{"not": "read"}'
    files |= {"configuration_phi3.py": b"# not read\n", "merges.txt": b"#version: 0.2\n"}
    repository = {f"{CPU_FOLDER}/{name}": content for name, content in files.items()}
    return repository | {f"{GPU_FOLDER}/genai_config.json": b"{}", "README.md": b"a card", "LICENSE": b"MIT"}


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, and how much of the body went out."""

    method: str
    path: str
    range: str | None
    token: str | None
    origin: str
    """`hub` or `storage`."""
    user_agent: str
    sent: int = 0


@dataclass(slots=True)
class Fault:
    """What goes wrong with requests whose path ends with `path`; each `times` once, in the order they were added."""

    path: str
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""
    change: Callable[[bytes], bytes] | None = None
    """Send other bytes."""
    ignores_range: bool = False
    hold_after: int | None = None
    """Send so many bytes, then nothing before the server is released."""
    origin: str = "storage"


class HubServer:
    """A hub with one repository; a context manager. `page` is the number of files in a page of a listing."""

    def __init__(self, files: dict[str, bytes] | None = None, *, page: int = 1000) -> None:
        self.files = real_repository() if files is None else files
        self.commit = "c0ffee" + "0" * 34
        self.page = page
        self.listed_paths: Callable[[str], str] = str
        """Changes the paths that a listing shows."""
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.held = threading.Event()
        """Set while a request is held."""
        self.released = threading.Event()
        self._servers = [self._serve("hub"), self._serve("storage")]
        self.endpoint, self.storage = (f"http://127.0.0.1:{one.server_address[1]}" for one in self._servers)

    def _serve(self, origin: str) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"hub": self, "origin": origin})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def fail(self, path: str, **fault: Any) -> None:
        """Add a fault."""
        self.faults.append(Fault(path, **fault))

    def sent(self, path: str) -> int:
        """Bytes of the file that went out."""
        return sum(request.sent for request in self.requests if request.path.endswith(path))

    def ranges(self, path: str) -> list[str | None]:
        """The ranges in which the file's bytes were asked for."""
        return [
            request.range
            for request in self.requests
            if request.path.endswith(path) and request.method == "GET" and request.sent
        ]

    def take_fault(self, path: str, origin: str) -> Fault | None:
        """The fault that the next request meets."""
        for fault in self.faults:
            if path.endswith(fault.path) and fault.origin == origin and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def is_large(self, path: str) -> bool:
        """Whether a file is kept apart from the repository."""
        return len(self.files[path]) > _LARGE

    def listing(self, folder: str) -> list[dict[str, Any]]:
        """The files in a folder, as the hub lists them."""
        return [self._listed(path) for path in sorted(self.files) if path.startswith(folder + "/")]

    def _listed(self, path: str) -> dict[str, Any]:
        content = self.files[path]
        listed: dict[str, Any] = {"type": "file", "path": self.listed_paths(path), "size": len(content)}
        listed["oid"] = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if self.is_large(path):
            sha256 = hashlib.sha256(content).hexdigest()
            listed |= {"lfs": {"oid": sha256, "size": len(content), "pointerSize": 134}, "oid": "1" * 40}
        return listed


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer
    origin: str

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        fault = self.hub.take_fault(path, self.origin)
        if fault is not None and fault.status:
            self._note(path)
            self._send(fault.status, b"", fault.headers)
        elif path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            self._send_listing(path)
        elif path in (f"/api/models/{REPOSITORY}", *self._revisions()):
            self._note(path)
            self._send(200, json.dumps({"id": REPOSITORY, "sha": self.hub.commit}).encode(), {})
        elif path.startswith(f"/api/models/{REPOSITORY}/revision/"):
            self._note(path)
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif self._file(path) in self.hub.files:
            self._send_file(self._file(path), path, fault)
        else:
            self._note(path)
            self._send(404, b"", {"X-Error-Code": "EntryNotFound" if "/resolve/" in path else "RepoNotFound"})

    def _revisions(self) -> list[str]:
        return [f"/api/models/{REPOSITORY}/revision/{name}" for name in ("main", self.hub.commit)]

    def _file(self, path: str) -> str:
        lead = f"/{REPOSITORY}/resolve/{self.hub.commit}/" if self.origin == "hub" else "/blobs/"
        return path.removeprefix(lead) if path.startswith(lead) else ""

    def _send_listing(self, path: str) -> None:
        self._note(path)
        folder = path.rpartition(f"/tree/{self.hub.commit}/")[2]
        entries = self.hub.listing(folder)
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        headers: dict[str, str] = {}
        if start + self.hub.page < len(entries):
            url = f"{self.hub.endpoint}{urlsplit(self.path).path}?cursor={start + self.hub.page}"
            headers["Link"] = f'<{url}>; rel="next"'
        if not entries:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        self._send(200, json.dumps(entries[start : start + self.hub.page]).encode(), headers)

    def _send_file(self, name: str, path: str, fault: Fault | None) -> None:
        content = self.hub.files[name]
        if self.origin == "hub" and self.hub.is_large(name):
            self._note(path)
            headers = {
                "Location": f"{self.hub.storage}/blobs/{name}?signature=secret-signature",
                "X-Repo-Commit": self.hub.commit,
                "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Linked-Size": str(len(content)),
            }
            self._send(302, b"", headers)
            return
        if fault is not None and fault.change is not None:
            content = fault.change(content)
        start = 0
        asked = self.headers.get("Range")
        if asked is not None and not (fault is not None and fault.ignores_range):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content) > 0:
            self._note(path)
            self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("X-Repo-Commit", self.hub.commit)
        self.end_headers()
        self._send_body(content[start:] if self.command == "GET" else b"", path, fault)

    def _send_body(self, body: bytes, path: str, fault: Fault | None) -> None:
        hold = None if fault is None else fault.hold_after
        cut = None if fault is None else fault.cut_after
        stop = next((limit for limit in (hold, cut) if limit is not None), len(body))
        self._note(path, sent=min(stop, len(body)))  # before the client can go on and look at it
        self.wfile.write(body[:stop])
        self.wfile.flush()
        if hold is not None:
            self.hub.held.set()
            self.hub.released.wait()
        if stop < len(body):
            self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _note(self, path: str, sent: int = 0) -> None:
        asked, token = self.headers.get("Range"), self.headers.get("Authorization")
        agent = str(self.headers.get("User-Agent"))
        self.hub.requests.append(Request(self.command, path, asked, token, self.origin, agent, sent))
