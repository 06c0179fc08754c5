"""Prompts that can't fit are refused before the work is done, and long ones hold up no short ones."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnxruntime_genai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phi_emulator.engine.errors import EngineStoppedError, PromptTooLongError
from phi_emulator.engine.machine.builds import has_engine_api
from phi_emulator.engine.native.native_text import NativeText
from phi_emulator.engine.native.prompt import PromptEncoder
from phi_emulator.engine.native.tokenizer_file import read_tokenizer_file
from phi_emulator.engine.protocol import Engine, Message, Sampling
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.engine.serving.lanes import Lanes
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.models.genai_config import read_settings

from tests.emulator.engine.conftest import NO_ENGINE
from tests.emulator.engine.test_decoding import FOLDERS
from tests.emulator.engine.test_worker import text_of

og: Any = onnxruntime_genai
CONTROL = "<|end|>"
MB = 1_000_000


def render(messages: str) -> str:
    return "".join(f"<|{m['role']}|>{m['content']}{CONTROL}" for m in json.loads(messages))


class Counting:
    """A tokenizer of four letters to a token that counts what it is given."""

    def __init__(self) -> None:
        self.characters = 0

    def __call__(self, text: str) -> list[int]:
        self.characters += len(text)
        return [7] * -(-len(text) // 4)


@pytest.mark.parametrize(
    "text",
    ["a" * 4 * MB, " " * 4 * MB, CONTROL * (4 * MB // len(CONTROL)), "17 * 24 + " * 400_000, "é" * 2 * MB],
    ids=["a letter", "spaces", "control tokens", "digits", "two bytes"],
)
@pytest.mark.parametrize("most_bytes", [4, None], ids=["by its bytes", "by its beginning"])
def test_4_mb_are_refused_after_reading_what_would_fit(text: str, most_bytes: int | None) -> None:
    tokenizer = Counting()
    encoder = PromptEncoder(render, tokenizer, [CONTROL], most_tokens=4096, most_bytes=most_bytes)
    with pytest.raises(PromptTooLongError) as caught:
        encoder([Message("user", text)])
    assert caught.value.prompt_tokens > caught.value.context_length == 4096
    assert tokenizer.characters <= (0 if most_bytes else (2 * 4096 + 1024) * 4 + 40_000)


def test_many_messages_are_counted_together() -> None:
    tokenizer = Counting()
    encoder = PromptEncoder(render, tokenizer, [CONTROL], most_tokens=4096, most_bytes=4)
    with pytest.raises(PromptTooLongError):
        encoder([Message("user", "a" * 1000)] * 40)
    assert tokenizer.characters == 0


def test_what_cannot_fit_is_not_even_rendered() -> None:
    """The native renderer holds the interpreter as long as it takes."""

    def never(messages: str) -> str:
        raise AssertionError(messages[:100])

    encoder = PromptEncoder(never, Counting(), [CONTROL], most_tokens=4096, most_bytes=4)
    with pytest.raises(PromptTooLongError):
        encoder([Message("assistant", "a" * 4 * MB)])


@pytest.mark.parametrize("text", ["a" * MB + "</think>2", " " * MB + "2" + "\n" * MB, "\x00" * MB + "2"])
def test_what_a_template_may_leave_out_is_not_counted(text: str) -> None:
    def shorter(messages: str) -> str:
        return render(
            json.dumps(
                [
                    m | {"content": m["content"].rpartition("</think>")[2].strip()}
                    for m in json.loads(messages)
                ]
            )
        )

    encoder = PromptEncoder(shorter, Counting(), [CONTROL], most_tokens=4096, most_bytes=4)
    assert len(encoder([Message("assistant", text)])) < 20


def test_a_control_token_again_and_again_is_encoded_once() -> None:
    tokenizer = Counting()
    encoder = PromptEncoder(render, tokenizer, [CONTROL], most_tokens=10**9)
    assert len(encoder([Message("user", CONTROL * 100_000)])) > 100_000
    assert tokenizer.characters < 100


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
def test_nothing_that_fits_is_refused(folder: Path, data: st.DataObject) -> None:
    """The bound of bytes, and that of slices, against the real tokenizers."""
    file = read_tokenizer_file(folder)
    assert file.most_bytes is not None
    longest = max(file.tokens.values(), key=len).replace("Ġ", " ")
    unit = data.draw(
        st.text(max_size=6) | st.sampled_from([longest, " ", "\n", "a", CONTROL, "日本", "\x00"])
    )
    content = [Message("user", unit * data.draw(st.sampled_from([1, 7, 500, 9000])))]
    free = text_of_folder(folder, 10**9)
    ids = free(content)
    assert text_of_folder(folder, len(ids))(content) == ids
    if len(ids) > 20_000:
        with pytest.raises(PromptTooLongError):
            text_of_folder(folder, len(ids) // 3)(content)


_texts: dict[Path, Any] = {}


def text_of_folder(folder: Path, context: int) -> PromptEncoder:
    if not has_engine_api():
        pytest.skip(NO_ENGINE)
    if folder not in _texts:
        _texts[folder] = og.Tokenizer(str(folder))
    return NativeText(_texts[folder], folder, read_settings(folder), context=context).encoder


@pytest.mark.parametrize(
    "changed",
    [
        {"normalizer": {"type": "NFKC"}},
        {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Strip"}]}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": {"type": "Split", "behavior": "Removed"}},
        {"decoder": None},
        {"model": {"type": "Unigram", "vocab": [["a", 0]]}},
    ],
    ids=str,
)
def test_no_bound_is_claimed_where_a_token_may_cover_any_number_of_bytes(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    plain: dict[str, Any] = {
        "model": {"type": "BPE", "vocab": {"a": 0, "abc": 1}},
        "decoder": {"type": "ByteLevel"},
        "added_tokens": [{"id": 2, "content": CONTROL}],
    }
    for content, most in ((plain, len(CONTROL)), (plain | changed, None)):
        (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
        assert read_tokenizer_file(tmp_path).most_bytes == most


def test_lanes_let_short_work_pass_long_work() -> None:
    async def main() -> None:
        lanes, held = Lanes(), threading.Event()
        try:
            long = [asyncio.ensure_future(lanes.run(size, held.wait)) for size in (MB, MB, 100_000) * 8]
            for size in (0, 10, 16_384):
                assert await lanes.run(size, lambda: "done") == "done"
            assert not any(one.done() for one in long)
            held.set()
            assert all(await asyncio.gather(*long))
        finally:
            held.set()
            lanes.close()
        with pytest.raises(EngineStoppedError):
            await lanes.run(1, lambda: None)

    asyncio.run(main())


def test_a_short_request_is_answered_while_eight_long_ones_are_encoded() -> None:
    held = threading.Event()

    class Slow(ScriptedEngine):
        def encode(self, messages: Sequence[Message]) -> list[int]:
            if len(messages[0].content) > MB // 2:
                assert held.wait(30)
            return super().encode(messages)

    async def main(worker: Worker) -> None:
        long = [asyncio.ensure_future(worker.encode([Message("user", "a" * MB)])) for _ in range(8)]
        prompt = await worker.encode([Message("user", "short")])
        assert await text_of(worker.submit(prompt, Sampling(9))) == "yes"
        held.set()
        await asyncio.gather(*long)

    worker = Worker(lambda: Slow(lambda messages: "yes"))
    worker.start()
    try:
        asyncio.run(main(worker))
    finally:
        held.set()
        worker.stop()


@pytest.mark.parametrize("text", ["a" * 4 * MB, CONTROL * 500_000], ids=["a letter", "control tokens"])
def test_native_engines_refuse_what_cannot_fit(make_native_engine: Callable[[], Engine], text: str) -> None:
    engine = make_native_engine()
    try:
        with pytest.raises(PromptTooLongError) as caught:
            engine.encode([Message("user", text)])
        assert caught.value.prompt_tokens > caught.value.context_length == engine.info.context_length
    finally:
        engine.close()
