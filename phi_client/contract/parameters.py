"""The names of a chat request's parameters, and what happens to others.

It must not know which surface holds to what: that is a dialect's.
"""

from typing import Final, Literal

__all__ = ["EXTRA_PARAMETERS", "SCHEMA_KEYS", "ParameterPolicy"]

ParameterPolicy = Literal["error", "drop", "pass-through"]

EXTRA_PARAMETERS: Final = "extra-parameters"
"""Request header that says what to do with keys outside the schema (OpenAPI)."""

SCHEMA_KEYS: Final = frozenset(
    {
        "messages",
        "model",
        "temperature",
        "top_p",
        "max_tokens",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "stream",
        "response_format",
        "tools",
        "tool_choice",
    }
)
"""The keys of `service.chat.ChatRequest` (OpenAPI 2024-05-01-preview)."""
