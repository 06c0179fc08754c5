"""The coverage page is current, and its facts are those of the code: no route, field or header goes unmentioned."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from phi_emulator.service.deviations import DEVIATIONS

from phi_client.contract.service import MANAGED_COMPUTE_OLDER, SURFACES, Surface
from phi_client.contract.service.catalogue import CATALOGUE
from phi_client.contract.service.chat import ChatRequest, WireUsage

DOCS = Path(__file__).parents[2] / "docs"
SPEC = Path(__file__).parents[1] / "conformance" / "openapi-2024-05-01-preview.json"


@pytest.fixture(scope="module")
def coverage() -> Any:
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("contract_coverage")
    finally:
        sys.path.remove(str(DOCS))


@pytest.fixture(scope="module")
def facts(coverage: Any) -> ModuleType:
    return sys.modules["contract_facts"]


def names_of(facts: Any, surface: str, *states: str) -> set[str]:
    return {fact.name for fact in facts if surface in fact.surfaces and (not states or fact.state in states)}


def test_the_page_is_current(coverage: Any) -> None:
    assert coverage.PAGE.read_text(encoding="utf-8") == coverage.page(), (
        "run `python docs/contract_coverage.py`"
    )


@pytest.mark.parametrize("name", SURFACES)
def test_every_route_is_listed(facts: Any, name: str) -> None:
    spoken: Surface = MANAGED_COMPUTE_OLDER if name == "managed_compute" else SURFACES[name]
    served = {f"POST {route}" for route in spoken.chat_routes}
    served |= {f"POST {spoken.score_route}"} if spoken.score_route else set()
    others = [spoken.info_route, spoken.health_route, spoken.swagger_route]
    served |= {f"GET {route}" for route in others if route}
    served |= {f"GET {spoken.model_route}NAME"} if spoken.model_route else set()
    listed = names_of(facts.ROUTES, name, "same", "differs")
    assert {route for route in listed if "404" not in _note(facts.ROUTES, name, route)} == served


def _note(facts: Any, surface: str, name: str) -> str:
    return str(next(fact.note for fact in facts if fact.name == name and surface in fact.surfaces))


@pytest.mark.parametrize("name", SURFACES)
def test_every_field_of_a_request_is_listed(facts: Any, name: str) -> None:
    assert set(ChatRequest.model_fields) <= names_of(facts.REQUEST, name)


def test_every_field_of_the_official_request_is_listed(facts: Any) -> None:
    spec = json.loads(SPEC.read_text(encoding="utf-8"))
    schemas = spec.get("definitions") or spec["components"]["schemas"]
    official = set(schemas["ChatCompletionsOptions"]["properties"])
    assert official <= names_of(facts.REQUEST, "foundry_models")


@pytest.mark.parametrize("name", SURFACES)
def test_every_header_is_listed_and_sent(facts: Any, name: str) -> None:
    spoken = SURFACES[name]
    counts = dict.fromkeys(("limit_requests", "limit_tokens", "remaining_requests", "remaining_tokens"), 1)
    sent = spoken.response_headers(request_id="r", session="s", deployment="d", usage=WireUsage())
    sent |= spoken.limit_headers(**counts)
    for row in CATALOGUE:
        if row.is_sent and name in row.surfaces:
            sent |= spoken.write_error(row.refusal(spoken)).headers
    written = {header.lower() for header in sent} - {"content-type"}
    listed = {header.lower() for header in names_of(facts.HEADERS, name, "same")}
    # The reset headers of a 429 go with the others of their kind.
    assert {header for header in written if not header.startswith("x-ratelimit-reset")} == listed


def test_every_deviation_is_on_the_page(coverage: Any) -> None:
    page = coverage.page()
    assert [item.subject for item in DEVIATIONS if item.subject not in page] == []
