"""`phi-emulator wait`: ready and not ready by its exit status, whatever listens there."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.command_line.waiting import wait
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.recordings.exchanges import RecordedRequest
from phi_emulator.recordings.local import LocalApp, LocalServer
from phi_emulator.web.exchange import Exchange
from starlette.types import Receive, Send

from phi_client.contract.service import SURFACES


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(wait, arguments, env=environment)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server of somebody else's that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    make_engine = lambda: ScriptedEngine(lambda _: "42")  # noqa: E731
    with Emulator(EmulatorConfig(port=0), make_engine=make_engine) as emulator:
        yield emulator


@pytest.mark.parametrize("path", ["", "/", "/serverless", "/openai/v1", "/managed-compute/score?x=1"])
@pytest.mark.parametrize("option", [(), ("--live",)])
def test_an_emulator_that_answers_is_ready_by_any_of_its_urls(
    emulator: Emulator, path: str, option: tuple[str, ...]
) -> None:
    done = run("--url", emulator.root + path, "--timeout", "0", *option)
    assert (done.exit_code, done.output) == (0, "")


def test_the_port_of_the_environment_is_asked_without_a_url(emulator: Emulator) -> None:
    port = emulator.root.rpartition(":")[2]
    assert run("--timeout", "0", PHI_EMULATOR_PORT=port).exit_code == 0


def test_the_port_of_the_file_of_settings_is_asked_too(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = emulator.root.rpartition(":")[2]
    (tmp_path / "phi-emulator.toml").write_text(f"port = {port}\n")
    monkeypatch.chdir(tmp_path)
    assert run("--timeout", "0").exit_code == 0
    (tmp_path / "phi-emulator.toml").write_text("port =\n")
    assert run("--timeout", "0", PHI_EMULATOR_PORT=port).exit_code == 0


def test_what_replays_a_recording_is_ready_too() -> None:
    class Unasked:
        async def answer(
            self, asked: RecordedRequest, exchange: Exchange, receive: Receive, send: Send
        ) -> None:
            raise AssertionError

    with LocalServer(LocalApp(Unasked(), root=SURFACES["serverless"])) as server:
        assert run("--url", server.root, "--timeout", "0").exit_code == 0


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, b'{"status": "loading"}', "loading"),
        (503, b'{"status": "broken"}', "broken"),
        (200, b"<html>", "answers 200 to /_emulator/ready, as no phi-emulator does"),
        (404, b"", "answers 404 to /_emulator/ready, as no phi-emulator does"),
        (200, b"[" * 3000, "as no phi-emulator does"),
        (200, b'["status"]', "as no phi-emulator does"),
        (200, b'{"status": "live"}', "live"),
        (200, b"\xff\xfe", "as no phi-emulator does"),
    ],
)
def test_what_is_not_ready_is_told_from_who_is_no_emulator(status: int, body: bytes, said: str) -> None:
    with answering(status, body) as url:
        done = run("--url", url, "--timeout", "0")
    assert done.exit_code == 1
    assert said in done.output


def test_who_listens_nowhere_or_says_nothing_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        done = run("--url", f"http://127.0.0.1:{port}", "--timeout", "0")
        assert (done.exit_code, "it does not answer" in done.output) == (1, True)
    done = run("--url", f"http://127.0.0.1:{port}", "--timeout", "0.2")
    assert (done.exit_code, "after 0.2 s" in done.output) == (1, True)


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://h", "http://", "http://u:secret@h", "http://h:99999", "http://[::1", "http://h:0"]
)
def test_a_url_that_is_none_is_wrong_usage_and_is_not_repeated(url: str) -> None:
    done = run("--url", url)
    assert done.exit_code == 2
    assert "give a URL such as http://127.0.0.1:16180" in done.output
    assert "secret" not in done.output


def test_a_check_of_health_imports_no_server_and_no_engine() -> None:
    script = (
        "import sys; from phi_emulator.cli import main; sys.argv[1:] = ['wait', '--timeout', '0']\n"
        "try:\n main()\nexcept SystemExit: print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "phi_emulator.command_line.waiting" in loaded
    assert not loaded & {"starlette", "uvicorn", "numpy", "onnx", "onnxruntime_genai", "huggingface_hub"}
