"""What the swagger route says: the routes of a surface and the schema of a chat request, as OpenAPI.

It must not know HTTP. The document is our own: that of a real endpoint was never published.
"""

from __future__ import annotations

from typing import Any

from phi_client.contract.service import Surface
from phi_client.contract.service.chat import ChatRequest

__all__ = ["openapi_of"]

_JSON = "application/json"
_SCHEMAS = "#/components/schemas/"


def openapi_of(dialect: Surface, model: str) -> dict[str, Any]:
    """The OpenAPI document of the routes that `dialect` has, with `model` behind them."""
    schema = ChatRequest.model_json_schema(ref_template=_SCHEMAS + "{model}")
    schemas = schema.pop("$defs", {}) | {"ChatRequest": schema}
    paths: dict[str, Any] = {
        route: {"post": _operation("A chat completion", {"$ref": f"{_SCHEMAS}ChatRequest"})}
        for route in dialect.chat_routes
    }
    if dialect.score_route is not None:
        score: dict[str, Any] = {
            "type": "object",
            "required": ["input_data"],
            "properties": {"input_data": {}},
        }
        paths[dialect.score_route] = {"post": _operation("A chat completion in the form of `/score`", score)}
    if dialect.has_info:
        paths[dialect.info_route] = {"get": _operation("The model that answers")}
    if dialect.health_route is not None:
        paths[dialect.health_route] = {"get": _operation("Whether the deployment is there")}
    return {
        "openapi": "3.0.3",
        "info": {"title": model, "version": "1.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(summary: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": {_JSON: {"schema": {}}}}},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    return operation
