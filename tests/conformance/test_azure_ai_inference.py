"""The `azure-ai-inference` package, as it comes from PyPI, against every surface that it can talk to.

What is asserted of errors is what the package shows of them, which on some surfaces is less than was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from azure.ai.inference import ChatCompletionsClient, load_client
from azure.ai.inference.aio import ChatCompletionsClient as AsyncChatCompletionsClient
from azure.ai.inference.aio import load_client as load_client_async
from azure.ai.inference.models import (
    ChatCompletions,
    JsonSchemaFormat,
    ModelInfo,
    StreamingChatCompletionsUpdate,
    SystemMessage,
    UserMessage,
)
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import AsyncRetryPolicy, RetryPolicy
from azure.core.rest import HttpRequest

from tests.conformance.conftest import Start, is_idle_after_a_step
from tests.together.conftest import REASONED, Gate, Running, eventually

MESSAGES = [SystemMessage("You are a helpful assistant."), UserMessage("What is 6 * 7?")]
HARMFUL = [UserMessage("a phi-filter-violence story")]
TOO_LONG = [UserMessage("a " * 200)]
TOO_LARGE = [UserMessage("a" * 5000)]


@dataclass(frozen=True)
class Surface:
    """Where a client is pointed to, and how this surface answers."""

    path: str
    model: str | None = None
    wraps: bool = False
    refuses_extras: bool = True

    def status(self, of_the_model: int) -> int:
        return 424 if self.wraps else of_the_model


SURFACES = {
    "root": Surface(""),
    "serverless": Surface("/serverless"),
    "managed_compute": Surface("/managed-compute", wraps=True, refuses_extras=False),
    "foundry_models": Surface("/models", model="a-deployment"),
}


class Driver:
    """A client of either kind behind one sync face."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.runner = asyncio.Runner()
        self.client: ChatCompletionsClient | AsyncChatCompletionsClient | None = None

    def open(self, endpoint: str, key: str, **options: Any) -> Driver:
        kind = AsyncChatCompletionsClient if self.is_async else ChatCompletionsClient
        self.client = kind(endpoint, AzureKeyCredential(key), **({"retry_total": 0} | options))
        return self

    def _run(self, work: Any) -> Any:
        return self.runner.run(_awaited(work)) if self.is_async else work

    def complete(self, **options: Any) -> ChatCompletions:
        assert self.client is not None
        arguments: dict[str, Any] = options if "body" in options else {"messages": MESSAGES} | options
        return cast("ChatCompletions", self._run(self.client.complete(**arguments)))

    def open_stream(self, **options: Any) -> Any:
        assert self.client is not None
        return self._run(self.client.complete(messages=MESSAGES, stream=True, **options))

    def stream(self, **options: Any) -> list[StreamingChatCompletionsUpdate]:
        updates = self.open_stream(**options)
        read = self.runner.run(_listed(updates)) if self.is_async else list(updates)
        return cast("list[StreamingChatCompletionsUpdate]", read)

    def read_one(self, stream: Any) -> StreamingChatCompletionsUpdate:
        read = self._run(anext(stream)) if self.is_async else next(stream)
        return cast("StreamingChatCompletionsUpdate", read)

    def leave(self, stream: Any) -> None:
        self._run(stream.aclose() if self.is_async else stream.close())

    def get_model_info(self) -> ModelInfo:
        assert self.client is not None
        return cast("ModelInfo", self._run(self.client.get_model_info()))

    def load(self, endpoint: str, key: str) -> type:
        load = load_client_async if self.is_async else load_client
        client = self._run(load(endpoint, AzureKeyCredential(key), retry_total=0))
        self._run(client.close())
        return type(client)

    def send(self, request: HttpRequest) -> Any:
        assert self.client is not None
        return self._run(self.client.send_request(request))

    def close(self) -> None:
        if self.client is not None:
            self._run(self.client.close())
        self.runner.close()


