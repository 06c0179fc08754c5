"""The routes under `/_emulator`: what changes anything needs the key, and is no GET."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest
from phi_emulator import EmulatorConfig
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service.chat import ChatService
from phi_emulator.web.app import App
from phi_emulator.web.control import Control
from phi_emulator.web.control_route import ControlRoute
from phi_emulator.web.exchange import Exchange
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

KEY = "a-key-of-its-own"
PATHS = [
    "/_emulator/health",
    "/_emulator/live",
    "/_emulator/ready",
    "/_emulator/status",
    "/_emulator/metrics",
    "/_emulator/limits",
    "/_emulator/filter",
    "/_emulator/settings",
    "/_emulator/reset",
    "/_emulator/journal",
    "/_emulator/journal/a-request",
    "/_emulator/journal/a-request/events",
    "/_emulator/journal/a-request/as/curl",
    "/_emulator/events",
    "/_emulator/engine",
    "/_emulator/faults",
    "/_emulator/faults/reset",
    "/_emulator/script",
    "/_emulator/latency",
    "/_emulator/entra/common/v2.0/.well-known/openid-configuration",
    "/_emulator/clock",
    "/_emulator/entra/common/.well-known/openid-configuration",
    "/_emulator/entra/common/discovery/v2.0/keys",
    "/_emulator/entra/common/oauth2/v2.0/token",
    "/_emulator/entra/metadata/identity/oauth2/token",
    "/_emulator/entra/common/metadata/identity/oauth2/token",
    "/_emulator/entra/msi/token",
    "/_emulator/",
    "/_emulator",
    "/_emulator/page/index.html",
    "/_emulator/surface",
    "/_emulator/deviations",
    "/_emulator/formulas",
]
TOKEN = {"grant_type": "client_credentials", "client_id": "mine", "scope": "https://ml.azure.com/.default"}


@pytest.fixture(scope="module")
def service() -> Iterator[ChatService]:
    worker = Worker(lambda: ScriptedEngine(lambda _: "42"))
    worker.start()
    yield ChatService(worker)
    worker.stop()


@pytest.fixture
def table(service: ChatService) -> list[ControlRoute]:
    return [*App(service, EmulatorConfig(key=KEY)).control_routes]


def send(app: App, method: str, path: str, **options: object) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **options)  # type: ignore[arg-type]

    return asyncio.run(ask())


def test_the_paths_of_this_file_are_all_that_there_are(table: list[ControlRoute]) -> None:
    for route in table:
        assert [path for path in PATHS if re.fullmatch(route.path, path)], route.path
    for path in PATHS:
        methods = [route.method for route in table if re.fullmatch(route.path, path)]
        assert methods
        assert len(methods) == len(set(methods))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("form", [None, TOKEN, TOKEN | {"client_secret": "emulator"}])
def test_without_the_key_nothing_is_changed(
    service: ChatService, table: list[ControlRoute], path: str, form: dict[str, str] | None
) -> None:
    app = App(service, EmulatorConfig(key=KEY))
    before = (app.behaviour.now, service.status)
    routes = {route.method: route for route in table if re.fullmatch(route.path, path)}
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = send(app, method, path, data=form)
        route = next((route for name, route in routes.items() if name == method), None)
        if route is None:
            # Where all that a path has needs the key, it is asked for first.
            is_asked_for = all(route.needs_key for route in routes.values())
            assert answer.status_code == (400 if is_asked_for else 405)
            assert is_asked_for or answer.headers["allow"] == ", ".join(routes)
        elif method not in ("GET", "HEAD") or route.is_private:
            assert route.needs_key or route.has_own_key
            assert 400 <= answer.status_code < 500
            assert "access_token" not in answer.text
    assert (app.behaviour.now, service.status) == before


@pytest.mark.parametrize("root", ["serverless", "managed_compute", "openai_v1", "foundry_models"])
def test_whatever_joins_the_table_as_a_post_is_kept_by_the_key(
    service: ChatService, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    async def change(exchange: Exchange) -> ASGIApp:
        done.append(exchange.place.route)
        return JSONResponse({})

    route = ControlRoute("/_emulator/change", "POST", change)
    monkeypatch.setattr(Control, "table", (route,))
    app = App(service, EmulatorConfig(key=KEY, dialect=root))
    wrong = {"authorization": "Bearer emulator", "api-key": "emulator"}
    for headers in ({}, wrong):
        assert 400 <= send(app, "POST", "/_emulator/change", headers=headers).status_code < 500
    assert not done
    right = {"authorization": f"Bearer {KEY}", "api-key": KEY}
    answer = send(app, "POST", "/_emulator/change", headers=right)
    assert (answer.status_code, done) == (200, ["/_emulator/change"])
