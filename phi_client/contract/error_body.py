"""Reading an error: every envelope that Azure was seen to send becomes one `ErrorBody`.

It must not know exception classes, nor what to do about an error.

Bodies are read as strict JSON, then as the JSON object that the text begins with (the front door appends its
help text after the model's JSON), then as plain text. The envelopes, all recorded, quoted in issues or in the
containers' source: `{error: {code, message, details, innererror}}`, `{error: "text"}`,
`{statusCode, message}`, `{status: "text"}`, `{detail: "text" | [...]}`, flat `{object: "error", message,
code: int}`, and an `error.message` that is itself a string of JSON.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

__all__ = [
    "HELP_TEXT",
    "MAX_ERROR_BYTES",
    "ErrorBody",
    "error_from_object",
    "read_error_body",
    "read_misfit",
]

HELP_TEXT: Final = (
    "\nPlease check this guide to understand why this error code might have been returned \n"
    "https://docs.microsoft.com/en-us/azure/machine-learning/how-to-troubleshoot-online-endpoints"
    "#http-status-codes\n"
)
"""What the front door of hosted models may append to any error (quoted in issues, 2025 and 2026)."""

MAX_ERROR_BYTES: Final = 64 * 1024
"""How much of an error body is looked at."""

_HELP_START: Final = "Please check this guide to understand why"

_CONTEXT_CODES: Final = frozenset(
    {
        "context_length_exceeded",
        "tokens_limit_reached",
        "exceed_context_size_error",
        "context_window_exceeded",
    }
)
"""The codes of OpenAI and Azure OpenAI, of `/models` (quoted in issues), and of servers of one's own."""

_CONTEXT_WORDS: Final = re.compile(
    # vLLM, which the containers and the other surfaces pass on, and its newer words; OpenAI, llama.cpp, Anthropic.
    r"maximum context length|maximum model length|maximum input length|model's context length"
    r"|exceed(?:s|ed)? (?:the )?(?:available |max(?:imum)? )?context (?:length|limit|size|window)"
    # TensorRT-LLM and TGI, behind an endpoint of one's own.
    r"|max_(?:seq|input)_len|`?inputs`? tokens \+ `?max_new_tokens`? must be",
    re.IGNORECASE,
)

_PIECES: Final = ("{", "[", "data:", "event:", ":")
"""How a cut answer begins, or a stream where none was asked for."""

