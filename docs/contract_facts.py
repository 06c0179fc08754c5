"""What each surface of Azure sends and takes beside what the emulator does, as data for the coverage page.

It must not print. Errors are not here: they are rows of the contract's catalogue. Sources: recorded (live traffic in
azure-sdk-assets or quoted in public issues), documented (documentation, the OpenAPI, the source of the containers),
inferred (from a neighbouring surface or model).
"""

from typing import Final, NamedTuple

S, M, F, O = "serverless", "managed_compute", "foundry_models", "openai_v1"  # noqa: E741 - the contract's letters


class Fact(NamedTuple):
    """One thing of one or several surfaces: `state` is same, differs or absent, `origin` how Azure's side is known."""

    name: str
    surfaces: tuple[str, ...]
    state: str
    origin: str
    note: str = ""


ROUTES: Final = (
    Fact("POST /chat/completions", (S,), "same", "recorded"),
    Fact("POST /v1/chat/completions", (S,), "same", "recorded", "never refuses an unknown key"),
    Fact(
        "GET /info",
        (S,),
        "differs",
        "recorded",
        "names the model that really answers, and phi-emulator as provider",
    ),
    Fact("POST /embeddings", (S,), "same", "recorded", "404 `NOT FOUND`, as for a model without it"),
    Fact("POST /chat/completions", (M,), "same", "documented"),
    Fact(
        "POST /v1/chat/completions",
        (M,),
        "differs",
        "documented",
        "the newer container hands it to its engine as it is",
    ),
    Fact("POST /score", (M,), "same", "documented", "both forms; `{}` with 200 for what can't be read"),
    Fact(
        "GET /info",
        (M,),
        "differs",
        "documented",
        "older container only; names the model that really answers",
    ),
    Fact("GET /", (M,), "same", "documented"),
    Fact(
        "GET /swagger.json",
        (M,),
        "differs",
        "documented",
        "a document of our own; the real one was never published",
    ),
    Fact("POST /completions", (M,), "absent", "documented", "text completions without a chat; 404"),
    Fact("POST /v1/completions", (M,), "absent", "documented", "text completions without a chat; 404"),
    Fact("POST /models/chat/completions", (F,), "same", "documented"),
    Fact("GET /models/info", (F,), "differs", "documented", "names the model that really answers"),
    Fact("POST /models/embeddings", (F,), "absent", "documented", "404"),
    Fact("POST /models/images/embeddings", (F,), "absent", "documented", "404"),
    Fact("POST /openai/v1/chat/completions", (O,), "same", "documented", "under `/api/projects/NAME` too"),
    Fact(
        "GET /openai/v1/models",
        (O,),
        "same",
        "documented",
        "a list of the deployments that have names, else of the model; also `/openai/models` with an `api-version`",
    ),
    Fact(
        "GET /openai/v1/models/NAME",
        (O,),
        "differs",
        "documented",
        "the model that answers, whatever the name",
    ),
    Fact("other /openai/v1 routes", (O,), "absent", "documented", "responses, embeddings, files …; 404"),
    Fact("other /openai and /api/projects routes", (O,), "same", "recorded", "the gateway's own 404"),
)

