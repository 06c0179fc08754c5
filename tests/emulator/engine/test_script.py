"""Scripts: what is matched, what is answered, and what is said of a file that can't be used."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.engine.errors import SequenceError, UnscriptedError
from phi_emulator.engine.machine.builds import has_engine_api
from phi_emulator.engine.protocol import EndReason, Engine, Message, Sampling
from phi_emulator.engine.scripted import Script, ScriptedEngine, ScriptError, read_script
from phi_emulator.models import resolve_model

from tests.emulator.engine.conftest import NO_ENGINE
from tests.emulator.engine.driver import Driver
from tests.emulator.loading import load_scripted


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "answers.toml"


def read(script: Path, text: str) -> Script:
    script.write_text(text, encoding="utf-8")
    return read_script(script)


def asked(*texts: str) -> list[Message]:
    return [Message("system", "Be short."), *(Message("user", text) for text in texts)]


RULES = r"""
# What is asked first stands first.
[[rule]]
exact = "What is 17 * 24?"
answer = "<think>17 * 24 = 408</think>\\boxed{408}"

[[rule]]
contains = "weather"
answers = ["Sunny.", "Rain."]

[[rule]]
regex = '(?i)^tell me (a|an)\b'
answer = '''
Once upon a time
there was \boxed{x}.'''
"""


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is 17 * 24?", "<think>17 * 24 = 408</think>\\boxed{408}"),
        ("How is the weather?", "Sunny."),
        ("TELL ME A story", "Once upon a time\nthere was \\boxed{x}."),
    ],
)
def test_the_first_rule_that_matches_answers(script: Path, question: str, answer: str) -> None:
    assert read(script, RULES).answer(asked("something else before", question)) == answer


@pytest.mark.parametrize(
    "question", ["what is 17 * 24?", "What is 17 * 24? ", "Weather", "Don't tell me a", ""]
)
def test_what_no_rule_matches_is_an_error_without_the_question(script: Path, question: str) -> None:
    rules = read(script, RULES)
    for ask in (rules.check, rules.answer):
        with pytest.raises(UnscriptedError) as caught:
            ask(asked(question))
        assert (
            f"of the 3 rules in 'answers.toml' none matches the last user message ({len(question)} ch"
            in str(caught.value)
        )
        assert not question or question not in str(caught.value)


def test_answers_are_given_in_turn_and_then_the_next_rule_has_its_turn(script: Path) -> None:
    rules = read(script, '[[rule]]\nanswers = ["a", "b", "a"]\n[[rule]]\ncontains = "x"\nanswer = "rest"\n')
    assert [rules.answer(asked("x")) for _ in range(5)] == ["a", "b", "a", "rest", "rest"]
    with pytest.raises(UnscriptedError, match="rule 1 does, and has no answer left"):
        rules.answer(asked("y"))


def test_looking_uses_no_answer_up(script: Path) -> None:
    rules = read(script, '[[rule]]\nanswers = ["a"]\n')
    for _ in range(3):
        rules.check(asked("x"))
    assert rules.answer(asked("x")) == "a"


def test_the_last_message_of_the_user_counts_and_none_is_empty(script: Path) -> None:
    rules = read(script, '[[rule]]\nexact = ""\nanswer = "nothing"\n[[rule]]\nexact = "a"\nanswer = "A"\n')
    assert rules.answer([Message("user", "b"), Message("user", "a"), Message("assistant", "c")]) == "A"
    assert rules.answer([Message("system", "a")]) == "nothing"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no"),
        ("rule = 1", "there is no"),
        ("rule = []", "there is no"),
        ("rule = [1]", "rule 1 is no table"),
        ("[[rule]]\nanswer = 'a'\n[[rules]]\nanswer = 'b'", "'rules' is not known"),
        ("[[rule]]\nanswer = 'a'\nmodel = 'x'", "rule 1 has 'model', which is not known"),
        ("[[rule]]\n", "rule 1 has nothing"),
        ("[[rule]]\nanswer = 'a'\n[[rule]]\nexact = 'a'", "rule 2 has exact: "),
        ("[[rule]]\nexact = 'a'\nregex = 'a'\nanswer = 'a'", "rule 1 has exact and regex and answer"),
        ("[[rule]]\nanswer = 'a'\nanswers = ['a']", "either answer or answers"),
        ("[[rule]]\nanswer = 7", "`answer` 7, which is no text"),
        ("[[rule]]\nanswers = 'a'", "no list of texts"),
        ("[[rule]]\nanswers = []", "no list of texts"),
        ("[[rule]]\nanswers = ['a', 1]", "`answer` 1, which is no text"),
        ("[[rule]]\ncontains = ['a']\nanswer = 'a'", "`contains` ['a'], which is no text"),
        ("[[rule]]\nregex = '('\nanswer = 'a'", "rule 1 has a regex that can't be used"),
        ('[[rule]]\nanswer = "a\\u0000b"', "with a NUL"),
        ("[[rule]]\nanswer = a", "line 2"),
        ("[[rule]]\n" + "x" * 5000 + " = 1", "which is not known"),
        ("[[rule]]\nanswer = " + "[" * 100_000, "is no script"),
        ("rule = " + "x" * 5_000_000, "larger than"),
    ],
    ids=range(21),
)
def test_a_file_that_is_no_script_is_refused_with_the_place(script: Path, text: str, said: str) -> None:
    with pytest.raises(ScriptError) as caught:
        read(script, text)
    assert str(caught.value).startswith(repr(str(script)))
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("content", [b"\xff\xfe[[rule]]", b"[[rule]]\nanswer = '\x80'", b"\x00"])
def test_bytes_that_are_no_text_are_refused(script: Path, content: bytes) -> None:
    script.write_bytes(content)
    with pytest.raises(ScriptError, match="is no script"):
        read_script(script)


def test_a_mark_of_utf_8_at_the_beginning_does_no_harm(script: Path) -> None:
    script.write_bytes(b"\xef\xbb\xbf[[rule]]\nanswer = 'a'\n")
    assert read_script(script).answer(asked("x")) == "a"


def test_a_file_that_is_not_there_or_a_folder_is_said_so(script: Path) -> None:
    for path in (script, script.parent):
        with pytest.raises(ScriptError, match="can't be read: "):
            read_script(path)


STRANGE: Any = st.recursive(
    st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.floats(allow_nan=False)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(("exact", "contains", "regex", "answer", "answers", "x")), STRANGE))
def test_whatever_stands_in_a_rule_it_is_a_script_or_an_error_of_one(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]
) -> None:
    def toml(value: Any) -> str:
        match value:
            case bool():
                return str(value).lower()
            case str():
                return '"' + "".join(f"\\U{ord(letter):08x}" for letter in value) + '"'
            case list():
                return f"[{', '.join(map(toml, value))}]"
            case _:
                return repr(value)

    path = tmp_path_factory.getbasetemp() / "strange.toml"
    path.write_text(
        "[[rule]]\n" + "".join(f"{name} = {toml(value)}\n" for name, value in fields.items()), "utf-8"
    )
    try:
        texts = list(read_script(path).texts())
    except ScriptError:
        return
    assert texts
    assert all(isinstance(text, str) for text in texts)


# With the tokens of the bundled model.


def reciting(script: Path, *answers: str, **options: Any) -> Engine:
    if not has_engine_api():
        pytest.skip(NO_ENGINE)
    quoted = ("".join(f"\\U{ord(letter):08x}" for letter in answer) for answer in answers)
    rules = ", ".join(f'"{answer}"' for answer in quoted)
    return load_scripted(read(script, f"[[rule]]\nanswers = [{rules}]\n"), resolve_model().folder, **options)


def test_prompt_and_answer_have_the_models_own_tokens(script: Path, ort: Engine) -> None:
    driver = Driver(ort)
    prompt = driver.open(1, "What is 17 * 24?", Sampling(200, temperature=0))
    driver.finish()
    engine = reciting(script, driver.texts[1])
    recited = Driver(engine)
    assert recited.open(1, "What is 17 * 24?", Sampling(200)) == prompt
    recited.finish()
    assert recited.texts == driver.texts
    assert recited.ends == {1: EndReason.STOP}
    # The model may say a text in other tokens than its tokenizer would; it does so seldom.
    assert abs(recited.tokens[1] - driver.tokens[1]) <= 3
    assert engine.info.marks == ort.info.marks
    assert engine.info.context_length == ort.info.context_length
    assert (engine.info.model, engine.info.execution_provider) == ("scripted", "none")


def test_an_answer_is_cut_at_its_limit(script: Path) -> None:
    driver = Driver(reciting(script, "one two three four"))
    driver.open(1, "x", Sampling(3))
    driver.finish()
    assert driver.ends == {1: EndReason.LENGTH}
    assert driver.tokens == {1: 3}
    assert "one two three four".startswith(driver.texts[1])


@pytest.mark.parametrize(
    "answer",
    [
        "a<|end|>b<|endoftext|>",
        '<|tool_call|>[{"name": "f", "arguments": {}}]<|/tool_call|>',
        "\n\n \t ",
        "",
        "é\u0301 🎉 日本 \ue000",
    ],
)
def test_an_answer_is_said_as_it_stands(script: Path, answer: str) -> None:
    driver = Driver(reciting(script, answer))
    driver.open(1, "x", Sampling(400))
    driver.finish()
    assert driver.texts == {1: answer}


def test_a_mark_of_calls_is_one_token_as_from_the_model(script: Path) -> None:
    driver = Driver(reciting(script, "<|tool_call|>"))
    driver.open(1, "x", Sampling(400))
    driver.finish()
    assert driver.tokens == {1: 1}


@pytest.fixture(scope="module")
def any_text() -> Any:
    if not has_engine_api():
        pytest.skip(NO_ENGINE)
    from phi_emulator.engine.native.ort_tokenizer import load_text  # noqa: PLC0415 - can't be imported there

    found = resolve_model()
    return load_text(found.folder, found.settings, context=4096)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_said_by_some_tokens(any_text: Any, text: str) -> None:
    assert "".join(piece for _, piece in any_text.pieces(text)) == text


def test_a_prompt_of_somebody_else_is_refused_alone() -> None:
    with pytest.raises(SequenceError):
        ScriptedEngine(lambda messages: "42").open(1, [1, 2], Sampling(3))


def test_as_much_context_is_served_as_is_asked_for(script: Path) -> None:
    assert reciting(script, "a", context_length=131_072).info.context_length == 131_072
