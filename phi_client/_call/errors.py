"""What this package raises on purpose, but for the errors that carry an answer: those are in `interruptions`.

It must not know HTTP libraries. Text of a prompt, headers and keys are never part of a message. Users find all of it in
`phi_client.errors`, whose name the classes bear.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from phi_client.contract.error_body import ErrorBody

if TYPE_CHECKING:
    from phi_client.contract.answers import Usage

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
    "PermissionDeniedError",
    "PhiError",
    "RateLimitError",
    "RequestTimeoutError",
    "TimeoutPhase",
    "UnexpectedError",
    "UnprocessableEntityError",
    "copied",
]

TimeoutPhase = Literal["connect", "read", "write", "pool", "deadline"]

_MESSAGE_LIMIT = 500


class PhiError(Exception):
    """Base of all errors of this package.

    `attempts`: how often the request was tried at the last endpoint. `hops`: the endpoints before it that were
    tried in vain. `client_request_id`: the id that was sent with all attempts, if anything was. `spent`: where a call
    asks several times, such as `parse()`, the tokens that it has used. `finished`: where it ends a `map()`, the
    `MapResult` of the items so far.
    """

    attempts: int = 1
    client_request_id: str = ""
    spent: "Usage | None" = None
    finished: Any = None
    hops: "tuple[Hop, ...]" = ()
    note: str = ""
    """What the retry policy adds, such as a wait beyond the deadline."""

    def __init_subclass__(cls) -> None:
        # A traceback names the place from where users import it, and a pickle holds no inner name.
        if cls.__module__.startswith("phi_client._call."):
            cls.__module__ = "phi_client.errors"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        tried = f"after {self.attempts} attempts" if self.attempts > 1 else ""
        hops = f"{len(self.hops)} endpoints before it failed too" if self.hops else ""
        extras = ", ".join(filter(None, [*self._facts(), tried, hops, self.note]))
        line = " ".join(f"{self._head()}{self.message}".split())[:_MESSAGE_LIMIT]
        return f"{line} ({extras})" if extras else line

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword-only arguments can't be pickled otherwise, and then hang process pools.
        return _rebuild, (type(self), self.args, self.__dict__.copy())

    def _head(self) -> str:
        return ""

    def _facts(self) -> list[str]:
        return []


PhiError.__module__ = "phi_client.errors"


@dataclass(frozen=True, slots=True)
class Hop:
    """An endpoint that was left for the next one, and the error that made it so."""

    endpoint: str
    error: PhiError


class ConfigurationError(PhiError, TypeError):
    """The endpoint, the dialect or an option can't work; the message says what to set. Nothing was sent.

    It is a `TypeError` too, as Python's own error for an argument that is not known.
    """


class CredentialError(PhiError):
    """No token could be had from the credential. Nothing was sent."""


class CheckpointError(PhiError):
    """The checkpoint of a `map()` can't be written any more; `finished` has all that was answered."""


class UnexpectedError(PhiError):
    """Something from outside this package was raised within a call: by a hook, a credential, an HTTP client's parts.

    `cause` is that exception; a pickle leaves it out, because it may hold anything.
    """

    def __init__(self, cause: BaseException | None) -> None:
        super().__init__(f"{type(cause).__name__} was raised by code outside this package: see `cause`")
        self.cause = cause
        self.__cause__ = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__ | {"cause": None})


class APIConnectionError(PhiError):
    """There is no complete answer.

    `request_sent` says whether the service may have got the request, done the work and billed it; `is_refused` that
    nothing listens there.
    """

    is_lasting: bool = False
    """True where trying again is of no use."""

    def __init__(self, message: str, *, request_sent: bool, is_refused: bool = False) -> None:
        super().__init__(message)
        self.request_sent = request_sent
        self.is_refused = is_refused

    def _facts(self) -> list[str]:
        if not self.request_sent:
            return ["the request was not sent"]
        named = f" as request {self.client_request_id}" if self.client_request_id else ""
        return [f"the service may have done the work{named}"]


class APITimeoutError(APIConnectionError):
    """A time limit was reached: `phase` says which, `limit_s` how long it was in seconds."""

    def __init__(self, message: str, *, phase: TimeoutPhase, limit_s: float, request_sent: bool) -> None:
        super().__init__(message, request_sent=request_sent)
        self.phase = phase
        self.limit_s = limit_s


