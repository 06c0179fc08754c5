"""Words of other SDKs: each is answered with what to write here, whichever client and method it is given to."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import TYPE_CHECKING, Any, get_args

import openai
import pytest
from azure.ai.inference import ChatCompletionsClient
from openai.resources.chat.completions import Completions

from phi_client import (
    AsyncPhiClient,
    Completion,
    CompletionChunk,
    CompletionOptions,
    ConfigurationError,
    PhiClient,
)
from phi_client._call.wrong_words import Owner, missing_attribute, unknown_argument, unknown_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Driver

CLIENTS = (PhiClient, AsyncPhiClient)
OPTIONS = CompletionOptions.__annotations__.keys()
ARGUMENTS = inspect.signature(PhiClient.__init__).parameters.keys()
# What is said where there is no line for a word.
NO_LINE = ("go into `extra={…}`", "the reference has a list")


def parameters(*functions: Callable[..., Any]) -> set[str]:
    """The public names that functions of other SDKs take."""
    found = {name for function in functions for name in inspect.signature(function).parameters}
    return {name for name in found if not name.startswith("_")} - {"self", "kwargs"}


def public(*classes: type) -> set[str]:
    return {name for cls in classes for name in dir(cls) if not name.startswith("_")}


THEIR_ARGUMENTS = parameters(
    openai.OpenAI.__init__, openai.AzureOpenAI.__init__, ChatCompletionsClient.__init__
) | {"credential_scopes", "connection_timeout", "read_timeout", "retry_total", "logging_enable", "user_agent"}
THEIR_OPTIONS = parameters(Completions.create, ChatCompletionsClient.complete) - {"messages"}
THEIR_ATTRIBUTES = public(openai.OpenAI, openai.AzureOpenAI, ChatCompletionsClient)
MORE_OPTIONS = {
    "max_new_tokens", "n", "choices", "base_url", "azure_endpoint", "azure_deployment", "default_headers",
    "organization", "prompt", "system", "model_extras", "extra_body", "top_k", "retry_total", "read_timeout",
    "input", "instructions",
}  # fmt: skip


@pytest.mark.parametrize(
    ("word", "right"), [("max_workers", "concurrency"), ("batch_size", "concurrency"), ("k", "samples")]
)
def test_words_for_how_many_name_the_right_argument(word: str, right: str) -> None:
    assert f"use `{right}=`" in unknown_option(word, OPTIONS)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", sorted(THEIR_ARGUMENTS - set(ARGUMENTS)))
def test_an_argument_of_another_sdks_client_has_a_line(client: Any, name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client("emulator", **{name: None})
    assert str(caught.value).startswith(f"unknown argument {name!r}: ")
    assert not any(words in str(caught.value) for words in NO_LINE)


@pytest.mark.parametrize("name", sorted((THEIR_OPTIONS | MORE_OPTIONS) - set(OPTIONS)))
def test_an_option_of_another_sdks_call_has_a_line(phi: Driver, name: str) -> None:
    phi.open()
    option: dict[str, Any] = {name: None}
    for call in (phi.complete, phi.stream, phi.solve):
        with pytest.raises(ConfigurationError) as caught:
            call(**option)
        assert str(caught.value).startswith(f"unknown option {name!r}: ")
        assert not any(words in str(caught.value) for words in NO_LINE)
    assert not phi.router.calls


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", sorted(THEIR_ATTRIBUTES))
def test_an_attribute_of_another_sdks_client_is_there_or_has_a_line(client: Any, name: str) -> None:
    one = client("emulator")
    if hasattr(client, name):
        assert hasattr(one, name)
        return
    with pytest.raises(AttributeError) as caught:
        getattr(one, name)
    assert re.fullmatch(rf"this client has no '{name}': .{{10,}}", str(caught.value))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("stream", "`client.stream(messages)`"),
        ("n", "`client.map([prompt] * n)`"),
        ("max_new_tokens", "`max_tokens=`"),
        ("model_extras", "`extra=`"),
        ("extra_headers", "`headers=`"),
        ("azure_endpoint", "`PhiClient(endpoint, api_key)`"),
        ("top_k", "`extra={'top_k': …}`"),
        ("endpoint", "the constructor"),
        ("concurrency", "`map()`"),
        ("concurency", "`map()`"),
        ("temprature", "did you mean `temperature`?"),
        ("maxTokens", "did you mean `max_tokens`?"),
        ("topP", "did you mean `top_p`?"),
        ("max_retry", "did you mean `max_retries`?"),
        ("function_calls", "`tools=`"),
        ("qzx", "`extra={…}`"),
    ],
)
def test_the_line_of_an_option_says_what_to_write(name: str, says: str) -> None:
    assert says in unknown_option(name, OPTIONS)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("base_url", "`endpoint`"),
        ("azure_endpoint", "`endpoint`"),
        ("azure_deployment", "`model=`"),
        ("azure_ad_token_provider", "`credential=`"),
        ("credential_scopes", "`credential_scope=`"),
        ("default_headers", "`headers=`"),
        ("connection_timeout", "`timeout=Timeout(connect=…, read=…)`"),
        ("proxies", "`http_client=`"),
        ("temperature", "`client.with_options(temperature=…)`"),
        ("modle", "did you mean `model`?"),
        ("max_retrys", "did you mean `max_retries`?"),
    ],
)
def test_the_line_of_an_argument_says_what_to_write(name: str, says: str) -> None:
    assert says in unknown_argument(name, ARGUMENTS)


@pytest.mark.parametrize(
    ("name", "says"),
    [("chat", "`client.complete(messages)`"), ("models", "`client.get_model_info()`"), ("maps", "`map`")],
)
def test_the_habits_of_other_clients_are_told_the_right_call(phi: Driver, name: str, says: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(says)):
        getattr(phi.open().client, name)


@pytest.mark.parametrize("name", ["choices", "text", "id", "contents", "model_dump"])
def test_what_an_answer_does_not_have_is_answered_with_what_it_has(name: str) -> None:
    done = Completion(content="", reasoning="", finish_reason=None, usage=None, request_id=None, model=None)
    with pytest.raises(AttributeError, match=f"this completion has no '{name}': .*(`done|`content`)"):
        getattr(done, name)
    assert pickle.loads(pickle.dumps(done)) == copy.deepcopy(done) == done


def test_what_a_chunk_does_not_have_is_answered_with_what_it_has() -> None:
    with pytest.raises(AttributeError, match=r"`chunk\.content`"):
        _ = CompletionChunk().choices  # type: ignore[attr-defined]
    assert copy.copy(CompletionChunk(content="x")).content == "x"


@pytest.mark.parametrize("of", get_args(Owner))
def test_names_that_python_asks_for_get_no_advice(of: Owner) -> None:
    for name in ("__deepcopy__", "_settings_"):
        assert missing_attribute(name, of, ("deepcopy", "_settings")) == f"this {of} has no {name!r}"


def test_no_line_advises_an_option_or_an_argument_that_there_is_not(phi: Driver) -> None:
    """Each `word=` in a line is a word of ours."""
    ours = {*OPTIONS, *ARGUMENTS, "samples", "connect", "read", "n"}
    lines = [unknown_option(name, OPTIONS) for name in THEIR_OPTIONS | MORE_OPTIONS]
    lines += [unknown_argument(name, ARGUMENTS) for name in THEIR_ARGUMENTS]
    lines += [missing_attribute(name) for name in THEIR_ATTRIBUTES]
    advised = {word for line in lines for word in re.findall(r"(?<![\w_])([a-z_]+)=", line)}
    assert advised <= ours
    methods = {word for line in lines for word in re.findall(r"client\.(\w+)\(", line)}
    assert methods
    assert all(callable(getattr(client, name)) for client in CLIENTS for name in methods)


def test_an_unknown_word_is_a_type_error_as_pythons_own() -> None:
    with pytest.raises(TypeError):
        PhiClient("emulator", base_url="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        PhiClient("emulator").with_options(temprature=1)  # type: ignore[call-arg]
