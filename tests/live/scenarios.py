"""What is asked of a deployment, emulated or real, and how its answers become golden files.

A scenario is named as the golden file that it can check and rewrite. Each is one request. Two or three of them reach
the model, with a budget in which it can end its reasoning about a small question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from phi_client.contract.dialects import Dialect, Endpoint
from phi_client.contract.service import SURFACES

WIRE: Final = Path(__file__).parents[1] / "contract" / "wire"
MAX_TOKENS: Final = 2048
ASK: Final[Mapping[str, Any]] = {
    "messages": [{"role": "user", "content": "What is 6 * 7?"}], "temperature": 0, "max_tokens": MAX_TOKENS,
}  # fmt: skip
NOBODYS_KEY: Final = "0" * 32

# Headers that say something of an answer's kind; all others name a request, a machine or a moment.
KEPT_HEADERS: Final = (
    "Content-Type",
    "Retry-After",
    "x-ms-error-code",
    "x-ms-error-reason",
    "ms-azureml-model-error-statuscode",
    "ms-azureml-model-error-reason",
)

UNCHECKED: Final[Mapping[tuple[str, str], str]] = {
    ("managed_compute", "info"): "only the older image has the route",
    ("managed_compute", "error_unknown_parameter"): "the two images differ",
}
"""Golden files of a dialect that no single answer can check, each with the reason."""


@dataclass(frozen=True)
class Target:
    """A deployment: where it is, and how to be let in: by a key, or by a token of Entra ID."""

    name: str
    endpoint: Endpoint
    key: str | None = field(repr=False)
    token: str | None = field(default=None, repr=False)
    model: str | None = None

    @property
    def dialect(self) -> Dialect:
        return self.endpoint.dialect

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        key: str | None = None,
        with_key: bool = True,
    ) -> httpx.Response:
        """One request, with what the dialect always sends; `key` replaces the target's own."""
        version = self.dialect.api_version
        named = {} if version is None else {"api-version": self.endpoint.api_version or version}
        sent = {"Content-Type": "application/json"} | dict(headers or {})
        if with_key:
            sent |= self._authorization(key)
        content = None if body is None else json.dumps(body)
        with httpx.Client(
            timeout=httpx.Timeout(300, connect=30), trust_env=not self.endpoint.is_loopback
        ) as http:
            url = self.endpoint.base_url + path
            return http.request(method, url, content=content, headers=sent, params=named | dict(query or {}))

    @property
    def secret(self) -> str:
        """What must never be stored."""
        return self.key or self.token or ""

    def _authorization(self, key: str | None) -> dict[str, str]:
        if key is None and self.key is None:
            return {"Authorization": f"Bearer {self.token}"}
        name, value = self.dialect.write_key(key or self.secret)
        return {name: value}

    def chat(self, body: Mapping[str, Any], **options: Any) -> httpx.Response:
        """A request to the chat route that names the model where it must be named."""
        model = {"model": self.model} if self.model is not None else {}
        return self.ask("POST", self.dialect.chat_routes[0], model | dict(body), **options)


def _validation(target: Target) -> httpx.Response:
    return target.chat({"messages": [{"role": "developer", "content": "x"}]})


def _unknown_route(target: Target) -> httpx.Response:
    return target.ask("POST", f"{target.dialect.root}/embeddings", {"input": ["x"]})


def _info(target: Target) -> httpx.Response:
    wire = target.dialect.write_info_request(model=target.model)
    return target.ask(wire.method, wire.path, headers=wire.headers)


def _score(target: Target) -> httpx.Response:
    parameters = {"temperature": 0, "max_tokens": MAX_TOKENS}
    body = {"input_data": {"input_string": ASK["messages"], "parameters": parameters}}
    return target.ask("POST", str(target.dialect.score_route), body)


def _unnamed(target: Target) -> httpx.Response:
    return target.ask("POST", target.dialect.chat_routes[0], {"messages": ASK["messages"]})


SCENARIOS: Final[Mapping[str, Callable[[Target], httpx.Response]]] = {
    "completion": lambda target: target.chat(ASK),
    "stream": lambda target: target.chat({**ASK, "stream": True}),
    "info": _info,
    "health": lambda target: target.ask("GET", str(SURFACES[target.dialect.name].health_route)),
    "score": _score,
    "score_refused": lambda target: target.ask("POST", str(target.dialect.score_route), {"input_data": 5}),
    "error_missing_key": lambda target: target.chat(ASK, with_key=False),
    "error_wrong_key": lambda target: target.chat(ASK, key=NOBODYS_KEY),
    "error_unknown_route": _unknown_route,
    "error_method": lambda target: target.ask("PUT", target.dialect.chat_routes[0], ASK),
    "error_media_type": lambda target: target.chat(ASK, headers={"Content-Type": "text/plain"}),
    "error_validation": _validation,
    "error_no_model": _unnamed,
    "error_unknown_deployment": lambda target: target.chat(
        {**ASK, "model": "phi-99"}, headers={target.dialect.deployment_header or "x-no-such": "phi-99"}
    ),
    "error_unknown_parameter": lambda target: target.chat({**ASK, "n": 1}),
    "error_api_version": lambda target: target.chat(ASK, query={"api-version": "2099-01-01"}),
    "error_policy": lambda target: target.chat(ASK, headers={"extra-parameters": "ignore"}),
}


