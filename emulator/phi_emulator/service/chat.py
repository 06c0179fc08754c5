"""The service: turns a checked request into work for the engine, and says how the engine is doing.

It must not know HTTP. What differs between surfaces it asks the dialect.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from phi_client.contract.clock.base import SYSTEM_CLOCK, Clock
from phi_client.contract.model_info import ModelInfo
from phi_client.contract.service import Surface
from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.filter_results import PROMPT_CATEGORIES, filter_results
from phi_client.contract.service.refusals import RefusedError
from phi_emulator.engine.errors import EngineError
from phi_emulator.engine.protocol import EngineInfo, Message, Sampling
from phi_emulator.engine.serving.generation import Generation
from phi_emulator.engine.serving.lanes import Lanes
from phi_emulator.engine.serving.source import AnswerSource, Counts, EngineView, SourceStatus
from phi_emulator.service.behaviour import Behaviour
from phi_emulator.service.content_filter import AnswerFilter, ContentFilter
from phi_emulator.service.errors import ServiceError, error_of_engine, error_of_limit
from phi_emulator.service.extensions import AnswerPlan, plan_answer
from phi_emulator.service.pacing import Pace
from phi_emulator.service.rate_limits import Deployments, LimitExceededError
from phi_emulator.service.responses import Answer
from phi_emulator.service.scripts import Cue

__all__ = ["ChatService", "ServiceStatus"]

_MOST_NAME: Final = 256
"""Characters of a deployment's name by which its limits are kept."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """Which model answers and how busy it is."""

    healthy: bool
    """Whether the engine answers; see `ChatService.health` for more."""
    model: str
    source: str
    execution_provider: str
    context_length: int
    batching: str
    """`continuous` or `static`; see `EngineInfo`."""
    max_running: int
    """Requests that may share the model's steps."""
    threads: int | None
    """Threads that compute a step; None is one for each core."""
    tokens_a_second: Mapping[int, float]
    """Of all together, by how many run, as this machine was measured; may be empty."""
    weights_bytes: int
    cache_bytes: int
    """What the loaded model takes by experience, and what its cache may grow to; 0 where it is not known."""
    running: int
    waiting: int
    fingerprint: str
    counts: Counts
    extensions: bool
    """Whether forms of answers and tools are taken, which the hosted model has not."""


async def _no_script() -> Cue | None:
    """Let the model answer."""
    return None


