"""The page at `/`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from phi_emulator import EmulatorConfig
from phi_emulator.engine.protocol import EngineInfo
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service.chat import ChatService
from phi_emulator.web.app import App

from phi_client.contract.emulator import EMULATOR_KEY
from phi_client.contract.service import SURFACES

NAME = "<script>alert('x')</script>\u6a21"


class _Named(ScriptedEngine):
    @property
    def info(self) -> EngineInfo:
        return replace(super().info, model=NAME)


@pytest.fixture(scope="module")
def service() -> Iterator[ChatService]:
    worker = Worker(lambda: _Named(lambda _: "42"))
    worker.start()
    yield ChatService(worker)
    worker.stop()


def get(
    service: ChatService, root: str, key: str, headers: dict[str, str], method: str = "GET"
) -> httpx.Response:
    app = App(service, EmulatorConfig(dialect=root, key=key, max_body_bytes=1000))

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:16180") as client:
            return await client.request(method, "/", headers=headers)

    return asyncio.run(send())


BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("root", SURFACES)
def test_a_browser_gets_a_page_without_a_key(service: ChatService, root: str) -> None:
    page = get(service, root, EMULATOR_KEY, BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "http://127.0.0.1:16180" in page.text
    assert '<a href="/_emulator/">' in page.text
    assert EMULATOR_KEY in page.text
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


def test_others_get_it_as_json(service: ChatService) -> None:
    known = get(service, "serverless", EMULATOR_KEY, {}).json()
    assert (known["model"], known["endpoint"]) == (NAME, "http://127.0.0.1:16180")
    assert known["inspector"] == "http://127.0.0.1:16180/_emulator/"
    assert known["endpoints"]["openai_v1"] == "http://127.0.0.1:16180/openai/v1"


def test_a_dialect_with_a_route_of_that_name_keeps_it(service: ChatService) -> None:
    assert get(service, "managed_compute", "k", {"authorization": "Bearer k"}).text == '"healthy"'
    assert get(service, "managed_compute", "k", {}).status_code == 401
    assert get(service, "serverless", "k", {"authorization": "Bearer k"}, "POST").content == b"NOT FOUND"


def test_a_key_of_ones_own_is_not_shown(service: ChatService) -> None:
    page = get(service, "serverless", "a-key-of-ones-own", BROWSER)
    assert "a-key-of-ones-own" not in page.text
    assert "YOUR-KEY" in page.text


def test_a_foreign_host_gets_no_page(service: ChatService) -> None:
    assert get(service, "serverless", EMULATOR_KEY, BROWSER | {"host": "evil.example"}).status_code == 403