def scenarios_of(dialect: Dialect) -> list[str]:
    """The scenarios that make sense on a surface: those that it has a golden file for."""
    return [
        name
        for name in SCENARIOS
        if (WIRE / dialect.name / f"{name}.wire").exists() and (dialect.name, name) not in UNCHECKED
    ]


@dataclass(frozen=True)
class Golden:
    """A golden file: what its head says besides the origin, and its body."""

    head: Mapping[str, str]
    body: bytes


def read_golden(path: Path) -> Golden:
    """A golden file as stored."""
    head, _, body = path.read_bytes().partition(b"\n\n")
    names = dict(line.split(": ", 1) for line in head.decode().splitlines())
    return Golden(
        {name: names[name] for name in names if name not in ("origin", "source")}, body.removesuffix(b"\n")
    )


def write_golden(path: Path, golden: Golden, *, day: str) -> None:
    """Store an answer, with where it comes from."""
    head = {"origin": f"recorded {day}", "source": "pytest tests/live --rewrite-golden", **golden.head}
    lines = "".join(f"{name}: {value}\n" for name, value in head.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lines.encode() + b"\n" + golden.body + b"\n")


def golden_of(answer: httpx.Response, target: Target) -> Golden:
    """An answer as a golden file holds it: without secrets, and with the same text, ids and counts every time."""
    head = {"status": str(answer.status_code)}
    head |= {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
    text = answer.content.decode(errors="replace")
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        text = _shortened(text)
    if answer.is_success:
        for pattern, placeholder in _PLACEHOLDERS:
            text = pattern.sub(rf"\g<1>{placeholder}", text)
        text = _TEXT_MEMBER.sub(_with_reasoning_or_not, text)
        text = _ID_MEMBER.sub(
            r'\1"phi-4-mini-reasoning"' if _IS_MODEL.search(text) else r'\1"chatcmpl-1"', text
        )
    text = _GUID.sub("00000000-0000-0000-0000-000000000000", text)
    host = httpx.URL(target.endpoint.base_url).host
    for secret, placeholder in (
        (target.secret, "KEY"),
        (host, "HOST"),
        (target.model or "", "phi-4-mini-reasoning"),
    ):
        text = text.replace(secret, placeholder) if len(secret) > 3 else text
    return Golden(head, text.encode().removesuffix(b"\n"))


def _member(name: str, value: str) -> re.Pattern[str]:
    return re.compile(rf'("{name}"\s*:\s*){value}')


_TEXT: Final = r'"(?:[^"\\]|\\.)+"'
_NUMBER: Final = r"[0-9.]+"
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID_MEMBER: Final = _member("id", _TEXT)
_TEXT_MEMBER: Final = _member("(?:output|content)", f"({_TEXT})")
_IS_MODEL: Final = _member("object", '"model"')
_PLACEHOLDERS: Final = (
    (_member("created", "[1-9][0-9.]*"), "1763856000"),
    (_member("model", _TEXT), '"Phi-4-mini-reasoning"'),
    (_member("(?:served_)?model_name", _TEXT), '"phi-4-mini-reasoning"'),
    (_member("(?:model_provider_name|owned_by)", _TEXT), '"Microsoft"'),
    (_member("reasoning_content", _TEXT), '"6*7"'),
    (_member("system_fingerprint", _TEXT), '"fp_1"'),
    (_member("cached_tokens", _NUMBER), "0"),
    (_member("prompt_tokens", _NUMBER), "19"),
    (_member("completion_tokens", _NUMBER), "11"),
    (_member("total_tokens", _NUMBER), "30"),
)


def _with_reasoning_or_not(found: re.Match[str]) -> str:
    """A text of the golden files, with the reasoning inside it where the answer had it there."""
    has_both = "<think>" in found[2] and found[2] != '"<think>"' and "</think>" in found[2]
    return found[1] + ('"<think>6*7</think>42"' if has_both else '"42"')


def _shortened(text: str) -> str:
    """A stream with one of its many chunks of text: up to the first with a text, and from the finish reason on."""
    events = [event for event in re.split(r"(?<=\n\n)", text) if event]
    with_text = next((event for event in events if re.search(r'"content"\s*:\s*"[^"]', event)), None)
    finish = next(
        (n for n, event in enumerate(events) if re.search(r'"finish_reason"\s*:\s*"', event)), len(events)
    )
    before = events if with_text is None else events[: events.index(with_text) + 1]
    return "".join([*before[:finish], *(events[finish:])])