async def _awaited(work: Any) -> Any:
    return await work


async def _listed(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


@pytest.fixture(scope="module", params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def driver(is_async: bool) -> Iterator[Driver]:
    """A client that a test opens itself."""
    made = Driver(is_async)
    yield made
    made.close()


@pytest.fixture(scope="module", params=list(SURFACES.values()), ids=list(SURFACES))
def surface(request: pytest.FixtureRequest) -> Surface:
    return cast("Surface", request.param)


@pytest.fixture(scope="module")
def client(is_async: bool, surface: Surface, scripted: Running) -> Iterator[Driver]:
    """A client of the surface, which all tests of the module share because it is slow to make."""
    made = open_at(Driver(is_async), surface, scripted)
    yield made
    made.close()


def open_at(driver: Driver, surface: Surface, running: Running, **options: Any) -> Driver:
    named = {} if surface.model is None else {"model": surface.model}
    emulator = running.emulator
    return driver.open(emulator.root + surface.path, emulator.key, **(named | options))


def text_of(updates: Iterable[StreamingChatCompletionsUpdate]) -> str:
    return "".join(update.choices[0].delta.content or "" for update in updates)


def answer_of(error: HttpResponseError) -> Any:
    """The answer behind an error, whose type the package leaves half open."""
    return error.response


def refused(
    ask: Callable[[], object], kind: type[HttpResponseError] = HttpResponseError
) -> HttpResponseError:
    """The error, which must be of this very class."""
    with pytest.raises(HttpResponseError) as caught:
        ask()
    assert type(caught.value) is kind
    return caught.value


def test_a_whole_answer(client: Driver) -> None:
    done = client.complete()
    (choice,) = done.choices
    assert choice.message.content == REASONED
    assert (choice.message.role, choice.index, choice.finish_reason) == ("assistant", 0, "stop")
    assert done.model == "scripted"
    assert done.usage.prompt_tokens > 0
    assert done.usage.completion_tokens > 0
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens


def test_a_streamed_answer_is_the_whole_one_in_pieces(client: Driver) -> None:
    whole, updates = client.complete(), client.stream()
    assert text_of(updates) == whole.choices[0].message.content
    assert updates[0].choices[0].delta.role == "assistant"
    assert [update.choices[0].finish_reason for update in updates[-2:]] == [None, "stop"]
    assert updates[-1].usage is not None
    assert updates[-1].usage.as_dict() == {
        name: whole.usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    assert len({update.id for update in updates}) == 1


def test_the_budget_ends_the_answer(client: Driver) -> None:
    done = client.complete(max_tokens=5)
    assert (done.choices[0].finish_reason, done.usage.completion_tokens) == ("length", 5)
    assert client.stream(max_tokens=5)[-1].choices[0].finish_reason == "length"


def test_a_stop_string_ends_the_answer_and_is_left_out(client: Driver) -> None:
    done = client.complete(stop=["</think>", "never"])
    assert done.choices[0].finish_reason == "stop"
    assert done.choices[0].message.content == REASONED.partition("</think>")[0]
    assert text_of(client.stream(stop=["</think>"])) == REASONED.partition("</think>")[0]


def test_all_that_the_schema_has_is_taken(client: Driver) -> None:
    sampling = {"temperature": 1.0, "top_p": 0.5, "presence_penalty": 0.0, "frequency_penalty": 0.0}
    done = client.complete(**sampling, max_tokens=99, seed=1, response_format="text")
    assert done.choices[0].message.content == REASONED


def test_the_filters_annotations_stay_reachable(client: Driver, surface: Surface) -> None:
    choice = client.complete().choices[0]
    assert ("content_filter_results" in choice) is not surface.wraps
    if not surface.wraps:
        assert choice["content_filter_results"]["violence"] == {"filtered": False, "severity": "safe"}


def test_extras_of_the_model_are_passed_on(client: Driver) -> None:
    # The package asks for `pass-through` itself; the engine ignores what it doesn't know (a known deviation).
    assert len(client.complete(model_extras={"n": 2, "top_k": 5}).choices) == 1


def test_an_extra_without_a_policy_is_the_surfaces_to_judge(client: Driver, surface: Surface) -> None:
    named = {} if surface.model is None else {"model": surface.model}
    body = {"messages": [{"role": "user", "content": "x"}], "n": 2} | named
    if not surface.refuses_extras:
        assert client.complete(body=body).choices[0].finish_reason == "stop"
        return
    error = refused(lambda: client.complete(body=body))
    assert (error.status_code, error.error) == (400, None)
    assert "Extra parameters ['n'] are not allowed when extra-parameters is not set" in str(error)


def test_an_unknown_policy_is_refused(client: Driver, surface: Surface) -> None:
    error = refused(lambda: client.complete(headers={"extra-parameters": "ignore"}))
    assert error.status_code == surface.status(400)
    assert "Unexpected EXTRA_PARAMETERS option ignore" in str(error)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 2}, {"top_p": -0.1}, {"presence_penalty": 3}, {"max_tokens": -1},
        {"messages": []}, {"messages": [{"role": "developer", "content": "x"}]},
        {"response_format": JsonSchemaFormat(name="x", schema={"type": "object"})},
    ],
    ids=["temperature", "top_p", "presence_penalty", "max_tokens", "messages", "developer", "json_schema"],
)  # fmt: skip
def test_a_request_outside_the_schema_is_422(
    client: Driver, surface: Surface, options: dict[str, Any]
) -> None:
    error = refused(lambda: client.complete(**options))
    assert error.status_code == surface.status(422)
    assert error.error is not None
    assert (error.error.code, error.error.message) == ("Invalid input", "invalid input error")
    # The package drops pydantic's details; only the text of the body has them.
    assert error.error.details == []
    assert answer_of(error).json()["error"]["details"][0]["loc"][0] == "body"


