"""Grammars: what is built can be followed or is refused with a reason, in little time, whatever was asked for."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phi_emulator.engine.errors import GuidanceError
from phi_emulator.engine.protocol import Engine, Marks
from phi_emulator.forms.grammar import (
    MOST_CHARACTERS,
    MOST_DEPTH,
    MOST_OPTIONAL,
    Calls,
    Form,
    JsonForm,
    RegexForm,
    Tool,
    write_grammar,
)

from tests.emulator.engine.conftest import make_ort

PATIENCE_S = 2.0
"""Much longer than a grammar within the limits takes, and much shorter than those that the limits keep out."""

ENGINE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(TEXT, children, max_size=4)
    return properties.flatmap(
        lambda named: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(named),
                "required": st.lists(st.sampled_from(sorted(named)), unique=True) if named else st.just([]),
                "additionalProperties": st.booleans() | children,
            }
        )
    )


LEAVES = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["string", "integer", "number", "boolean", "null"])}),
    st.fixed_dictionaries(
        {"type": st.just("integer"), "minimum": st.integers(), "multipleOf": st.integers(1, 10**7)}
    ),
    st.fixed_dictionaries(
        {"type": st.just("string"), "minLength": st.integers(0, 9), "pattern": st.just("^[a-z/]+$")}
    ),
    st.fixed_dictionaries({"enum": st.lists(TEXT | st.integers() | st.none(), min_size=1, max_size=4)}),
    st.fixed_dictionaries({"const": TEXT}),
    st.dictionaries(TEXT, TEXT, max_size=2),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda children: st.one_of(
        objects(children),
        st.fixed_dictionaries({"type": st.just("array"), "items": children, "minItems": st.integers(0, 3)}),
        *(
            st.fixed_dictionaries({name: st.lists(children, min_size=1, max_size=4)})
            for name in ("anyOf", "oneOf", "allOf")
        ),
    ),
    max_leaves=12,
)
MARKS = st.sampled_from(
    [Marks(), Marks(opens_reasoning=True), Marks(call=("<|tool_call|>", "<|/tool_call|>"))]
)


@pytest.fixture(scope="module")
def check() -> Iterator[Callable[[str], str | None]]:
    """Checks a grammar; returns why it was refused."""
    engine: Engine = make_ort()

    def checked(grammar: str) -> str | None:
        began, refusal = time.process_time(), None
        try:
            engine.check_guidance(grammar)
        except GuidanceError as error:
            refusal = str(error)
        assert time.process_time() - began < PATIENCE_S
        # What the engine complains of must be of the user's own making.
        assert "rammar" not in (refusal or ""), refusal
        return refusal

    yield checked
    engine.close()


def written(form: Form, marks: Marks = Marks()) -> str | None:  # noqa: B008 - frozen
    """The grammar, unless it is refused."""
    try:
        return write_grammar(marks, form)
    except GuidanceError:
        return None


@ENGINE
@given(schema=SCHEMAS, marks=MARKS)
def test_any_schema_gives_a_grammar_that_compiles_or_a_refusal(
    check: Callable[[str], str | None], schema: dict[str, Any], marks: Marks
) -> None:
    grammar = written(JsonForm(schema), marks)
    if grammar is not None:
        check(grammar)


@ENGINE
@given(
    pattern=st.text(min_size=1, max_size=20) | st.text("/\\()[]{}|*+?.^$\n\x00a-z0", min_size=1, max_size=20)
)
def test_any_expression_gives_a_grammar_that_compiles_or_a_refusal(
    check: Callable[[str], str | None], pattern: str
) -> None:
    grammar = written(RegexForm(pattern))
    if grammar is None:
        return
    assert "\n" not in grammar.partition("form: ")[2].rstrip("\n")
    refusal = check(grammar)
    if re.fullmatch(r"[\w /\n\x00-]*", pattern, re.ASCII):
        assert refusal is None, "text without signs of an expression stands for itself"


@ENGINE
@given(
    names=st.lists(st.from_regex(r"\A[a-zA-Z0-9_-]{1,64}\Z"), min_size=1, max_size=4, unique=True),
    marks=MARKS,
    wish=st.tuples(st.booleans(), st.integers(1, 16)),
    form=st.none() | st.just(RegexForm("a")) | st.just(JsonForm({})),
)
def test_any_tools_give_a_grammar_that_compiles(
    check: Callable[[str], str | None],
    names: list[str],
    marks: Marks,
    wish: tuple[bool, int],
    form: RegexForm | JsonForm | None,
) -> None:
    tools = [Tool(name, {"type": "object"}) for name in names]
    assert check(write_grammar(marks, form, Calls(tools, must=wish[0], at_most=wish[1]))) is None


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def optional(count: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(count)}}


CHAIN = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (nested(MOST_DEPTH), "nested"),
        (optional(MOST_OPTIONAL + 1), "not required"),
        ({"enum": ["x" * MOST_CHARACTERS]}, "characters"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:40],
)
def test_what_could_not_be_followed_is_refused(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(GuidanceError, match=why):
        write_grammar(Marks(), JsonForm(schema))


@pytest.mark.parametrize(
    "schema",
    [
        nested(MOST_DEPTH // 2 - 1),
        optional(MOST_OPTIONAL),
        {"type": "integer", "multipleOf": 9_973},
        {"type": "number", "multipleOf": 0.01},
        # As pydantic writes an optional member with a description: side by side, alternatives do not multiply.
        {
            "$defs": {
                "n": {
                    "properties": {
                        f"p{n}": {"anyOf": [{"type": "string"}, {"type": "null"}]} for n in range(12)
                    }
                }
            },
            "properties": {"n": {"allOf": [{"$ref": "#/$defs/n"}], "description": "x"}},
        },
        {"$defs": {"n": {"properties": {"c": {"$ref": "#/$defs/n"}}, "type": "object"}}, "$ref": "#/$defs/n"},
        {"$defs": CHAIN | {"d30": {"type": "string"}}, "$ref": "#/$defs/d24"},
        {"enum": ["x" * 100 + str(number) for number in range(500)]},
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_what_is_within_the_limits_is_taken_in_little_time(
    check: Callable[[str], str | None], schema: dict[str, Any]
) -> None:
    assert check(write_grammar(Marks(), JsonForm(schema))) is None


NAMED = {"type": "object", "properties": {"a": {"type": "integer"}}}
CLOSED = NAMED | {"additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        (NAMED, CLOSED),
        ({"type": "array", "items": NAMED}, {"type": "array", "items": CLOSED}),
        ({"anyOf": [NAMED, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}),
        *(
            (same, same)
            for same in (
                NAMED | {"additionalProperties": True},
                {"type": "object"},
                {"const": NAMED},
                {"allOf": [NAMED, {"type": "object", "properties": {"b": {}}}]},
                NAMED | {"anyOf": [{"type": "object", "properties": {"b": {}}}]},
            )
        ),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_objects_have_no_properties_but_the_named_where_the_schema_is_silent(
    schema: dict[str, Any], kept: dict[str, Any]
) -> None:
    form = write_grammar(Marks(), JsonForm(schema)).partition("%json ")[2]
    followed = json.loads(form)
    del followed["x-guidance"]
    assert followed == kept


@pytest.mark.parametrize(
    ("pattern", "why"), [("", "empty"), ("a\\", "backslash"), ("a" * (MOST_CHARACTERS + 1), "characters")]
)
def test_an_expression_that_can_be_none_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(GuidanceError, match=why):
        write_grammar(Marks(), RegexForm(pattern))


@pytest.mark.parametrize(
    "pattern", [r"(a{1,1000}){1,1000}", r"(.*a){30}", r"((((a?){50}){50}){50}){50}", r"\p{L}{1000}"]
)
def test_expressions_that_are_slow_elsewhere_are_not_here(
    check: Callable[[str], str | None], pattern: str
) -> None:
    check(write_grammar(Marks(), RegexForm(pattern)))
