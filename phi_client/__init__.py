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
    from phi_client._call.request_types import (
        AssistantMessageDict,
        FunctionTool,
        Message,
        MessageDict,
        ResponseFormat,
        SystemMessageDict,
        ToolChoice,
        ToolMessageDict,
        UserMessageDict,
    )
    from phi_client._call.tokens import AsyncTokenCredential, TokenCredential
    from phi_client._call.totals import Price
    from phi_client._check import Finding, check_endpoints
    from phi_client._map.result import MapItem, MapResult
    from phi_client.contract.messages import ChatMessage, Role
    from phi_client.contract.model_info import ModelInfo

    __version__: str

__all__ = [
    "APIConnectionError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AssistantMessageDict",
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
    "Finding",
    "FinishReason",
    "FunctionTool",
    "Hop",
    "InternalServerError",
    "MapItem",
    "MapResult",
    "Message",
    "MessageDict",
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
    "Role",
    "Solution",
    "StreamInterruptedError",
    "SystemMessageDict",
    "Timeout",
    "TokenCredential",
    "TokenLogprob",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "ToolMessageDict",
    "UnexpectedError",
    "UnprocessableEntityError",
    "Usage",
    "UserMessageDict",
    "Vote",
    "__version__",
    "check_endpoints",
]

_LATER: Final = {
    "AssistantMessageDict": "phi_client._call.request_types",
    "AsyncChatStream": "phi_client._async_stream",
    "AsyncPhiClient": "phi_client._async_client",
    "AsyncTokenCredential": "phi_client._call.tokens",
    "ChatMessage": "phi_client.contract.messages",
    "Finding": "phi_client._check",
    "FunctionTool": "phi_client._call.request_types",
    "MapItem": "phi_client._map.result",
    "MapResult": "phi_client._map.result",
    "Message": "phi_client._call.request_types",
    "MessageDict": "phi_client._call.request_types",
    "ModelInfo": "phi_client.contract.model_info",
    "ParsedCompletion": "phi_client._answers.parsing",
    "Price": "phi_client._call.totals",
    "ResponseFormat": "phi_client._call.request_types",
    "Role": "phi_client.contract.messages",
    "Solution": "phi_client._answers.voting",
    "SystemMessageDict": "phi_client._call.request_types",
    "TokenCredential": "phi_client._call.tokens",
    "TokenLogprob": "phi_client._call.details",
    "ToolCall": "phi_client._call.details",
    "ToolCallDelta": "phi_client._call.details",
    "ToolChoice": "phi_client._call.request_types",
    "ToolMessageDict": "phi_client._call.request_types",
    "UserMessageDict": "phi_client._call.request_types",
    "Vote": "phi_client._answers.voting",
    "check_endpoints": "phi_client._check",
}

if not TYPE_CHECKING:  # for type checkers a name that is not there must stay a mistake

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from phi_client._call.version import version  # noqa: PLC0415  # reading metadata takes long

            return version()
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LATER[name]), name)
        return value

    def __dir__() -> list[str]:
        return [*globals(), *_LATER, "__version__"]
