"""Generators in a process of their own: what can happen to a process, and what old builds can't read."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from phi_emulator.engine.errors import (
    EngineFailedError,
    ModelLoadError,
    PromptError,
    PromptTooLongError,
    SequenceError,
)
from phi_emulator.engine.native.generator_folder import STOCK_GRAPH
from phi_emulator.engine.native.ort_generator import OrtGeneratorEngine
from phi_emulator.engine.native.ort_generator_process import piece_of
from phi_emulator.engine.protocol import Message, Sampling
from phi_emulator.engine.serving.worker import Worker
from phi_emulator.models import resolve_model

from tests.emulator.loading import load_generator

SAMPLING = Sampling(max_tokens=400, temperature=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copied = tmp_path / "model"
    shutil.copytree(resolve_model().folder, copied)
    return copied


@pytest.fixture
def engine() -> Iterator[OrtGeneratorEngine]:
    engine = load_generator(resolve_model().folder)
    yield engine
    engine.close()


def configure(folder: Path, **model: Any) -> None:
    path = folder / "genai_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["model"] |= model
    path.write_text(json.dumps(settings), encoding="utf-8")


def run_to_the_end(engine: OrtGeneratorEngine) -> None:
    while not any(step.end for step in engine.step()):
        pass


def test_a_process_that_is_killed_fails_what_it_was_asked(engine: OrtGeneratorEngine) -> None:
    prompt = engine.encode([Message("user", "hi")])
    engine.open(1, prompt, SAMPLING)
    os.kill(engine.process_id, signal.SIGKILL)
    with pytest.raises(EngineFailedError, match="ended by signal 9"):
        run_to_the_end(engine)
    with pytest.raises(EngineFailedError, match="ended by signal 9"):
        engine.encode([Message("user", "hi")])
    engine.release(1)


def test_a_process_that_is_killed_fails_its_requests_and_is_started_again() -> None:
    made: list[OrtGeneratorEngine] = []

    def make() -> OrtGeneratorEngine:
        made.append(load_generator(resolve_model().folder))
        return made[-1]

    async def main(worker: Worker) -> None:
        generation = worker.submit(await worker.encode([Message("user", "hi")]), SAMPLING)
        os.kill(made[0].process_id, signal.SIGKILL)
        with pytest.raises(EngineFailedError):
            async for _ in generation:
                pass
        prompt = await worker.encode([Message("user", "hi")])
        assert [piece async for piece in worker.submit(prompt, SAMPLING)]
        assert len(made) == 2
        assert (worker.status.is_broken, worker.status.reloads) == (False, 1)
        assert "ended by signal 9" in worker.status.trouble

    worker = Worker(make)
    worker.start()
    try:
        asyncio.run(main(worker))
    finally:
        worker.stop()


def test_closing_leaves_no_process_and_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    engine = load_generator(resolve_model().folder)
    assert list(tmp_path.iterdir())
    process = psutil.Process(engine.process_id)
    engine.close()
    assert not process.is_running()
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_killed_takes_the_process_with_it() -> None:
    script = (
        "from phi_emulator.models import resolve_model\n"
        "from tests.emulator.loading import load_generator\n"
        "engine = load_generator(resolve_model().folder)\n"
        "print(engine.process_id, flush=True)\n"
        "input()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        process = psutil.Process(int(server.stdout.readline()))
        server.kill()
    psutil.wait_procs([process], timeout=30)
    assert not process.is_running()


def test_what_the_template_refuses_is_the_prompts_fault(folder: Path) -> None:
    template = "{% if messages[0]['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}a"
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    engine = load_generator(folder)
    try:
        with pytest.raises(PromptError, match="no tools"):
            engine.encode([Message("tool", "1")])
        assert engine.encode([Message("user", "1")])
    finally:
        engine.close()


def test_a_paged_graph_without_the_stock_one_is_explained(folder: Path) -> None:
    (folder / STOCK_GRAPH).unlink()
    with pytest.raises(ModelLoadError, match="as the model builder made it"):
        load_generator(folder)


def test_settings_that_the_build_does_not_know_are_left_out_and_said(folder: Path) -> None:
    configure(folder, a_setting_of_the_future=1)
    engine = load_generator(folder)
    try:
        assert "`model.a_setting_of_the_future`" in " ".join(engine.info.notes)
    finally:
        engine.close()


def test_a_folder_that_cannot_be_loaded_leaves_no_process(folder: Path) -> None:
    (folder / STOCK_GRAPH).write_bytes(b"no graph")
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ModelLoadError, match=r"Protobuf parsing failed|can't be used"):
        load_generator(folder)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_long_prompt_does_not_hold_up_the_others(engine: OrtGeneratorEngine) -> None:
    question = engine.encode([Message("user", "What is 17 * 24?")])
    engine.open(1, question, SAMPLING)
    while not list(engine.step()):
        pass
    long = engine.encode([Message("user", "word " * 200)])
    engine.open(2, long, Sampling(max_tokens=2, temperature=0))
    assert [[step.sequence for step in engine.step()] for _ in range(4)] == [[1]] * 4


def test_requests_and_answers_larger_than_a_pipe_do_not_wait_for_each_other(
    engine: OrtGeneratorEngine,
) -> None:
    # What is larger than a pipe is more than the model's context: refused, once it has been read.
    text = "word " * 60_000
    with ThreadPoolExecutor(4) as pool:
        encodings = [pool.submit(engine.encode, [Message("user", text)]) for _ in range(8)]
        for sequence in range(4):
            with pytest.raises(SequenceError):
                engine.open(sequence, [5] * 60_000, SAMPLING)
        assert all(isinstance(encoding.exception(), PromptTooLongError) for encoding in encodings)


@pytest.mark.parametrize(
    ("tokens", "device", "model_type", "whole"),
    [
        (4096, "CPU", "phi3", False),
        (4097, "CPU", "phi3", True),
        (4097, "CPU", "llama", False),
        (100, "CUDA", "phi3", False),
        (100, "DML", "phi3", True),
    ],
)
def test_a_prompt_is_cut_only_where_the_pieces_give_the_whole(
    tokens: int, device: str, model_type: str, *, whole: bool
) -> None:
    assert (piece_of(tokens, device=device, model_type=model_type) == tokens) is whole
