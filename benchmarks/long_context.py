# ruff: noqa: INP001  # a folder of commands, no package
"""What a step costs at a given context, as a multiple of the stock graph's step.

python -m benchmarks.long_context MODEL_FOLDER [--placing backwards] [--cache-bits 32] [--contexts 256,1024]
python -m benchmarks.long_context MODEL_FOLDER --drafts     what drafts cost, as multiples of a step without

Both graphs are run by ONNX Runtime alone and take turns, and the least CPU time of each counts: other programs disturb
little, but compare ratios, not times. A few of a large model's layers will do; all of them cost alike.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from phi_emulator.models.graph.geometry import Geometry, block_step
from phi_emulator.models.graph.paged_graph import rewrite_graph
from phi_emulator.models.graph.prepare import BLOCK_SIZE

CONTEXTS = (256, 1024, 4096, 8192, 12_288)
SIDE_BY_SIDE = 4
"""Conversations in a step of the second column."""
CHUNK = 16
"""Prompt tokens in a step of the third."""
DRAFTS = (1, 2, 3, 4, 7)
Step = Callable[[], object]
PLACINGS: dict[str, Callable[[int], Any]] = {
    "in order": np.arange,
    "backwards": lambda count: np.arange(count)[::-1],
    "scattered": np.random.default_rng(0).permutation,
}


def rewrite(folder: Path, paged: Path, *, context: int, cache_bits: int) -> None:
    """Put the paged graph of `folder` into `paged`, as a large model gets it, however few layers are left."""
    config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
    decoder = config["decoder"]
    geometry = Geometry(
        layers=decoder["num_hidden_layers"],
        heads=decoder["num_attention_heads"],
        kv_heads=decoder["num_key_value_heads"],
        head_size=decoder["head_size"],
        vocabulary=config["vocab_size"],
        context_length=context,
        block_size=BLOCK_SIZE,
        cache_bits=cache_bits,
    )
    graph = onnx.load(folder / "model.onnx", load_external_data=False)
    rewrite_graph(graph, geometry)
    onnx.save(graph, paged / "model.onnx")
    (paged / "model.onnx.data").hardlink_to(folder / "model.onnx.data")


def session(folder: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options)


def cache_of(graph: Any) -> tuple[int, int, int]:
    """The size of a paged graph's blocks, and its cache's heads and their size."""
    size, heads, head_size = next(
        declared.shape[1:]
        for declared in graph.get_inputs()
        if declared.name.startswith("past_key_values") and declared.name.endswith(".value")
    )
    return size, heads, head_size


def block_count(graph: Any, tokens: int) -> int:
    """The least number of blocks that hold so many tokens."""
    size, heads, head_size = cache_of(graph)
    step = block_step(heads, head_size)
    return -(-tokens // (size * step)) * step


def bound(graph: Any, feed: dict[str, Any], cache_shape: Callable[[Any], Sequence[int]]) -> Step:
    """A step of `graph` that reads and writes one cache in place, as GenAI binds it."""
    binding, random = graph.io_binding(), np.random.default_rng(0)
    for name, value in feed.items():
        binding.bind_cpu_input(name, value)
    for declared in graph.get_inputs():
        if declared.name.startswith("past_key_values"):
            shape = cache_shape(declared)
            filled = random.random(shape, np.float32) / 10
            if "int8" in declared.type:
                filled = random.integers(-64, 64, shape, np.int8)
            cache = onnxruntime.OrtValue.ortvalue_from_numpy(filled)
            binding.bind_ortvalue_input(declared.name, cache)
            present = f"present.{declared.name.removeprefix('past_key_values.')}"
            binding.bind_ortvalue_output(present, cache)
    binding.bind_output("logits")

    def step(_bound: object = feed) -> object:  # without a copy, so it must live as long as the step
        return graph.run_with_iobinding(binding)

    return step


def stock_step(graph: Any, heads: int, size: int, context: int, *, rows: int = 1, new: int = 1) -> Step:
    feed = {
        "input_ids": np.ones((rows, new), np.int64),
        "attention_mask": np.ones((rows, context + new), np.int64),
    }
    return bound(graph, feed, lambda _: (rows, heads, context + new, size))


def paged_step(graph: Any, context: int, *, rows: int = 1, new: int = 1, placing: str = "in order") -> Step:
    each = -(-(context + new) // cache_of(graph)[0])
    feed = {
        "input_ids": np.ones(rows * new, np.int64),
        "cumulative_sequence_lengths": np.arange(rows + 1, dtype=np.int32) * new,
        "past_sequence_lengths": np.full(rows, context, np.int32),
        "block_table": np.asarray(PLACINGS[placing](rows * each), np.int32).reshape(rows, each).copy(),
    }
    blocks = block_count(graph, rows * each * cache_of(graph)[0])
    return bound(graph, feed, lambda cache: (blocks, *cache.shape[1:]))


def race(steps: Sequence[Step], times: int) -> list[float]:
    """The least CPU time of each, in milliseconds."""
    best = [float("inf")] * len(steps)
    for turn in range(times + 1):  # the first is not counted: it allocates
        for which, step in enumerate(steps):
            before = time.process_time()
            step()
            if turn:
                best[which] = min(best[which], (time.process_time() - before) * 1000)
    return best


def drafts(paged: Callable[..., Step], contexts: Sequence[int], times: int) -> None:
    """Print what a step costs whose sequence brings so many drafts."""
    print(f"| Drafts | {' | '.join(map(str, DRAFTS))} |\n| --- |{' --- |' * len(DRAFTS)}")
    for context in contexts:
        plain, *more = race([paged(context, new=count + 1) for count in (0, *DRAFTS)], times)
        print(f"| at {context:,} | {' | '.join(f'{cost / plain:.2f}' for cost in more)} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a stock folder for the CPU")
    parser.add_argument("--steps", type=int, default=10, help="steps of each kind")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--contexts", default=",".join(map(str, CONTEXTS)))
    parser.add_argument("--placing", choices=PLACINGS, default="in order", help="of a sequence's blocks")
    parser.add_argument(
        "--alone", action="store_true", help="one conversation only: a whole model's caches are big"
    )
    parser.add_argument("--drafts", action="store_true", help="measure these instead")
    parser.add_argument("--cache-bits", type=int, choices=(8, 32), default=8)
    options = parser.parse_args(arguments)
    contexts = [int(context) for context in options.contexts.split(",")]
    # Inside the folder, because hard links do not cross file systems.
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        longest = max(contexts) + CHUNK
        rewrite(options.folder, Path(place), context=longest, cache_bits=options.cache_bits)
        paged = partial(paged_step, session(Path(place), options.threads), placing=options.placing)
        if options.drafts:
            drafts(paged, contexts, options.steps)
            return
        heads, size = cache_of(paged.args[0])[1:]
        stock = partial(stock_step, session(options.folder, options.threads), heads, size)
        kinds: dict[str, dict[str, Any]] = {"one conversation": {}}
        if not options.alone:
            kinds |= {
                f"{SIDE_BY_SIDE} conversations": {"rows": SIDE_BY_SIDE},
                f"{CHUNK} prompt tokens": {"new": CHUNK},
            }
        print(f"| Context | {' | '.join(kinds)} |\n| --- |{' --- |' * len(kinds)}")
        for context in contexts:
            print(f"| {context:,} |", end="", flush=True)
            for kind in kinds.values():
                one, other = race([stock(context, **kind), paged(context, **kind)], options.steps)
                print(f" {other / one:.2f} |", end="", flush=True)
            print()


if __name__ == "__main__":
    main()
