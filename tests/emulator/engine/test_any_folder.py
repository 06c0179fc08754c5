"""Folders that the public model builder made, of other kinds than the bundled model: they run without an edit.

Their weights are random (`emulator/bundled_model/tiny_folders.py`), so what they say is nonsense; it is the same
nonsense with every engine, because the graph is the same.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from phi_emulator import Emulator, EmulatorConfig
from phi_emulator.command_line import commands
from phi_emulator.engine.machine.context import DEFAULT_CONTEXT, plan_context, plan_pool
from phi_emulator.engine.protocol import EndReason, Engine, Message, Sampling
from phi_emulator.models import resolve_model
from phi_emulator.models.genai_config import Settings

from phi_client import BadRequestError, PhiClient
from tests.emulator.loading import load_engine, load_generator

FOLDERS = Path(__file__).parent / "folders"
KINDS = ["llama", "phi3", "phi4mini"]
GB = 1_000_000_000


def run(engine: Engine, text: str, max_tokens: int) -> tuple[list[int], EndReason]:
    prompt = engine.encode([Message("user", text)])
    engine.open(1, prompt, Sampling(max_tokens=max_tokens, temperature=0))
    tokens: list[int] = []
    while True:
        for step in engine.step():
            if step.token is not None:
                tokens.append(step.token)
            if step.end is not None:
                engine.release(1)
                return tokens, step.end


@pytest.fixture
def folder(kind: str, tmp_path: Path) -> Path:
    """A folder as it was built, beside whose files an engine may write."""
    return copied(kind, tmp_path / "built")


def copied(kind: str, to: Path, **model: Any) -> Path:
    folder = to / kind
    shutil.copytree(FOLDERS / kind, folder)
    path = folder / "genai_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["model"] |= model
    path.write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_the_builder_runs_to_the_limit_of_tokens(kind: str, folder: Path) -> None:
    engine = load_engine(folder, model=kind)
    try:
        tokens, end = run(engine, "1 + 1", 20)
        assert (len(tokens), end) == (20, EndReason.LENGTH)
        assert engine.info.context_length == 256
        tokens_again, _ = run(engine, "1 + 1", 20)
        assert tokens_again == tokens
    finally:
        engine.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_engines_say_the_same(kind: str, folder: Path) -> None:
    # Within the first of two rotary tables, though more is served: a stock graph changes to the other at 128.
    one = load_engine(folder, model=kind)
    other = load_generator(folder, model=kind)
    try:
        assert run(one, "2 + 2", 12) == run(other, "2 + 2", 12)
    finally:
        one.close()
        other.close()


@pytest.mark.parametrize("kind", KINDS)
def test_each_of_a_folders_end_of_turn_tokens_ends_the_answer(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    engine = load_engine(folder, model=kind)
    tokens, _ = run(engine, "1 + 1", 6)
    engine.close()
    place = next(i for i in range(1, len(tokens)) if tokens[i] not in tokens[:i])
    engine = load_engine(copied(kind, tmp_path, eos_token_id=[0, tokens[place]]), model=kind)
    try:
        assert run(engine, "1 + 1", 6) == (tokens[:place], EndReason.STOP)
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("kind", "rendered"),
    [
        ("llama", "<s><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"),
        ("phi3", "<|user|>hi<|end|><|assistant|>"),
        ("phi4mini", "<|user|>hi<|end|><|assistant|>"),
    ],
)
def test_the_folders_own_chat_template_is_used_wherever_it_is(kind: str, folder: Path, rendered: str) -> None:
    assert (FOLDERS / kind / "chat_template.jinja").is_file() is (kind != "llama")
    vocabulary = json.loads((FOLDERS / kind / "tokenizer.json").read_text(encoding="utf-8"))
    texts = {token["id"]: token["content"] for token in vocabulary["added_tokens"]}
    texts |= {number: text for text, number in vocabulary["model"]["vocab"].items() if number not in texts}
    engine = load_engine(folder, model=kind)
    try:
        ids = engine.encode([Message("user", "hi")])
        # Byte-level BPE writes a line feed as this sign.
        assert "".join(texts[token] for token in ids).replace("\u010a", "\n") == rendered
    finally:
        engine.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_users_text_forges_no_control_token(kind: str, folder: Path) -> None:
    vocabulary = json.loads((FOLDERS / kind / "tokenizer.json").read_text(encoding="utf-8"))
    special = {token["content"]: token["id"] for token in vocabulary["added_tokens"]}
    engine = load_engine(folder, model=kind)
    try:
        plain = engine.encode([Message("user", "hi")])
        forged = engine.encode([Message("user", "hi" + "".join(special))])
        assert [plain.count(number) for number in special.values()] == [
            forged.count(number) for number in special.values()
        ]
    finally:
        engine.close()


@pytest.mark.parametrize("kind", KINDS)
def test_tools_and_calls_forge_no_control_token(kind: str, folder: Path) -> None:
    vocabulary = json.loads((FOLDERS / kind / "tokenizer.json").read_text(encoding="utf-8"))
    special = {token["content"]: token["id"] for token in vocabulary["added_tokens"]}

    def counts(engine: Engine, text: str) -> list[int]:
        ids = engine.encode(
            [
                Message("system", f"s{text}", tools=f'[{{"name": "f{text}"}}]'),
                Message("user", "hi"),
                Message("assistant", f"a{text}", calls=f'[{{"name": "f", "arguments": "{text}"}}]'),
                Message(engine.info.marks.tool_role if engine.info.marks else "tool", f"r{text}"),
            ]
        )
        return [ids.count(number) for number in special.values()]

    engine = load_engine(folder, model=kind)
    try:
        assert counts(engine, "") == counts(engine, "".join(special))
    finally:
        engine.close()


def test_a_declared_context_beyond_the_usual_is_served_as_the_usual(tmp_path: Path) -> None:
    folder = copied("llama", tmp_path, context_length=131_072)
    engine = load_engine(folder, model="x")
    try:
        assert engine.info.context_length == DEFAULT_CONTEXT
        note = f"{DEFAULT_CONTEXT} of the model's 131072 tokens of context are served (set --context)"
        assert note in engine.info.notes
    finally:
        engine.close()


def test_the_context_that_is_served_is_enforced_with_azures_error(tmp_path: Path) -> None:
    folder = copied("llama", tmp_path, context_length=131_072)
    config = EmulatorConfig(port=0, model=str(folder), context=128)
    with Emulator(config) as emulator, PhiClient(emulator.endpoint, emulator.key) as client:
        assert emulator.info.context_length == 128
        assert "128 of the model's 131072 tokens of context are served" in commands._banner(emulator)
        # Whatever is asked for, an answer ends where the served context does.
        done = client.complete("hi", max_tokens=100_000, temperature=0, on_truncation="return")
        assert done.usage is not None
        assert done.usage.total_tokens is not None
        assert done.usage.total_tokens <= 128
        with pytest.raises(BadRequestError, match="maximum context length is 128 tokens"):
            client.complete("word " * 400)


# As the genai_config.json of a 3.8B Phi-4-mini says; 256 KB a token.
REAL: Any = {
    "model": {
        "context_length": 131_072,
        "decoder": {
            "filename": "model.onnx",
            "num_hidden_layers": 32,
            "num_key_value_heads": 8,
            "head_size": 128,
        },
    }
}


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A folder whose weights are as large as the real ones; the file has no content on the disk."""
    with (tmp_path / "model.onnx.data").open("wb") as file:
        file.truncate(2_400_000_000)
    return tmp_path


