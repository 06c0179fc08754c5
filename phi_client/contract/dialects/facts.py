"""The facts by which surfaces differ, as data: what each dialect answers, in one order.

It must not name a surface, nor turn anything into bytes.
"""

from abc import ABC
from dataclasses import dataclass
from typing import Final, Literal

from phi_client.contract.parameters import ParameterPolicy
from phi_client.contract.refusals import Refusal, detail, front_door_status
from phi_client.contract.tokens import TokenRules

__all__ = ["ApiVersion", "Facts"]

_METHOD_NOT_ALLOWED: Final = detail(405, "Method Not Allowed")
# No source shows these two: the statuses are HTTP's own, the bodies inferred.
_PAYLOAD_TOO_LARGE: Final = front_door_status(413, "Request body too large")
_UNSUPPORTED_MEDIA_TYPE: Final = front_door_status(415, "Unsupported media type, use application/json")


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """The `api-version` query parameter: what is sent by default, and what was seen to be taken.

    `missing` is the answer to a request without one, `None` where that was seen to work; `unknown` that to any other.
    `with_reasoning_field` are those whose reasoning has a field of its own, documented in 2025 and then withdrawn.
    """

    default: str
    accepted: tuple[str, ...]
    unknown: Refusal
    missing: Refusal | None = None
    with_reasoning_field: tuple[str, ...] = ("2025-04-01", "2025-05-01")


@dataclass(frozen=True, kw_only=True)
class Facts(ABC):
    """What is particular to one surface and can be said as data.

    Its subclasses add no fields, so they need no decorator, which would take milliseconds of each import.
    """

    name: str

    # Which hosts speak it, and under which path an emulator serves it beside others.
    host_suffixes: tuple[str, ...]
    emulator_prefix: str

    # The path that all routes begin with, and that people paste for short.
    root: str

    # Routes; the first chat route is the default. `free_routes` never refuse an unknown parameter.
    chat_routes: tuple[str, ...]
    free_routes: tuple[str, ...]
    score_route: str | None
    info_route: str
    health_route: str | None

    # How a key travels (a token always as `Authorization: Bearer`), and the scope of an Entra token.
    key_header: str
    key_prefix: str
    token_scope: str

    # `None`: the surface has no such parameter.
    api_version: ApiVersion | None

    # The request header that names a deployment, if there is one; whether the body must name a model.
    deployment_header: str | None
    needs_model: bool

    # What happens to a key outside the schema when the caller says nothing, and whether a header can say it.
    unknown_parameters: ParameterPolicy
    has_policy_header: bool

    # Response headers that name the request, best first; whether the caller's own id comes back.
    request_id_headers: tuple[str, ...]
    echoes_client_id: Literal["never", "when asked", "always"]

    # What the front door and the container say; `wraps_model_errors`: as 424, the true status in a header.
    missing_key: Refusal
    malformed_key: Refusal
    wrong_key: Refusal
    token_rules: TokenRules
    unknown_route: Refusal
    timed_out: Refusal
    engine_failed: Refusal
    wraps_model_errors: bool

    # Where the reasoning is, whether keys come in alphabetical order, and a missing `max_tokens`.
    reasoning_in: Literal["content", "reasoning_content"]
    sorted_keys: bool
    default_max_tokens: int | None

    # What a user must know of the surface's future, or nothing.
    retirement: str = ""

    # Whether answers carry the content filter's annotations, and a stream begins with those of the prompt; where they
    # do not, an answer that is blocked comes as an empty text.
    annotates: bool = True
    opens_with_annotations: bool = False

    # Whether a stream's usage comes unasked, with the finish reason, or by `stream_options` in a chunk of its own.
    streams_usage: Literal["unasked", "on request"] = "unasked"

    # Whether answers name their engine and count cached prompt tokens (recorded on Azure OpenAI, never on the others).
    tells_details: bool = False

    # Whether answers carry `x-ratelimit-…` headers (recorded on Azure OpenAI, never on the others).
    tells_limits: bool = False

    # Whether the info route is answered at all, and whether `/score` answers with the text alone.
    has_info: bool = True
    short_score: bool = False

    # Whether the front door's help text follows what the model says of a failure (seen on some surfaces, some days).
    has_help_text: bool = False

    # Whether an emulator takes what the hosted model has not: see `extensions`. No surface of Azure does.
    has_extensions: bool = False

    # Who answers, in the words of the OpenTelemetry conventions.
    telemetry_name: str = "azure.ai.inference"

    # The route that describes the others as OpenAPI, if there is one.
    swagger_route: str | None = None

    # Whether messages of all roles may be made of parts, whether numbers that have a default may be null, and whether
    # `response_format` may be `json_object`.
    takes_parts: bool = False
    takes_nulls: bool = False
    takes_json_object: bool = False

    # How many headers of a caller's own a request may have.
    max_custom_headers: int | None = None

    # The route that describes one model, whose name follows; for surfaces that serve several.
    model_route: str | None = None

    method_not_allowed: Refusal = _METHOD_NOT_ALLOWED
    payload_too_large: Refusal = _PAYLOAD_TOO_LARGE
    unsupported_media_type: Refusal = _UNSUPPORTED_MEDIA_TYPE
