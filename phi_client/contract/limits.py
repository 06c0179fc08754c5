"""The numbers of Phi-4-mini-reasoning, each with its source.

It must not know what a client sends by default or what an emulator enforces: those choose among these.
"""

from typing import Final

__all__ = [
    "CONTEXT_TOKENS",
    "HOSTED_INPUT_TOKENS",
    "HOSTED_OUTPUT_TOKENS",
    "RECOMMENDED_MAX_TOKENS",
    "RECOMMENDED_TEMPERATURE",
    "RECOMMENDED_TOP_P",
    "SERVED_DEFAULT_MAX_TOKENS",
]

CONTEXT_TOKENS: Final = 131_072
"""Prompt and answer together: `max_position_embeddings` of the weights, and the model card's 128K."""

HOSTED_INPUT_TOKENS: Final = 128_000
"""Input limit in the Azure model catalogue (July 2026)."""

HOSTED_OUTPUT_TOKENS: Final = 128_000
"""Output limit in the Azure model catalogue (July 2026)."""

RECOMMENDED_TEMPERATURE: Final = 0.8
"""Sampling of the model card; the services' own default is 0.7 (OpenAPI)."""

RECOMMENDED_TOP_P: Final = 0.95
"""Sampling of the model card; the services' own default is 1 (OpenAPI)."""

RECOMMENDED_MAX_TOKENS: Final = 32_768
"""`max_new_tokens` of the model card, and what the published scores were measured with."""

SERVED_DEFAULT_MAX_TOKENS: Final = 256
"""What the newer managed container uses when a request names none: it cuts an answer inside its reasoning."""