def test_json_output_is_refused_in_words(client: Driver, surface: Surface) -> None:
    error = refused(lambda: client.complete(response_format="json_object"))
    assert error.error is not None
    if surface.wraps:
        assert (error.status_code, error.error.code) == (424, "Bad Request")
        assert "json_object" in str(error.error.message)
        return
    assert (error.status_code, error.error.code) == (422, "parameter_not_supported")


def test_a_prompt_beyond_the_context_is_the_engines_400(client: Driver, surface: Surface) -> None:
    error = refused(lambda: client.complete(messages=TOO_LONG))
    assert error.status_code == surface.status(400)
    assert error.error is not None
    assert "maximum context length is 256 tokens" in str(error.error.message)


def test_a_harmful_prompt_is_filtered(client: Driver, surface: Surface) -> None:
    if surface.wraps:
        wrapped = refused(lambda: client.complete(messages=HARMFUL))
        assert (wrapped.status_code, "content safety setting" in str(wrapped)) == (424, True)
        return
    error = refused(lambda: client.complete(messages=HARMFUL))
    assert error.status_code == 400
    assert error.error is not None
    assert error.error.code == "content_filter"
    inner: Any = error.error.innererror
    assert inner["code"] == "ResponsibleAIPolicyViolation"
    assert inner["content_filter_result"]["violence"] == {"filtered": True, "severity": "medium"}


def test_a_body_that_is_too_large_is_413(client: Driver) -> None:
    assert refused(lambda: client.complete(messages=TOO_LARGE)).status_code == 413


def test_a_body_that_is_not_json_is_415(client: Driver) -> None:
    error = refused(lambda: client.complete(body={"messages": []}, content_type="text/plain"))
    assert error.status_code == 415


