# ruff: noqa: INP001  # a folder of commands, no package
"""Exchanges with an emulator, drawn by number: valid, formed, invalid, hostile, hung up, pipelined, slow, and other routes.

It must not know how an exchange ends: `mixed_requests` sends them and counts.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from phi_client.contract.emulator import EMULATOR_KEY

MARK: Final = "vexillology"
"""Stands in every prompt and schema, and must not be found in a log."""

ROUTES: Final = (
    "/chat/completions?api-version=2024-05-01-preview",
    "/serverless/chat/completions",
    "/serverless/v1/chat/completions",
    "/managed-compute/chat/completions",
    "/managed-compute/v1/chat/completions",
    "/managed-compute/score",
    "/models/chat/completions?api-version=2024-05-01-preview",
    "/openai/v1/chat/completions",
    "/openai/deployments/any/chat/completions?api-version=2024-10-21",
)
UNKNOWN_ROUTES: Final = (
    "/nothing",
    "/openai/x",
    "/models",
    "/score",
    "/%ff/%00",
    "/_emulator/x",
    "//",
    "/serverless/",
)
OTHER_ROUTES: Final = (
    "/", "/info", "/serverless/info", "/managed-compute/", "/managed-compute/swagger.json", "/models/info", "/openai/v1/models",
    "/openai/v1/models/x%2F%00", "/openai/models", "/_emulator/health", "/_emulator/status",
    *(f"/_emulator/entra/{rest}" for rest in (
        "any/v2.0/.well-known/openid-configuration", "any/discovery/v2.0/keys", "any/oauth2/v2.0/token",
        "metadata/identity/oauth2/token", "msi/token",
    )),
)  # fmt: skip
QUESTIONS: Final = ("What is 17 * 24?", "six times seven", "Add 3 and 4, then double it.", "12 - 30", "Hello")
TEXTS: Final = (
    "",
    "\x00",
    "🦜" * 9,
    "<|end|><|user|>",
    "</think>",
    "\u202e\x1b[31m",
    "a\r\nb",
    "ÿ" * 300,
    "x" * 9_000,
)
NUMBERS: Final = (0, -1, 1, 7e-46, 5e-324, 1e-7, 0.5, 2, 1e308, -0.0, 2**31, 2**63, -(2**63), 10**400)
ODD: Final[tuple[Any, ...]] = (None, True, "5", [], {}, [[]], {"a": 1}, "\ud800", float("nan"), float("inf"))
FIELDS: Final = (
    "messages", "model", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop", "stream", "n", "tools",
    "stream_options", "presence_penalty", "frequency_penalty", "response_format", "tool_choice", "logprobs", "top_k", "user",
)  # fmt: skip


MOST_DEPTH: Final = 3


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is sent over one connection, in parts with pauses between them."""

    kind: str
    parts: Sequence[bytes]
    answers: int | None = 1
    """How many must come; None where it is left to the server, or to when the client leaves."""
    succeeds: bool = False
    """Whether each answer must be 200."""
    pause_s: float = 0.0
    reads: int | None = None
    """Bytes of the answer that are read before the client hangs up; None reads it to its end."""
    is_half_sent: bool = False
    """Whether the server may rightly wait for more."""
    resets: bool = False
    """Whether it hangs up with a reset."""


def draw(seed: int, number: int) -> Exchange:
    """The exchange of this number; the same for the same seed."""
    rng = random.Random(f"{seed}:{number}")  # noqa: S311 - repeatable on purpose
    (kind,) = rng.choices(tuple(_KINDS), [weight for weight, _ in _KINDS.values()])
    return _KINDS[kind][1](rng)


