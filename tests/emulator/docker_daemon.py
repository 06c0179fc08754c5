"""A daemon with as much of Docker's API as testcontainers asks for, whose containers are processes of this machine.

Docker is not where these tests run. What is behind the API is no mock: `start` runs the emulator with the command and
the environment that were asked for. `make image` does the same with real containers.
"""

from __future__ import annotations

import io
import json
import os
import re
import socketserver
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socket import create_server
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

__all__ = ["Daemon", "docker_daemon"]

_API: Final = "1.44"


@dataclass
class Container:
    """What was asked for, and the process that came of it."""

    config: dict[str, Any]
    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def status(self) -> str:
        if self.process is None:
            return "created"
        return "running" if self.process.poll() is None else "exited"

    def start(self) -> None:
        with create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        # Files lie in a folder of the container's, and what names them says so.
        asked = [one.replace("/etc/", f"{self.folder}/etc/") for one in self.config["Env"]]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PHI_")}
        environment = kept | dict(one.split("=", 1) for one in asked) | {"PHI_EMULATOR_PORT": str(self.port)}
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "phi_emulator", *(self.config.get("Cmd") or ["serve"])],
                env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass
class Daemon:
    """Where it listens, and its containers, those that were removed too."""

    folder: Path
    containers: dict[str, Container] = field(default_factory=dict[str, Container])
    removed: list[Container] = field(default_factory=list[Container])

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        """A status, and what is sent: bytes as they are, all else as JSON."""
        words = path.strip("/").split("/")
        if words == ["version"]:
            return 200, {"ApiVersion": _API, "Version": "0", "MinAPIVersion": "1.24"}
        if words[0] == "images":
            return 200, {"Id": "sha256:0", "RepoTags": words[1:2]}
        if words == ["containers", "create"]:
            name = f"{len(self.containers) + len(self.removed):064x}"
            folder = self.folder / name[-4:]
            folder.mkdir()
            self.containers[name] = Container(json.loads(body), folder)
            return 201, {"Id": name, "Warnings": []}
        if words[0] == "containers" and words[1] in self.containers:
            return self._of_container(words[1], method, words[2:], query, body)
        return 404, {"message": f"nothing is known of {method} {path}"}

    def _of_container(
        self, name: str, method: str, words: list[str], query: dict[str, list[str]], body: bytes
    ) -> tuple[int, Any]:
        container = self.containers[name]
        if method == "DELETE":
            container.end()
            self.removed.append(self.containers.pop(name))
            return 204, b""
        if words == ["archive"]:
            assert query["path"] == ["/"]
            with tarfile.open(fileobj=io.BytesIO(body)) as archive:
                archive.extractall(container.folder, filter="data")
            return 200, b""
        if words == ["start"]:
            container.start()
            return 204, b""
        if words == ["json"]:
            return 200, {
                "Id": name,
                "Config": {"Tty": False, "Image": container.config["Image"]},
                "State": {"Status": container.status},
                "NetworkSettings": {
                    "Ports": {"16180/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(container.port)}]}
                },
            }
        assert words == ["logs"], words
        said = (container.folder / "log").read_bytes() if query.get("stderr") == ["1"] else b""
        return 200, b"\x02\0\0\0" + len(said).to_bytes(4, "big") + said if said else b""


@contextmanager
def docker_daemon(folder: Path) -> Iterator[Daemon]:
    """A daemon that runs, and ends with all of its containers."""
    daemon = Daemon(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            url = urlsplit(self.path)
            path = re.sub(r"^/v[0-9.]+(?=/)", "", url.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, found = daemon.answer(self.command, path, parse_qs(url.query), body)
            sent = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            if not isinstance(found, bytes):
                self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle  # noqa: N815 - their names there

        def address_string(self) -> str:
            return "a socket"  # one of Unix has no address

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(daemon.socket), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield daemon
        finally:
            server.shutdown()
            thread.join()
            for container in daemon.containers.values():
                container.end()
