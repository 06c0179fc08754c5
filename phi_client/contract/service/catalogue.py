"""Every error that a surface was seen or documented to send, as data: what triggers it and what is said.

It must not put anything on the wire. The bytes of each row, with their origin, are the golden files of the contract's
tests: the client reads them, the emulator writes them. Rows that an emulator has no reason to send are there for the
client.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from phi_client.contract.error_body import HELP_TEXT
from phi_client.contract.service import FOUNDRY_MODELS, MANAGED_COMPUTE, OPENAI_V1, SERVERLESS, Surface
from phi_client.contract.service.filter_results import PROMPT_CATEGORIES, filter_results
from phi_client.contract.service.refusals import (
    Refusal,
    RefusedError,
    container_error,
    detail,
    front_door_status,
    front_door_text,
    too_many_headers,
    unexpected_policy,
    unknown_parameters,
)

__all__ = ["CATALOGUE", "ErrorRow"]

S, M, F, O = SERVERLESS.name, MANAGED_COMPUTE.name, FOUNDRY_MODELS.name, OPENAI_V1.name  # noqa: E741 - the contract's letters
_ALL: Final = (S, M, F, O)
_FOUNDRY: Final = (F, O)
TENANT: Final = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One error: `name` is that of its golden files, `surfaces` who says it, `is_sent` whether an emulator does."""

    name: str
    trigger: str
    surfaces: tuple[str, ...]
    refusal: Callable[[Surface], Refusal]
    is_sent: bool = True


def _refused(ask: Callable[[Surface], object]) -> Callable[[Surface], Refusal]:
    """What is said to a request that `ask` has a surface read."""

    def refusal(surface: Surface) -> Refusal:
        try:
            ask(surface)
        except RefusedError as error:
            return error.refusal
        raise LookupError(f"{surface.name} takes it")

    return refusal


_BLOCKED: Final = filter_results(PROMPT_CATEGORIES, {"jailbreak": "high"})
_RATE_LIMIT: Final = (
    "Rate limit of 10 per 60s exceeded for UserByModelByMinute. Please wait 46 seconds before retrying."
)
_EXTRA_FORBIDDEN: Final = json.dumps(
    {
        "detail": [
            {
                "type": "extra_forbidden",
                "loc": ["body", "n"],
                "msg": "Extra inputs are not permitted",
                "input": 1,
            }
        ]
    }
)
_BROKEN: Final = b'{"model": "m", "messages": [{"role": "developer", "content": "x"}]}'
_NAMELESS: Final = b'{"messages": [{"role": "user", "content": "x"}]}'

