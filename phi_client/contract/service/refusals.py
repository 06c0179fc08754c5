"""Writing an error: each way in which a service refuses, as a small named function.

It must not know which surface sends it: a surface chooses, and adds status wrapping and headers.

A refusal comes from the front door (key, quota, time-out) or from the model's container; only the latter is
wrapped in 424 by managed compute.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from phi_client.contract.error_body import HELP_TEXT

__all__ = [
    "CONTAINER_CODES",
    "Limit",
    "Refusal",
    "RefusedError",
    "api_version_not_supported",
    "container_error",
    "content_filtered",
    "context_length_exceeded",
    "deployment_not_found",
    "detail",
    "downstream_unavailable",
    "front_door_status",
    "front_door_text",
    "front_door_timeout",
    "gateway_backend_failed",
    "gateway_resource_not_found",
    "gateway_wrong_key",
    "invalid_input",
    "missing_model",
    "model_text",
    "no_model_name",
    "no_valid_deployment",
    "parameter_not_supported",
    "rate_limited",
    "request_too_large",
    "serverless_missing_key",
    "serverless_no_role",
    "serverless_wrong_key",
    "too_many_headers",
    "too_many_pending_requests",
    "unexpected_policy",
    "unknown_model",
    "unknown_parameters",
]

CONTAINER_CODES: Final[Mapping[int, str]] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    422: "Invalid input",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
"""`error.code` by status (source of the serving container)."""


Limit = Literal["requests", "tokens", "concurrency"]
"""What a 429 is about: a count by minute, or requests at once."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error before its surface has put it on the wire: `body` is JSON, or a text, or nothing."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    by_model: bool = True


class RefusedError(Exception):
    """A request that a surface does not take; `refusal` is what it says."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"refused with status {refusal.status}")
        self.refusal = refusal


def invalid_input(details: Sequence[Mapping[str, Any]]) -> Refusal:
    """422 with pydantic's error objects (source of the container; quoted from live traffic in issues)."""
    error = {
        "code": "Invalid input",
        "status": 422,
        "message": "invalid input error",
        "details": list(details),
    }
    return Refusal(422, {"error": error})


def detail(status: int, text: str) -> Refusal:
    """`{"detail": …}`, the container's form for what it refuses itself (its source)."""
    return Refusal(status, {"detail": text})


def container_error(status: int, message: str) -> Refusal:
    """`{"error": {code, message, status}}`, the container's form for every other failure (its source)."""
    code = CONTAINER_CODES.get(status, "Unknown Status Code")
    return Refusal(status, {"error": {"code": code, "message": message, "status": status}})


def model_text(status: int, text: str) -> Refusal:
    """A plain text from behind the front door, as `NOT FOUND` on serverless (recorded)."""
    return Refusal(status, text)


def unknown_parameters(names: Sequence[str], *, policy_given: bool) -> Refusal:
    """400 for keys outside the schema.

    The text differs with whether the caller sent `extra-parameters: error` to the newer container
    (`policy_given`) or relied on the default (source of both containers; the second quoted live).
    """
    if policy_given:
        return detail(
            400, f"Extra parameters {list(names)!r} are not allowed when extra-parameters is set to 'error'."
        )
    return detail(
        400,
        f"Extra parameters {list(names)!r} are not allowed when extra-parameters is not set or set to be "
        "'error'. Set extra-parameters to 'pass-through' to pass to the model.",
    )


def unexpected_policy(value: str) -> Refusal:
    """400 for an `extra-parameters` header of another value (source of the container; quoted live)."""
    return detail(
        400,
        f"Unexpected EXTRA_PARAMETERS option {value}, expected options are ['error', 'drop', 'pass-through']",
    )


def context_length_exceeded(limit: int, requested: int, *, as_string: bool) -> Refusal:
    """400 for a prompt longer than the context, both in tokens.

    The engine's flat object (reported live); with `as_string` inside the container's `message`, as the older
    container wraps an engine's error. The text after its first sentence is inferred.
    """
    error = {
        "object": "error",
        "message": f"This model's maximum context length is {limit} tokens. "
        f"However, your messages resulted in {requested} tokens.",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    }
    return container_error(400, json.dumps(error)) if as_string else Refusal(400, error)


def serverless_missing_key() -> Refusal:
    """400, and not 401, when `Authorization` is absent (reported live)."""
    body = {"status": "Auth token must be passed as a header called Authorization"}
    return Refusal(400, body, by_model=False)


def serverless_wrong_key() -> Refusal:
    """401 for a bad key or token (recorded)."""
    message = "Auth token validation failed. Please provide a valid key or a valid AAD token"
    body = {"statusCode": 401, "message": message}
    return Refusal(401, body, {"x-ms-error-reason": "Invalid JWT."}, by_model=False)


def serverless_no_role() -> Refusal:
    """401 for a token whose identity may not use the deployment: as for a bad one, which it is not (inferred)."""
    return replace(serverless_wrong_key(), headers={})


def front_door_text(status: int, text: str) -> Refusal:
    """A plain text from the front door, as `key_auth_access_denied` on managed compute (reported live)."""
    return Refusal(status, text, by_model=False)


def front_door_status(status: int, text: str) -> Refusal:
    """A status for which no body was found in any source: a short JSON of the serverless gateway's shape."""
    return Refusal(status, {"status": text}, by_model=False)