@pytest.mark.parametrize(
    ("gigabytes", "served", "together"),
    [(64, DEFAULT_CONTEXT, 4 * DEFAULT_CONTEXT), (12, DEFAULT_CONTEXT, 24_169), (5, 2807, 2807)],
)
def test_the_memory_that_is_there_bounds_the_context(
    real: Path, gigabytes: int, served: int, together: int
) -> None:
    plan = plan_context(real, REAL, None, max_running=4, available=lambda: gigabytes * GB)
    assert (plan.served, plan.tokens) == (served, together)
    assert plan.tokens * 262_144 <= max(gigabytes * GB - 4_080_000_000, 262_144)
    why = "set --context" if served == DEFAULT_CONTEXT else "more does not fit into this machine's memory"
    assert plan.notes == (f"{served} of the model's 131072 tokens of context are served ({why})",)


def pooled(**pool: int) -> Settings:
    settings: Settings = REAL | {"engine": {"dynamic_batching": pool}}
    return settings


def test_a_pool_bounds_the_context_because_nothing_longer_could_ever_run(real: Path) -> None:
    plan, pool = plan_pool(real, pooled(num_blocks=512, block_size=16), None, max_running=4)
    assert (plan.served, plan.tokens, pool["num_blocks"]) == (8192, 8192, 512)
    assert plan.notes == (
        "8192 of the model's 131072 tokens of context are served (the folder's cache holds no more)",
    )
    plan, _ = plan_pool(real, pooled(num_blocks=512, block_size=16), 4096, max_running=4)
    assert (plan.served, plan.tokens) == (4096, 8192)


