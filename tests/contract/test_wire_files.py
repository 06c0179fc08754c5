"""The bytes that a dialect writes are those of its golden files, and the files are read as what they mean.

A file is a head of `name: value` lines, an empty line, and the body to the last byte but its newline. Two
names are not headers: `origin` is recorded (on a day, if `tests/live` did it), documented or inferred, and `status` is
the HTTP status.
Values inside the bodies are invented; shapes, keys and their order are what the origin vouches for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phi_client.contract.answers import AnswerView
from phi_client.contract.model_info import ModelInfo
from phi_client.contract.service import SURFACES, Surface
from phi_client.contract.service.catalogue import CATALOGUE
from phi_client.contract.service.chat import (
    AssistantMessage,
    ChatCompletion,
    ChatRequest,
    Choice,
    WireUsage,
)
from phi_client.contract.service.refusals import Refusal
from phi_client.contract.wire import WireResponse

if TYPE_CHECKING:
    from collections.abc import Callable

WIRE = Path(__file__).parent / "wire"
ORIGINS = {"recorded", "documented", "inferred"}
HEAD: dict[str, Any] = {"id": "chatcmpl-1", "created": 1763856000, "model": "Phi-4-mini-reasoning"}
USAGE = WireUsage(prompt_tokens=19, completion_tokens=11, total_tokens=30)
COMPLETION = ChatCompletion(
    **HEAD,
    choices=[Choice(index=0, message=AssistantMessage(content="<think>6*7</think>42"), finish_reason="stop")],
    usage=USAGE,
)
FINGERPRINT = {"system_fingerprint": "fp_1"}
INFO = ModelInfo(
    model_name="phi-4-mini-reasoning",
    model_type="chat-completion",
    model_provider_name="Microsoft",
    served_model_name="phi-4-mini-reasoning",
    served_model_type="chat-completion",
)
JSON = {"Content-Type": "application/json"}


def completion_of(dialect: Surface) -> ChatCompletion:
    """The answer, with what is told of its engine where the surface tells it."""
    if not dialect.tells_details:
        return COMPLETION
    usage = USAGE.model_copy(update={"prompt_tokens_details": {"cached_tokens": 0}})
    return COMPLETION.model_copy(update={**FINGERPRINT, "usage": usage})


def stream_of(dialect: Surface) -> bytes:
    writer = dialect.open_stream(HEAD["id"], HEAD["created"], HEAD["model"], fingerprint="fp_1")
    return writer.begin() + writer.text("42") + writer.end("stop", USAGE) + dialect.write_done()


def error(pick: Callable[[Surface], Refusal]) -> Callable[[Surface], WireResponse]:
    return lambda dialect: dialect.write_error(pick(dialect))


def request_of(dialect: Surface, route: str | None) -> bytes:
    messages = [{"role": "user", "content": "Solve x+2=5."}]
    fields = {"messages": messages, "temperature": 0.8, "top_p": 0.95, "max_tokens": 2048}
    named = {"model": "Phi-4-mini-reasoning"} if dialect.needs_model else {}
    request = ChatRequest.model_validate(fields | named)
    return dialect.write_chat_request(request.to_wire(), route=route).body or b""


WRITERS: dict[str, Callable[[Surface], WireResponse]] = {
    "chat_request": lambda dialect: WireResponse(0, request_of(dialect, None), {}),
    "score_request": lambda dialect: WireResponse(0, request_of(dialect, "/score"), {}),
    "completion": lambda dialect: WireResponse(200, dialect.write_completion(completion_of(dialect)), JSON),
    "stream": lambda dialect: WireResponse(
        200, stream_of(dialect), {"Content-Type": "text/event-stream; charset=utf-8"}
    ),
    "score": lambda dialect: WireResponse(200, dialect.write_score(COMPLETION), JSON),
    "score_older": lambda dialect: WireResponse(
        200, replace(dialect, short_score=True).write_score(COMPLETION), JSON
    ),
    "score_refused": error(lambda _: Refusal(200, {})),
    "info": lambda dialect: WireResponse(200, dialect.write_info(INFO), JSON),
    "health": lambda dialect: WireResponse(200, dialect.write_health(), JSON),
}
ERRORS = {f"error_{row.name}": row for row in CATALOGUE}
WRITERS |= {name: error(row.refusal) for name, row in ERRORS.items()}
FILES = sorted(WIRE.glob("*/*.wire"))


def short_name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def parts(path: Path) -> tuple[dict[str, str], bytes]:
    head, _, body = path.read_bytes().partition(b"\n\n")
    names = dict(line.split(": ", 1) for line in head.decode().splitlines())
    return names, body.removesuffix(b"\n")


@pytest.mark.parametrize("path", FILES, ids=short_name)
def test_a_dialect_writes_the_bytes_of_its_golden_file(path: Path) -> None:
    names, body = parts(path)
    assert names.pop("origin").split()[0] in ORIGINS
    names.pop("source", None)
    written = WRITERS[path.stem](SURFACES[path.parent.name])
    assert body == written.body.removesuffix(b"\n")
    assert names == {"status": str(written.status), **written.headers}


@pytest.mark.parametrize("dialect", SURFACES)
def test_each_thing_that_a_dialect_writes_has_a_golden_file(dialect: str) -> None:
    missing = set(WRITERS) - {path.stem for path in FILES if path.parent.name == dialect}
    spoken = SURFACES[dialect]
    absent = (
        {"score_request", "score", "score_older", "score_refused"} if not spoken.score_route else set[str]()
    )
    absent |= {"health"} if not spoken.health_route else set()
    absent |= {name for name, row in ERRORS.items() if dialect not in row.surfaces}
    assert missing == absent


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith("error_")], ids=short_name)
def test_each_golden_error_is_read_with_a_message_or_a_reason(path: Path) -> None:
    names, body = parts(path)
    read = SURFACES[path.parent.name].read_error(int(names["status"]), names, body)
    says_nothing = path.stem == "error_help_text_only"
    assert read.message or names.get("ms-azureml-model-error-reason") or says_nothing
    assert "{" not in read.message


@pytest.mark.parametrize("dialect", SURFACES)
def test_a_golden_completion_is_read_as_what_it_means(dialect: str) -> None:
    _, body = parts(WIRE / dialect / "completion.wire")
    read = SURFACES[dialect].read_completion(body)
    assert isinstance(read, AnswerView)
    assert read.choices[0].content == "<think>6*7</think>42"
