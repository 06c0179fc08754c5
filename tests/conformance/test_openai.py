"""The `openai` package, as it comes from PyPI, against every surface that it can talk to.

`OpenAI` is pointed to a surface by `base_url`; `AzureOpenAI` writes the older form of the v1 API by itself.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import httpx
import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.conformance.conftest import Start, is_idle_after_a_step
from tests.together.conftest import REASONED, Gate, Running, eventually

DEPLOYMENT = "a-deployment"
MESSAGES = [{"role": "user", "content": "What is 6 * 7?"}]
HARMFUL = [{"role": "user", "content": "a phi-filter-violence story"}]
TOO_LONG = [{"role": "user", "content": "a " * 200}]
TOO_LARGE = [{"role": "user", "content": "a" * 5000}]
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Surface:
    """Where a client is pointed to, and how this surface answers; without a `path` it is `AzureOpenAI`'s own."""

    path: str | None
    wraps: bool = False
    lists_models: bool = False

    def status(self, of_the_model: int) -> int:
        return 424 if self.wraps else of_the_model

    def kind(self, of_the_model: type[openai.APIStatusError]) -> type[openai.APIStatusError]:
        return openai.APIStatusError if self.wraps else of_the_model


SURFACES = {
    "v1": Surface("/openai/v1", lists_models=True),
    "project": Surface("/api/projects/mine/openai/v1/", lists_models=True),
    "azure_openai": Surface(None),
    "serverless": Surface("/v1"),
    "managed_compute": Surface("/managed-compute/v1", wraps=True),
}