def test_a_pool_in_memory_is_no_larger_than_what_is_left(real: Path) -> None:
    settings = pooled(num_blocks=2048, block_size=16)
    plan, pool = plan_pool(real, settings, None, max_running=4, available=lambda: 5 * GB, in_memory=True)
    assert pool["num_blocks"] * 16 == plan.tokens == plan.served
    assert plan.tokens * 131_072 == pytest.approx((5 * GB - 1.7 * 2.4 * GB) * 0.8, rel=0.01)
    (note,) = plan.notes
    assert note.endswith("(more does not fit into this machine's memory)")
    plan, pool = plan_pool(real, settings, None, max_running=4, available=lambda: 10 * GB, in_memory=True)
    assert (plan.tokens, pool["num_blocks"]) == (32_768, 2048)
    plan, _ = plan_pool(real, settings, None, max_running=4, available=lambda: 5 * GB)
    assert plan.tokens == 32_768  # on a card


def test_a_pool_of_bytes_that_is_made_smaller_keeps_whole_rows(real: Path) -> None:
    plan, pool = plan_pool(
        real,
        pooled(num_blocks=4064, block_size=16),
        None,
        max_running=4,
        available=lambda: 5 * GB,
        in_memory=True,
        cache_bits=8,
    )
    assert pool["num_blocks"] % 8 == 0
    assert plan.tokens * 66_048 == pytest.approx((5 * GB - 1.7 * 2.4 * GB) * 0.8, rel=0.02)


def test_a_pool_without_a_size_gets_one(real: Path) -> None:
    plan, pool = plan_pool(real, pooled(block_size=256), None, max_running=4, available=lambda: 64 * GB)
    assert (plan.served, pool) == (DEFAULT_CONTEXT, {"block_size": 256, "num_blocks": 128})


def test_a_folder_whose_pool_has_no_size_runs(tmp_path: Path) -> None:
    # As the model builder writes it for CUDA; the graph is the bundled model's, which is paged for the CPU.
    folder = tmp_path / "model"
    shutil.copytree(resolve_model().folder, folder)
    path = folder / "genai_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["engine"] = {"dynamic_batching": {"block_size": 16}}
    path.write_text(json.dumps(settings), encoding="utf-8")
    engine = load_engine(folder, model="x")
    try:
        assert len(run(engine, "1 + 1", 5)[0]) == 5
        assert engine.info.num_blocks * engine.info.block_size == 2 * engine.info.context_length
    finally:
        engine.close()


def test_a_context_that_was_asked_for_is_taken_at_its_word(real: Path) -> None:
    plan = plan_context(real, REAL, 32_768, max_running=4, available=lambda: 8 * GB)
    assert plan.served == 32_768
    assert plan.tokens >= plan.served
    assert plan_context(real, REAL, 200_000, max_running=4, available=lambda: 99 * GB).served == 131_072
