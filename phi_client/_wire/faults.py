"""Errors of HTTP libraries turned into ours, without what must not be shown.

It must not know how anything is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from phi_client._call.errors import APIConnectionError, ConfigurationError, PhiError

if TYPE_CHECKING:
    from phi_client._call.deadline import Limits, Phase
    from phi_client._call.secrets import Secrets
    from phi_client._wire.connection_state import Cable

__all__ = ["Attempt", "translated"]

_PHASES: Final[dict[type[httpx.TimeoutException], Phase]] = {
    httpx.ConnectTimeout: "connect",
    httpx.ReadTimeout: "read",
    httpx.WriteTimeout: "write",
    httpx.PoolTimeout: "pool",
}
# Raised before a byte of the request left; after any other error the service may have got it.
_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


class Attempt:
    """One request under way: its limits, what must not be shown of it, and the connection that it got, if ours."""

    __slots__ = ("body", "cable", "limits", "secrets")

    def __init__(self, limits: Limits, secrets: Secrets) -> None:
        self.limits = limits
        self.secrets = secrets
        self.cable: Cable | None = None
        self.body: object = None

    def was_sent(self, error: Exception) -> bool:
        """Whether the service may have got the request."""
        if self.cable is not None and self.cable.has_connected:
            return self.cable.is_sent
        return not isinstance(error, _NOT_SENT)


def translated(error: Exception, attempt: Attempt) -> PhiError:
    """Our error for one of an HTTP library, which loses all that holds secrets and may then be the cause."""
    is_sent = attempt.was_sent(error)
    ours: PhiError
    if isinstance(error, httpx.TimeoutException):
        ours = attempt.limits.reached(_phase_of(error), request_sent=is_sent)
    elif isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        ours = ConfigurationError(f"the endpoint makes no valid URL: {attempt.secrets.scrub(str(error))}")
    elif isinstance(error, httpx.LocalProtocolError):
        # Its message may quote the header that h11 refuses.
        error.args = ("withheld",)
        ours = APIConnectionError("the request is not valid HTTP", request_sent=is_sent)
    else:
        said = attempt.secrets.scrub(str(error))
        cable = attempt.cable
        way = (
            f" through the proxy of {cable.proxy}"
            if cable is not None and cable.proxy and not is_sent
            else ""
        )
        ours = APIConnectionError(
            f"the connection{way} failed: {type(error).__name__}: {said}",
            request_sent=is_sent,
            is_refused=cable is not None and cable.is_refused,
        )
    _bare(error, attempt.secrets)
    return ours


def _phase_of(error: httpx.TimeoutException) -> Phase:
    for kind, phase in _PHASES.items():
        if isinstance(error, kind):
            return phase
    return "read"


def _bare(error: BaseException, secrets: Secrets) -> None:
    """Take from `error`, and from all behind it, the frames, whose variables hold headers, and secrets in its words."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    # A chain can be a ring: `raise error from error` is allowed.
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        one.args = tuple(secrets.scrub(part) if isinstance(part, str) else part for part in one.args)
        waiting += [one.__cause__, one.__context__]
