"""Words that people bring from other SDKs, each with what to write here instead: data, and how it is looked up.

It must not know what the words mean to a call: it only gives messages. A name that is in no table is compared with the
right ones, for a slip of the finger.
"""

from collections.abc import Collection, Mapping
from typing import Final, Literal

__all__ = ["Owner", "missing_attribute", "unknown_argument", "unknown_option"]

Owner = Literal["client", "completion", "chunk", "stream"]
"""Whose attribute is missing."""

_Table = tuple[tuple[str, str], ...]
"""Words that mean the same, and the line for them; `NAME` stands for the word that was written."""

_CUTOFF: Final = 0.7
"""From which likeness on a name is taken for a slip: `temprature`, `topP`, `maxTokens`."""
_CUTOFF_OF_WRONG: Final = 0.85

_COMPLETE: Final = (
    "use `client.complete(messages)`, or `client.stream(messages)` in a `with` or `async with` statement"
)
_NOT_HERE: Final = "this client completes chats only: keep the openai package beside it for the rest"
_IN_EXTRA: Final = (
    "no deployment of this model is documented to know it; to send it all the same, `extra={'NAME': …}`"
)
_ENDPOINT: Final = "give the deployment's URL as `endpoint`, as the portal shows it"
_HEADERS: Final = "use `headers=`"
_OWN_HTTP: Final = "set it up on an `httpx.Client` (`httpx.AsyncClient`), and pass that as `http_client=`"
_ENTRA: Final = (
    "pass a credential of azure-identity as `credential=`; it is asked for tokens when they are due"
)
_RETRIES: Final = (
    "use `max_retries=`, and `deadline=` for how long; waits grow by themselves, and obey `Retry-After`"
)
_TIMEOUT: Final = "use `timeout=Timeout(connect=…, read=…)`, or a number of seconds"
_BUDGET: Final = "use `max_tokens=`"
_MANY: Final = "use `client.map(prompts)`"
_TOOLS: Final = "use `tools=` and `tool_choice=`, which took its place"
_LOG: Final = "set `PHI_LOG=debug`"

_EVERYWHERE: Final[_Table] = (
    ("extra_headers default_headers", _HEADERS),
    (
        "extra_query default_query params",
        "no query is sent but `api-version`, by `api_version=` of the constructor",
    ),
    (
        "organization project admin_api_key workload_identity webhook_secret provider",
        "it has no meaning on Azure: leave it out",
    ),
    ("connection_timeout read_timeout connect_timeout request_timeout", _TIMEOUT),
    (
        (
            "retry_total retry_connect retry_read retry_status retry_backoff_factor retry_backoff_max"
            " retry_mode retries max_attempts retry_policy"
        ),
        _RETRIES,
    ),
    (
        (
            "proxy proxies transport verify cert http2 connection_verify connection_cert "
            "per_call_policies per_retry_policies custom_hook_policy raw_request_hook "
            "raw_response_hook session"
        ),
        _OWN_HTTP,
    ),
    ("logging_enable logger debug verbose", _LOG),
    ("user_agent base_user_agent", "use `headers={'User-Agent': …}`"),
    ("request_id client_request_id", "use `headers={'x-ms-client-request-id': …}`"),
    ("content_type accept cls error_map polling_interval", "it is always JSON over HTTP here: leave it out"),
    ("extra_body model_extras model_kwargs extra_args", "use `extra=`, which takes the same keys"),
    ("azure_ad_token azure_ad_token_provider token_provider", _ENTRA),
)

_OF_THE_CLIENT: Final[_Table] = (
    (
        (
            "endpoint api_key credential dialect deployment api_version credential_scope allow_http "
            "fallback_on http_client on_retry"
        ),
        "it is an argument of the constructor",
    ),
    ("concurrency", "it is an argument of `map()`"),
    (
        "max_workers workers num_workers max_concurrency max_concurrent n_jobs parallel batch_size",
        "use `concurrency=`, an argument of `map()`",
    ),
    ("checkpoint", "it is an argument of `map()`"),
    ("progress", "it is an argument of `map()`"),
    ("prices", "it is an argument of `map()`"),
    ("samples", "it is an argument of `solve()`"),
    ("k num_samples n_samples", "use `samples=`, an argument of `solve()`"),
    ("max_reasks", "it is an argument of `parse()`"),
)

