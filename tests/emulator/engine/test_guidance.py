"""Guidance on the bundled model: it thinks as ever, then answers in form, beside others, and repeats a seed."""

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema_rs
import pytest
from phi_emulator.engine.errors import EngineFailedError, EngineStoppedError, GuidanceError
from phi_emulator.engine.native.generator_folder import STOCK_GRAPH
from phi_emulator.engine.protocol import EndReason, Engine, Marks, Message, Sampling
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.forms.grammar import ANY_OBJECT, Calls, Form, JsonForm, RegexForm, Tool, write_grammar
from phi_emulator.forms.tool_calls import CallArguments, CallBegin, ToolCallReader
from phi_emulator.models import resolve_model

from tests.emulator.engine.conftest import make_ort
from tests.emulator.engine.driver import Driver

QUESTION = "What is 17 * 24?"
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 999}, "unit": {"enum": ["m", "s"]}},
    "required": ["x", "unit"],
    "additionalProperties": False,
}
ADD = Tool(
    "add",
    {
        "type": "object",
        "properties": {"a": {"type": "integer", "maximum": 99, "minimum": 0}},
        "required": ["a"],
        "additionalProperties": False,
    },
)
# No token fits any more once the object begins: more choices than the parser looks at.
TOO_WIDE = write_grammar(Marks(), ANY_OBJECT).replace(
    '{"type": "object",',
    '{"type": "object", "properties": {'
    + ", ".join(f'"p{number}": {{"type": "string"}}' for number in range(500))
    + "},",
)


def sampled(grammar: str | None, seed: int = 3, max_tokens: int = 400) -> Sampling:
    return Sampling(max_tokens=max_tokens, temperature=0.8, seed=seed, guidance=grammar)


def answered(driver: Driver, sequence: int) -> tuple[str, str]:
    thinking, _, answer = driver.texts[sequence].partition("</think>")
    return thinking, answer.lstrip("\n")


@pytest.mark.parametrize(
    "form", [JsonForm(POINT), RegexForm(r"\d{3}/[a-f]é😀"), JsonForm({"const": "naïve 日本 😀"})], ids=str
)
def test_the_answer_has_the_form_and_the_reasoning_is_as_without_it(
    native_driver: Driver, form: Form
) -> None:
    grammar = write_grammar(native_driver.engine.info.marks or Marks(), form)
    native_driver.engine.check_guidance(grammar)
    for sequence, given in ((1, grammar), (2, None)):
        native_driver.open(sequence, QUESTION, Sampling(max_tokens=400, temperature=0, guidance=given))
    native_driver.finish()
    (thinking, answer), (plain, _) = (answered(native_driver, sequence) for sequence in (1, 2))
    assert thinking == plain != ""
    assert native_driver.ends[1] is EndReason.STOP
    if isinstance(form, JsonForm):
        assert jsonschema_rs.is_valid(dict(form.schema), json.loads(answer))
    else:
        assert re.fullmatch(form.pattern, answer)


def test_guided_sequences_run_beside_others_and_a_seed_repeats_them(ort_driver: Driver) -> None:
    grammar = write_grammar(Marks(), JsonForm(POINT))
    for sequence in range(1, 5):
        ort_driver.open(sequence, QUESTION, sampled(grammar if sequence % 2 else None))
    ort_driver.finish()
    assert ort_driver.texts[1] == ort_driver.texts[3]
    assert ort_driver.texts[2] == ort_driver.texts[4] != ort_driver.texts[1]
    assert jsonschema_rs.is_valid(POINT, json.loads(answered(ort_driver, 1)[1]))


def test_calls_that_must_be_made_are_made_and_read(native_driver: Driver) -> None:
    marks = native_driver.engine.info.marks
    assert marks is not None
    assert marks.call == ("<|tool_call|>", "<|/tool_call|>")
    grammar = write_grammar(marks, calls=Calls([ADD], must=True, at_most=2))
    prompt = [Message("system", "", tools='[{"name": "add"}]'), Message("user", QUESTION)]
    native_driver.begin(1, prompt, sampled(grammar))
    native_driver.finish()
    reader = ToolCallReader(marks.call)
    found = [*reader.feed(native_driver.texts[1]), *reader.flush()]
    assert {item.name for item in found if isinstance(item, CallBegin)} == {"add"}
    arguments = [item.text for item in found if isinstance(item, CallArguments)]
    assert reader.complete == len(arguments) >= 1
    assert all(jsonschema_rs.is_valid(dict(ADD.parameters), json.loads(text)) for text in arguments)


def test_a_limit_of_tokens_ends_reasoning_that_is_never_closed(native_driver: Driver) -> None:
    grammar = write_grammar(Marks(), JsonForm(POINT))
    native_driver.open(1, QUESTION, Sampling(max_tokens=10, temperature=0, guidance=grammar))
    native_driver.finish()
    assert native_driver.ends[1] is EndReason.LENGTH
    assert "</think>" not in native_driver.texts[1]


@pytest.mark.parametrize(
    ("grammar", "why"),
    [
        (write_grammar(Marks(), JsonForm({"type": "nonsense"})), "Invalid type: nonsense"),
        (write_grammar(Marks(), JsonForm({"not": {"type": "string"}})), 'Unimplemented keys: ["not"]'),
        (write_grammar(Marks(), JsonForm({"$ref": "http://127.0.0.1:9/x"})), "does not fetch"),
        (write_grammar(Marks(), RegexForm("(?=a)b")), "look-around"),
        (write_grammar(Marks(), RegexForm("(")), "invalid regular expression: unclosed group"),
    ],
)
def test_a_grammar_that_cannot_be_followed_is_refused_with_the_reason(
    native_driver: Driver, grammar: str, why: str
) -> None:
    with pytest.raises(GuidanceError, match=re.escape(why)) as caught:
        native_driver.engine.check_guidance(grammar)
    assert "thinking" not in str(caught.value), "our own part of the grammar is not shown"
    native_driver.open(1, QUESTION, sampled(None))
    native_driver.finish()
    assert native_driver.ends[1] is EndReason.STOP


