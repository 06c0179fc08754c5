"""The one exception by which the service refuses, and what an engine's failure means on the wire.

It must not make bytes: the web layer does, in the envelope of the dialect that was spoken.
"""

from __future__ import annotations

from dataclasses import replace

from phi_client.contract.service import Surface
from phi_client.contract.service.refusals import Refusal, container_error
from phi_emulator.engine.errors import (
    EngineError,
    EngineStoppedError,
    GuidanceError,
    PromptError,
    PromptTooLongError,
    QueueFullError,
    QueueTimeoutError,
    UnscriptedError,
)
from phi_emulator.service.rate_limits import LimitExceededError
from phi_emulator.service.unforeseen import log_unforeseen

__all__ = [
    "ServiceError",
    "bad_request",
    "conflict",
    "error_of_engine",
    "error_of_limit",
    "internal_error",
    "log_unforeseen",
]


class ServiceError(Exception):
    """The request is answered with `refusal`; `differs` names the deviation from Azure that refuses it."""

    def __init__(self, refusal: Refusal, reason: str = "", *, differs: str = "") -> None:
        super().__init__(reason or f"refused with status {refusal.status}")
        self.refusal = refusal
        self.differs = differs


def internal_error() -> ServiceError:
    """500 in the container's words (its source), without the exception's text: it may hold a prompt."""
    return ServiceError(container_error(500, "An error occurred during the request processing."))


def bad_request(reason: str) -> ServiceError:
    """400, in the container's words: what was asked of the emulator itself can't be."""
    return ServiceError(replace(container_error(400, reason), by_model=False), reason)


def conflict(reason: str) -> ServiceError:
    """409: what was asked of the emulator itself can't be as things are."""
    return ServiceError(replace(container_error(409, reason), by_model=False), reason)


def error_of_engine(error: EngineError, dialect: Surface) -> ServiceError:
    """What a caller is told when the engine can't do what was asked."""
    match error:
        case PromptTooLongError():
            refusal = dialect.context_exceeded(error.context_length, error.prompt_tokens)
        case QueueFullError() | QueueTimeoutError():
            refusal = dialect.rate_limited(error.retry_after_s, limit="concurrency")
        case PromptError():
            refusal = container_error(400, f"The messages do not fit the model's chat template: {error}")
        case UnscriptedError():
            refusal = container_error(400, f"No answer is scripted for this request: {error}.")
        case GuidanceError():
            refusal = container_error(400, f"The answer's form can't be kept: {error}")
        case EngineStoppedError():
            refusal = container_error(503, "The service is stopping.")
        case _:
            refusal = dialect.engine_failed
    is_full = isinstance(error, QueueFullError | QueueTimeoutError)
    return ServiceError(refusal, str(error), differs="full-queue" if is_full else "")


def error_of_limit(error: LimitExceededError, dialect: Surface) -> ServiceError:
    """What a caller is told when a limit of the deployment is reached."""
    refusal = dialect.rate_limited(
        error.retry_after_s, limit=error.limit, remaining_requests=error.remaining_requests
    )
    return ServiceError(refusal, str(error))
