"""An exchange as a command or a program that asks the same again. It must not know what was answered.

Texts stand in them as literals of their language, in which nothing can end a string or a command.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Final

from phi_emulator.copies.copied import Copied, CopyError, copied
from phi_emulator.journal.entry import JournalEntry
from phi_emulator.models.strict_json import list_of, object_of

__all__ = ["as_curl", "as_openai", "as_python", "literal"]

_KEY: Final = 'os.environ["PHI_API_KEY"]'
_OPTIONS: Final = (
    "temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty", "response_format",
    "tools", "tool_choice", "logprobs", "top_logprobs",
)  # fmt: skip
"""Keys of a body that are options of `PhiClient.complete`."""
_SENT_ANYHOW: Final = ("temperature", "top_p", "max_tokens")
"""Those that the client sends by itself, unless they are `None`."""
_OF_THE_FORM: Final = ("messages", "stream", "stream_options", "model")
_OPENAIS: Final = frozenset(
    (*_OPTIONS, "model", "messages", "stream", "stream_options", "n", "user", "max_completion_tokens")
)
_OK: Final = 200
_WIDE: Final = 100


def as_curl(entry: JournalEntry, url: str) -> str:
    """As a command of a POSIX shell.

    Raises:
        CopyError: it can't be.
    """
    asked = copied(entry)
    name, value = asked.surface.write_key("$PHI_API_KEY")
    words = ["curl -sS -i -N"]
    words.append(f"-X {shlex.quote(asked.method)} {shlex.quote(url + asked.path)}")
    words.append(f'-H "{name}: {value}"')
    words += [f"-H {shlex.quote(f'{header}: {said}')}" for header, said in asked.headers.items()]
    if asked.text:
        # `--data-binary` reads a file where its argument begins so.
        how = "--data-raw" if asked.text.startswith("@") else "--data-binary"
        words.append(f"{how} {shlex.quote(asked.plain_text)}")
    return " \\\n  ".join(words) + "\n"


def as_python(entry: JournalEntry, url: str) -> str:
    """As a program with this package's client, or with httpx where no client would ask so.

    Raises:
        CopyError: it can't be.
    """
    asked = copied(entry)
    body = asked.asked
    if body is None or not _fits_client(entry, asked, body):
        return _with_httpx(asked, url)
    surface = asked.surface
    given: dict[str, Any] = {"messages": body["messages"]}
    if body.get("model") is not None:
        given["model"] = body["model"]
    given |= {name: body[name] for name in _OPTIONS if name in body}
    given |= {name: None for name in _SENT_ANYHOW if name not in body}
    extra = {name: value for name, value in body.items() if name not in (*_OPTIONS, *_OF_THE_FORM)}
    if extra:
        given["extra"] = extra
    headers = {
        name: value
        for name, value in asked.headers.items()
        if name not in ("content-type", "extra-parameters")
    }
    if headers:
        given["headers"] = headers
    given["on_truncation"] = "return"
    endpoint = url + surface.emulator_prefix + surface.root
    head = f"import os\n\nfrom phi_client import PhiClient\n\nwith PhiClient({literal(endpoint)}, {_KEY}) as client:\n"
    if body.get("stream"):
        return (
            f"{head}    with client.stream(\n{_arguments(given, 8)}    ) as stream:\n"
            '        for text in stream.text_deltas():\n            print(text, end="", flush=True)\n'
        )
    return f"{head}    completion = client.complete(\n{_arguments(given, 8)}    )\n    print(completion.content)\n"


def as_openai(entry: JournalEntry, url: str) -> str:
    """As a program with the openai package.

    Raises:
        CopyError: it can't be.
    """
    asked = copied(entry)
    body = asked.asked
    route = asked.path.partition("?")[0]
    ending = "/chat/completions"
    if (
        body is None
        or asked.method != "POST"
        or not route.endswith(ending)
        or list_of(body.get("messages")) is None
    ):
        raise CopyError("the openai package asks only for chat completions: copy it as `curl` or as `python`")
    given = {name: value for name, value in body.items() if name in _OPENAIS}
    # The package wants a model in any case; a surface that has none in its contract is told none that counts.
    given = {"model": body.get("model") or "phi-4-mini-reasoning", **given}
    extra = {name: value for name, value in body.items() if name not in _OPENAIS}
    if extra:
        given["extra_body"] = extra
    headers = {name: value for name, value in asked.headers.items() if name != "content-type"}
    key_name, _ = asked.surface.write_key("")
    keyed = "" if key_name.lower() == "authorization" else f'    default_headers={{"{key_name}": {_KEY}}},\n'
    if headers:
        given["extra_headers"] = headers
    if entry.api_version is not None:
        given["extra_query"] = {"api-version": entry.api_version}
    base = url + route.removesuffix(ending)
    call = f"client.chat.completions.create(\n{_arguments(given, 4)})\n"
    shown = (
        f"for chunk in {call.rstrip()}:\n    if chunk.choices:\n"
        '        print(chunk.choices[0].delta.content or "", end="", flush=True)\n'
        if body.get("stream")
        else f"completion = {call}print(completion.choices[0].message.content)\n"
    )
    return (
        "import os\n\nfrom openai import OpenAI\n\nclient = OpenAI(\n"
        f"    base_url={literal(base)},\n    api_key={_KEY},\n{keyed}    max_retries=0,\n)\n{shown}"
    )


def _fits_client(entry: JournalEntry, asked: Copied, body: Mapping[str, Any]) -> bool:
    """Whether this package's client asks just so."""
    surface = asked.surface
    messages: Any = body.get("messages")
    return (
        entry.status == _OK
        and asked.method == "POST"
        and asked.route == surface.chat_routes[0]
        and entry.api_version in (None, surface.api_version)
        and bool(list_of(messages))
        and (body.get("model") is not None or not surface.needs_model)
        and body.get("n") is None
    )


def _with_httpx(asked: Copied, url: str) -> str:
    name, value = asked.surface.write_key("")
    headers = _dictionary(asked.headers)
    key = f"{literal(value)} + {_KEY}" if value else _KEY
    body = f"    content={literal(asked.text)}.encode(),\n" if asked.text else ""
    return (
        "import os\n\nimport httpx\n\nwith httpx.stream(\n"
        f"    {literal(asked.method)},\n    {literal(url + asked.path)},\n"
        f"    headers={{{headers}{literal(name)}: {key}}},\n{body}    timeout=600,\n"
        ") as response:\n    print(response.status_code)\n    for text in response.iter_text():\n"
        '        print(text, end="", flush=True)\n'
    )


def _dictionary(members: Mapping[str, str]) -> str:
    return "".join(f"{literal(name)}: {literal(value)}, " for name, value in members.items())


def _arguments(given: Mapping[str, Any], indent: int) -> str:
    return "".join(f"{' ' * indent}{name}={literal(value, indent)},\n" for name, value in given.items())


def literal(value: object, indent: int = 0) -> str:
    """A value of JSON as Python writes it, on several lines where it is long."""
    short = repr(value)
    members, several = object_of(value), list_of(value)
    if len(short) + indent <= _WIDE or not (members or several):
        return short
    inner = indent + 4
    items: Iterable[str]
    if members:
        items = (f"{key!r}: {literal(one, inner)}" for key, one in members.items())
    else:
        items = (literal(one, inner) for one in several or ())
    begin, end = ("{", "}") if members else ("[", "]")
    return f"{begin}\n" + "".join(f"{' ' * inner}{one},\n" for one in items) + f"{' ' * indent}{end}"