def front_door_timeout() -> Refusal:
    """408 when the model ran longer than the deployment's limit, with the help text (documented)."""
    return front_door_text(408, "upstream request timeout" + HELP_TEXT)


def rate_limited(retry_after_s: int) -> Refusal:
    """429 in the shape recorded on Azure OpenAI; the serverless one is not known (inferred)."""
    message = f"Rate limit is exceeded. Try again in {retry_after_s} seconds."
    body = {"error": {"code": "429", "message": message}}
    return Refusal(429, body, {"Retry-After": str(retry_after_s)}, by_model=False)


def too_many_pending_requests(retry_after_s: int | None = None) -> Refusal:
    """429 of managed compute: no body, a reason header (an Envoy filter's source); `Retry-After` inferred."""
    headers = {"ms-azureml-model-error-reason": "too_many_pending_request"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Refusal(429, "", headers, by_model=False)


def gateway_wrong_key() -> Refusal:
    """401 of a Foundry resource for a missing or bad key (text as usually quoted; recorded for tokens similarly)."""
    message = (
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key "
        "for an active subscription and use a correct regional API endpoint for your resource."
    )
    return Refusal(401, {"error": {"code": "401", "message": message}}, by_model=False)


def gateway_resource_not_found() -> Refusal:
    """404 of a Foundry resource for a path that it does not have (reported live)."""
    return Refusal(404, {"error": {"code": "404", "message": "Resource not found"}}, by_model=False)


def no_model_name() -> Refusal:
    """400 of `/models` for a request that names no model (reported live)."""
    message = (
        "No model specified in request. Please provide a model name in the request body or as a "
        "x-ms-model-mesh-model-name header."
    )
    error = {"code": "no_model_name", "message": message, "details": message}
    return Refusal(400, {"error": error}, {"x-ms-error-code": "no_model_name"}, by_model=False)


def missing_model() -> Refusal:
    """400 of `/openai/v1` for a request that names no model: OpenAI's own words (inferred for Azure)."""
    message = "you must provide a model parameter"
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return Refusal(400, {"error": error}, by_model=False)


def api_version_not_supported() -> Refusal:
    """400 for an unknown `api-version` (reported live on Azure OpenAI)."""
    error = {"code": "BadRequest", "message": "API version not supported"}
    return Refusal(400, {"error": error}, by_model=False)


def unknown_model(name: str) -> Refusal:
    """400 of `/models` for a model that the resource does not have (recorded)."""
    message = f"Unknown model: {name}"
    error = {"code": "unknown_model", "message": message, "details": message}
    return Refusal(400, {"error": error}, {"x-ms-error-code": "unknown_model"}, by_model=False)


def deployment_not_found() -> Refusal:
    """404 of `/openai/v1` for a deployment that the resource does not have (quoted in many issues)."""
    message = (
        "The API deployment for this resource does not exist. If you created the deployment within the last 5 "
        "minutes, please wait a moment and try again."
    )
    error = {"type": "invalid_request_error", "code": "DeploymentNotFound", "message": message}
    return Refusal(404, {"error": error}, by_model=False)


def no_valid_deployment() -> Refusal:
    """404 of managed compute where no deployment takes the request (quoted from live traffic in issues)."""
    text = (
        "No valid deployments to route to. Please check that the endpoint has at least one deployment with positive "
        "weight values or use a deployment specific header to route."
    )
    return front_door_text(404, text + HELP_TEXT)


def too_many_headers() -> Refusal:
    """431 of a Foundry resource for more custom headers than it takes (documented; the body is inferred)."""
    return front_door_status(431, "Request header fields too large: at most 10 custom headers are accepted")


def parameter_not_supported(name: str, value: object) -> Refusal:
    """422 for a value of the schema that this model does not take (documented)."""
    body = {
        "status": 422,
        "code": "parameter_not_supported",
        "detail": {"loc": ["body", name], "input": value},
        "message": "One of the parameters contain invalid values.",
    }
    return Refusal(422, body)


def downstream_unavailable() -> Refusal:
    """502 of the newer container when its engine is down (its source)."""
    return Refusal(502, {"error": "Downstream unavailable"})


def gateway_backend_failed() -> Refusal:
    """500 of a Foundry resource when the model behind it fails (quoted from live traffic in issues)."""
    message = "Backend returned unexpected response. Please contact Microsoft for help."
    return Refusal(500, {"error": {"code": "InternalServerError", "message": message}}, by_model=False)


def request_too_large(max_tokens: int) -> Refusal:
    """413 of `/models` (its message and code quoted in issues, the envelope inferred)."""
    message = f"Request body too large for this model. Max size: {max_tokens} tokens."
    error = {"code": "tokens_limit_reached", "message": message, "details": message}
    return Refusal(413, {"error": error}, {"x-ms-error-code": "tokens_limit_reached"}, by_model=False)


def content_filtered(results: Mapping[str, Any]) -> Refusal:
    """400 for a prompt that the content filter refused; `results` by category (quoted from live traffic)."""
    message = (
        "The response was filtered due to the prompt triggering Microsoft's content management policy. "
        "Please modify your prompt and retry."
    )
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": dict(results)}
    error = {
        "message": message,
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": inner,
    }
    return Refusal(400, {"error": error}, by_model=False)
