"""The facts by which surfaces differ for whoever calls them, as data: what each dialect answers, in one order.

It must not name a surface, nor turn anything into bytes. What only a service must know stands in `service`.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Facts"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is particular to one surface and can be said as data.

    Its subclasses add no fields, so they need no decorator, which would take milliseconds of each import.
    """

    name: str

    # Which hosts speak it, and under which path an emulator serves it beside others.
    host_suffixes: tuple[str, ...]
    emulator_prefix: str

    # The path that all routes begin with, and that people paste for short.
    root: str

    # Routes; the first chat route is the default.
    chat_routes: tuple[str, ...]
    score_route: str | None
    info_route: str

    # How a key travels (a token always as `Authorization: Bearer`), and the scope of an Entra token.
    key_header: str
    key_prefix: str
    token_scope: str

    # The `api-version` that is sent when nobody names another; `None`: the surface has no such parameter.
    api_version: str | None

    # The request header that names a deployment, if there is one; whether the body must name a model.
    deployment_header: str | None
    needs_model: bool

    # Whether a header can say what happens to a key outside the schema.
    has_policy_header: bool

    # Response headers that name the request, best first.
    request_id_headers: tuple[str, ...]

    # What a user must know of the surface's future, or nothing.
    retirement: str = ""

    # Whether a stream's usage comes unasked, with the finish reason, or by `stream_options` in a chunk of its own.
    streams_usage: Literal["unasked", "on request"] = "unasked"

    # Who answers, in the words of the OpenTelemetry conventions.
    telemetry_name: str = "azure.ai.inference"

    # The route that describes one model, whose name follows; for surfaces that serve several.
    model_route: str | None = None
