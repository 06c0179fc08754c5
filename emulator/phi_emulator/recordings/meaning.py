"""What a request asks, whichever surface it is asked on: messages, sampling and model.

The meaning is read from the request when it is needed, and not kept beside it: so what was recorded long ago and what
is asked now are read by the same reader. It must not know what answers it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from phi_client.contract.service.chat import ChatRequest
from phi_client.contract.service.refusals import RefusedError
from phi_client.contract.service.request_body import with_newer_names
from phi_emulator.recordings.exchanges import RecordedRequest
from phi_emulator.recordings.places import is_chat, surface_of

__all__ = ["Form", "Meaning", "chat_request_of", "meaning_of"]

_MODEL: Final = "model"
_FORM: Final = ("stream", "stream_options", "max_completion_tokens", _MODEL)
"""What says how an answer is to be sent, or has another name already."""
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is to be sent: on which surface, and in which of its forms."""

    surface: str
    path: str
    api_version: str | None
    streams: bool
    with_usage: bool


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is asked, as values by their places (`messages[0].content`), and in which form the answer is wanted.

    `model` is `None` where none is named: that fits any.
    """

    members: Mapping[str, Any] = field(repr=False)
    model: str | None
    form: Form

    def differences(self, other: Meaning) -> list[str]:
        """The places in which what is asked differs."""
        places = [*self.members, *(place for place in other.members if place not in self.members)]
        different = [
            place
            for place in places
            if self.members.get(place, _MISSING) != other.members.get(place, _MISSING)
        ]
        if self.model is not None and other.model is not None and self.model != other.model:
            different.append(_MODEL)
        return different


def meaning_of(request: RecordedRequest) -> Meaning:
    """The meaning of a request; of one that is no chat request, the request itself."""
    asked = chat_request_of(request)
    if asked is None:
        members = {"request": f"{request.method} {request.path}", "surface": request.surface}
        form = Form(request.surface, request.path, request.api_version, streams=False, with_usage=False)
        return Meaning(members | dict(_places("body", _json(request.body))), None, form)
    members = {"request": "chat"}
    for name, value in asked.model_dump(mode="json", exclude=set(_FORM)).items():
        members |= dict(_places(name, _plain(name, value)))
    form = Form(request.surface, request.path, request.api_version, bool(asked.stream), asked.wants_usage)
    return Meaning(members, asked.model, form)


def chat_request_of(request: RecordedRequest) -> ChatRequest | None:
    """The chat request that a request is; `None` where it is none that its surface takes."""
    surface = surface_of(request.surface, request.path)
    if request.method != "POST" or not is_chat(surface, request.path):
        return None
    try:
        if request.path == surface.score_route:
            return with_newer_names(surface.read_score_request(request.body))
        return with_newer_names(surface.read_chat_request(request.headers, request.body, route=request.path))
    except RefusedError:
        return None


def _plain(name: str, value: Any) -> Any:
    """A member in one of the forms in which it may be written."""
    if name == "stop" and isinstance(value, str):
        return [value]
    if name == "messages":
        return [{**message, "content": _text_of(message.get("content"))} for message in value]
    return value


def _text_of(content: object) -> object:
    """Parts that are all text as one text."""
    if isinstance(content, list):
        parts = cast("list[dict[str, Any]]", content)
        if all(part["type"] == "text" for part in parts):
            return "".join(part["text"] for part in parts)
        return parts
    return content


def _places(place: str, value: object) -> Iterator[tuple[str, Any]]:
    """Each value with the place where it stands; what is null is not there."""
    if isinstance(value, dict):
        for name, item in cast("dict[str, object]", value).items():
            yield from _places(f"{place}.{name}", item)
    elif isinstance(value, list):
        for number, item in enumerate(cast("list[object]", value)):
            yield from _places(f"{place}[{number}]", item)
    elif value is not None:
        yield place, value


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")
