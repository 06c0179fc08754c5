"""Scripts as files and tables: what is answered, and what is said of one that can't be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.engine.protocol import EndReason, Recital
from phi_emulator.faults.state import Taken
from phi_emulator.scripts.errors import ScriptError
from phi_emulator.scripts.file import of_traces, read_file
from phi_emulator.scripts.rules import Rule, ScriptRules, read_rule, read_script
from phi_emulator.scripts.state import ScriptState
from phi_emulator.scripts.traces import TRACES

from tests.emulator.scripts.asking import ask, written


@pytest.mark.parametrize(
    ("table", "recital"),
    [
        ({"answer": "a"}, Recital("a")),
        ({"answer": ""}, Recital("")),
        ({"answer": "b", "reasoning": "a"}, Recital("<think>\na\n</think>\n\nb")),
        ({"reasoning": "a"}, Recital("<think>\na\n</think>")),
        ({"answer": "abcde", "chunks": 2}, Recital("abcde", range(2, 5, 2))),
        ({"answer": "a", "chunks": "token"}, Recital("a")),
        ({"chunks": ["<thi", "nk>a</think>", "b"]}, Recital("<think>a</think>b", (4, 16))),
        ({"answer": "a", "finish_reason": "length"}, Recital("a", None, EndReason.LENGTH)),
        ({"trace": "loop"}, TRACES["loop"].recital),
        ({"trace": "loop", "finish_reason": "stop"}, Recital(TRACES["loop"].recital.text)),
        ({"trace": "no-box", "chunks": "token"}, Recital(TRACES["no-box"].recital.text)),
        ({"model": True}, None),
        ({"fault": {"effect": "retry_after"}}, None),
    ],
    ids=range(13),
)
def test_what_a_rule_answers(table: dict[str, Any], recital: Recital | None) -> None:
    assert read_rule(table).replies[0].recital == recital


def test_an_answer_of_several_is_a_text_or_a_table() -> None:
    fault = {"effect": "error", "error": "rate_limited"}
    rule = read_rule({"answers": ["a", {"fault": fault}, {"answer": "b", "usage": {"total_tokens": 7}}]})
    texts = [reply.recital and reply.recital.text for reply in rule.replies]
    assert texts == ["a", None, "b"]
    assert rule.replies[1].fault is not None
    line = read_rule({"answer": "a", "fault": "stall tokens=3"}).replies[0].fault
    assert line is not None
    assert (line.effect.name, line.count("tokens")) == ("stall", 3)
    assert rule.replies[2].usage == {"total_tokens": 7}
    assert rule.times == 3
    assert read_rule({"answers": ["a", "b"], "repeat": True}).times is None


WRONG = [
    ("", "a list of rules is expected under `rule`: write `[[rule]]`"),
    ("rule = 1", "a list of rules is expected"),
    ("rule = [1]", "rule[0]: `1` is not a table"),
    ("[[rule]]\nanswer = 'a'\n[[rules]]\nanswer = 'b'", ":3: rules: there is nothing of that name: did you mean `rule`?"),
    ("miss = 'fial'\n[[rule]]\nanswer = 'a'", ":1: miss: `fial` is none of its values: did you mean `fail`?"),
    ("[[rule]]\n\nanswer = 'a'\nmodle = true", ":4: rule[0].modle: there is nothing of that name: did you mean `model`?"),
    ("[[rule]]\n", ":1: rule[0]: it says no answer"),
    ("[[rule]]\nanswer = 'a'\n[[rule]]\nexact = 'a'", ":3: rule[1]: it says no answer"),
    ("[[rule]]\nanswer = 'a'\nanswers = ['a']", ":2: rule[0].answer: `answer` and `answers` can't both be"),
    ("[[rule]]\nanswer = 'a'\nmodel = true", ":3: rule[0].model: the text and the model"),
    ("[[rule]]\nmodel = false", ":2: rule[0].model: `False` is not `true`"),
    ("[[rule]]\nanswer = 7", ":2: rule[0].answer: `7` is not a text: put it in quotes"),
    ("[[rule]]\nanswers = 'a'", ":2: rule[0].answers: a list of answers is expected"),
    ("[[rule]]\nanswers = []", ":2: rule[0].answers: a list of answers is expected"),
    ("[[rule]]\nanswers = [\n'a',\n1]", "rule[0].answers[1]: `1` is not a text"),
    ("[[rule]]\nanswers = [{trace = 'lop'}]", ":2: rule[0].answers[0].trace: `lop` is no trace: did you mean `loop`?"),
    ("[[rule]]\nrepeat = true\nanswer = 'a'", ":2: rule[0].repeat: it is about a list"),
    ("[[rule]]\ncontains = ['a']\nanswer = 'a'", ":2: rule[0].contains: `['a']` is not a text"),
    ("[[rule]]\nregex = '('\nanswer = 'a'", ":2: rule[0].regex: `(` is no regular expression"),
    ("[[rule]]\nschema = 'a'\nanswer = 'a'", ":2: rule[0].schema: `a` is no JSON Schema: a table is expected"),
    ("[[rule]]\nschema = {type = 'objct'}\nanswer = 'a'", ":2: rule[0].schema: it is no JSON Schema that can be used"),
    ("[[rule]]\nanswer = 'a'\nschema = {'$ref' = 'http://127.0.0.1:9/a'}", ":3: rule[0].schema: it is no JSON Schema"),
    ("[[rule]]\nturn = 0\nanswer = 'a'", ":2: rule[0].turn: `0` is no whole number from 1 on"),
    ("[[rule]]\nturn = '3-2'\nanswer = 'a'", ":2: rule[0].turn: `3-2` holds no turn"),
    ("[[rule]]\ntimes = 0\nanswer = 'a'", ":2: rule[0].times: `0` is no whole number from 1 on"),
    ("[[rule]]\nanswer = 'a'\nwhen.surfce = 'a'", "rule[0].when.surfce: there is no such condition: did you mean `surface`"),
    ("[[rule]]\nanswer = 'a'\nfinish_reason = 'end'", ":3: rule[0].finish_reason: `end` is no finish reason"),
    ("[[rule]]\nmodel = true\nfinish_reason = 'stop'", ":3: rule[0].finish_reason: only the answer of a script can have it"),
    ("[[rule]]\nanswer = 'a'\nusage.tokens = 1", "rule[0].usage.tokens: there is nothing of that name: "),
    ("[[rule]]\nanswer = 'a'\nusage.total_tokens = -1", "rule[0].usage.total_tokens: `-1` is no whole number from 0"),
    ("[[rule]]\nanswer = 'a'\nfault = 'stall token=2'", ":3: rule[0].fault.token: `stall` has no such parameter: did you mean `tokens`?"),
    ("[[rule]]\nanswer = 'a'\nfault = 7", ":3: rule[0].fault: `7` is not a table"),
    ("[[rule]]\nanswer = 'a'\nfault.effect = 'stal'", "rule[0].fault.effect: `stal` is no effect: did you mean `stall`?"),
    ("[[rule]]\nfault.effect = 'stall'", "rule[0]: it says no answer"),
    ("[[rule]]\nanswer = 'a'\nchunks = 0", ":3: rule[0].chunks: `0` is no whole number from 1 on"),
    ("[[rule]]\nanswer = 'a'\nchunks = 'word'", ":3: rule[0].chunks: `word` is not `token`"),
    ("[[rule]]\nanswer = 'a'\nchunks = ['a']", ":3: rule[0].chunks: a list of chunks is the whole answer: leave `answer` out"),
    ("[[rule]]\nchunks = ['a', '']", ":2: rule[0].chunks[1]: an empty chunk is none"),
    ("[[rule]]\nchunks = 2", ":1: rule[0]: it says no answer"),
    ("[[rule]]\ntrace = 'loop'\nanswer = 'a'", ":2: rule[0].trace: it is the whole answer: leave `answer` out"),
    ('[[rule]]\nanswer = "a\\u0000b"', ":2: rule[0].answer: it has a NUL"),
    ("[[rule]]\nanswer = a", ":2: "),
    ("[[rule]]\n" + "x" * 5000 + " = 1", "there is nothing of that name"),
    ("[[rule]]\nanswer = " + "[" * 100_000, "nested too deeply"),
    ("rule = " + "x" * 5_000_000, "larger than"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG, ids=range(len(WRONG)))
def test_a_file_that_is_no_script_is_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ScriptError) as caught:
        written(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "answers.toml"))
    assert said in str(caught.value)
    assert len(str(caught.value)) < 600


def test_the_line_is_said_of_a_json_file_too(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"answers\.json:4: rule\[1\]\.turn: `x` is no number of a turn"):
        written(tmp_path, '{"rule": [\n{"answer": "a"},\n{"answer": "b",\n"turn": "x"}]}', "answers.json")


@pytest.mark.parametrize("content", [b"\xff\xfe[[rule]]", b"[[rule]]\nanswer = '\x80'", b"\x00"])
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "answers.toml"
    path.write_bytes(content)
    with pytest.raises(ScriptError, match=r"answers\.toml"):
        read_file(path)


def test_a_file_that_is_not_there_or_a_folder_is_said_so(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ScriptError, match=r"No such file|no plain file"):
            read_file(path)


def test_rules_know_their_lines_unless_something_else_looks_like_one(tmp_path: Path) -> None:
    plain = "# a\n[[rule]]\nanswer = 'a'\n\n [[ rule ]]\nanswer = 'b'\n"
    assert [rule.place for rule in written(tmp_path, plain).rules] == ["answers.toml:2", "answers.toml:5"]
    odd = "[[rule]]\nanswer = '''\n[[rule]]\n'''\n"
    assert [rule.place for rule in written(tmp_path, odd).rules] == ["answers.toml"]


STRANGE: Any = st.recursive(
    st.one_of(
        st.text(max_size=5), st.integers(-3, 2**70), st.booleans(), st.none(), st.floats(allow_nan=False)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("effect", "type", "call", "a")), inner, max_size=2),
    ),
    max_leaves=5,
)
NAMES = (
    "exact", "contains", "regex", "schema", "request", "turn", "answer", "reasoning", "trace", "model", "chunks",
    "finish_reason", "usage", "fault", "when", "times", "answers", "repeat", "x",
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), STRANGE, max_size=5))
def test_whatever_stands_in_a_rule_it_is_one_or_an_error_of_one(fields: dict[str, Any]) -> None:
    found: ScriptError | None = None
    try:
        script = read_script({"rule": [fields]})
    except ScriptError as error:
        found = error
    if found is not None:
        assert found.path[:2] == ("rule", 0)
        return
    assert json.dumps(script.rules[0].table)
    script.rules[0].fits(ask("a"), 0)


def text_of(taken: Taken[Rule]) -> str:
    recital = taken.rule.reply(taken.before).recital
    return "" if recital is None else recital.text


def taken(*tables: dict[str, Any], questions: str = "x") -> list[str | None]:
    """Which answers a row of requests gets."""
    state, rules = ScriptState(), [read_rule(table) for table in tables]
    found: list[str | None] = []
    for question in questions:
        one = state.take(rules, ask(question))
        found.append(None if one is None else text_of(one))
    return found


def test_answers_are_given_in_turn_and_then_the_next_rule_has_its_turn() -> None:
    rest = {"contains": "x", "answer": "rest"}
    assert taken({"answers": ["a", "b", "a"]}, rest, questions="xxxxy") == ["a", "b", "a", "rest", None]
    assert taken({"answers": ["a", "b"], "repeat": True}, questions="xxxxx") == ["a", "b", "a", "b", "a"]
    assert taken({"answer": "a", "times": 1}, rest, questions="xx") == ["a", "rest"]
    assert taken({"answer": "a", "when": {"call": "2-"}}, rest, questions="xxx") == ["rest", "a", "a"]


def test_what_is_given_back_is_given_again() -> None:
    state, rules = ScriptState(), [read_rule({"answers": ["a", "b"]})]
    first = state.take(rules, ask("x"))
    assert first is not None
    state.give_back(first)
    again = state.take(rules, ask("x"))
    assert again is not None
    assert again.before == 0
    assert [(count.calls, count.faults) for _, count in state.counts(rules, "")] == [(1, 1)]


def test_the_rules_of_a_scope_are_asked_first_and_counted_apart() -> None:
    file = read_script({"rule": [{"answers": ["file"]}]})
    own = read_script({"rule": [{"contains": "x", "answer": "own"}]}).in_scope("one")
    rules = ScriptRules(file=file, added=own.rules, misses={"one": "fail"})
    state = ScriptState()
    found = []
    for scope, question in (("one", "x"), ("one", "y"), ("two", "x"), ("two", "x")):
        one = state.take(rules.of_scope(scope), ask(question, scope=scope))
        found.append(None if one is None else text_of(one))
    assert found == ["own", "file", "file", None]
    assert (rules.miss_of("one", "model"), rules.miss_of("two", "model")) == ("fail", "model")


def test_the_misses_of_a_scope_are_its_own_and_bounded() -> None:
    state = ScriptState()
    for number in range(150):
        state.miss([], ask("x", scope="one"), f"id-{number}", "fail")
    assert [found.request_id for found in state.unmatched("one")] == [f"id-{n}" for n in range(50, 150)]
    assert state.unmatched("two") == []
    state.reset("one")
    assert state.unmatched("one") == []


def test_the_traces_are_a_script_by_name_and_in_turn() -> None:
    assert len(TRACES) == 12
    rules, state = of_traces().rules, ScriptState()

    def text(question: str) -> str:
        one = state.take(rules, ask(question))
        assert one is not None
        return text_of(one)

    for name, trace in TRACES.items():
        assert text(f"Give me {name}.") == trace.recital.text
    assert [text("x") for _ in range(13)] == [
        *(trace.recital.text for trace in TRACES.values()),
        TRACES["cut-off"].recital.text,
    ]
