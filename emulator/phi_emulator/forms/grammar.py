r"""Grammars that let the model think freely and hold what follows to a form: JSON, an expression, calls of tools.

Pure text: knows neither an engine nor where the wishes come from. The language is llguidance's kind of Lark, which ONNX
Runtime GenAI follows token by token.

    answer = [ "<think>" anything "</think>" ] form        form = JSON | expression | calls | text or calls

What a grammar costs is not told here: `grammar_checks` compiles it where it holds up nobody. What is refused here is
what is too long to be worth a look, or would be taken and then not be followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from phi_emulator.engine.errors import GuidanceError
from phi_emulator.engine.protocol import Marks

__all__ = ["ANY_OBJECT", "Calls", "Form", "JsonForm", "RegexForm", "Tool", "write_grammar"]

MOST_CHARACTERS: Final = 65_536
"""Of all schemas together, or of an expression."""
MOST_DEPTH: Final = 64
MOST_OPTIONAL: Final = 200
"""Properties of an object that may be left out; with 500 no token could be chosen any more."""
MOST_CALLS: Final = 16
"""Calls of tools in an answer."""

_HEAD: Final = '%llguidance {"no_forcing": true}\n'
r"""Text that is the only one possible is still left to the model: GenAI encodes it as text, and it may begin in the
middle of a character, which is none. Seen with `😀`: no token fitted any more."""
_THINKING: Final = (
    'thinking: "<think>" thought\nthought: thoughts /\\n{0,2}/\nthoughts[suffix="</think>"]: /(.|\\n)*/\n'
)
# A small model that may write as much white space as it likes writes nothing else.
_SPACING: Final = {
    "x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
}
_NO_SCHEMAS: Final = frozenset({"enum", "const", "default", "examples", "required"})
_UNIONS: Final = frozenset({"anyOf", "oneOf", "$ref"})
_PROPERTY_RULES: Final = frozenset({"additionalProperties", "patternProperties", "unevaluatedProperties"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class JsonForm:
    """JSON that fits a schema."""

    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RegexForm:
    """Text that a regular expression matches from its beginning to its end."""

    pattern: str


Form = JsonForm | RegexForm

ANY_OBJECT: Final = JsonForm({"type": "object"})


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is the JSON schema of an object."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Calls:
    """Which tools may be called: whether one must be, and how many calls an answer has at most."""

    tools: Sequence[Tool]
    must: bool = False
    at_most: int = MOST_CALLS


def write_grammar(marks: Marks, form: Form | None = None, calls: Calls | None = None) -> str:
    """The grammar of an answer that ends in `form`, in calls, or in either; without a form in text.

    Raises:
        GuidanceError: a schema or an expression is too much.
    """
    schemas = [tool.parameters for tool in calls.tools] if calls else []
    if isinstance(form, JsonForm):
        schemas = [form.schema, *schemas]
    if sum(len(json.dumps(schema)) for schema in schemas) > MOST_CHARACTERS:
        raise GuidanceError(f"the schemas have more than {MOST_CHARACTERS} characters")
    for schema in schemas:
        _check_schema(schema)
    rules = [
        _HEAD,
        "start: thought answer\n" if marks.opens_reasoning else "start: thinking? answer\n",
        _THINKING,
    ]
    said = "text" if form is None else "form"
    if calls is None:
        rules.append(f"answer: {said}\n")
    elif calls.must:
        rules.append("answer: calls\n")
    else:
        rules.append("answer: text calls?\n" if form is None else "answer: form | calls\n")
    if form is not None:
        rules.append(f"form: {_form(form)}\n")
    elif calls is None:
        rules.append("text: /(.|\\n)*/\n")
    elif not calls.must:
        # Text must not hold the mark, or calls could be text, in no form.
        mark = _expression(re.escape(marks.call[0]))
        rules.append(f"text: TEXT\nTEXT: /(.|\\n)*/ & ~/(.|\\n)*{mark}(.|\\n)*/\n")
    if calls is not None:
        rules += _rules_of_calls(marks, calls)
    return "".join(rules)


def _form(form: Form) -> str:
    if isinstance(form, JsonForm):
        return _json(form.schema)
    if len(form.pattern) > MOST_CHARACTERS:
        raise GuidanceError(f"the expression has more than {MOST_CHARACTERS} characters")
    if not form.pattern:
        raise GuidanceError("the expression is empty")
    return f"/{_expression(form.pattern)}/"


def _json(schema: Mapping[str, Any]) -> str:
    combines = any(
        "allOf" in node or ("properties" in node and not _UNIONS.isdisjoint(node))
        for node, _ in _nodes(schema, 1)
    )
    closed = schema if combines else cast("Mapping[str, Any]", _closed(schema))
    return "%json " + json.dumps({**closed, **_SPACING})


def _closed(node: object) -> object:
    """A schema whose objects have the properties that it names and no others, where it doesn't say.

    What fits it fits the schema, and a small model doesn't go on inventing properties. Schemas that hold for one value
    together would exclude each other's properties, so they stay as they are.
    """
    if isinstance(node, list):
        return [_closed(item) for item in cast("list[object]", node)]
    if not isinstance(node, dict):
        return node
    members = cast("dict[str, Any]", node)
    closed = {name: member if name in _NO_SCHEMAS else _closed(member) for name, member in members.items()}
    is_open = _PROPERTY_RULES.isdisjoint(members) and isinstance(members.get("properties"), dict)
    return closed | {"additionalProperties": False} if is_open and members.get("type") == "object" else closed


def _rules_of_calls(marks: Marks, calls: Calls) -> Iterator[str]:
    """As `tool_calls` reads them."""
    before, after = (json.dumps(mark) for mark in marks.call)
    more = f' (", " call){{0,{calls.at_most - 1}}}' if calls.at_most > 1 else ""
    yield f'calls: {before} "[" call{more} "]" {after}\n'
    yield f"call: {' | '.join(f'call_{number}' for number in range(len(calls.tools)))}\n"
    for number, tool in enumerate(calls.tools):
        head = f'{{"name": {json.dumps(tool.name)}, "arguments": '
        yield f'call_{number}: {json.dumps(head)} {_json(tool.parameters)} "}}"\n'


def _expression(pattern: str) -> str:
    """`pattern` as it stands between two slashes."""
    written: list[str] = []
    signs = iter(pattern)
    for sign in signs:
        if sign == "\\":
            escaped = next(signs, None)
            if escaped is None:
                raise GuidanceError("the expression ends with a backslash")
            # What is escaped needlessly is itself, but only as long as it is no letter.
            written.append(_CONTROL.sub(_as_code, escaped) if _CONTROL.match(escaped) else f"\\{escaped}")
        elif sign == "/":
            written.append("\\/")
        else:
            written.append(_CONTROL.sub(_as_code, sign))
    return "".join(written)


def _as_code(found: re.Match[str]) -> str:
    return f"\\x{{{ord(found[0]):x}}}"


def _check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse what could be compiled and not be followed.

    Raises:
        GuidanceError: naming the limit.
    """
    for node, depth in _nodes(schema, 1):
        if depth > MOST_DEPTH:
            raise GuidanceError(f"the schema is nested more than {MOST_DEPTH} deep")
        properties, required = node.get("properties"), node.get("required")
        if isinstance(properties, dict):
            names = set(cast("dict[str, object]", properties))
            needed = cast("list[object]", required) if isinstance(required, list) else []
            if len(names.difference(n for n in needed if isinstance(n, str))) > MOST_OPTIONAL:
                raise GuidanceError(
                    f"an object has more than {MOST_OPTIONAL} properties that are not required"
                )


def _nodes(value: object, depth: int) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Every object in a schema, whether a schema or not, with its depth."""
    waiting: list[tuple[object, int]] = [(value, depth)]
    while waiting:
        item, at = waiting.pop()
        if isinstance(item, dict):
            members = cast("dict[str, Any]", item)
            yield members, at
            waiting += [(member, at + 1) for member in members.values()]
        elif isinstance(item, list):
            waiting += [(member, at + 1) for member in cast("list[object]", item)]