def test_another_method_than_the_route_has(client: Driver, surface: Surface) -> None:
    answer = client.send(
        HttpRequest("GET", "/chat/completions", params={"api-version": "2024-05-01-preview"})
    )
    assert answer.status_code == surface.status(405)
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("serverless", "Auth token validation failed. Please provide a valid key or a valid AAD token"),
        ("managed_compute", "key_auth_access_denied"),
        ("foundry_models", "Access denied due to invalid subscription key or wrong API endpoint."),
    ],
)
def test_a_wrong_key_is_an_authentication_error(
    driver: Driver, scripted: Running, name: str, text: str
) -> None:
    surface = SURFACES[name]
    client = driver.open(scripted.emulator.root + surface.path, "not-the-key", model=surface.model)
    error = refused(client.complete, ClientAuthenticationError)
    assert error.status_code == 401
    assert text in str(error)


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/serverless/nowhere", ResourceNotFoundError, 404),
        ("/managed-compute/nowhere", HttpResponseError, 424),
        ("/models/nowhere", ResourceNotFoundError, 404),
    ],
)
def test_a_path_that_is_not_there(
    driver: Driver, scripted: Running, path: str, kind: type[HttpResponseError], status: int
) -> None:
    client = driver.open(scripted.emulator.root + path, scripted.emulator.key)
    assert refused(client.complete, kind).status_code == status


def test_the_help_text_makes_an_error_unreadable_as_on_azure(driver: Driver, start: Start) -> None:
    client = open_at(driver, SURFACES["serverless"], start(help_text=True))
    error = refused(lambda: client.complete(temperature=2), DecodeError)
    assert (error.status_code, error.error) == (422, None)


@pytest.mark.parametrize("path", ["", "/serverless", "/models"])
def test_the_chat_client_is_found_by_the_info_route(driver: Driver, scripted: Running, path: str) -> None:
    found = driver.load(scripted.emulator.root + path, scripted.emulator.key)
    assert found is (AsyncChatCompletionsClient if driver.is_async else ChatCompletionsClient)


def test_the_older_container_has_an_info_route_and_the_newer_has_not(
    driver: Driver, scripted: Running, older: Running
) -> None:
    path = "/managed-compute"
    assert "ChatCompletionsClient" in str(driver.load(older.emulator.root + path, older.emulator.key))
    error = refused(lambda: driver.load(scripted.emulator.root + path, scripted.emulator.key))
    assert error.status_code == 424


def test_the_model_info(client: Driver, surface: Surface) -> None:
    if surface.wraps:
        assert refused(client.get_model_info).status_code == 424
        return
    info = client.get_model_info()
    assert (info.model_name, info.model_type) == ("scripted", "chat-completion")
    assert info.model_provider_name == "phi-emulator"


def test_the_older_container_refuses_extras_by_default(driver: Driver, older: Running) -> None:
    client = open_at(driver, SURFACES["managed_compute"], older)
    error = refused(lambda: client.complete(body={"messages": [{"role": "user", "content": "x"}], "n": 2}))
    assert error.status_code == 424
    assert "Extra parameters ['n']" in str(error)
    assert client.complete(model_extras={"n": 2}).choices[0].finish_reason == "stop"


def test_foundry_wants_a_model(driver: Driver, scripted: Running) -> None:
    client = driver.open(f"{scripted.emulator.root}/models", scripted.emulator.key)
    error = refused(client.complete)
    assert error.error is not None
    assert (error.status_code, error.error.code) == (400, "no_model_name")
    assert answer_of(error).headers["x-ms-error-code"] == "no_model_name"


def test_foundry_knows_its_models_by_name(driver: Driver, start: Start) -> None:
    client = open_at(driver, SURFACES["foundry_models"], start(deployments=("phi",)))
    error = refused(client.complete)
    assert error.error is not None
    assert (error.status_code, error.error.code) == (400, "unknown_model")
    assert error.error.message == "Unknown model: a-deployment"
    assert client.complete(model="phi").choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("serverless", 400, HttpResponseError),
        ("managed_compute", 200, None),
        ("foundry_models", 404, ResourceNotFoundError),
    ],
)
def test_an_api_version_is_judged_as_the_surface_does(
    driver: Driver, scripted: Running, name: str, status: int, kind: type[HttpResponseError] | None
) -> None:
    client = open_at(driver, SURFACES[name], scripted, api_version="2099-01-01")
    if kind is None:
        assert client.complete().choices[0].finish_reason == "stop"
    else:
        assert refused(client.complete, kind).status_code == status


