"""Taking secrets and prompts out of what a service says, because services echo them.

It must not know where the text goes.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

__all__ = ["redact_prompts", "redact_secrets"]

_IN_PLACE_OF_SECRET: Final = b"[secret]"
_PROMPT: Final = "[prompt]"
# Shorter texts occur by chance, and say nothing.
_SHORTEST_PROMPT: Final = 8


def redact_secrets(body: bytes, secrets: Iterable[str]) -> bytes:
    """`body` without the keys and tokens in `secrets`."""
    for secret in secrets:
        if secret:
            body = body.replace(secret.encode(), _IN_PLACE_OF_SECRET)
    return body


def redact_prompts(text: str, request: bytes | None) -> str:
    """`text` without any message of the chat request whose body is `request`."""
    if not text or request is None:
        return text
    try:
        value: Any = json.loads(request)
    except ValueError:
        return text
    for prompt in sorted(_texts(value), key=len, reverse=True):
        if len(prompt) >= _SHORTEST_PROMPT:
            text = text.replace(prompt, _PROMPT)
    return text


def _texts(value: object) -> Iterator[str]:
    """Every `content` and `text` in a request, of whatever form."""
    if isinstance(value, dict):
        for name, member in cast("dict[str, object]", value).items():
            if isinstance(member, str) and name in ("content", "text", "arguments"):
                yield member
            else:
                yield from _texts(member)
    elif isinstance(value, list):
        for member in cast("list[object]", value):
            yield from _texts(member)
