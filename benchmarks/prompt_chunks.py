# ruff: noqa: INP001  # a folder of commands, no package
"""How long a prompt takes in chunks of several sizes: `python -m benchmarks.prompt_chunks [MODEL_FOLDER]`.

Processor time, so that other programs disturb less. The longest step is what others would wait for.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from pathlib import Path

from phi_emulator.engine.native.ort import OrtEngine
from phi_emulator.engine.options import ModelOptions
from phi_emulator.engine.protocol import Sampling
from phi_emulator.models import PreparedModel, prepare_model, resolve_model
from phi_emulator.models.genai_config import read_settings

_SIZES = (16, 32, 64, 128)


def engine_of(folder: Path, size: int, out: Path) -> OrtEngine:
    """An engine on the same folder that reads prompts in chunks of `size`."""
    shutil.copytree(folder, out, copy_function=shutil.copy)
    settings = json.loads((out / "genai_config.json").read_text(encoding="utf-8"))
    settings["search"]["chunk_size"] = size
    (out / "genai_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return OrtEngine(PreparedModel.unprepared(out, read_settings(out)), ModelOptions("measured"))


def read(engine: OrtEngine, tokens: int, seed: int) -> tuple[float, float]:
    """Seconds of processor time for a prompt of `tokens`, and for its longest step."""
    numbers = random.Random(seed)  # noqa: S311 - no secret
    engine.open(seed, [numbers.randrange(5, 900) for _ in range(tokens)], Sampling(1, temperature=0))
    times: list[float] = []
    while True:
        began = time.process_time()
        ended = any(step.end is not None for step in engine.step())
        times.append(time.process_time() - began)
        if ended:
            engine.release(seed)
            return sum(times), max(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?", help="a folder; without it the bundled model")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    stock: Path = given.model or resolve_model().folder
    folder = prepare_model(stock, read_settings(stock)).folder
    with tempfile.TemporaryDirectory() as temporary:
        engines = {size: engine_of(folder, size, Path(temporary, str(size))) for size in _SIZES}
        best = {size: (float("inf"), float("inf")) for size in _SIZES}
        for number in range(given.rounds):
            for size, engine in engines.items():
                took, longest = read(engine, given.tokens, number + 1)
                best[size] = min(best[size][0], took), min(best[size][1], longest)
        for engine in engines.values():
            engine.close()
    print(f"| Chunk | {given.tokens} tokens | Longest step |\n| --- | --- | --- |")
    for size, (took, longest) in best.items():
        print(f"| {size} | {took * 1000:.0f} ms | {longest * 1000:.1f} ms |")


if __name__ == "__main__":
    main()