_ALL: Final = (S, M, F, O)
REQUEST: Final = (
    Fact(
        "messages",
        _ALL,
        "same",
        "documented",
        "roles system, user, assistant, tool; `developer` is 422 (recorded)",
    ),
    Fact("messages: text parts of a user", _ALL, "same", "documented"),
    Fact(
        "messages: text parts of other roles",
        (M, O),
        "same",
        "documented",
        "in the container's model of a message (its source) and in the OpenAI API",
    ),
    Fact(
        "messages: text parts of other roles",
        (S, F),
        "differs",
        "documented",
        "422: the OpenAPI has a string there; what is answered was never recorded",
    ),
    Fact(
        "messages: image and audio parts", _ALL, "differs", "inferred", "refused: the model reads text only"
    ),
    Fact("model", (S, M), "same", "documented", "accepted without effect"),
    Fact("model", (F, O), "same", "recorded", "required; `x-ms-model-mesh-model-name` will do on `/models`"),
    Fact("temperature", _ALL, "same", "documented", "0 to 1; 0.7 where it is left out"),
    Fact("top_p", _ALL, "differs", "documented", "0 is in the schema, and refused by the engine"),
    Fact("max_tokens", (S, F, O), "differs", "documented", "what is beyond the context is lowered"),
    Fact(
        "max_tokens",
        (M,),
        "differs",
        "documented",
        "256 where it is left out, newer container; beyond the context lowered",
    ),
    Fact(
        "max_completion_tokens",
        (O,),
        "same",
        "documented",
        "the successor of max_tokens, which it goes before where both are given (inferred)",
    ),
    Fact(
        "max_completion_tokens",
        (S, M, F),
        "same",
        "inferred",
        "outside the schema; where it passes, the engine behind takes it before max_tokens (vLLM)",
    ),
    Fact("null for temperature, top_p and penalties", (O,), "same", "inferred", "`top_p`: documented"),
    Fact("null for temperature, top_p and penalties", (S, M, F), "same", "documented", "422"),
    Fact("stop", _ALL, "same", "documented", "a string or a list"),
    Fact("seed", _ALL, "differs", "documented", "repeats an answer on the same machine and model only"),
    Fact("presence_penalty", _ALL, "differs", "documented", "0 only"),
    Fact("frequency_penalty", _ALL, "differs", "documented", "0 only"),
    Fact("stream", _ALL, "same", "recorded"),
    Fact("stream_options", (O,), "same", "documented", "`include_usage`"),
    Fact(
        "response_format",
        (S, F),
        "same",
        "documented",
        "text only for this model; 422 otherwise, unless `--extensions` is given",
    ),
    Fact(
        "response_format",
        (M,),
        "same",
        "documented",
        "text and json_object (the container's source); others need `--extensions`",
    ),
    Fact(
        "response_format",
        (O,),
        "same",
        "inferred",
        "text only; 400 in OpenAI's words otherwise, unless `--extensions` is given",
    ),
    Fact(
        "tools",
        _ALL,
        "same",
        "documented",
        "none for this model, unless `--extensions` is given; the words are the older container's",
    ),
    Fact("tool_choice", _ALL, "same", "documented", "none for this model, unless `--extensions` is given"),
    Fact("modalities", _ALL, "differs", "documented", "an unknown key, as in the containers"),
    Fact(
        "keys outside the schema",
        (S, M, F),
        "same",
        "recorded",
        "`extra-parameters`: error, drop, pass-through, by image",
    ),
    Fact(
        "keys that are passed through",
        _ALL,
        "differs",
        "documented",
        "have no effect: `n`, `top_k`, `logprobs` …; `max_completion_tokens` has",
    ),
    Fact(
        "api-version",
        (S,),
        "differs",
        "recorded",
        "may be missing; what an unknown one gets was never recorded",
    ),
    Fact("api-version", (F,), "same", "recorded", "required; `--loose yes` takes any"),
    Fact("api-version", (M, O), "same", "documented", "not looked at"),
    Fact(
        "azureml-model-deployment", (M,), "same", "documented", "names the deployment, 404 for an unknown one"
    ),
    Fact(
        "x-ms-client-request-id",
        (S, F, O),
        "same",
        "recorded",
        "comes back: on serverless when asked, on Foundry always",
    ),
    Fact("Authorization: Bearer KEY", (S, M, O), "same", "recorded"),
    Fact("api-key", (F, O), "same", "documented"),
    Fact(
        "Authorization: Bearer TOKEN",
        _ALL,
        "same",
        "recorded",
        "signature, tenant, audience and expiry are checked",
    ),
)

