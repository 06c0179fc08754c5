"""Where the emulator knowingly differs from Azure, as data for the documentation.

It must not decide anything: it says what other modules do.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["DEVIATIONS", "Deviation"]


class Deviation(NamedTuple):
    """One known difference."""

    subject: str
    azure: str
    emulator: str

    @property
    def id(self) -> str:
        """The subject as a name in links."""
        return re.sub(r"[^a-z0-9]+", "-", self.subject.lower()).strip("-")

    @property
    def link(self) -> str:
        """Where the documentation says more, from the repository's root."""
        return f"docs/reference/coverage.md#{self.id}"


DEVIATIONS: Final = (
    Deviation(
        "`max_tokens` beyond the context",
        "400, when prompt and `max_tokens` together exceed the model's 131,072 tokens",
        "lowered to what the served model's context still holds, so that a program written for the real model runs",
    ),
    Deviation(
        "Penalties",
        "`presence_penalty` and `frequency_penalty` change the answer",
        "0 is accepted; any other value is refused with 400",
    ),
    Deviation(
        "`response_format`",
        "`json_object` is taken by the containers of managed compute, with poor results from Phi models; it is "
        "documented as unsupported on serverless and `/models`, and nothing is known of `/openai/v1`",
        "JSON on managed compute; elsewhere refused, naming the parameter: 422 as documented, on `/openai/v1` 400",
    ),
    Deviation(
        "Extensions",
        "the hosted model has no JSON mode, no JSON schema and no tools",
        "off; with `--extensions` answers keep a form (`json_object`, `json_schema`, `regex`) and tools are called",
    ),
    Deviation(
        "What only the OpenAPI forbids",
        "the container takes messages without content or `tool_call_id`, and an empty `stop` or `tools`",
        "refused with 422, in words of our own",
    ),
    Deviation(
        "Extra parameters",
        "passed to the engine, as far as it knows them (`n`, `top_k`, …)",
        "the policy is Azure's; what is passed on is ignored, but `max_completion_tokens`",
    ),
    Deviation(
        "Full queue",
        "429 from rate limits by minute, or from the limit of concurrent requests",
        "429 with `Retry-After` when as many requests wait as may wait; limits by minute only where they are set, on "
        "managed compute too, in its words for concurrent requests",
    ),
    Deviation(
        "Content safety",
        "prompts and answers are judged by classifiers",
        "by word lists where `--content-filter` is given, from Azure's default threshold (medium) on; else all is "
        "annotated as harmless",
    ),
    Deviation(
        "`api-version`",
        "checked on some surfaces; what serverless says to an unknown one was never recorded",
        "checked on serverless (may be missing), `/models` and `/openai/deployments`; `--loose yes` takes any",
    ),
    Deviation(
        "Time limit",
        "managed compute ends a request after `request_timeout_ms`, 5,000 unless set",
        "no limit unless `--request-timeout-ms` is given: 408 for a whole answer, a stream is broken off",
    ),
    Deviation(
        "Rate limits",
        "each surface's own estimate of tokens; refused requests may count",
        "a request reserves prompt and budget until it ends; one that is left keeps that for its minute; one that is "
        "refused doesn't count",
    ),
    Deviation(
        "Swagger",
        "`/swagger.json` of managed compute was never published for this model",
        "a document of our own: the routes and the schema of a chat request",
    ),
    Deviation(
        "Custom headers",
        "Foundry resources take at most 10 custom headers; which ones count is not said",
        "headers of HTTP, of proxies, of Azure and of its official clients don't count",
    ),
    Deviation(
        "Streaming on managed compute",
        "the newer container reads the engine's stream to its end before the first byte goes out",
        "chunks are sent as they come",
    ),
    Deviation(
        "Size of bodies and errors",
        "nothing is known of a limit in values, nor of the size of an error",
        "a body of more than 50,000 values is refused with 422; an error has 64 kB at most, and says what it left out",
    ),
    Deviation(
        "Names in headers",
        "names of deployments are ASCII",
        "a model or deployment of another name is percent-encoded as UTF-8, and cut after 256 characters",
    ),
    Deviation(
        "Foreign hosts and origins",
        "no such check",
        "a `Host` or `Origin` that is not this machine's is refused with 403, against DNS rebinding",
    ),
    Deviation(
        "Entra ID",
        "a role on the resource decides who may use it; clocks may differ by minutes",
        "every identity may, but the one that is there to be refused; a token ends on the second",
    ),
    Deviation(
        "Entra ID on serverless",
        "tokens were recorded to work in 2025, while the documentation says that they don't",
        "tokens are taken",
    ),
    Deviation(
        "Sampling",
        "the engine's own random numbers",
        "`seed` repeats an answer on the same machine and model only",
    ),
)
