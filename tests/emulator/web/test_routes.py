"""The table of routes holds what the dialects say, and nothing else."""

from __future__ import annotations

from typing import Any, cast

import pytest
from phi_emulator.web.control import Control
from phi_emulator.web.endpoints import Endpoints
from phi_emulator.web.entra import Entra
from phi_emulator.web.routes import Routes

from phi_client.contract.service import MANAGED_COMPUTE, OPENAI_V1, SERVERLESS, SURFACES


def _routes(root: str) -> Routes:
    nobody = cast("Any", None)
    return Routes(
        SURFACES,
        root,
        Endpoints(nobody, nobody, max_body_bytes=1),
        Control(nobody, nobody, reset=nobody),
        Entra(nobody, secret=None),
    )


def test_every_route_of_every_dialect_is_served_under_its_prefix() -> None:
    paths = _routes("serverless").paths
    for dialect in SURFACES.values():
        info = dialect.info_route if dialect.has_info else None
        routes = [*dialect.chat_routes, dialect.score_route, info, dialect.health_route]
        expected = {dialect.emulator_prefix + route for route in routes if route is not None}
        assert expected <= set(paths)
        assert all(paths[path].dialect is dialect for path in expected)


def test_the_root_speaks_one_dialect() -> None:
    serverless, managed = _routes("serverless"), _routes("managed_compute")
    assert serverless.locate("/chat/completions").dialect is SERVERLESS
    assert managed.locate("/chat/completions").dialect is MANAGED_COMPUTE
    assert not serverless.locate("/score").handlers
    assert set(managed.locate("/score").handlers) == {"POST"}


def test_the_route_is_what_the_dialect_calls_it() -> None:
    place = _routes("serverless").locate("/managed-compute/v1/chat/completions")
    assert place.route == "/v1/chat/completions"


def test_an_unknown_path_belongs_to_the_dialect_it_is_under() -> None:
    routes = _routes("serverless")
    assert routes.locate("/managed-compute/x").dialect is MANAGED_COMPUTE
    assert routes.locate("/managed-computer").dialect is SERVERLESS


@pytest.mark.parametrize("root", SURFACES)
@pytest.mark.parametrize(
    "path",
    [
        "/openai",
        "/openai/",
        "/openai/responses",
        "/openai/v1/responses",
        "/openai/v1/chat",
        "/openai/v2/chat/completions",
        "/openai/deployments",
        "/openai/deployments/m/embeddings",
        "/openai/deployments//chat/completions",
        "/openai/models/../x/openai",
        "/api/projects",
        "/api/projects/mine/agents",
        "/api/projects/mine/openai/responses",
    ],
)
def test_what_a_resource_has_not_its_gateway_says(root: str, path: str) -> None:
    place = _routes(root).locate(path)
    if path.startswith("/openai/models/"):
        assert place.dialect.name == OPENAI_V1.name
        return
    assert not place.handlers
    assert place.dialect.unknown_route == OPENAI_V1.unknown_route


@pytest.mark.parametrize("path", ["/openai/v1/models", "/openai/models", "/api/projects/p/openai/v1/models"])
def test_models_are_listed_and_any_name_resolves(path: str) -> None:
    routes = _routes("serverless")
    assert set(routes.locate(path).handlers) == {"GET"}
    for name in ("", "phi", "a/b", "a b", "\u6a21"):
        place = routes.locate(f"{path}/{name}")
        assert set(place.handlers) == {"GET"}
        assert place.handlers != routes.locate(path).handlers
