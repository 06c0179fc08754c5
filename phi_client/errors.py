"""Everything that this package raises on purpose.

It only hands names on. Text of a prompt, headers and keys are never part of a message.

    PhiError
    ├── ConfigurationError
    ├── CredentialError
    ├── APIConnectionError
    │   ├── APITimeoutError
    │   └── StreamInterruptedError
    ├── APIStatusError
    │   ├── BadRequestError
    │   │   ├── ContentFilterError
    │   │   └── ContextLengthError
    │   │       └── ModelContextLengthError
    │   ├── AuthenticationError
    │   ├── PermissionDeniedError
    │   ├── NotFoundError
    │   ├── RequestTimeoutError
    │   ├── UnprocessableEntityError
    │   ├── ModelError
    │   ├── RateLimitError
    │   └── InternalServerError
    ├── APIResponseError
    ├── CheckpointError
    ├── ParseError
    ├── ReasoningTruncatedError
    └── UnexpectedError
"""

from phi_client._call.errors import (
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
    PermissionDeniedError,
    PhiError,
    RateLimitError,
    RequestTimeoutError,
    TimeoutPhase,
    UnexpectedError,
    UnprocessableEntityError,
)
from phi_client._call.interruptions import ParseError, ReasoningTruncatedError, StreamInterruptedError

__all__ = [
    "APIConnectionError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "CheckpointError",
    "ConfigurationError",
    "ContentFilterError",
    "ContextLengthError",
    "CredentialError",
    "Hop",
    "InternalServerError",
    "ModelContextLengthError",
    "ModelError",
    "NotFoundError",
    "ParseError",
    "PermissionDeniedError",
    "PhiError",
    "RateLimitError",
    "ReasoningTruncatedError",
    "RequestTimeoutError",
    "StreamInterruptedError",
    "TimeoutPhase",
    "UnexpectedError",
    "UnprocessableEntityError",
]