RESPONSE: Final = (
    Fact("order of keys", (S, F, O), "same", "recorded", "alphabetical"),
    Fact("order of keys", (M,), "same", "documented", "as the container's models have it"),
    Fact("id", (S,), "same", "recorded", "`chatcmpl-` and the request's id"),
    Fact("id", (M, F, O), "same", "inferred", "as serverless"),
    Fact("object, created", _ALL, "same", "recorded"),
    Fact("model", _ALL, "differs", "recorded", "the model that really answers"),
    Fact(
        "choices[].message.content",
        _ALL,
        "same",
        "documented",
        "reasoning in `<think>`; `--reasoning` moves it",
    ),
    Fact("choices[].message.reasoning_content", (S,), "same", "recorded", "the key is there and null"),
    Fact(
        "choices[].message.reasoning_content",
        (F,),
        "same",
        "documented",
        "with an api-version of 2025, which needs `--loose yes`",
    ),
    Fact("choices[].message.tool_calls", (S,), "same", "recorded", "`[]`"),
    Fact(
        "choices[].content_filter_results",
        (S, F, O),
        "same",
        "recorded",
        "safe, or what `--content-filter` finds",
    ),
    Fact("prompt_filter_results", (S, F, O), "same", "recorded"),
    Fact("choices[].logprobs", (O,), "same", "recorded", "null"),
    Fact("system_fingerprint", (O,), "same", "recorded", "names model, graph, provider and versions"),
    Fact("usage.prompt_tokens_details.cached_tokens", (O,), "same", "documented"),
    Fact(
        "choices[].finish_reason",
        _ALL,
        "same",
        "documented",
        "stop, length, content_filter; tool_calls with `--extensions` only",
    ),
    Fact("usage", _ALL, "same", "recorded", "counted by the served model's tokenizer"),
    Fact("usage.prompt_tokens_details", (S,), "same", "recorded", "null"),
    Fact("stream: first chunk", (S,), "same", "recorded", "role and an empty text"),
    Fact("stream: usage with the finish reason", (S,), "same", "recorded"),
    Fact(
        "stream: usage with the finish reason",
        (M, F),
        "same",
        "inferred",
        "documented for a neighbouring model",
    ),
    Fact(
        "stream: empty keys in every chunk",
        (F,),
        "same",
        "recorded",
        "as a DeepSeek deployment was seen to send them",
    ),
    Fact("stream: annotations of the prompt first", (O,), "same", "recorded", "as seen on Azure OpenAI"),
    Fact("stream: usage on request, in a chunk of its own", (O,), "same", "documented"),
    Fact("stream: [DONE]", _ALL, "same", "recorded"),
    Fact(
        "stream: failure as `event: error`",
        _ALL,
        "same",
        "documented",
        "the containers' form; inferred elsewhere",
    ),
    Fact(
        "stream: sent as it comes",
        (M,),
        "differs",
        "documented",
        "the newer container holds it back to the end",
    ),
)

HEADERS: Final = (
    Fact("X-Request-ID", _ALL, "same", "recorded", "a GUID; not on serverless's 401"),
    Fact("apim-request-id", (F, O), "same", "recorded"),
    Fact("x-ms-rai-invoked", (S, F, O), "same", "recorded"),
    Fact("Request-Context", (S,), "same", "recorded", "zeros for the application's id"),
    Fact("azureml-model-session", _ALL, "same", "recorded"),
    Fact("azureml-model-group", (S,), "absent", "recorded", "absent on Phi too"),
    Fact("prompt_token_len", (S,), "same", "recorded", "whole answers only"),
    Fact("sampling_token_len", (S,), "same", "recorded", "whole answers only"),
    Fact("cmp-upstream-response-duration", (S,), "absent", "recorded", "older recordings only"),
    Fact("server", (M,), "same", "recorded", "`azureml-frontdoor`"),
    Fact("azureml-model-deployment", (M,), "same", "recorded"),
    Fact("ms-azureml-model-time", (M, F, O), "absent", "recorded", "sent sometimes"),
    Fact("ms-azureml-model-error-statuscode", _ALL, "same", "recorded", "on the model's errors"),
    Fact("ms-azureml-model-error-reason", _ALL, "same", "recorded", "on the model's errors"),
    Fact(
        "ms-azureml-bandwidth-…-delay-ms", (M,), "absent", "documented", "trailers of a throttled bandwidth"
    ),
    Fact("x-ms-region", (F, O), "same", "recorded", "`local`"),
    Fact("x-ms-deployment-name", (O,), "same", "recorded"),
    Fact("x-ms-served-model", (F, O), "absent", "recorded", "what it holds is not known"),
    Fact("x-content-type-options", (F, O), "same", "recorded"),
    Fact("x-accel-buffering", (F, O), "same", "recorded"),
    Fact("strict-transport-security", (F, O), "absent", "recorded", "the emulator speaks plain http"),
    Fact(
        "azureml-served-by-cluster, x-aml-cluster", (F, O), "absent", "recorded", "names of Azure's machines"
    ),
    Fact("x-ratelimit-limit-requests", (F, O), "same", "recorded", "where a limit is set"),
    Fact("x-ratelimit-limit-tokens", (F, O), "same", "recorded", "where a limit is set"),
    Fact("x-ratelimit-remaining-requests", (F, O), "same", "recorded", "where a limit is set"),
    Fact(
        "x-ratelimit-remaining-tokens",
        (F, O),
        "same",
        "recorded",
        "where a limit is set; never negative here",
    ),
    Fact("Retry-After", _ALL, "same", "recorded", "on 429; on serverless and managed compute inferred"),
    Fact("policy-id", (F, O), "same", "recorded", "on 429 for tokens"),
    Fact("x-ms-error-code", (F,), "same", "recorded", "on errors of the front end"),
    Fact("x-ms-error-reason", (S,), "same", "recorded", "on 401"),
)