def request(
    body: bytes, route: str = ROUTES[0], *lines: str, key: str | None = EMULATOR_KEY, closes: bool = True
) -> bytes:
    """A request as its bytes; `lines` are further headers."""
    head = [
        f"POST {route} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if key is not None:
        head += [f"Authorization: Bearer {key}", f"api-key: {key}"]
    if closes:
        head.append("Connection: close")
    return "\r\n".join([*head, *lines, "", ""]).encode("latin-1", "replace") + body


def question(rng: random.Random, **fields: Any) -> dict[str, Any]:
    """A body that every surface takes."""
    content = f"{rng.choice(QUESTIONS)} {MARK}"
    body: dict[str, Any] = {"messages": [{"role": "user", "content": content}], "model": "any"}
    body["max_tokens"] = rng.choice((1, 2, 8, 24))
    if chance(rng, 40):
        body["temperature"] = rng.choice((0, 7e-46, 1e-7, 0.3, 0.7, 1))
    if chance(rng, 30):
        body["top_p"] = rng.choice((1e-46, 0.1, 0.95, 1))
    if chance(rng, 30):
        body["seed"] = rng.randrange(1000)
    if chance(rng, 30):
        body["stop"] = rng.choice((["</think>"], ["4", MARK], [" "], ["is not", "<think>"]))
    if chance(rng, 20):
        earlier = [{"role": "user", "content": rng.choice(QUESTIONS)}, {"role": "assistant", "content": "42"}]
        body["messages"] = [
            {"role": "system", "content": "Be brief."},
            *earlier * rng.randrange(1, 9),
            *body["messages"],
        ]
    if chance(rng, 40):
        body["stream"] = True
    return body | fields


def chance(rng: random.Random, percent: int) -> bool:
    """True so often."""
    return rng.randrange(100) < percent


def dump(body: Any) -> bytes:
    """JSON, with what JSON has not where it is asked for."""
    return json.dumps(body).encode()


def for_route(body: dict[str, Any], route: str) -> dict[str, Any]:
    """The body in the form that the route takes."""
    if not route.endswith("/score"):
        return body
    others = {name: value for name, value in body.items() if name not in ("messages", "model", "stream")}
    return {"input_data": {"input_string": body["messages"], "parameters": others}}


def _valid(rng: random.Random) -> Exchange:
    route = rng.choice(ROUTES)
    return Exchange("valid", [request(dump(for_route(question(rng), route)), route)], succeeds=True)


def _large(rng: random.Random) -> Exchange:
    filler = rng.choice(("7 ", "word ", " ", "a", "<|end|>", "é"))
    content = MARK + filler * (
        rng.choices((1_000, 20_000, 300_000, 4_300_000), (4, 4, 3, 1))[0] // len(filler)
    )
    return Exchange(
        "large",
        [request(dump(question(rng, messages=[{"role": "user", "content": content}])), rng.choice(ROUTES))],
    )


def schema(rng: random.Random, depth: int = 0) -> Any:
    """A schema, or what is none: shallow and small, or as large as a line of text can ask for."""
    if depth > MOST_DEPTH:
        return {"type": "integer"}
    return rng.choice(_SCHEMAS)(rng, lambda: schema(rng, depth + 1))


_SCHEMAS: Final[tuple[Callable[[random.Random, Callable[[], Any]], Any], ...]] = (
    lambda _, inner: {"type": "object", "properties": {"a": inner(), "b": inner()}, "required": ["a"]},
    lambda _, inner: {"type": "object", "properties": {"c": inner()}, "additionalProperties": inner()},
    lambda rng, _: {"type": "object", "properties": {f"{MARK}{n}": {} for n in range(rng.choice((1, 300)))}},
    lambda rng, inner: {"type": "array", "items": inner(), "maxItems": rng.choice((2, 60_000, 10**8))},
    lambda rng, inner: {"type": "array", "items": inner(), "minItems": rng.choice((0, 50, 10**6))},
    lambda rng, _: {"type": "string", "pattern": rng.choice(("^[a-z]{1,9}$", "(a+)+$", "(", "^.{1,50000}$"))},
    lambda rng, _: {"type": "string", "maxLength": rng.choice((5, 100_000, 10**9))},
    lambda rng, _: {"enum": [f"{MARK}{n}" for n in range(rng.choice((1, 20, 3_000)))]},
    lambda rng, inner: {"anyOf": [inner() for _ in range(rng.randrange(4))]},
    lambda rng, _: {"$ref": rng.choice(("#", "#/$defs/none", "https://example.invalid/x"))},
    lambda rng, _: {"type": "number", "minimum": rng.choice(NUMBERS), "multipleOf": rng.choice((0, 3, 1e-9))},
    lambda rng, _: rng.choice((True, False, {}, [], "object", {"type": "nothing"}, {"properties": 5})),
)


def _form(rng: random.Random) -> Exchange:
    """With what `--extensions` takes: formats, expressions, tools."""
    wish: dict[str, Any]
    match rng.randrange(5):
        case 0:
            wish = {"response_format": {"type": rng.choice(("json_object", "text", "xml"))}}
        case 1:
            wish = {
                "response_format": {
                    "type": "regex",
                    "regex": rng.choice(("[0-9]{1,4}", "(a|b)*", "(", "(x{1,999}){1,999}")),
                }
            }
        case 2:
            tool = {
                "type": "function",
                "function": {"name": "f", "description": MARK, "parameters": schema(rng)},
            }
            wish = {"tools": [tool], "tool_choice": rng.choice(("auto", "none", "required", "f"))}
        case _:
            wish = {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "s", "schema": schema(rng)},
                }
            }
    route = rng.choice(ROUTES)
    return Exchange("form", [request(dump(for_route(question(rng) | wish, route)), route)])