_OPTIONS: Final[_Table] = (
    *_EVERYWHERE,
    *_OF_THE_CLIENT,
    (
        "stream",
        (
            "`complete()` gives the whole answer; for one as it arrives use `client.stream(messages)`, "
            "in a `with` or `async with` statement"
        ),
    ),
    (
        "stream_options",
        "leave it out: a stream asks for its usage by itself, and `stream.completion.usage` has it",
    ),
    ("max_new_tokens max_output_tokens max_length max_gen_len num_predict", _BUDGET),
    (
        "base_url azure_endpoint api_base url",
        "an endpoint belongs to a client: `PhiClient(endpoint, api_key)`",
    ),
    (
        "engine deployment_id deployment_name azure_deployment model_name model_id",
        "use `model=`, the deployment's name",
    ),
    (
        "n best_of num_return_sequences",
        (
            "a completion is one answer: use `client.map([prompt] * n)`, or "
            "`client.solve(problem, samples=n)` for a vote"
        ),
    ),
    ("choices", "a completion is one answer: `done.content`, `done.reasoning` and `done.answer`"),
    ("functions function_call", _TOOLS),
    (
        (
            "parallel_tool_calls logit_bias top_k min_p repetition_penalty store metadata "
            "service_tier modalities audio prediction moderation verbosity web_search_options "
            "prompt_cache_key prompt_cache_options prompt_cache_retention user safety_identifier "
            "guided_json chat_template_kwargs length_penalty ignore_eos"
        ),
        _IN_EXTRA,
    ),
    (
        "reasoning_effort reasoning thinking enable_thinking include_reasoning",
        (
            "this model always reasons, and `done.reasoning` has it; `max_tokens=` bounds "
            "reasoning and answer together"
        ),
    ),
    (
        "prompt prompts input inputs text body query question content",
        "give the prompt or the messages first: `client.complete(messages)`",
    ),
    (
        "system instructions system_prompt developer",
        'give it as the first message: `{"role": "system", "content": …}`',
    ),
    (
        "text_format response_model json_schema response_schema output_type",
        "use `client.parse(messages, Model)`, or `response_format=`",
    ),
    ("json_mode", 'use `client.parse(messages, Model)`, or `response_format={"type": "json_object"}`'),
    ("stop_sequences stop_words stop_token_ids", "use `stop=`"),
    ("random_seed random_state", "use `seed=`"),
    ("do_sample", "use `temperature=`, where 0 is greedy"),
    ("temp", "use `temperature=`"),
    ("echo", "an answer never repeats its prompt: leave it out"),
    (
        "callbacks on_token streamer",
        "iterate over `client.stream(messages)`, opened by `with` or `async with`",
    ),
    (
        "previous_response_id conversation",
        (
            "nothing is kept between calls: put the earlier messages before the new one, "
            "`done.message` among them"
        ),
    ),
)

_ARGUMENTS: Final[_Table] = (
    *_EVERYWHERE,
    ("base_url azure_endpoint api_base url host server account_url", _ENDPOINT),
    (
        "azure_deployment deployment_name deployment_id model_name model_id engine",
        "use `model=`, the deployment's name on a Foundry resource",
    ),
    ("api_type", "use `dialect=`, and only for a host that is not Azure's"),
    ("credential_scopes audience scope scopes token_scope", "use `credential_scope=`, a string"),
    ("key subscription_key access_key openai_api_key azure_key_credential", "use `api_key=`"),
    ("token access_token tenant_id client_id client_secret", _ENTRA),
    ("websocket_base_url data_residency region location", "the endpoint's URL says where: leave it out"),
    ("max_connections pool_connections limits connection_pool_limits", _OWN_HTTP),
    (
        "insecure allow_insecure use_ssl ssl",
        "for `http://` use `allow_http=True`; for certificates of your own, " + _OWN_HTTP,
    ),
    ("fallbacks fallback endpoints base_urls", "give several endpoints: `endpoint=[first, second]`"),
    (
        "rate_limit requests_per_minute rate_limiter",
        "`map()` paces itself by what the service answers: leave it out",
    ),
    (
        (
            "temperature top_p max_tokens max_completion_tokens stop seed presence_penalty "
            "frequency_penalty response_format tools tool_choice logprobs top_logprobs extra "
            "on_truncation"
        ),
        "give it to a call, or to all calls: `client.with_options(NAME=…)`",
    ),
    ("concurrency", _MANY),
)

