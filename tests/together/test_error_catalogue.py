"""The emulator sends each error of the catalogue that it is there to send, with the bytes of its golden file.

Numbers may differ: what is left of a limit, the tokens of a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from phi_emulator.engine.protocol import Step
from phi_emulator.engine.scripted import ScriptedEngine

from phi_client.contract.dialects import DIALECTS
from phi_client.contract.service.catalogue import CATALOGUE, TENANT

if TYPE_CHECKING:
    from tests.together.conftest import Running, StartEmulator

WIRE = Path(__file__).parents[1] / "contract" / "wire"
PATHS = {
    "serverless": "",
    "managed_compute": "/managed-compute",
    "foundry_models": "/models",
    "openai_v1": "/openai/v1",
}
SENT = [(row.name, surface) for row in CATALOGUE if row.is_sent for surface in row.surfaces]
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
VERSION = "2024-05-01-preview"


class Breaking(ScriptedEngine):
    """Breaks down at once."""

    def step(self) -> list[Step]:
        raise RuntimeError("the engine is meant to break")


class Asking:
    """One surface of an emulator that is made as the error wants it."""

    def __init__(self, start: StartEmulator, surface: str) -> None:
        self.start = start
        self.surface = surface
        self.path = PATHS[surface]

    def __call__(
        self,
        body: Any = ASK,
        *,
        headers: dict[str, str] | None = None,
        version: str = VERSION,
        method: str = "POST",
        route: str = "/chat/completions",
        running: Running | None = None,
        key: str | None = "",
        **config: Any,
    ) -> httpx.Response:
        made = running or self.start(**config)
        given = dict(headers or {})
        if key is not None:
            name, value = DIALECTS[self.surface].write_key(key or made.emulator.key)
            given[name] = value
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        with httpx.Client(base_url=made.emulator.root, trust_env=False, timeout=20) as http:
            return http.request(
                method, self.path + route, params={"api-version": version}, headers=given, **content
            )

    def twice(self, **config: Any) -> httpx.Response:
        running = self.start(**config)
        assert self(running=running).status_code == 200
        return self(running=running)

    def with_token(
        self, *, audience: str | None = None, tenant: str = "", client: str = "me"
    ) -> httpx.Response:
        running = self.start()
        scope = f"{audience}/.default" if audience else DIALECTS[self.surface].token_scope
        authority = (
            f"{running.emulator.entra_url}/{tenant or running.emulator.config.tenant}/oauth2/v2.0/token"
        )
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": "any",
            "scope": scope,
        }
        token = httpx.post(authority, data=form, trust_env=False).json()["access_token"]
        return self(running=running, key=None, headers={"Authorization": f"Bearer {token}"})

    def broken(self) -> httpx.Response:
        return self(wrap=lambda scripted: Breaking(lambda _messages: "never"))

    def held(self, **config: Any) -> httpx.Response:
        running = self.start(**config)
        running.gate.close()
        return self(running=running)


def _messages(text: str) -> dict[str, Any]:
    return ASK | {"messages": [{"role": "user", "content": text}]}


TRIGGERS: dict[str, Callable[[Asking], httpx.Response]] = {
    "missing_key": lambda ask: ask(key=None),
    "wrong_key": lambda ask: ask(key="another"),
    "wrong_token": lambda ask: ask.with_token(audience="https://vault.azure.net"),
    "wrong_tenant": lambda ask: ask.with_token(tenant=TENANT),
    "no_role": lambda ask: ask.with_token(client="00000000-0000-0000-0000-000000000403"),
    "unknown_route": lambda ask: ask(route="/nowhere"),
    "method": lambda ask: ask(method="PUT"),
    "media_type": lambda ask: ask(b"x", headers={"Content-Type": "text/plain"}),
    "too_large": lambda ask: ask(max_body_bytes=10),
    "too_many_headers": lambda ask: ask(headers={f"x-mine-{number}": "1" for number in range(11)}),
    "api_version": lambda ask: ask(version="2099-01-01"),
    "no_model": lambda ask: ask({"messages": ASK["messages"]}),
    "unknown_deployment": lambda ask: ask(
        ASK | {"model": "phi-99"}, headers={"azureml-model-deployment": "phi-99"}, deployments=("phi",)
    ),
    "validation": lambda ask: ask({"model": "m", "messages": [{"role": "developer", "content": "x"}]}),
    "unknown_parameter": lambda ask: ask(ASK | {"n": 1}, image="older"),
    "unknown_parameter_by_header": lambda ask: ask(ASK | {"n": 1}, headers={"extra-parameters": "error"}),
    "policy": lambda ask: ask(headers={"extra-parameters": "ignore"}),
    "unsupported_value": lambda ask: ask(ASK | {"response_format": {"type": "json_object"}}),
    "tools": lambda ask: ask(ASK | {"tools": [{"type": "function", "function": {"name": "f"}}]}),
    "context": lambda ask: ask(_messages("word " * 200), engine={"context_length": 100}),
    "content_filter": lambda ask: ask(_messages("phi-filter-jailbreak"), content_filter="default"),
    "timed_out": lambda ask: ask.held(request_timeout_ms=1),
    "rate_limited": lambda ask: ask.twice(requests_per_minute=9, tokens_per_minute=1),
    "engine_failed": lambda ask: ask.broken(),
}


@pytest.mark.parametrize(("name", "surface"), SENT, ids=lambda part: part)
def test_the_emulator_sends_the_golden_bytes(start_emulator: StartEmulator, name: str, surface: str) -> None:
    answer = TRIGGERS[name](Asking(start_emulator, surface))
    head, _, body = (WIRE / surface / f"error_{name}.wire").read_bytes().partition(b"\n\n")
    golden = dict(line.split(": ", 1) for line in head.decode().splitlines())
    assert answer.status_code == int(golden.pop("status"))
    assert _without_numbers(answer.text.removesuffix("\n")) == _without_numbers(
        body.decode().removesuffix("\n")
    )
    for header in golden.keys() - {"origin", "source"}:
        assert _without_numbers(answer.headers[header]) == _without_numbers(golden[header]), header


def test_each_error_that_is_sent_has_a_trigger() -> None:
    assert set(TRIGGERS) == {name for name, _ in SENT}


def _without_numbers(text: str) -> str:
    return re.sub(r"(?<![\w-])\d+(?![\w-])", "#", text)