class Driver:
    """A client of either kind behind one sync face."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.runner = asyncio.Runner()
        self.client: OpenAI | AsyncOpenAI | None = None

    def open(self, root: str, surface: Surface, key: str, **options: Any) -> Driver:
        given: dict[str, Any] = {"api_key": key, "max_retries": 0} | options
        if surface.path is None:
            kind: type[Any] = AsyncAzureOpenAI if self.is_async else AzureOpenAI
            self.client = kind(**{"azure_endpoint": root, "api_version": "2024-10-21"} | given)
        else:
            kind = AsyncOpenAI if self.is_async else OpenAI
            self.client = kind(base_url=root + surface.path, **given)
        return self

    def _run(self, work: Any) -> Any:
        return self.runner.run(_awaited(work)) if self.is_async else work

    def _completions(self) -> Any:
        assert self.client is not None
        return self.client.chat.completions

    def create(self, **options: Any) -> Any:
        return self._run(self._completions().create(**{"model": DEPLOYMENT, "messages": MESSAGES} | options))

    def complete(self, **options: Any) -> ChatCompletion:
        return cast("ChatCompletion", self.create(**options))

    def stream(self, **options: Any) -> list[ChatCompletionChunk]:
        chunks = self.create(stream=True, **options)
        return cast(
            "list[ChatCompletionChunk]", self.runner.run(_listed(chunks)) if self.is_async else list(chunks)
        )

    def read_one(self, stream: Any) -> ChatCompletionChunk:
        return cast(
            "ChatCompletionChunk", self._run(anext(aiter(stream))) if self.is_async else next(iter(stream))
        )

    def leave(self, stream: Any) -> None:
        self._run(stream.close())

    def raw(self, **options: Any) -> Any:
        work = self._completions().with_raw_response.create(
            **{"model": DEPLOYMENT, "messages": MESSAGES} | options
        )
        return self._run(work)

    def request(self, method: str, path: str, **options: Any) -> Any:
        assert self.client is not None
        return self._run(getattr(self.client, method)(path, cast_to=object, **options))

    def models(self) -> list[str]:
        assert self.client is not None
        listed = self.client.models.list()
        found = self.runner.run(_listed(cast("Any", listed))) if self.is_async else list(cast("Any", listed))
        return [model.id for model in found]

    def retrieve(self, model: str) -> Any:
        assert self.client is not None
        return self._run(self.client.models.retrieve(model))

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
    return driver.open(running.emulator.root, surface, running.emulator.key, **options)


def text_of(chunks: Iterable[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def refused(ask: Callable[[], object], kind: type[openai.APIStatusError]) -> openai.APIStatusError:
    """The error, which must be of this very class."""
    with pytest.raises(openai.APIStatusError) as caught:
        ask()
    assert type(caught.value) is kind
    return caught.value


def test_a_whole_answer(client: Driver) -> None:
    done = client.complete()
    (choice,) = done.choices
    assert choice.message.content == REASONED
    assert (choice.message.role, choice.index, choice.finish_reason) == ("assistant", 0, "stop")
    assert (done.object, done.model) == ("chat.completion", "scripted")
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 2


def test_a_streamed_answer_is_the_whole_one_in_pieces(client: Driver) -> None:
    whole, sent = client.complete(), client.stream(stream_options={"include_usage": True})
    assert text_of(sent) == whole.choices[0].message.content
    # On Azure OpenAI one without a choice comes before the others, and one with the usage after them.
    chunks = [chunk for chunk in sent if chunk.choices]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert sent[-1].usage is not None
    assert whole.usage is not None
    assert sent[-1].usage.total_tokens == whole.usage.total_tokens
    assert [chunk.usage for chunk in sent[:-1]] == [None] * (len(sent) - 1)


def test_the_budget_ends_the_answer(client: Driver) -> None:
    done = client.complete(max_tokens=5)
    assert done.choices[0].finish_reason == "length"
    assert done.usage is not None
    assert done.usage.completion_tokens == 5
    assert client.stream(max_tokens=5)[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize("stop", ["</think>", ["</think>", "never"]])
def test_a_stop_string_ends_the_answer_and_is_left_out(client: Driver, stop: str | list[str]) -> None:
    done = client.complete(stop=stop)
    assert done.choices[0].finish_reason == "stop"
    assert done.choices[0].message.content == REASONED.partition("</think>")[0]
    assert text_of(client.stream(stop=stop)) == REASONED.partition("</think>")[0]


def test_extras_are_never_refused_on_these_routes(client: Driver) -> None:
    # The engine ignores what it doesn't know, so that there is one choice (a known deviation).
    done = client.complete(n=2, user="somebody", logit_bias={}, extra_body={"top_k": 5})
    assert len(done.choices) == 1
    assert client.stream(stream_options={"include_usage": True})[-1].usage is not None


def test_parts_of_text_are_read_and_a_picture_is_refused(client: Driver, surface: Surface) -> None:
    parts = [{"type": "text", "text": "six "}, {"type": "text", "text": "times seven"}]
    assert client.complete(messages=[{"role": "user", "content": parts}]).choices
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    messages = [{"role": "user", "content": [*parts, picture]}]
    error = refused(lambda: client.complete(messages=messages), surface.kind(openai.BadRequestError))
    assert error.status_code == surface.status(400)
    assert "is not a multimodal model" in error.message


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 2}, {"top_p": -0.1}, {"frequency_penalty": 3}, {"max_tokens": -1}, {"temperature": "warm"},
        {"messages": []}, {"messages": [{"role": "developer", "content": "x"}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
    ],
    ids=repr,
)  # fmt: skip
def test_a_request_outside_the_schema_is_422(
    client: Driver, surface: Surface, options: dict[str, Any]
) -> None:
    error = refused(lambda: client.complete(**options), surface.kind(openai.UnprocessableEntityError))
    assert error.status_code == surface.status(422)
    body = cast("dict[str, Any]", error.body)
    assert (error.code, body["message"], body["status"]) == ("Invalid input", "invalid input error", 422)
    assert body["details"][0]["loc"][0] == "body"
    if surface.wraps:
        assert error.response.headers["ms-azureml-model-error-statuscode"] == "422"


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"tool_choice": "none"},
    ],
    ids=repr,
)
def test_what_this_model_can_not_do_is_400(client: Driver, surface: Surface, options: dict[str, Any]) -> None:
    error = refused(lambda: client.complete(**options), surface.kind(openai.BadRequestError))
    assert error.status_code == surface.status(400)
    # The package shows no message where the body has none under `error`.
    assert "not supported" in error.response.text


def test_json_output_is_refused_in_the_surfaces_words(client: Driver, surface: Surface) -> None:
    options = {"response_format": {"type": "json_object"}}
    if surface.path == "/v1":
        error = refused(lambda: client.complete(**options), openai.UnprocessableEntityError)
        assert (error.status_code, error.code) == (422, "parameter_not_supported")
        return
    error = refused(lambda: client.complete(**options), surface.kind(openai.BadRequestError))
    assert error.status_code == surface.status(400)
    assert "'json_object' is not supported" in error.message


def test_a_prompt_beyond_the_context_is_the_engines_400(client: Driver, surface: Surface) -> None:
    error = refused(lambda: client.complete(messages=TOO_LONG), surface.kind(openai.BadRequestError))
    assert error.status_code == surface.status(400)
    assert "maximum context length is 256 tokens" in error.message


def test_a_harmful_prompt_is_filtered(client: Driver, surface: Surface) -> None:
    if surface.wraps:
        wrapped = refused(lambda: client.complete(messages=HARMFUL), openai.APIStatusError)
        assert (wrapped.status_code, "content safety setting" in wrapped.message) == (424, True)
        return
    error = refused(lambda: client.complete(messages=HARMFUL), openai.BadRequestError)
    assert (error.status_code, error.code, error.param) == (400, "content_filter", "prompt")
    inner = cast("dict[str, Any]", error.body)["innererror"]
    assert inner["content_filter_result"]["violence"] == {"filtered": True, "severity": "medium"}


def test_a_body_that_is_too_large_is_413(client: Driver) -> None:
    assert refused(lambda: client.complete(messages=TOO_LARGE), openai.APIStatusError).status_code == 413


def test_a_body_that_is_not_json_is_415(client: Driver) -> None:
    error = refused(
        lambda: client.complete(extra_headers={"Content-Type": "text/plain"}), openai.APIStatusError
    )
    assert error.status_code == 415


def test_another_method_than_the_route_has(client: Driver, surface: Surface) -> None:
    path = "/chat/completions" if surface.path else f"/deployments/{DEPLOYMENT}/chat/completions"
    error = refused(lambda: client.request("get", path), openai.APIStatusError)
    assert error.status_code == surface.status(405)
    assert error.response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("v1", "Access denied due to invalid subscription key or wrong API endpoint."),
        ("azure_openai", "Access denied due to invalid subscription key or wrong API endpoint."),
        ("serverless", "Auth token validation failed. Please provide a valid key or a valid AAD token"),
        ("managed_compute", "key_auth_access_denied"),
    ],
)
def test_a_wrong_key_is_an_authentication_error(
    driver: Driver, scripted: Running, name: str, text: str
) -> None:
    client = driver.open(scripted.emulator.root, SURFACES[name], "not-the-key")
    error = refused(client.complete, openai.AuthenticationError)
    assert error.status_code == 401
    assert text in error.response.text


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/v2", openai.NotFoundError, 404),
        ("/openai/v2", openai.NotFoundError, 404),
        ("/openai/v1/deployments", openai.NotFoundError, 404),
        ("/managed-compute/v2", openai.APIStatusError, 424),
    ],
)
def test_a_path_that_is_not_there(
    driver: Driver, scripted: Running, path: str, kind: type[openai.APIStatusError], status: int
) -> None:
    client = open_at(driver, Surface(path), scripted)
    assert refused(client.complete, kind).status_code == status


def test_azure_openai_finds_nothing_on_a_serverless_host(driver: Driver, scripted: Running) -> None:
    client = open_at(driver, Surface(None), scripted, azure_endpoint=f"{scripted.emulator.root}/serverless")
    # A serverless host takes no `api-key`, so the one that the package sends is as none (reported live).
    assert refused(client.complete, openai.BadRequestError).status_code == 400
    bearer = {"Authorization": f"Bearer {scripted.emulator.key}"}
    error = refused(lambda: client.complete(extra_headers=bearer), openai.NotFoundError)
    assert error.body == "NOT FOUND"


@pytest.mark.parametrize(
    ("version", "kind", "status"),
    [("2099-01-01", openai.BadRequestError, 400), ("2024-10-21", None, 200)],
)
def test_azure_openai_sends_a_version_that_is_judged(
    driver: Driver, scripted: Running, version: str, kind: type[openai.APIStatusError] | None, status: int
) -> None:
    client = open_at(driver, Surface(None), scripted, api_version=version)
    if kind is None:
        assert client.complete().choices[0].finish_reason == "stop"
        return
    error = refused(client.complete, kind)
    assert (error.status_code, error.code) == (status, "BadRequest")
    assert "API version not supported" in error.message


@pytest.mark.parametrize("name", ["v1", "project", "azure_openai"])
def test_a_deployment_that_is_not_there(driver: Driver, start: Start, name: str) -> None:
    client = open_at(driver, SURFACES[name], start(deployments=("phi",)))
    error = refused(client.complete, openai.NotFoundError)
    assert (error.status_code, error.code) == (404, "DeploymentNotFound")
    assert client.complete(model="phi").choices[0].finish_reason == "stop"


def test_the_models_of_a_resource(client: Driver, surface: Surface) -> None:
    if surface.lists_models:
        assert client.models() == ["scripted"]
        assert client.retrieve("scripted").id == "scripted"
        assert client.retrieve("any name").id == "scripted"
        return
    kind = openai.APIStatusError if surface.wraps else openai.NotFoundError
    if surface.path is not None:
        assert refused(lambda: client.retrieve("scripted"), kind).status_code == surface.status(404)


def test_a_raw_response_has_status_headers_and_ids(client: Driver) -> None:
    raw = client.raw(extra_headers={"x-ms-client-request-id": "mine-1"})
    done = raw.parse()
    assert raw.status_code == 200
    assert raw.headers["content-type"] == "application/json"
    assert raw.http_response.json()["choices"][0]["message"]["content"] == REASONED
    assert raw.headers["x-request-id"] == raw.request_id == done._request_id
    assert GUID.fullmatch(raw.request_id)
    assert done.id == f"chatcmpl-{raw.request_id}"


def test_a_raw_stream_has_headers_before_its_text(client: Driver) -> None:
    raw = client.raw(stream=True)
    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert GUID.fullmatch(raw.headers["x-request-id"])
    client.leave(raw.parse())


def test_an_error_names_its_request(client: Driver, surface: Surface) -> None:
    error = refused(lambda: client.complete(temperature=2), surface.kind(openai.UnprocessableEntityError))
    assert GUID.fullmatch(str(error.request_id))


def test_the_headers_of_a_foundry_resource(driver: Driver, start: Start) -> None:
    running = start(requests_per_minute=5, tokens_per_minute=1000)
    raw = open_at(driver, SURFACES["v1"], running).raw(extra_headers={"x-ms-client-request-id": "mine-1"})
    raw.parse()
    assert raw.headers["apim-request-id"] == raw.request_id
    assert raw.headers["x-ms-client-request-id"] == "mine-1"
    assert raw.headers["x-ratelimit-limit-requests"] == "5"
    assert raw.headers["x-ratelimit-remaining-requests"] == "4"
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) < 1000


def wait_by(client: Driver, then: Callable[[], object]) -> list[float]:
    """Let a client report how long it would sleep before a retry instead of sleeping; the list fills as it does."""
    waits: list[float] = []
    inner: Any = client.client

    # The package has no public way to hear of its waits, and a test must not sleep: the calculation stays its own.
    def waited(
        *, retries_taken: int, max_retries: int, options: Any, response: httpx.Response | None
    ) -> None:
        headers = None if response is None else response.headers
        waits.append(inner._calculate_retry_timeout(max_retries - retries_taken, options, headers))
        then()

    async def waited_async(**given: Any) -> None:
        waited(**given)

    inner._sleep_for_retry = waited_async if client.is_async else waited
    return waits


@pytest.mark.parametrize("name", ["v1", "azure_openai", "serverless", "managed_compute"])
def test_a_rate_limit_is_waited_out(driver: Driver, start: Start, name: str) -> None:
    running = start(max_concurrent=1)
    running.gate.close()

    def let_it_end() -> None:
        running.gate.allow()
        eventually(lambda: running.status()["running"] == 0)

    client = open_at(driver, SURFACES[name], running, max_retries=2)
    waits = wait_by(client, let_it_end)
    stream = client.create(stream=True)
    assert client.complete().choices[0].finish_reason == "stop"
    assert waits == [1]
    client.leave(stream)


@pytest.mark.parametrize("name", ["v1", "azure_openai", "serverless"])
def test_a_rate_limit_that_is_not_waited_for_is_429(driver: Driver, start: Start, name: str) -> None:
    client = open_at(driver, SURFACES[name], start(requests_per_minute=1))
    client.complete()
    error = refused(client.complete, openai.RateLimitError)
    assert (error.status_code, error.code) == (429, "429")
    assert 1 <= int(error.response.headers["Retry-After"]) <= 60


def test_leaving_a_stream_early_frees_the_engine(client: Driver, scripted: Running, gate: Gate) -> None:
    before = scripted.engine.steps
    gate.allow(3)
    stream = client.create(stream=True)
    assert client.read_one(stream).object in ("chat.completion.chunk", "")
    assert scripted.status()["running"] == 1
    client.leave(stream)
    eventually(lambda: is_idle_after_a_step(scripted))
    assert scripted.engine.steps - before < len(REASONED.split(" "))


def test_a_client_that_loses_patience_frees_the_engine(client: Driver, scripted: Running, gate: Gate) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.complete(timeout=0.2)
    eventually(lambda: is_idle_after_a_step(scripted))


@pytest.mark.parametrize("name", ["v1", "serverless", "managed_compute"])
def test_an_answer_that_takes_too_long_is_408(driver: Driver, start: Start, name: str) -> None:
    running = start(request_timeout_ms=50)
    running.gate.close()
    error = refused(open_at(driver, SURFACES[name], running).complete, openai.APIStatusError)
    running.gate.allow()
    assert error.status_code == 408
