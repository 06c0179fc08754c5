"""Generated tokens become the text that all of them together are, whatever bytes they hold."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phi_emulator.engine.native.decoding import ByteDecoder, NativeDecoder, TokenBytes
from phi_emulator.engine.native.tokenizer_file import read_tokenizer_file
from phi_emulator.engine.protocol import Message, Sampling
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.models import resolve_model
from phi_emulator.service.content_filter import AnswerFilter, Rule

from tests.emulator.engine.conftest import make_ort
from tests.emulator.engine.driver import Driver

FOLDERS: Final = [resolve_model().folder, *sorted((Path(__file__).parent / "folders").iterdir())]
BYTES: Final = st.binary(max_size=12) | st.text(max_size=6).map(lambda text: text.encode("utf-8", "replace"))


def tokens_of(folder: Path) -> TokenBytes:
    return TokenBytes(read_tokenizer_file(folder), lambda token: f"<{token}>")


def read(decoder: ByteDecoder, tokens: list[int]) -> str:
    return "".join(decoder.feed(token) for token in tokens) + decoder.flush()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@given(BYTES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_bytes_come_out_as_the_whole_would_read(folder: Path, content: bytes) -> None:
    of_bytes = single_bytes(folder)
    tokens = [of_bytes[byte] for byte in content]
    assert read(ByteDecoder(tokens_of(folder)), tokens) == content.decode("utf-8", "replace")


_known: dict[Path, dict[int, int]] = {}


def single_bytes(folder: Path) -> dict[int, int]:
    """The token of each byte."""
    if folder not in _known:
        tokens = tokens_of(folder)
        found = {
            tokens[number]: number for number in sorted(read_tokenizer_file(folder).tokens, reverse=True)
        }
        _known[folder] = {byte: found[bytes([byte])] for byte in range(256) if bytes([byte]) in found}
        assert len(_known[folder]) == 256
    return _known[folder]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_tokens_come_out_as_the_whole_would_read(folder: Path, data: st.DataObject) -> None:
    numbers = sorted(read_tokenizer_file(folder).tokens)
    tokens = data.draw(st.lists(st.sampled_from(numbers), max_size=20))
    of_tokens = tokens_of(folder)
    whole = b"".join(of_tokens[token] for token in tokens).decode("utf-8", "replace")
    assert read(ByteDecoder(of_tokens), tokens) == whole


@pytest.mark.parametrize("token", [10**6, -1])
def test_tokens_that_the_vocabulary_lacks_are_left_to_the_native_side(token: int) -> None:
    assert read(ByteDecoder(tokens_of(FOLDERS[0])), [token]) == f"<{token}>"


def test_other_vocabularies_are_left_to_the_native_stream() -> None:
    decoder = NativeDecoder(lambda token: f"[{token}]")
    assert decoder.feed(3) + decoder.flush() == "[3]"


def test_a_token_that_is_not_of_bytes_stands_for_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "model": {"type": "BPE", "vocab": {"▁the": 0}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace"}, {"type": "ByteLevel"}]},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert read(ByteDecoder(tokens_of(tmp_path)), [0]) == "▁the"


def test_an_engine_reads_every_byte_of_what_it_generates(native_driver: Driver) -> None:
    """Hot, so that the answer is made of tokens that break characters: what is read is what the tokens are."""
    engine = native_driver.engine
    tokens: list[int] = []
    folder = resolve_model().folder
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    added = {token["id"]: "" if token["special"] else token["content"] for token in content["added_tokens"]}
    of_tokens = TokenBytes(read_tokenizer_file(folder), lambda token: str(added[token]))
    prompt = engine.encode([Message("user", "hi")])
    engine.open(1, prompt, Sampling(200, temperature=1e6, seed=5))
    text = ""
    for _ in range(400):
        for step in engine.step():
            tokens += [] if step.token is None else [step.token]
            text += step.text
            if step.end is not None:
                engine.release(1)
                assert text == b"".join(of_tokens[token] for token in tokens).decode("utf-8", "replace")
                assert "\ufffd" in text
                return
    raise AssertionError("it did not end")


@pytest.mark.parametrize("cut_by", ["stop", "filter", "leaving", "length"])
def test_cached_tokens_are_counted_however_an_answer_ends(cut_by: str) -> None:
    question = [Message("user", "Tom has 12 apples and buys 30 more. How many apples does Tom have now?")]

    async def main(worker: Worker) -> None:
        prompt = await worker.encode(question)
        first = worker.submit(prompt, Sampling(60, temperature=0))
        text = "".join([piece async for piece in first])
        neighbour = worker.submit(
            await worker.encode([Message("user", "1 + 1")]), Sampling(200, temperature=1, seed=1)
        )
        before = worker.counts
        word = text[8:12].lower()
        again = worker.submit(
            prompt,
            Sampling(
                9 if cut_by == "length" else 60, temperature=0, stop=(text[8:12],) if cut_by == "stop" else ()
            ),
            watch=AnswerFilter([Rule(word, "hate", "high")]) if cut_by == "filter" else None,
        )
        if cut_by == "leaving":
            await anext(aiter(again))
            again.cancel()
        else:
            assert text.startswith("".join([piece async for piece in again]))
            assert again.outcome is not None
            assert again.outcome.cached_prompt_tokens >= len(prompt) // 16 * 16 - 16 > 0
        assert [piece async for piece in neighbour]
        counts = worker.counts
        assert counts.prompt_tokens - before.prompt_tokens - neighbour_tokens(neighbour) == len(prompt)
        assert counts.cached_prompt_tokens - before.cached_prompt_tokens >= len(prompt) // 16 * 16 - 16
        assert counts.completion_tokens > before.completion_tokens
        assert counts.cancelled == (cut_by == "leaving")

    def neighbour_tokens(generation: Any) -> int:
        return int(generation.outcome.prompt_tokens)

    worker = Worker(make_ort)
    worker.start()
    try:
        asyncio.run(main(worker))
    finally:
        worker.stop()
