# ruff: noqa: INP001  # a folder of commands, no package
"""What a cache of 8 bits costs in accuracy: how well a model foretells a text, by the stock graph and by the prepared.

python -m benchmarks.cache_bits MODEL_FOLDER TEXT_FILE [--tokens 512] [--texts 6]

All graphs round the activations to int8, and the prepared ones in other batches than the stock one: what 32 bits change
is the noise of that. The model must have its own weights, for random ones foretell nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import onnxruntime_genai as og
from phi_emulator.models.graph.geometry import BYTE_BITS, FLOAT_BITS
from phi_emulator.models.graph.prepare import BLOCK_SIZE
from phi_emulator.models.graph.step_indices import MAX_DRAFTS
from tqdm import tqdm

from benchmarks.long_context import block_count, cache_of, rewrite, session

Logits = npt.NDArray[np.float32]
PIECE = MAX_DRAFTS + 1
"""Tokens in a step: as many have logits of their own."""


def stock_logits(graph: Any, tokens: Sequence[int], heads: int, size: int) -> Logits:
    """Of the whole text at once.

    Raises:
        ValueError: the graph makes them for the last token alone.
    """
    feed = {
        "input_ids": np.array([tokens], np.int64),
        "attention_mask": np.ones((1, len(tokens)), np.int64),
    }
    for declared in graph.get_inputs():
        if declared.name.startswith("past_key_values"):
            feed[declared.name] = np.zeros((1, heads, 0, size), np.float32)
    logits = np.asarray(graph.run(["logits"], feed)[0][0])
    if len(logits) != len(tokens):
        raise ValueError(
            "the folder's graph makes logits for the last token alone: give one that was not pruned"
        )
    return logits


def paged_logits(graph: Any, tokens: Sequence[int]) -> Logits:
    """Of the text in pieces, over a pool that was empty."""
    blocks = block_count(graph, len(tokens))
    binding = graph.io_binding()
    for declared in graph.get_inputs():
        if declared.name.startswith("past_key_values"):
            element = np.int8 if "int8" in declared.type else np.float32
            empty = np.zeros((blocks, *declared.shape[1:]), element)
            pool = onnxruntime.OrtValue.ortvalue_from_numpy(empty)
            binding.bind_ortvalue_input(declared.name, pool)
            binding.bind_ortvalue_output(f"present.{declared.name.removeprefix('past_key_values.')}", pool)
    logits: list[Logits] = []
    for past in range(0, len(tokens), PIECE):
        piece = tokens[past : past + PIECE]
        feed = {
            "input_ids": np.array(piece, np.int64),
            "cumulative_sequence_lengths": np.array([0, len(piece)], np.int32),
            "past_sequence_lengths": np.array([past], np.int32),
            "block_table": np.arange(blocks, dtype=np.int32).reshape(1, -1),
        }
        for name, value in feed.items():
            binding.bind_cpu_input(name, value)
        binding.bind_output("logits")
        graph.run_with_iobinding(binding)
        logits.append(binding.get_outputs()[-1].numpy())
    return np.concatenate(logits)


def surprise(logits: Logits, tokens: Sequence[int]) -> npt.NDArray[np.float64]:
    """The negative logarithm of the probability of each token but the first."""
    before = logits[:-1].astype(np.float64)
    highest = before.max(-1, keepdims=True)
    total = np.log(np.exp(before - highest).sum(-1)) + highest[:, 0]
    return np.asarray(total - before[np.arange(len(before)), np.asarray(tokens[1:])])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, help="a stock folder for the CPU that makes logits for all tokens"
    )
    parser.add_argument("text", type=Path, help="a file of text")
    parser.add_argument("--tokens", type=int, default=512, help="in a text")
    parser.add_argument("--texts", type=int, default=6)
    options = parser.parse_args(arguments)
    tokenizer = og.Tokenizer(str(options.folder))
    ids = [int(token) for token in tokenizer.encode(options.text.read_text(encoding="utf-8"))]
    whole = range(0, len(ids) - options.tokens + 1, options.tokens)
    texts = [ids[start : start + options.tokens] for start in whole][: options.texts]
    if not texts:
        parser.error(f"the text has {len(ids)} tokens, fewer than --tokens")
    made: dict[str, list[Logits]] = {"stock graph": []}
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        for bits in (FLOAT_BITS, BYTE_BITS):
            paged = Path(place) / str(bits)
            paged.mkdir()
            rewrite(options.folder, paged, context=options.tokens + BLOCK_SIZE, cache_bits=bits)
            graph = session(paged, 0)
            made[f"{bits} bits"] = [paged_logits(graph, text) for text in tqdm(texts, f"{bits} bits")]
        cache, stock = cache_of(graph)[1:], session(options.folder, 0)
        try:
            made["stock graph"] = [stock_logits(stock, text, *cache) for text in tqdm(texts, "stock graph")]
        except ValueError as error:
            parser.error(str(error))
    print("| Cache | Perplexity | Same likeliest token | Mean change of a token's logarithm |")
    print("| --- | --- | --- | --- |")
    ours = np.concatenate([surprise(*pair) for pair in zip(made["stock graph"], texts, strict=True)])
    first = np.concatenate(made["stock graph"]).argmax(-1)
    for name, logits in made.items():
        theirs = np.concatenate([surprise(*pair) for pair in zip(logits, texts, strict=True)])
        same = (np.concatenate(logits).argmax(-1) == first).mean()
        moved = np.abs(theirs - ours).mean()
        print(f"| {name} | {np.exp(theirs.mean()):.3f} | {100 * same:.1f} % | {moved:.3f} |")


if __name__ == "__main__":
    main()