def test_the_ids_of_an_exchange(client: Driver, surface: Surface) -> None:
    seen: list[PipelineResponse[Any, Any]] = []
    done = client.complete(
        raw_response_hook=seen.append,
        headers={"x-ms-return-client-request-id": "true"},
        request_id="mine-1",
    )
    headers = seen[0].http_response.headers
    assert done.id == f"chatcmpl-{headers['x-request-id']}"
    assert headers.get("x-ms-client-request-id") == (None if surface.wraps else "mine-1")


class Waits:
    """What a retry policy of the package's own reports instead of sleeping."""

    def __init__(self, then: Callable[[], object]) -> None:
        self.seconds: list[float | None] = []
        self._then = then

    def policy(self, is_async: bool) -> Any:
        waits = self

        class Patient(RetryPolicy[Any, Any]):
            def sleep(self, settings: Any, transport: Any, response: Any = None) -> None:
                waits.passed(self.get_retry_after(response))

        class AsyncPatient(AsyncRetryPolicy[Any, Any]):
            async def sleep(self, settings: Any, transport: Any, response: Any = None) -> None:
                waits.passed(self.get_retry_after(response))

        return (AsyncPatient if is_async else Patient)(retry_total=2)

    def passed(self, seconds: float | None) -> None:
        self.seconds.append(seconds)
        self._then()


@pytest.mark.parametrize("name", ["serverless", "foundry_models", "managed_compute"])
def test_a_rate_limit_is_waited_out(driver: Driver, start: Start, name: str) -> None:
    running = start(max_concurrent=1)
    surface = SURFACES[name]
    running.gate.close()

    def let_it_end() -> None:
        running.gate.allow()
        eventually(lambda: running.status()["running"] == 0)

    waits = Waits(let_it_end)
    client = open_at(driver, surface, running, retry_policy=waits.policy(driver.is_async))
    stream = client.open_stream()
    assert client.complete().choices[0].finish_reason == "stop"
    assert waits.seconds == [1]
    client.leave(stream)


def test_a_rate_limit_that_is_not_waited_for_is_429(driver: Driver, start: Start) -> None:
    client = open_at(driver, SURFACES["serverless"], start(requests_per_minute=1))
    client.complete()
    error = refused(client.complete)
    assert error.status_code == 429
    assert error.error is not None
    assert error.error.code == "429"
    assert 1 <= int(answer_of(error).headers["Retry-After"]) <= 60


def test_leaving_a_stream_early_frees_the_engine(client: Driver, scripted: Running, gate: Gate) -> None:
    before = scripted.engine.steps
    gate.allow(3)
    stream = client.open_stream()
    assert client.read_one(stream).choices[0].delta.role == "assistant"
    assert scripted.status()["running"] == 1
    client.leave(stream)
    eventually(lambda: is_idle_after_a_step(scripted))
    assert scripted.engine.steps - before < len(REASONED.split(" "))


def test_a_client_that_loses_patience_frees_the_engine(client: Driver, scripted: Running, gate: Gate) -> None:
    with pytest.raises(ServiceResponseTimeoutError):
        client.complete(read_timeout=0.2)
    eventually(lambda: is_idle_after_a_step(scripted))


def test_an_answer_that_takes_too_long_is_408(driver: Driver, start: Start) -> None:
    running = start(request_timeout_ms=50)
    running.gate.close()
    error = refused(open_at(driver, SURFACES["managed_compute"], running).complete)
    running.gate.allow()
    assert error.status_code == 408
    assert "upstream request timeout" in str(error)
