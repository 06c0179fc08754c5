"""Typed client for Phi-4-mini-reasoning on Azure, and for the emulator that answers the same contract.

It must not do anything at import: no environment is read, no connection made, no credential library loaded.
"""

from phi_client._async_client import AsyncPhiClient
from phi_client._auth import AsyncTokenCredential, TokenCredential
from phi_client._client import PhiClient
from phi_client._completion import Completion, CompletionChunk
from phi_client._exchange import Message
from phi_client._map_result import MapItem, MapResult
from phi_client._options import CompletionOptions, Timeout
from phi_client._parsing import ParsedCompletion
from phi_client._retrying import RetryEvent
from phi_client._solving import Solution, Vote
from phi_client._streams import AsyncChatStream, ChatStream
from phi_client._totals import Price
from phi_client.contract.chat import ChatMessage, FinishReason, Usage
from phi_client.contract.error_body import ErrorBody
from phi_client.contract.model_info import ModelInfo
from phi_client.errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ContentFilterError,
    CredentialError,
    Hop,
    InternalServerError,
    ModelError,
    NotFoundError,
    ParseError,
    PermissionDeniedError,
    PhiError,
    RateLimitError,
    ReasoningTruncatedError,
    RequestTimeoutError,
    StreamInterruptedError,
    UnprocessableEntityError,
)

__all__ = [
    "APIConnectionError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncChatStream",
    "AsyncPhiClient",
    "AsyncTokenCredential",
    "AuthenticationError",
    "BadRequestError",
    "ChatMessage",
    "ChatStream",
    "Completion",
    "CompletionChunk",
    "CompletionOptions",
    "ConfigurationError",
    "ContentFilterError",
    "CredentialError",
    "ErrorBody",
    "FinishReason",
    "Hop",
    "InternalServerError",
    "MapItem",
    "MapResult",
    "Message",
    "ModelError",
    "ModelInfo",
    "NotFoundError",
    "ParseError",
    "ParsedCompletion",
    "PermissionDeniedError",
    "PhiClient",
    "PhiError",
    "Price",
    "RateLimitError",
    "ReasoningTruncatedError",
    "RequestTimeoutError",
    "RetryEvent",
    "Solution",
    "StreamInterruptedError",
    "Timeout",
    "TokenCredential",
    "UnprocessableEntityError",
    "Usage",
    "Vote",
]