_TAG: Final = re.compile(r"(<[^<>]*>)")
_MARKUP: Final = re.compile(r"<(?:!doctype|html|head|body|\?xml)\b", re.IGNORECASE)
_UNSEEN: Final = re.compile(r"<\s*(/?)\s*(?:script|style)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """What a service said about a failure.

    `status` is the status that the body itself names, which may differ from the HTTP status. `details` is
    kept as it came: a list of validation errors, a string, or nothing. `raw` is the body's text, as far as it was
    looked at; that of an event in a stream is empty.
    """

    message: str
    code: str | None = None
    status: int | None = None
    type: str | None = None
    # Not shown by `repr`: validation errors hold what was sent.
    details: Any = field(default=None, repr=False)
    innererror: Mapping[str, Any] | None = field(default=None, repr=False)
    raw: str = field(default="", repr=False, compare=False)

    @property
    def content_filter(self) -> Mapping[str, Any] | None:
        """The verdict of the content filter by category; both spellings of the key are known."""
        inner = self.innererror or {}
        found = inner.get("content_filter_result") or inner.get("content_filter_results")
        return cast("Mapping[str, Any]", found) if isinstance(found, dict) else None

    @property
    def exceeds_context(self) -> bool:
        """Whether prompt and answer together are longer than the model's context, by code or by words."""
        codes = (self.code, (self.innererror or {}).get("code"), self.type)
        is_named = any(isinstance(code, str) and code.casefold() in _CONTEXT_CODES for code in codes)
        return is_named or _CONTEXT_WORDS.search(self.message) is not None


def read_error_body(body: bytes | str) -> ErrorBody:
    """Read any body of an error answer; never raises."""
    text = (
        body[:MAX_ERROR_BYTES].decode(errors="replace") if isinstance(body, bytes) else body[:MAX_ERROR_BYTES]
    )
    text = text.removeprefix("\ufeff").strip()
    found = _leading_object(text)
    if found is not None:
        return replace(error_from_object(found), raw=text)
    return ErrorBody(message=_without_help_text(_without_markup(text)), raw=text)


def read_misfit(body: bytes | str) -> ErrorBody | None:
    """What a body of status 2xx says that is no answer: an error object, a page or a text; `None` for nothing.

    A completion that breaks the contract says nothing of the kind: what the model wrote is no word of the service.
    """
    read = read_error_body(body)
    found = _leading_object(read.raw)
    if found is None:
        says = not read.raw.startswith(_PIECES)
    else:
        says = bool(found.get("error")) or not (found.get("choices") or "output" in found)
    return read if says and (read.message or read.code) else None


def error_from_object(value: Mapping[str, Any]) -> ErrorBody:
    """Read an error from a parsed object: an answer's body, or an event inside a stream."""
    error = value.get("error")
    if isinstance(error, dict):
        inner = cast("dict[str, Any]", error)
        return _unnested(_read_members({"status": value.get("status"), **inner}))
    if isinstance(error, str):
        return _unnested(_read_members({"message": error, **_others(value, "error")}))
    return _unnested(_read_members(value))


def _read_members(members: Mapping[str, Any]) -> ErrorBody:
    detail = members.get("detail")
    details = members.get("details")
    if details is None and not isinstance(detail, str):
        details = detail
    message = members.get("message")
    if not isinstance(message, str):
        # `{"status": "text"}` is the serverless gateway's way to say what is wrong.
        message = next((text for text in (detail, members.get("status")) if isinstance(text, str)), "")
    code = members.get("code")
    numbers = (members.get("status"), members.get("statusCode"), code)
    inner = members.get("innererror")
    kind = members.get("type")
    return ErrorBody(
        message=_without_help_text(message),
        code=str(code) if isinstance(code, str | int) else None,
        status=next((number for number in numbers if type(number) is int), None),
        type=kind if isinstance(kind, str) else None,
        details=details,
        innererror=cast("dict[str, Any]", inner) if isinstance(inner, dict) else None,
    )


def _unnested(error: ErrorBody) -> ErrorBody:
    """The older container puts the engine's whole JSON error into its own `message` as a string."""
    nested = _leading_object(error.message) if error.message.startswith("{") else None
    if nested is None:
        return error
    inner = error_from_object(nested)
    return replace(
        error,
        # A list of what is wrong has no message of its own.
        message=inner.message or error.code or error.message,
        details=inner.details if error.details is None else error.details,
    )


def _leading_object(text: str) -> dict[str, Any] | None:
    try:
        value: object = json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and value:
        # Some gateways send a list of one error.
        first = cast("list[object]", value)[0]
        return cast("dict[str, Any]", first) if isinstance(first, dict) and "error" in first else None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _without_help_text(text: str) -> str:
    return text.partition(_HELP_START)[0].strip()


def _without_markup(text: str) -> str:
    """What a page shows, such as a proxy's; any other text as it is."""
    if not _MARKUP.match(text):
        return text
    from html import unescape  # few bodies are pages

    shown: list[str] = []
    is_seen = True
    for number, piece in enumerate(_TAG.split(text)):
        if number % 2 == 0:
            # Between two tags.
            shown += [piece] if is_seen else []
        elif (hidden := _UNSEEN.match(piece)) is not None:
            is_seen = bool(hidden[1])
    return " ".join(unescape(" ".join(shown)).split())


def _others(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: member for key, member in value.items() if key != name}