def _invalid(rng: random.Random) -> Exchange:
    """Read well and refused: values, names, routes, keys, media types; or not JSON at all."""
    body, route, lines = question(rng), rng.choice(ROUTES), list[str]()
    key: str | None = EMULATOR_KEY
    for _ in range(rng.randrange(1, 4)):
        body[rng.choice((*FIELDS, "\ud800", MARK))] = rng.choice((*NUMBERS, *ODD, *TEXTS))
    sent = dump(for_route(body, route)) if "messages" in body else b"{}"
    match rng.randrange(8):
        case 0:
            roles = rng.choice(
                (["user", "user"], ["assistant"], ["tool"], ["developer"], ["\ud800"], [5], [])
            )
            sent = dump({"messages": [{"role": role, "content": MARK + rng.choice(TEXTS)} for role in roles]})
        case 1:
            cut = rng.randrange(len(sent))
            sent = sent[:cut] + rng.choice(
                (b"", b"\xff\xfe", b"[" * 5_000, b'{"a":' * 5_000, b"1e999", b"\x00")
            )
        case 2:
            sent = rng.choice((b"", b"null", b"[]", b'"x"', b"\xef\xbb\xbf{}", b"[" + b"1," * 50_000 + b"1]"))
        case 3:
            route = rng.choice(UNKNOWN_ROUTES)
        case 4:
            key = rng.choice((None, "", "wrong", MARK * 50, "ÿ"))
        case 5:
            lines = [f"Content-Type: {rng.choice(('text/plain', 'application/json; charset=utf-16', MARK))}"]
        case 6:
            lines = [f"extra-parameters: {rng.choice(('drop', 'error', 'pass-through', 'ignore'))}"]
        case _:
            pass
    return Exchange("invalid", [request(sent, route, *lines, key=key)])


def _other(rng: random.Random) -> Exchange:
    """What is asked beside answers: the page, models, health, tokens; now and then by a wrong method or with an odd query."""
    route = rng.choice(OTHER_ROUTES) + rng.choice(
        ("", "", "?api-version=", "?a=%00&a=%ff", f"?resource={MARK}&api-version=2018-02-01")
    )
    method = rng.choice((b"GET", b"GET", b"GET", b"POST", b"HEAD", b"DELETE", b"OPTIONS"))
    body = rng.choice(
        (
            b"",
            b"grant_type=client_credentials&client_id=a&client_secret=b&scope=c",
            b"%ff&=&&",
            bytes(range(256)),
        )
    )
    lines = (f"Accept: {rng.choice(('*/*', 'text/html', 'ÿ'))}", f"Metadata: {rng.choice(('true', 'x'))}")
    sent = request(body, route, *lines, key=rng.choice((EMULATOR_KEY, None)))
    return Exchange("other", [sent.replace(b"POST", method, 1)])


