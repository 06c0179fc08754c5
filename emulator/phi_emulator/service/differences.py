"""Which of the known deviations from Azure one exchange met. It must not decide what is done: it looks at what was.

What is refused otherwise than on Azure is said by whoever refuses it (`ServiceError.differs`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from phi_client.contract.service import MANAGED_COMPUTE, SERVERLESS, Surface
from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.refusals import RefusedError
from phi_emulator.service.behaviour import Behaviour
from phi_emulator.service.deviations import DEVIATIONS, Deviation
from phi_emulator.service.rate_limits import Limits

__all__ = ["UNTOLD", "Facts", "deviations_met"]

_AZURES_SECONDS: Final = 5.0
"""How long managed compute lets a request take unless another time is set (its documentation)."""
_KNOWN_EXTRAS: Final = frozenset({"max_completion_tokens", "stream_options"})
_KNOWN_WITH_EXTENSIONS: Final = frozenset({"parallel_tool_calls"})
_LONG_NAME: Final = 256
_OK: Final = 200
_MISFIT: Final = 422

UNTOLD: Final[Mapping[str, str]] = {
    "what-only-the-openapi-forbids": "the refusal is the same as for what Azure forbids",
}
"""The deviations that no exchange shows, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of an exchange."""

    surface: Surface
    route: str
    behaviour: Behaviour
    status: int | None
    seconds: float
    differs: str = ""
    """The deviation that refused it, if one did."""
    asked: ChatRequest | None = None
    budget: int | None = None
    """Tokens that the answer might have."""
    deployment: str | None = None
    api_version: str | None = None
    has_token: bool = False
    said: str = ""
    """The body of an error."""

    @property
    def is_answer(self) -> bool:
        """Whether the service answered a question."""
        return self.status == _OK and self.budget is not None


def deviations_met(facts: Facts) -> tuple[Deviation, ...]:
    """The deviations, in the order of the documentation."""
    return tuple(one for one, name, is_met in _DEVIATIONS if name == facts.differs or is_met(facts))


def _never(_: Facts) -> bool:
    return False


def _is_lowered(facts: Facts) -> bool:
    """Whether the context holds less than was asked for; a cap that is set is a service's own business."""
    asked, budget = facts.asked, facts.budget
    wanted = None if asked is None else asked.max_tokens or facts.surface.default_max_tokens
    if wanted is None or budget is None:
        return False
    most = facts.behaviour.max_output_tokens
    return budget < (wanted if most is None else min(wanted, most))


def _has_form(facts: Facts) -> bool:
    """Whether an answer in a form was given, which the surface itself takes."""
    form = None if facts.asked is None else facts.asked.response_format
    return (
        facts.is_answer
        and not facts.surface.has_extensions
        and form is not None
        and form.type.lower() != "text"
    )


def _is_extended(facts: Facts) -> bool:
    asked = facts.asked
    if asked is None or not facts.surface.has_extensions:
        return False
    form = asked.response_format
    return asked.tools is not None or (form is not None and form.type.lower() != "text")


def _ignores_parameters(facts: Facts) -> bool:
    if facts.asked is None:
        return False
    known = _KNOWN_EXTRAS | (_KNOWN_WITH_EXTENSIONS if facts.surface.has_extensions else frozenset[str]())
    return bool(facts.asked.extra.keys() - known)


def _takes_any_version(facts: Facts) -> bool:
    if not facts.behaviour.loose:
        return False
    try:
        facts.surface.check_api_version(facts.api_version)
    except RefusedError:
        return True
    return False


def _is_managed(facts: Facts) -> bool:
    return facts.surface.name == MANAGED_COMPUTE.name


_MET: Final[Mapping[str, Callable[[Facts], bool]]] = {
    "max-tokens-beyond-the-context": _is_lowered,
    "penalties": _never,
    "response-format": _has_form,
    "extensions": _is_extended,
    "extra-parameters": _ignores_parameters,
    "full-queue": _never,
    # What is harmless is annotated so on Azure too.
    "content-safety": lambda facts: facts.asked is not None and facts.behaviour.content_filter.is_on,
    "api-version": _takes_any_version,
    "time-limit": lambda facts: (
        _is_managed(facts)
        and facts.is_answer
        and facts.behaviour.answer_seconds is None
        and facts.seconds > _AZURES_SECONDS
    ),
    "rate-limits": lambda facts: facts.asked is not None and facts.behaviour.limits != Limits(),
    "swagger": lambda facts: facts.status == _OK and facts.route == facts.surface.swagger_route,
    "custom-headers": _never,
    "streaming-on-managed-compute": lambda facts: (
        _is_managed(facts) and facts.is_answer and facts.asked is not None and bool(facts.asked.stream)
    ),
    "size-of-bodies-and-errors": lambda facts: (
        facts.status == _MISFIT and re.search(r"should hold at most \d+ values", facts.said) is not None
    ),
    "names-in-headers": lambda facts: (
        facts.deployment is not None
        and (not facts.deployment.isascii() or len(facts.deployment) > _LONG_NAME)
    ),
    "foreign-hosts-and-origins": _never,
    "entra-id": lambda facts: facts.has_token and facts.status == _OK,
    "entra-id-on-serverless": lambda facts: (
        facts.has_token and facts.status == _OK and facts.surface.name == SERVERLESS.name
    ),
    "sampling": lambda facts: facts.is_answer and facts.asked is not None and facts.asked.seed is not None,
}

_DEVIATIONS: Final = tuple((one, one.id, _MET.get(one.id, _never)) for one in DEVIATIONS)