_ATTRIBUTES: Final[Mapping[Owner, _Table]] = {
    "client": (
        (
            (
                "chat completions responses create generate invoke ask predict run send chat_completion "
                "get_chat_completions"
            ),
            _COMPLETE,
        ),
        (
            "ainvoke acomplete agenerate achat astream",
            "use `await client.complete(messages)` of an `AsyncPhiClient`",
        ),
        (
            "beta",
            "use `client.parse(messages, Model)` for answers of a form, else `client.complete(messages)`",
        ),
        ("models", "use `client.get_model_info()`"),
        ("list_models", "use `client.get_model_info()`"),
        ("batches batch abatch complete_many", _MANY),
        (
            "with_raw_response with_streaming_response",
            "a completion has `raw`, `headers` and `request_id` beside its text",
        ),
        ("copy", "use `client.with_options(…)`"),
        (
            (
                "embeddings embed images audio files uploads fine_tuning moderations vector_stores "
                "webhooks realtime evals containers conversations videos skills admin live decisions "
                "safety content_provenance_checks"
            ),
            _NOT_HERE,
        ),
        (
            "get post put patch delete request send_request get_api_list",
            "requests of other kinds need a client of HTTP; the body of a call takes more keys by `extra=`",
        ),
        ("api_key auth_headers custom_auth", "a key is not shown"),
        (
            "base_url endpoint azure_endpoint",
            "`repr(client)` shows the endpoints, `done.endpoint` has the one that answered",
        ),
        (
            "default_headers default_query platform_headers qs user_agent timeout max_retries",
            "give options to a call, or to a copy: `client.with_options(…)`",
        ),
        ("is_closed", "close a client with `with`, or `client.close()`"),
        ("aclose", "use `await client.close()`"),
        ("solve_many", "use `client.map(problems)`"),
        ("usage", "a completion has its own `usage`, and the result of `map()` the sum"),
    ),
    "completion": (
        (
            "choices",
            (
                "a completion is one answer: `done.content`, `done.reasoning`, `done.answer`; "
                "`done.raw` has the wire's form"
            ),
        ),
        ("text output_text output completion", "use `done.content`, the text after the reasoning"),
        ("reasoning_content", "use `done.reasoning`"),
        ("thinking", "use `done.reasoning`"),
        ("id", "use `done.request_id`, which a support case wants; `done.raw['id']` has the answer's own"),
        ("created object system_fingerprint", "use `done.raw['NAME']`"),
        ("model_dump dict json to_json as_dict model_dump_json", "use `done.raw`, the body as received"),
        ("role", "use `done.message`"),
        ("function_call", "use `done.tool_calls`"),
        ("parsed", "use `client.parse(messages, Model)`"),
        ("delta", "chunks are what `client.stream(messages)` gives"),
    ),
    "chunk": (
        ("choices delta text", "use `chunk.content` and `chunk.reasoning`"),
        ("reasoning_content", "use `chunk.reasoning`"),
        ("id created model object", "use `chunk.raw['NAME']`"),
        ("model_dump dict json as_dict", "use `chunk.raw`"),
    ),
    "stream": (
        (
            "choices",
            "iterate over the stream, and take `chunk.content`; afterwards `stream.completion` is the whole",
        ),
        ("get_final_completion get_final_response result", "afterwards `stream.completion` is the whole"),
        (
            "content text reasoning answer usage finish_reason",
            "afterwards `stream.completion.NAME` has it; while it arrives, the chunks",
        ),
        ("text_stream", "iterate over the stream, and take `chunk.content`"),
        ("aclose", "use the stream in an `async with` statement"),
    ),
}


def unknown_option(name: str, right: Collection[str]) -> str:
    """What to say of an option that no call has; `right` are those that there are."""
    advice = _advice(name, right, _OPTIONS) or "keys outside the schema go into `extra={…}`"
    return f"unknown option {name!r}: {advice}"


def unknown_argument(name: str, right: Collection[str]) -> str:
    """What to say of an argument that the constructor does not have; `right` are those that it has."""
    advice = _advice(name, right, _ARGUMENTS) or "the reference has a list of what a client takes"
    return f"unknown argument {name!r}: {advice}"


def missing_attribute(name: str, of: Owner = "client", right: Collection[str] = ()) -> str:
    """What to say of an attribute that an object of this package does not have; `right` are those that it has."""
    advice = "" if name.startswith("_") else _advice(name, right, _ATTRIBUTES[of])
    return f"this {of} has no {name!r}" + (f": {advice}" if advice else "")


def _advice(name: str, right: Collection[str], table: _Table) -> str:
    """The line for a word that is known, or a right one that is like it; empty where there is neither."""
    from difflib import get_close_matches  # noqa: PLC0415  # for those who mistype

    lines = {word: line for words, line in table for word in words.split()}
    if name in lines:
        return lines[name].replace("NAME", name)
    near = get_close_matches(
        name.lower(), [one for one in right if not one.startswith("_")], n=1, cutoff=_CUTOFF
    )
    if near:
        return f"did you mean `{near[0]}`?"
    # Slips in a wrong word: `base_urls`, `maxNewTokens`.
    other = get_close_matches(name.lower(), lines, n=1, cutoff=_CUTOFF_OF_WRONG)
    return lines[other[0]].replace("NAME", other[0]) if other else ""