class ChatService:
    """Chat completions from one started source of answers, within the limits of each deployment.

    `has_extensions` is told, and decided by the dialects of the requests. `clock` tells the seconds of
    the limits, and when an answer was made.
    """

    def __init__(
        self,
        source: AnswerSource,
        *,
        has_extensions: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._source = source
        self.lanes = Lanes()
        """Threads for what takes time with the size of a request."""
        self._has_extensions = has_extensions
        self._clock = clock
        self._deployments = Deployments(now=clock.now)
        self._started = time.gmtime(clock.unix())

    async def answer(
        self,
        behaviour: Behaviour,
        dialect: Surface,
        request: ChatRequest,
        request_id: str,
        *,
        deployment: str | None = None,
        scope: str = "",
        size: int = 0,
        received: float | None = None,
        script: Callable[[], Awaitable[Cue | None]] = _no_script,
        pace: Pace | None = None,
    ) -> Answer:
        """Queue a request; the answer is in the making when this returns.

        `deployment` is who is asked, by name; in each `scope` its limits count apart. `size` is in how many bytes the
        request came: none waits for much larger ones. `received` is when it came in, by the source's clock; without it
        that is when it is queued. `script` is asked last, for what is answered in the place of the model. With a `pace`
        it comes no faster than that.

        Raises:
            ServiceError: a limit is reached, the prompt is blocked or too long, the queue is full, or the engine can't.
        """
        # Names are the callers' own, and may be as long as a body.
        limits = self._deployments.of((dialect.name, (deployment or "")[:_MOST_NAME]), scope)
        try:
            plan = await self._plan(dialect, request, size)
            prompt = await self._source.encode(plan.messages)
            sampling = self._sampling(
                dialect, request, len(prompt), most=behaviour.max_output_tokens, grammar=plan.grammar
            )
            admission = limits.admit(behaviour.limits, len(prompt) + max(sampling.max_tokens, 0))
        except EngineError as error:
            raise error_of_engine(error, dialect) from error
        except RefusedError as error:
            raise ServiceError(error.refusal) from None
        except LimitExceededError as error:
            raise error_of_limit(error, dialect) from None
        try:
            found = await self._judge(behaviour.content_filter, dialect, plan.messages, size)
            watch = behaviour.content_filter.watch_answer()
            cue = await script()
            generation = self._submit(prompt, sampling, cue, watch=watch, received=received)
        except EngineError as error:
            limits.withdraw(admission)
            raise error_of_engine(error, dialect) from error
        except ServiceError:
            limits.withdraw(admission)
            raise
        except BaseException:
            # Whoever leaves has had a prompt judged.
            limits.settle(admission, len(prompt))
            raise
        return Answer(
            generation,
            dialect,
            request_id=request_id,
            model=self.model,
            fingerprint=self._engine_info.fingerprint,
            sampling=sampling,
            admission=admission,
            limits=limits,
            prompt_found=found,
            watch=watch,
            includes_usage=request.wants_usage,
            created=int(self._clock.unix()),
            reader=plan.reader,
            usage={} if cue is None else cue.reply.usage,
            pace=pace,
            prompt_tokens=len(prompt),
        )

    def _submit(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        cue: Cue | None,
        *,
        watch: AnswerFilter | None,
        received: float | None,
    ) -> Generation:
        """Queue it with what it recites; what is refused has taken no reply.

        Raises:
            EngineError: it can't be queued.
        """
        if cue is not None:
            sampling = replace(sampling, recital=cue.reply.recital)
        try:
            return self._source.submit(prompt, sampling, watch=watch, received=received)
        except EngineError:
            if cue is not None:
                cue.give_back()
            raise

    async def _plan(self, dialect: Surface, request: ChatRequest, size: int) -> AnswerPlan:
        """How the request is put to the engine, which follows the plan's grammar if it has one.

        Raises:
            EngineError: it can't.
            RefusedError: a wish is malformed.
        """
        marks = self._engine_info.marks
        wanted = None if request.response_format is None else request.response_format.type
        is_plain = not dialect.has_extensions and (wanted or "text").lower() == "text"
        if marks is None and not is_plain and not dialect.has_extensions:
            raise RefusedError(dialect.unsupported_format(wanted or ""))
        if marks is None or is_plain:
            return AnswerPlan([Message(message.role.value, message.text) for message in request.messages])
        plan = await self.lanes.run(size, lambda: plan_answer(request, marks))
        if plan.grammar is not None:
            await self._source.check_guidance(plan.grammar)
        return plan

    async def _judge(
        self, content_filter: ContentFilter, dialect: Surface, messages: Sequence[Message], size: int
    ) -> Mapping[str, str]:
        """What the content filter finds in a prompt that it lets pass.

        Raises:
            ServiceError: it blocks the prompt.
        """
        if not content_filter.is_on:
            return {}
        # In a thread: the time that it takes grows with the prompt and the rules.
        text = "\n".join("\n".join(filter(None, message[1:])) for message in messages)
        verdict = await self.lanes.run(size, lambda: content_filter.judge_prompt(text))
        if verdict.is_blocked:
            raise ServiceError(dialect.prompt_filtered(filter_results(PROMPT_CATEGORIES, verdict.found)))
        return verdict.found

    def reset_limits(self, scope: str | None = None) -> None:
        """Forget what counted for the limits so far, in a scope or in all. From any thread."""
        self._deployments.reset(scope=scope)

    @property
    def session(self) -> str:
        """The deployment's session, in the recorded form `dep-<model>-<yymmddhhmmss>`."""
        return f"dep-{self.model}-{time.strftime('%y%m%d%H%M%S', self._started)}"

    @property
    def info(self) -> ModelInfo:
        """What the info route says: the model that really answers, under its own name."""
        model = self.model
        return ModelInfo(
            model_name=model,
            model_type="chat-completion",
            model_provider_name="phi-emulator",
            served_model_name=model,
            served_model_type="chat-completion",
        )

    @property
    def health(self) -> SourceStatus:
        """Whether the engine answers, and whether it ever broke."""
        return self._source.status

    @property
    def engine(self) -> EngineView:
        """Who runs and who waits now."""
        return self._source.view

    @property
    def counts(self) -> Counts:
        """What became of the requests so far."""
        return self._source.counts

    @property
    def status(self) -> ServiceStatus:
        """How the engine is doing now."""
        info, load = self._engine_info, self._source.status
        return ServiceStatus(
            healthy=not (load.is_broken or load.is_reloading),
            model=self.model,
            source=_sound(info.source),
            execution_provider=info.execution_provider,
            context_length=info.context_length,
            batching=info.batching,
            max_running=info.max_running,
            threads=info.threads,
            tokens_a_second=info.rates,
            weights_bytes=info.weights_bytes,
            cache_bytes=info.cache_bytes,
            running=load.running,
            waiting=load.waiting,
            fingerprint=info.fingerprint,
            counts=self._source.counts,
            extensions=self._has_extensions,
        )

    @property
    def model(self) -> str:
        """The model's name: that of a folder, which may be any bytes."""
        return _sound(self._engine_info.model)

    @property
    def _engine_info(self) -> EngineInfo:
        return self._source.info

    def _sampling(
        self,
        dialect: Surface,
        request: ChatRequest,
        prompt_tokens: int,
        *,
        most: int | None,
        grammar: str | None,
    ) -> Sampling:
        room = self._engine_info.context_length - prompt_tokens
        wanted = request.max_tokens or dialect.default_max_tokens or room
        if most is not None:
            wanted = min(wanted, most)
        return Sampling(
            # Clients ask for what the real model's context holds; see `deviations`. No room at all the worker refuses.
            max_tokens=min(wanted, room),
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=request.stop_strings,
            guidance=grammar,
        )


def _sound(text: str) -> str:
    """A text that came from the file system, where bytes that are no UTF-8 stand as halves of surrogate pairs."""
    return text.encode(errors="replace").decode()