class APIStatusError(PhiError):
    """The service answered with an error.

    `code` and `message` are the service's own; `retry_after` is the wait that it asks for, in seconds;
    `body` is all that was read from the error's body, `headers` are those of the answer, with names in lower case.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        body: ErrorBody,
        request_id: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        advice: str = "",
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = body.code
        self.body = body
        self.request_id = request_id
        self.retry_after = retry_after
        self.headers = dict(headers)
        self.advice = advice

    def _head(self) -> str:
        code = f" {self.code}" if self.code and self.code != str(self.status_code) else ""
        return f"{self.status_code}{code}: "

    def _facts(self) -> list[str]:
        return [
            *([f"request id {self.request_id}"] if self.request_id else []),
            *([self.advice] if self.advice else []),
        ]


class BadRequestError(APIStatusError):
    """400: the service can't take the request."""


class ContentFilterError(BadRequestError):
    """400: the content filter refused the prompt."""

    @property
    def categories(self) -> Mapping[str, Any]:
        """The filter's verdict by category, as it came."""
        return self.body.content_filter or {}


class ContextLengthError(BadRequestError):
    """400, on `/models` also 413: the prompt, with the tokens asked for, is longer than the model's context."""


class AuthenticationError(APIStatusError):
    """401: the key or token is wrong or expired."""


class PermissionDeniedError(APIStatusError):
    """403: the key or token is not allowed to do this."""


class NotFoundError(APIStatusError):
    """404: no such route or deployment; the message says which URL was tried."""


class RequestTimeoutError(APIStatusError):
    """408: the service gave up, as managed compute does after its `request_timeout_ms`."""


class UnprocessableEntityError(APIStatusError):
    """422: a value is outside what the service takes; `body.details` says which."""


class ModelError(APIStatusError):
    """424: the model's container failed; `inner_status` is its own status, if the front door names it."""

    @property
    def inner_status(self) -> int | None:
        """The status that the container answered with."""
        return self.body.status


class ModelContextLengthError(ContextLengthError, ModelError):
    """424: a `ContextLengthError` of the model's container, as managed compute wraps it."""


class RateLimitError(APIStatusError):
    """429: too many requests or tokens."""


class InternalServerError(APIStatusError):
    """5xx: the service failed."""


class APIResponseError(PhiError):
    """A 2xx answer that does not fit the contract, such as `/score` answering `{}`, or an error object with 200.

    `body` is what the service said instead, if it said anything, `status_code` and `headers` those of the answer.
    """

    def __init__(
        self,
        message: str,
        *,
        request_id: str | None = None,
        body: ErrorBody | None = None,
        status_code: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        said = "" if body is None else body.message or body.code or ""
        super().__init__(f"{message}; the service says: {said}" if said else message)
        self.request_id = request_id
        self.body = body
        self.status_code = status_code
        self.headers = dict(headers)

    def _facts(self) -> list[str]:
        return [f"request id {self.request_id}"] if self.request_id else []


_BY_STATUS: Mapping[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: RequestTimeoutError,
    422: UnprocessableEntityError,
    424: ModelError,
    429: RateLimitError,
}
_FIRST_SERVER_STATUS = 500
_WRAPPED = 424
_STATUSES_OF_CONTEXT = frozenset({400, 413, 422, _WRAPPED})


def class_for_status(status: int, body: ErrorBody) -> type[APIStatusError]:
    """The class for an answer of another status than 2xx."""
    if status == 400 and (body.code == "content_filter" or body.content_filter):  # noqa: PLR2004
        return ContentFilterError
    if status in _STATUSES_OF_CONTEXT and body.exceeds_context:
        return ModelContextLengthError if status == _WRAPPED else ContextLengthError
    if status >= _FIRST_SERVER_STATUS:
        return InternalServerError
    return _BY_STATUS.get(status, APIStatusError)


def copied(error: PhiError) -> PhiError:
    """The same error again, to which more may be added without changing the first."""
    copy = _rebuild(type(error), error.args, vars(error))
    copy.__cause__ = error.__cause__
    return copy


def _rebuild(cls: type[PhiError], args: tuple[object, ...], state: dict[str, Any]) -> PhiError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error