CATALOGUE: Final = (
    ErrorRow("missing_key", "no key and no token", _ALL, lambda surface: surface.missing_key),
    ErrorRow("wrong_key", "a key of another deployment or resource", _ALL, lambda surface: surface.wrong_key),
    ErrorRow(
        "wrong_token",
        "a token that is expired, badly signed or for another audience",
        _ALL,
        lambda surface: surface.token_rules.wrong_token,
    ),
    ErrorRow(
        "wrong_tenant",
        "a token of another tenant",
        _ALL,
        lambda surface: surface.token_rules.wrong_tenant(TENANT),
    ),
    ErrorRow(
        "no_role",
        "an identity that may not use the deployment",
        _ALL,
        lambda surface: surface.token_rules.no_role,
    ),
    ErrorRow(
        "unknown_route", "a path that the surface doesn't have", _ALL, lambda surface: surface.unknown_route
    ),
    ErrorRow("method", "another method than the path has", _ALL, lambda surface: surface.method_not_allowed),
    ErrorRow(
        "media_type",
        "a body that is not said to be JSON",
        _ALL,
        lambda surface: surface.unsupported_media_type,
    ),
    ErrorRow(
        "too_large", "a body beyond the surface's limit", _ALL, lambda surface: surface.payload_too_large
    ),
    ErrorRow("too_many_headers", "more than ten custom headers", _FOUNDRY, lambda _: too_many_headers()),
    ErrorRow(
        "api_version",
        "an `api-version` that the surface doesn't take",
        (S, F),
        _refused(lambda surface: surface.check_api_version("2099-01-01")),
    ),
    ErrorRow(
        "no_model",
        "a body that names no model or deployment",
        _FOUNDRY,
        _refused(lambda surface: surface.read_chat_request({}, _NAMELESS)),
    ),
    ErrorRow(
        "unknown_deployment",
        "a model or deployment that is not there",
        (M, F, O),
        lambda surface: surface.unknown_deployment("phi-99"),
    ),
    ErrorRow(
        "validation",
        "a body that breaks the schema",
        _ALL,
        _refused(lambda surface: surface.read_chat_request({}, _BROKEN)),
    ),
    ErrorRow(
        "unknown_parameter",
        "a key outside the schema where these are refused",
        (S, M, F),
        lambda _: unknown_parameters(["n"], policy_given=False),
    ),
    ErrorRow(
        "unknown_parameter_by_header",
        "a key outside the schema with `extra-parameters: error`, newer container",
        (M,),
        lambda _: unknown_parameters(["n"], policy_given=True),
    ),
    ErrorRow(
        "policy",
        "an `extra-parameters` header of another value",
        (S, M, F),
        lambda _: unexpected_policy("ignore"),
    ),
    ErrorRow(
        "unsupported_value",
        "a `response_format` that the model doesn't have",
        _ALL,
        lambda surface: surface.unsupported_format("json_object"),
    ),
    ErrorRow(
        "tools",
        "tools for a model that has none",
        _ALL,
        lambda _: detail(400, "Tools and tool_choice are not supported."),
    ),
    ErrorRow(
        "context",
        "a prompt longer than the context",
        _ALL,
        lambda surface: surface.context_exceeded(4096, 5000),
    ),
    ErrorRow(
        "content_filter",
        "a prompt that the content filter blocks",
        _ALL,
        lambda surface: surface.prompt_filtered(_BLOCKED),
    ),
    ErrorRow(
        "timed_out", "an answer that takes longer than the limit", _ALL, lambda surface: surface.timed_out
    ),
    ErrorRow(
        "rate_limited",
        "a limit of tokens is reached",
        _ALL,
        lambda surface: surface.rate_limited(43, limit="tokens", remaining_requests=8),
    ),
    ErrorRow("engine_failed", "the engine breaks down", _ALL, lambda surface: surface.engine_failed),
    # What follows no emulator has a reason to send.
    ErrorRow(
        "container_failed",
        "an exception in the container",
        (M,),
        lambda _: container_error(500, "An error occurred during the request processing: a reason"),
        is_sent=False,
    ),
    ErrorRow(
        "model_not_ready",
        "a deployment that is still starting",
        (M,),
        lambda _: Refusal(424, "", {"ms-azureml-model-error-reason": "model_not_ready"}, by_model=False),
        is_sent=False,
    ),
    ErrorRow(
        "rate_limit_reached",
        "the front end's own limit of requests",
        (F,),
        lambda _: Refusal(
            429,
            {"error": {"code": "RateLimitReached", "message": _RATE_LIMIT, "details": _RATE_LIMIT}},
            {
                "Retry-After": "46",
                "x-ratelimit-type": "UserByModelByMinute",
                "x-ms-error-code": "RateLimitReached",
            },
            by_model=False,
        ),
        is_sent=False,
    ),
    ErrorRow(
        "help_text_only",
        "a limit of the model behind the front door",
        (F,),
        lambda _: front_door_text(429, HELP_TEXT),
        is_sent=False,
    ),
    ErrorRow(
        "newer_api_version",
        "a model that needs a newer `api-version`",
        (O,),
        lambda _: Refusal(
            400,
            {
                "error": {
                    "code": "BadRequest",
                    "message": "Model o3 is enabled only for api versions 2024-12-01-preview and later",
                }
            },
            by_model=False,
        ),
        is_sent=False,
    ),
    ErrorRow(
        "engine_refused",
        "the engine itself refuses",
        (F, O),
        lambda _: Refusal(
            400,
            {
                "object": "error",
                "message": "The engine refused.",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            },
        ),
        is_sent=False,
    ),
    ErrorRow(
        "extra_forbidden",
        "a key outside the schema of a Mistral model",
        (S, F),
        lambda _: Refusal(
            422, {"error": {"code": "Invalid input", "message": _EXTRA_FORBIDDEN, "status": 422}}
        ),
        is_sent=False,
    ),
    ErrorRow(
        "endpoint_not_found",
        "a host that no deployment has",
        (S,),
        lambda _: front_door_status(404, "Serverless endpoint not found"),
        is_sent=False,
    ),
    ErrorRow(
        "documented_not_found",
        "a route that the model doesn't support",
        (S, F),
        lambda _: Refusal(
            404,
            {"error": "Not found", "message": "The route is not supported.", "status": 404},
            by_model=False,
        ),
        is_sent=False,
    ),
    ErrorRow(
        "network_rules",
        "an address that the resource's network rules shut out",
        _FOUNDRY,
        lambda _: Refusal(
            403,
            {"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}},
            by_model=False,
        ),
        is_sent=False,
    ),
    ErrorRow(
        "overloaded",
        "a service with too much to do",
        _FOUNDRY,
        lambda _: Refusal(
            503,
            {"error": {"code": "503", "message": "The service is temporarily unavailable."}},
            by_model=False,
        ),
        is_sent=False,
    ),
    ErrorRow(
        "gateway_timeout",
        "a service that does not answer its gateway in time",
        _FOUNDRY,
        lambda _: Refusal(
            504, {"error": {"code": "504", "message": "The request timed out."}}, by_model=False
        ),
        is_sent=False,
    ),
)
"""In the order in which a request meets them."""
