"""Whom a call asks and what it is answered, in the words of OpenTelemetry's GenAI conventions.

It must not import OpenTelemetry. Whatever a request or an answer holds, it must neither raise nor give a value that an
exporter can't write: what has another type than the conventions' is left out, and is the service's to refuse.

The names are those of version 1.42, the last one before the GenAI conventions moved to a repository of their own
(open-telemetry/semantic-conventions-genai), which has released nothing yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from phi_client._call.completion import Origin, completion_of
from phi_client._call.secrets import Secrets
from phi_client.contract.answers import AnswerView, ChoiceView, view_answer
from phi_client.contract.genai import (
    Scrub,
    count_of,
    identifier,
    objects_of,
    parts_as_json,
    tool_call_part,
    without_gaps,
)
from phi_client.contract.wire import ContractError

if TYPE_CHECKING:
    from phi_client._call.completion import Completion
    from phi_client._call.exchange import Exchange

__all__ = [
    "answered",
    "content_of_answer",
    "endpoint_of",
    "scrubber",
    "server_of",
]

_PORTS: Final = {"https": 443, "http": 80}
_NOWHERE: Final = Origin(request_id=None, client_request_id="", endpoint="", headers={})
# Longer texts are scrubbed piece by piece, parted where no credential can be.
_PIECE: Final = r"(?s).{1,50000}(?:\s|\Z)|.{1,50000}"


def endpoint_of(exchange: Exchange) -> dict[str, Any]:
    """What spans and metrics say of whom is asked."""
    told: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": exchange.dialect.telemetry_name,
        **server_of(exchange.url),
    }
    model = identifier((exchange.request or {}).get("model"))
    return {**told, "gen_ai.request.model": model} if model else told


def server_of(url: str) -> dict[str, Any]:
    """Where a request goes."""
    parts = urlsplit(url)
    return {"server.address": parts.hostname or "", "server.port": parts.port or _PORTS.get(parts.scheme, 80)}


def answered(done: Completion, scrub: Scrub) -> dict[str, Any]:
    """What an answer says of itself: its names, its ends, its tokens."""
    reasons = [choice.finish_reason for choice in _choices(done)] or [done.finish_reason]
    usage = done.usage
    told: dict[str, Any] = {
        "gen_ai.response.id": identifier(done.raw.get("id"), scrub),
        "gen_ai.response.model": identifier(done.model, scrub),
        "gen_ai.response.finish_reasons": [word for one in reasons if (word := identifier(one, scrub))]
        or None,
    }
    if usage is not None:
        told["gen_ai.usage.input_tokens"] = count_of(usage.prompt_tokens)
        told["gen_ai.usage.output_tokens"] = count_of(usage.completion_tokens)
        # Where the wire tells them: the reasoning of most surfaces is output like any other.
        told["gen_ai.usage.reasoning.output_tokens"] = count_of(getattr(usage, "reasoning_tokens", None))
        told["gen_ai.usage.cache_read.input_tokens"] = count_of(getattr(usage, "cached_tokens", None))
    return without_gaps(told)


def content_of_answer(done: Completion, scrub: Scrub, *, has_failed: bool) -> dict[str, str]:
    """The choices of an answer, as JSON: a message each. Of a call that was cut short, what came."""
    missing = "error" if has_failed else "unknown"
    said: list[dict[str, Any]] = []
    for choice in _choices(done):
        read = completion_of(AnswerView(done.raw, [choice], None), _NOWHERE)
        texts = [("reasoning", read.reasoning), ("text", read.content)]
        parts: list[dict[str, Any]] = [{"type": kind, "content": text} for kind, text in texts if text]
        parts += [tool_call_part(call) for call in objects_of(choice.tool_calls)]
        # The conventions' word for one of the reasons is in the singular.
        reason = "tool_call" if choice.finish_reason == "tool_calls" else choice.finish_reason
        said.append({"role": "assistant", "parts": parts, "finish_reason": reason or missing})
    return {"gen_ai.output.messages": parts_as_json(said, scrub)}


def scrubber(credentials: Iterable[str]) -> Scrub:
    """What takes credentials out of all that is told: a service may echo them anywhere."""
    secrets = Secrets(tuple(credentials))

    def scrub(text: str) -> str:
        clean = text.encode("utf-8", "replace").decode()
        return (
            "".join(secrets.scrub(piece) for piece in re.findall(_PIECE, clean)) if secrets.values else clean
        )

    return scrub


def _choices(done: Completion) -> list[ChoiceView]:
    try:
        return sorted(view_answer(done.raw, "message").choices, key=lambda choice: choice.index)
    except ContractError:
        return []
