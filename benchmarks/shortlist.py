# ruff: noqa: INP001  # a folder of commands, no package
"""What it gains that a sampled request has a `top_k` of its own, and what that leaves out.

python -m benchmarks.shortlist MODEL_FOLDER --text FILE     the probability that is left out, and how often a token
                                                            is beyond `top_p`; both want real weights
python -m benchmarks.shortlist MODEL_FOLDER                 the time of a token: any weights will do
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnxruntime_genai as og
from phi_emulator.engine.native import ort
from phi_emulator.engine.native.shortlist import SHORTLIST, shortlist
from phi_emulator.engine.options import ModelOptions
from phi_emulator.engine.protocol import Message, Sampling
from phi_emulator.models import prepare_model
from phi_emulator.models.genai_config import read_settings

from benchmarks.cache_bits import Logits, stock_logits
from benchmarks.long_context import session

TEMPERATURES = (0.7, 0.8, 1.0, 1.2)
CUTS = ((0.8, 0.95), (1.0, 0.95), (1.0, 0.5))
PIECE = 512
PIECES = 4
PLACE = 40
"""Tokens before each place at which tokens are drawn."""
PLACES = 40
DRAWS = 10
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


def nucleus(logits: Logits, temperature: float, top_p: float) -> set[int]:
    """The fewest tokens, the likeliest first, that have `top_p` of the probability together."""
    scaled = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    ranked = np.argsort(-scaled)
    filled = np.cumsum(scaled[ranked]) / scaled.sum()
    return {int(token) for token in ranked[: int(np.searchsorted(filled, top_p)) + 1]}


def print_beyond(folder: Path, text: str) -> None:
    """Print how many of GenAI's own draws are not of the nucleus, with a `top_k` and without."""
    model = og.Model(str(folder))
    ids = [int(token) for token in og.Tokenizer(model).encode(text)]
    vocabulary = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]["vocab_size"]

    def generator(prompt: Sequence[int], **options: float) -> Any:
        params = og.GeneratorParams(model)
        params.set_search_options(max_length=PLACE + 2, do_sample=bool(options), **options)
        made = og.Generator(model, params)
        made.append_tokens(prompt)
        return made

    print("| Temperature | top_p | Beyond it without top_k | with the list |\n| --- | --- | --- | --- |")
    for temperature, top_p in CUTS:
        beyond = {0: 0, shortlist(vocabulary, temperature=temperature): 0}
        for place in range(PLACES):
            prompt = ids[place * PLACE : (place + 1) * PLACE]
            kept = nucleus(np.asarray(generator(prompt).get_logits()).reshape(-1), temperature, top_p)
            for top_k in beyond:
                for seed in range(1, DRAWS + 1):
                    drawn = generator(
                        prompt, temperature=temperature, top_p=top_p, top_k=top_k, random_seed=seed
                    )
                    drawn.generate_next_token()
                    beyond[top_k] += int(drawn.get_next_tokens()[0]) not in kept
        shares = (f"{100 * count / (PLACES * DRAWS):.1f} %" for count in beyond.values())
        print(f"| {temperature} | {top_p} | {' | '.join(shares)} |")


def print_times(folder: Path, tokens: int, rounds: int) -> None:
    """Print the middle time of a token, greedy and sampled among the list and among all."""
    engine = ort.OrtEngine(prepare_model(folder, read_settings(folder)), ModelOptions(folder.name))
    prompt = engine.encode([Message("user", PROMPT)])
    kinds = {
        "greedy": (0.0, 1.0, SHORTLIST),
        f"among {SHORTLIST:,}": (0.8, 1.0, SHORTLIST),
        f"among {SHORTLIST:,}, top_p 0.95": (0.8, 0.95, SHORTLIST),
        "among all, without top_k": (0.8, 1.0, 0),
        "the same, top_p 0.95": (0.8, 0.95, 0),
    }
    spent: dict[str, list[float]] = {kind: [] for kind in kinds}
    for sequence, (kind, (temperature, top_p, among)) in enumerate(list(kinds.items()) * (rounds + 1)):
        # In the place of what decides, because the point is to compare.
        with patch.object(ort, "shortlist", lambda *_, among=among, **__: among):
            engine.open(sequence, prompt, Sampling(tokens, temperature, top_p, seed=sequence))
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
        text = options.text.read_text(encoding="utf-8")
        print_left_out(options.folder, text)
        print_beyond(options.folder, text)


if __name__ == "__main__":
    main()