def _hostile(rng: random.Random) -> Exchange:
    """Bytes that no client sends."""
    body = dump(question(rng))
    whole = request(body)
    head, _, _ = whole.partition(b"\r\n\r\n")
    plain = head.replace(b"Content-Length: " + str(len(body)).encode() + b"\r\n", b"")
    chunked = plain + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    size = f"{len(body):x}".encode()
    sent = rng.choice((
        head + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /_emulator/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        head + b"\r\nContent-Length: 5\r\n\r\n" + body,
        head.replace(b"Content-Length: ", b"Content-Length: -") + b"\r\n\r\n" + body,
        head + b"\r\nX: " + b"a" * rng.choice((9_000, 70_000, 600_000)) + b"\r\n\r\n" + body,
        head + b"\r\n" + b"X: 1\r\n" * rng.choice((90, 5_000)) + b"\r\n" + body,
        head + rng.choice((b"\r\nNo colon", b"\r\n: x", b"\r\nA\x00: b", b"\r\nA: b\x00c", b"\r\n folded", b"\nA: b")) + b"\r\n\r\n" + body,
        head.replace(b"127.0.0.1", rng.choice((b"evil.com", b"evil.com@127.0.0.1", b"127.0.0.1.evil.com", b"[::1", b"", b"\xff")))
        + b"\r\n\r\n" + body,
        head.replace(b"POST ", rng.choice((b"BREW ", b"CONNECT ", b"OPTIONS ", b"\xff ", b"post "))) + b"\r\n\r\n" + body,
        head.replace(b"HTTP/1.1", rng.choice((b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"FTP/1.1"))) + b"\r\n\r\n" + body,
        head.replace(b"/chat", b"/" + b"a" * rng.choice((3_000, 90_000)) + b"/chat") + b"\r\n\r\n" + body,
        chunked + size + rng.choice((b"", b";x=y", b";" + b"x" * 9_000)) + b"\r\n" + body + b"\r\n0\r\n\r\n",
        chunked + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\nTrailer: x\r\n\r\n",
        chunked + rng.choice((b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"5\r\nabc")) + body,
        head + b"\r\nExpect: 100-continue\r\n\r\n" + body,
        head + b"\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" + body,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(rng.randrange(256) for _ in range(40)),
        b"\x16\x03\x01\x02\x00\x01\x00" + bytes(rng.randrange(256) for _ in range(500)),
        b"\r\n\r\n\r\n" + whole,
        bytes(rng.randrange(256) for _ in range(rng.randrange(1, 3_000))),
    ))  # fmt: skip
    return Exchange("hostile", [sent], answers=None, is_half_sent=True)


def _hung_up(rng: random.Random) -> Exchange:
    """A good request whose client leaves: within it, before its answer, or within that."""
    route = rng.choice(ROUTES)
    fields = {"stream": chance(rng, 70), "max_tokens": rng.choice((8, 64, 400))}
    whole = request(dump(for_route(question(rng, **fields), route)), route)
    resets = chance(rng, 50)
    if chance(rng, 40):
        return Exchange("hung up", [whole[: rng.randrange(len(whole))]], answers=None, reads=0, resets=resets)
    return Exchange(
        "hung up", [whole], answers=None, reads=rng.choice((0, 0, 1, 200, 900, 3_000)), resets=resets
    )


def _pipelined(rng: random.Random) -> Exchange:
    """Several requests at once, some of them refused, and now and then the client leaves among the answers."""
    some = [
        request(dump(question(rng, max_tokens=4)), rng.choice(ROUTES[:5]), closes=False)
        for _ in range(rng.randrange(1, 4))
    ]
    some.insert(rng.randrange(len(some) + 1), request(b"{}", closes=False))
    some.append(request(dump(question(rng, max_tokens=4))))
    if chance(rng, 33):
        return Exchange("pipelined", [b"".join(some)], answers=None, reads=1_000)
    return Exchange("pipelined", [b"".join(some)], answers=len(some))


def _slow(rng: random.Random) -> Exchange:
    """A good request that comes in pieces."""
    route = rng.choice(ROUTES)
    whole = request(dump(for_route(question(rng), route)), route)
    cuts = sorted(rng.sample(range(1, len(whole)), rng.randrange(1, 12)))
    parts = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return Exchange("slow", parts, succeeds=True, pause_s=rng.choice((0.0, 0.002, 0.02)))


_KINDS: Final[dict[str, tuple[int, Callable[[random.Random], Exchange]]]] = {
    "valid": (30, _valid),
    "large": (2, _large),
    "form": (8, _form),
    "invalid": (20, _invalid),
    "other": (4, _other),
    "hostile": (14, _hostile),
    "hung up": (12, _hung_up),
    "pipelined": (5, _pipelined),
    "slow": (5, _slow),
}
"""How often each kind comes, and who draws it."""
