"""The service between a checked request and the engine: sampling, limits, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from phi_emulator.engine.errors import PromptError, QueueFullError
from phi_emulator.engine.protocol import Marks, Sampling
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.generation import Generation
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.service.behaviour import Behaviour
from phi_emulator.service.chat import ChatService
from phi_emulator.service.content_filter import DEFAULT_RULES, ContentFilter
from phi_emulator.service.errors import ServiceError
from phi_emulator.service.rate_limits import Limits

from phi_client.contract.service import MANAGED_COMPUTE, SERVERLESS, Surface
from phi_client.contract.service.chat import ChatCompletion, ChatRequest

QUESTION = [{"role": "user", "content": "six times seven"}]
PROMPT_TOKENS = 6


class _Recording(ScriptedEngine):
    """Remembers how it was asked."""

    sampling: Sampling

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        self.sampling = sampling
        super().open(sequence, prompt, sampling)


class _Service:
    def __init__(self, context_length: int, marks: Marks | None = None) -> None:
        self.engine = _Recording(lambda _messages: "forty two", context_length=context_length, marks=marks)
        self.worker = Worker(lambda: self.engine)
        self.worker.start()
        self.service = ChatService(self.worker)

    def complete(self, dialect: Surface = SERVERLESS, **options: Any) -> ChatCompletion:
        request = ChatRequest.model_validate({"messages": QUESTION} | options)

        async def ask() -> ChatCompletion:
            answer = await self.service.answer(Behaviour(), dialect, request, "an-id")
            return await answer.complete()

        return asyncio.run(ask())


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[_Service]:
    made = _Service(context_length=getattr(request, "param", 4096))
    yield made
    made.worker.stop()


def test_what_is_left_out_is_the_services_default(service: _Service) -> None:
    service.complete()
    assert service.engine.sampling == Sampling(max_tokens=4096 - PROMPT_TOKENS, temperature=0.7, top_p=1.0)


def test_managed_compute_has_a_limit_of_its_own(service: _Service) -> None:
    service.complete(MANAGED_COMPUTE)
    assert service.engine.sampling.max_tokens == 256


def test_what_is_given_reaches_the_engine(service: _Service) -> None:
    service.complete(temperature=0, top_p=0.5, seed=-3, stop="!", max_tokens=9)
    assert service.engine.sampling == Sampling(9, 0, 0.5, -3, ("!",))


def test_more_than_fits_is_lowered_to_what_fits(service: _Service) -> None:
    service.complete(max_tokens=32_768)
    assert service.engine.sampling.max_tokens == 4096 - PROMPT_TOKENS


@pytest.mark.parametrize(
    ("service", "fits"), [(PROMPT_TOKENS, False), (PROMPT_TOKENS + 1, True)], indirect=["service"]
)
def test_a_prompt_must_leave_room_for_a_token(service: _Service, fits: bool) -> None:
    if fits:
        assert service.complete().choices[0].finish_reason == "length"
        return
    with pytest.raises(ServiceError) as raised:
        service.complete()
    assert raised.value.refusal == SERVERLESS.context_exceeded(PROMPT_TOKENS, PROMPT_TOKENS)


def test_parts_of_a_message_are_joined(service: _Service) -> None:
    parts = [{"type": "text", "text": "six times "}, {"type": "text", "text": "seven"}]
    done = service.complete(messages=[{"role": "user", "content": parts}])
    assert done.usage is not None
    assert done.usage.prompt_tokens == PROMPT_TOKENS


def test_messages_that_the_template_refuses_are_400(
    service: _Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(messages: object) -> list[int]:
        raise PromptError("no system message here")

    monkeypatch.setattr(service.engine, "encode", refuse)
    with pytest.raises(ServiceError) as raised:
        service.complete()
    assert raised.value.refusal.status == 400
    assert "no system message here" in str(raised.value.refusal.body)


def test_a_broken_engine_is_500_for_everyone(service: _Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down() -> None:
        raise RuntimeError("boom")

    before = service.service.status
    assert before.healthy
    monkeypatch.setattr(service.engine, "step", break_down)
    # It is loaded again three times, and breaks each time.
    statuses: list[int] = []
    for _ in range(6):
        with pytest.raises(ServiceError) as raised:
            service.complete()
        statuses.append(raised.value.refusal.status)
    assert set(statuses) == {500}
    assert not service.service.status.healthy
    assert not ChatService(service.worker).status.healthy


def test_a_stopping_engine_is_503(service: _Service) -> None:
    service.worker.stop()
    request = ChatRequest.model_validate({"messages": QUESTION})
    with pytest.raises(ServiceError) as stopped:
        asyncio.run(service.service.answer(Behaviour(), SERVERLESS, request, "an-id"))
    assert stopped.value.refusal.status == 503


def test_json_is_answered_where_the_container_takes_the_form_and_the_engine_can(service: _Service) -> None:
    wanted = {"response_format": {"type": "json_object"}}
    with pytest.raises(ServiceError) as raised:
        service.complete(MANAGED_COMPUTE, **wanted)
    assert raised.value.refusal == MANAGED_COMPUTE.unsupported_format("json_object")
    marked = _Service(4096, marks=Marks())
    try:
        marked.complete(MANAGED_COMPUTE, **wanted)
        assert "%json" in (marked.engine.sampling.guidance or "")
        marked.complete(MANAGED_COMPUTE)
        assert marked.engine.sampling.guidance is None
    finally:
        marked.worker.stop()


@pytest.mark.parametrize("kind", ["blocked", "queue", "too long", "engine"])
def test_a_refused_request_uses_up_no_limit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _Recording(lambda _: "42", context_length=64)
    worker = Worker(lambda: engine)
    worker.start()
    limits = Limits(requests_per_minute=1, tokens_per_minute=1000, max_concurrent=1)
    service = ChatService(worker)
    behaviour = Behaviour(limits=limits, content_filter=ContentFilter(DEFAULT_RULES))

    async def ask(text: str = "six") -> ChatCompletion:
        request = ChatRequest.model_validate({"messages": [{"role": "user", "content": text}]})
        answer = await service.answer(behaviour, SERVERLESS, request, "an-id", deployment="d")
        try:
            return await answer.complete()
        finally:
            answer.cancel()

    def refuse(*arguments: object, **named: object) -> Generation:
        raise QueueFullError(1, 1)

    async def ask_in_vain() -> None:
        text = {"blocked": "phi-filter-hate", "too long": "six " * 100}.get(kind, "six")
        with monkeypatch.context() as patch:
            if kind == "queue":
                patch.setattr(worker, "submit", refuse)
            if kind == "engine":
                patch.setattr(Generation, "batches", _refused)
            with pytest.raises(ServiceError):
                await ask(text)

    async def run() -> None:
        for _ in range(3):
            await ask_in_vain()
        await ask()
        with pytest.raises(ServiceError) as raised:
            await ask()
        assert raised.value.refusal.status == 429

    try:
        asyncio.run(run())
    finally:
        worker.stop()


async def _refused(generation: Generation) -> AsyncIterator[str]:
    if generation.outcome is None:
        raise PromptError("not this one")
    yield ""
