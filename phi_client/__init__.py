"""Typed client for Phi-4-mini-reasoning on Azure, and for the emulator that answers the same contract.

It must not do anything at import: no environment is read, no connection made, no credential library loaded. Names that
need asyncio or pydantic are loaded when they are first used, because both take longer than all the rest; and so is what
only `parse`, `solve` and `map` give.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from phi_client._call.completion import Completion, CompletionChoice, CompletionChunk
from phi_client._call.options import CompletionOptions, Timeout
from phi_client._call.retrying import RetryEvent
from phi_client._client import PhiClient
from phi_client._stream import ChatStream
from phi_client.contract.answers import FinishReason, Usage
from phi_client.contract.error_body import ErrorBody
from phi_client.errors import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    CheckpointError,
    ConfigurationError,
    ContentFilterError,
    ContextLengthError,
    CredentialError,
    Hop,
    InternalServerError,
    ModelContextLengthError,
    ModelError,
    NotFoundError,
    ParseError,
    PermissionDeniedError,
    PhiError,
    RateLimitError,
    ReasoningTruncatedError,
    RequestTimeoutError,
    StreamInterruptedError,
    UnexpectedError,
    UnprocessableEntityError,
)

if TYPE_CHECKING:
    from phi_client._answers.parsing import ParsedCompletion
    from phi_client._answers.voting import Solution, Vote
    from phi_client._async_client import AsyncPhiClient
    from phi_client._async_stream import AsyncChatStream
    from phi_client._call.details import TokenLogprob, ToolCall, ToolCallDelta
    from phi_client._call.message import Message
    from phi_client._call.tokens import AsyncTokenCredential, TokenCredential
    from phi_client._call.tools import FunctionTool, ResponseFormat, ToolChoice
    from phi_client._call.totals import Price
    from phi_client._map.result import MapItem, MapResult
    from phi_client.contract.messages import ChatMessage
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
    "CheckpointError",
    "Completion",
    "CompletionChoice",
    "CompletionChunk",
    "CompletionOptions",
    "ConfigurationError",
    "ContentFilterError",
    "ContextLengthError",
    "CredentialError",
    "ErrorBody",
    "FinishReason",
    "FunctionTool",
    "Hop",
    "InternalServerError",
    "MapItem",
    "MapResult",
    "Message",
    "ModelContextLengthError",
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
    "ResponseFormat",
    "RetryEvent",
    "Solution",
    "StreamInterruptedError",
    "Timeout",
    "TokenCredential",
    "TokenLogprob",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "UnexpectedError",
    "UnprocessableEntityError",
    "Usage",
    "Vote",
]

_LATER: Final = {
    "AsyncChatStream": "phi_client._async_stream",
    "AsyncPhiClient": "phi_client._async_client",
    "AsyncTokenCredential": "phi_client._call.tokens",
    "ChatMessage": "phi_client.contract.messages",
    "FunctionTool": "phi_client._call.tools",
    "MapItem": "phi_client._map.result",
    "MapResult": "phi_client._map.result",
    "Message": "phi_client._call.message",
    "ModelInfo": "phi_client.contract.model_info",
    "ParsedCompletion": "phi_client._answers.parsing",
    "Price": "phi_client._call.totals",
    "ResponseFormat": "phi_client._call.tools",
    "Solution": "phi_client._answers.voting",
    "TokenCredential": "phi_client._call.tokens",
    "TokenLogprob": "phi_client._call.details",
    "ToolCall": "phi_client._call.details",
    "ToolCallDelta": "phi_client._call.details",
    "ToolChoice": "phi_client._call.tools",
    "Vote": "phi_client._answers.voting",
}

if not TYPE_CHECKING:  # for type checkers a name that is not there must stay a mistake

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LATER[name]), name)
        return value

    def __dir__() -> list[str]:
        return [*globals(), *_LATER]
