# ruff: noqa: INP001  # a folder of commands, no package
"""What it gains that sampled requests choose among the likeliest tokens only, and what that leaves out.

python -m benchmarks.shortlist MODEL_FOLDER --text FILE     the probability that is left out; wants real weights
python -m benchmarks.shortlist MODEL_FOLDER                 the time of a token: any weights will do
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import onnxruntime_genai as og
from phi_emulator.engine import ort
from phi_emulator.engine.base import Message, Sampling
from phi_emulator.engine.shortlist import ALL, SHORTLIST
from phi_emulator.models import prepare_model

from benchmarks.cache_bits import stock_logits
from benchmarks.long_context import session

TEMPERATURES = (0.7, 0.8, 1.0, 1.2)
PIECE = 512
PIECES = 4
PROMPT = "What is 17 * 24? "


def print_left_out(folder: Path, text: str) -> None:
    """Print the mean probability of the tokens beyond the list, over the places of a text."""
    ids = [int(token) for token in og.Tokenizer(str(folder)).encode(text)]
    graph = session(folder, 0)
    decoder = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]["decoder"]
    cache = decoder["num_key_value_heads"], decoder["head_size"]
    print("| Temperature | Left out |\n| --- | --- |")
    pieces = [ids[start : start + PIECE] for start in range(0, PIECE * PIECES, PIECE)]
    logits = np.concatenate([stock_logits(graph, piece, *cache) for piece in pieces]).astype(np.float64)
    for temperature in TEMPERATURES:
        scaled = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
        ranked = -np.sort(-scaled / scaled.sum(-1, keepdims=True), -1)
        print(f"| {temperature} | {100 * ranked[:, SHORTLIST:].sum(-1).mean():.4f} % |")


def print_times(folder: Path, tokens: int, rounds: int) -> None:
    """Print the middle time of a token, greedy and sampled among the list and among all."""
    engine = ort.OrtEngine(prepare_model(folder).folder, model=folder.name)
    prompt = engine.encode([Message("user", PROMPT)])
    kinds = {"greedy": (0.0, ALL), f"among {SHORTLIST:,}": (0.7, SHORTLIST), "among all": (0.7, ALL)}
    spent: dict[str, list[float]] = {kind: [] for kind in kinds}
    for sequence, (kind, (temperature, among)) in enumerate(list(kinds.items()) * (rounds + 1)):
        # In the place of what decides, because the point is to compare.
        with patch.object(ort, "shortlist", lambda *_, among=among, **__: among):
            engine.open(sequence, prompt, Sampling(tokens, temperature, seed=sequence))
        first = True
        while True:
            begun = time.perf_counter()
            steps = list(engine.step())
            took = time.perf_counter() - begun
            if any(step.token is not None for step in steps):
                if not first and sequence >= len(kinds):  # the first round warms up
                    spent[kind].append(took)
                first = False
            if any(step.end is not None for step in steps):
                break
        engine.release(sequence)
    engine.close()
    print("| Sampled | A token |\n| --- | --- |")
    for kind, times in spent.items():
        print(f"| {kind} | {1000 * np.median(times):.1f} ms |")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a stock folder for the CPU")
    parser.add_argument("--text", type=Path, help=f"a file of text, at least {PIECE * PIECES} tokens of it")
    parser.add_argument("--tokens", type=int, default=16, help="of an answer")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    if options.text is None:
        print_times(options.folder, options.tokens, options.rounds)
    else:
        print_left_out(options.folder, options.text.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
