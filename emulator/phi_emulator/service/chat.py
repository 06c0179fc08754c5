"""The service: turns a checked request into work for the engine, and says how the engine is doing.

It must not know HTTP. What differs between surfaces it asks the dialect.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from phi_client.contract.chat import ChatRequest
from phi_client.contract.dialects import Dialect
from phi_client.contract.model_info import ModelInfo
from phi_client.contract.refusals import content_filtered
from phi_emulator.engine.base import (
    EngineError,
    EngineInfo,
    Message,
    Sampling,
)
from phi_emulator.engine.worker import Worker
from phi_emulator.service.content_filter import Rule, verdict
from phi_emulator.service.errors import ServiceError, error_of_engine
from phi_emulator.service.rate_limits import LimitExceededError, Limits, RateLimits
from phi_emulator.service.responses import Answer

__all__ = ["ChatService", "ServiceStatus"]

_MOST_DEPLOYMENTS: Final = 1000  # names are the callers' own, so their number must have an end


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """Which model answers and how busy it is."""

    healthy: bool
    model: str
    source: str
    execution_provider: str
    context_length: int
    running: int
    waiting: int


class ChatService:
    """Chat completions from one started worker, within the limits of each deployment."""

    def __init__(
        self,
        worker: Worker,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        rules: Sequence[Rule] = (),
    ) -> None:
        self._worker = worker
        self._rules = rules
        self._limits = limits
        self._deployments: dict[tuple[str, str | None], RateLimits] = {}
        self._started = time.gmtime()

    async def answer(self, dialect: Dialect, request: ChatRequest, request_id: str) -> Answer:
        """Queue a request; the answer is in the making when this returns.

        Raises:
            ServiceError: the prompt is too long, the queue is full, or the engine can't.
        """
        messages = [Message(message.role.value, message.text) for message in request.messages]
        if self._rules and dialect.filters_content:
            results = verdict(self._rules, "\n".join(message.content for message in messages))
            if results is not None:
                raise ServiceError(content_filtered(results))
        try:
            prompt = await self._worker.encode(messages)
            sampling = self._sampling(dialect, request, len(prompt))
            limits = self._limits_of(dialect, request)
            admission = limits.admit(len(prompt) + max(sampling.max_tokens, 0))
            try:
                generation = self._worker.submit(prompt, sampling)
            except EngineError:
                limits.settle(admission, 0)
                raise
        except EngineError as error:
            raise error_of_engine(error, dialect) from error
        except LimitExceededError as error:
            raise ServiceError(dialect.rate_limited(error.retry_after_s), str(error)) from None
        return Answer(
            generation,
            partial(error_of_engine, dialect=dialect),
            request_id=request_id,
            model=self._engine_info.model,
            reasoning_in=dialect.reasoning_in,
            admission=admission,
            settle=limits.settle,
        )

    @property
    def limits(self) -> Limits:
        """The limits of each deployment."""
        return self._limits

    @property
    def session(self) -> str:
        """The deployment's session, in the recorded form `dep-<model>-<yymmddhhmmss>`."""
        return f"dep-{self._engine_info.model}-{time.strftime('%y%m%d%H%M%S', self._started)}"

    @property
    def info(self) -> ModelInfo:
        """What the info route says: the model that really answers, under its own name."""
        model = self._engine_info.model
        return ModelInfo(
            model_name=model,
            model_type="chat-completion",
            model_provider_name="phi-emulator",
            served_model_name=model,
            served_model_type="chat-completion",
        )

    @property
    def status(self) -> ServiceStatus:
        """How the engine is doing now."""
        info, load = self._engine_info, self._worker.status
        return ServiceStatus(
            healthy=not load.is_broken,
            model=info.model,
            source=info.source,
            execution_provider=info.execution_provider,
            context_length=info.context_length,
            running=load.running,
            waiting=load.waiting,
        )

    @property
    def _engine_info(self) -> EngineInfo:
        return self._worker.info

    def _limits_of(self, dialect: Dialect, request: ChatRequest) -> RateLimits:
        """The limits of the deployment that is asked; of a surface without names there is one."""
        deployment = (dialect.name, request.model if dialect.needs_model else None)
        if deployment not in self._deployments:
            if len(self._deployments) >= _MOST_DEPLOYMENTS:
                self._deployments.pop(next(iter(self._deployments)))
            self._deployments[deployment] = RateLimits(self._limits)
        return self._deployments[deployment]

    def _sampling(self, dialect: Dialect, request: ChatRequest, prompt_tokens: int) -> Sampling:
        room = self._engine_info.context_length - prompt_tokens
        wanted = request.max_tokens or dialect.default_max_tokens or room
        return Sampling(
            # Clients ask for what the real model's context holds; see `deviations`. No room at all the worker refuses.
            max_tokens=min(wanted, room),
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=request.stop_strings,
        )