def test_a_grammar_that_no_token_fits_ends_its_own_sequence_alone(native_driver: Driver) -> None:
    for sequence, given in ((1, TOO_WIDE), (2, None)):
        native_driver.open(sequence, QUESTION, Sampling(max_tokens=400, temperature=0, guidance=given))
    errors: list[object] = []
    for _ in range(900):
        for step in native_driver.engine.step():
            native_driver.texts[step.sequence] += step.text
            if step.error is not None:
                errors.append((step.sequence, type(step.error)))
            if step.error is not None or step.end is not None:
                native_driver.engine.release(step.sequence)
            if step.end is not None:
                native_driver.ends[step.sequence] = step.end
        if errors and 2 in native_driver.ends:
            break
    assert errors == [(1, GuidanceError)]
    assert native_driver.ends == {2: EndReason.STOP}
    assert "408" in native_driver.texts[2]


def test_a_grammar_is_checked_while_every_place_is_taken(native_driver: Driver) -> None:
    places = native_driver.engine.info.max_running
    for sequence in range(places):
        native_driver.open(sequence, QUESTION, Sampling(max_tokens=200, temperature=0))
    native_driver.step()
    native_driver.engine.check_guidance(write_grammar(Marks(), ANY_OBJECT))
    native_driver.finish()
    assert len(set(native_driver.texts.values())) == 1
    assert "408" in native_driver.texts[0]


def test_a_template_that_opens_the_reasoning_is_told_by_its_end(tmp_path: Path) -> None:
    shutil.copytree(resolve_model().folder, tmp_path / "model")
    template = tmp_path / "model" / "chat_template.jinja"
    template.write_text(
        template.read_text(encoding="utf-8").replace("'<|assistant|>'", "'<|assistant|><think>\\n'"),
        encoding="utf-8",
    )
    driver = Driver(make_ort(tmp_path / "model"))
    marks = driver.engine.info.marks
    assert marks is not None
    assert marks.opens_reasoning
    driver.open(
        1, QUESTION, Sampling(max_tokens=400, temperature=0, guidance=write_grammar(marks, RegexForm("a|b")))
    )
    driver.finish()
    thinking, answer = answered(driver, 1)
    assert not thinking.startswith("<think>")
    assert answer in ("a", "b")
    driver.engine.close()


def test_an_engine_with_static_batching_outlives_a_grammar_that_no_token_fits(tmp_path: Path) -> None:
    driver = Driver(make_ort(stock_folder(tmp_path)))
    assert driver.engine.info.batching == "static"
    for sequence, given in ((1, TOO_WIDE), (2, None)):
        driver.open(sequence, QUESTION, Sampling(max_tokens=400, temperature=0, guidance=given))
    errors: dict[int, type] = {}
    for _ in range(400):
        for step in driver.engine.step():
            if step.error is not None:
                errors[step.sequence] = type(step.error)
    assert errors == {1: GuidanceError, 2: EngineFailedError}
    after = Driver(driver.engine)
    after.open(3, QUESTION, Sampling(max_tokens=400, temperature=0))
    after.finish()
    assert "408" in after.texts[3]
    driver.engine.close()


def stock_folder(made: Path) -> Path:
    """The bundled model as the model builder would have left it, which runs with static batching."""
    bundled = resolve_model().folder
    for file in bundled.iterdir():
        shutil.copy(file, made / file.name)
    (made / STOCK_GRAPH).replace(made / "model.onnx")
    path = made / "genai_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["engine"], config["search"]["chunk_size"]
    inputs = config["model"]["decoder"]["inputs"]
    kept = {
        name: inputs[name] for name in inputs if name in ("input_ids", "past_key_names", "past_value_names")
    }
    config["model"]["decoder"]["inputs"] = kept | {"attention_mask": "attention_mask"}
    path.write_text(json.dumps(config), encoding="utf-8")
    return made


def test_a_worker_checks_grammars_between_steps_and_drops_only_who_is_lost(
    make_native_engine: Callable[[], Engine],
) -> None:
    async def ask(worker: Worker) -> None:
        with pytest.raises(GuidanceError):
            await worker.check_guidance("start: nonsense")
        prompt = await worker.encode([Message("user", QUESTION)])
        unchecked = worker.submit(prompt, sampled("start: nonsense"))
        with pytest.raises(GuidanceError):
            "".join([text async for text in unchecked])
        lost = worker.submit(prompt, sampled(TOO_WIDE))
        other = worker.submit(prompt, Sampling(max_tokens=300, temperature=0))
        with pytest.raises(GuidanceError, match="simpler"):
            "".join([text async for text in lost])
        assert "408" in "".join([text async for text in other])
        assert not worker.status.is_broken

    worker = Worker(make_native_engine)
    worker.start()
    try:
        asyncio.run(ask(worker))
    finally:
        worker.stop()


def test_a_stopped_worker_checks_nothing() -> None:
    worker = Worker(lambda: ScriptedEngine(lambda messages: ""))
    worker.start()
    worker.stop()
    with pytest.raises(EngineStoppedError):
        asyncio.run(worker.check_guidance("start: nonsense"))


def test_an_engine_without_guidance_says_so() -> None:
    engine = ScriptedEngine(lambda messages: "")
    assert engine.info.marks is None
    with pytest.raises(GuidanceError, match="no grammar"):
        engine.check_guidance("start: nonsense")
