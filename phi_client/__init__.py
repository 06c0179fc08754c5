"""Typed client for Phi-4-mini-reasoning on Azure, and for the emulator that answers the same contract.

It must not do anything at import: no environment is read, no connection made, no credential library loaded. Names that
need asyncio or pydantic are loaded when they are first used, because both take longer than all the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from phi_client._client import PhiClient
from phi_client._completion import Completion, CompletionChunk
from phi_client._options import CompletionOptions, Timeout
from phi_client._retrying import RetryEvent
from phi_client._streams import AsyncChatStream, ChatStream
from phi_client.contract.answers import FinishReason, Usage
from phi_client.contract.error_body import ErrorBody
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
    PermissionDeniedError,
    PhiError,
    RateLimitError,
    ReasoningTruncatedError,
    RequestTimeoutError,
    StreamInterruptedError,
    UnprocessableEntityError,
)

if TYPE_CHECKING:
    from phi_client._async_client import AsyncPhiClient
    from phi_client._credentials import AsyncTokenCredential, TokenCredential
    from phi_client._message import Message
    from phi_client.contract.chat import ChatMessage
    from phi_client.contract.model_info import ModelInfo

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
    "Message",
    "ModelError",
    "ModelInfo",
    "NotFoundError",
    "PermissionDeniedError",
    "PhiClient",
    "PhiError",
    "RateLimitError",
    "ReasoningTruncatedError",
    "RequestTimeoutError",
    "RetryEvent",
    "StreamInterruptedError",
    "Timeout",
    "TokenCredential",
    "UnprocessableEntityError",
    "Usage",
]

_LATER: Final = {
    "AsyncPhiClient": "phi_client._async_client",
    "AsyncTokenCredential": "phi_client._credentials",
    "ChatMessage": "phi_client.contract.chat",
    "Message": "phi_client._message",
    "ModelInfo": "phi_client.contract.model_info",
    "TokenCredential": "phi_client._credentials",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *_LATER]
