# ruff: noqa: INP001  # a folder of commands, no package
"""A model of Phi-4-mini's size with random weights, to measure with: `python -m benchmarks.full_size_model OUT`.

GenAI's own builder makes one of the same widths with two layers and few tokens; these are then repeated, each with
bytes of its own. So it takes a minute and 3 GB of memory, where a random checkpoint of the whole size and the builder
take 13 minutes and 23 GB. The result has the nodes, names and shapes that the builder gives. It answers nonsense.
"""

from __future__ import annotations

import argparse
import json
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.model_builder import build_model, require_packages
from benchmarks.stack_layers import stack_layers

LAYERS: Final = 32
VOCABULARY: Final = 200_064
_FEW: Final = 5_003
"""The vocabulary while it is built: no other number of the model."""
_LEARNED: Final = 4_000
_HEAD: Final = 128
_CONTEXT, _SHORT_CONTEXT = 131_072, 4_096
_SPECIAL: Final = (
    "<|endoftext|>",
    "<|assistant|>",
    "<|end|>",
    "<|user|>",
    "<|system|>",
    "<|tool_call|>",
    "<|/tool_call|>",
)
_TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_PIECES: Final = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def write_checkpoint(folder: Path) -> None:
    """Random weights of Phi-4-mini's widths, two layers, and a tokenizer that learned from the standard library."""
    import torch  # noqa: PLC0415 - asked for first
    from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast  # noqa: PLC0415

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_learned_tokenizer(),
        bos_token=_SPECIAL[0],
        eos_token=_SPECIAL[0],
        pad_token=_SPECIAL[0],
        chat_template=_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    text_end, turn_end = tokenizer.convert_tokens_to_ids([_SPECIAL[0], "<|end|>"])
    factors = _HEAD * 3 // 8
    config = Phi3Config(
        vocab_size=_FEW,
        hidden_size=3072,
        intermediate_size=8192,
        num_hidden_layers=2,
        num_attention_heads=24,
        num_key_value_heads=8,
        max_position_embeddings=_CONTEXT,
        original_max_position_embeddings=_SHORT_CONTEXT,
        partial_rotary_factor=0.75,
        rope_theta=10_000.0,
        rope_scaling={
            "type": "longrope",
            "short_factor": [1.0] * factors,
            "long_factor": [1 + 31 * index / factors for index in range(factors)],
        },
        sliding_window=262_144,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=text_end,
        eos_token_id=text_end,
        pad_token_id=text_end,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    model: Any = Phi3ForCausalLM(config)
    model.generation_config.eos_token_id = [turn_end, text_end]
    model.generation_config.bos_token_id = model.generation_config.pad_token_id = text_end
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _learned_tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415 - asked for first

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    texts = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=_LEARNED, initial_alphabet=alphabet, show_progress=False)
    made.train([str(text) for text in texts], trainer)
    made.add_special_tokens(list(_SPECIAL))
    return made


def widen_tokenizer(folder: Path, vocabulary: int) -> None:
    """Give every further token id a word, so that what a model of random weights says can be read as it comes."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    words: dict[str, int] = content["model"]["vocab"]
    taken = len(words) + len(content["added_tokens"])
    # Letters and digits never meet in a piece of text, so no text is encoded as one of these.
    words.update({f"\u0120w{number}": number for number in range(taken, vocabulary)})
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--layers", type=int, default=LAYERS, help="of the same widths (default: %(default)s)"
    )
    asked = parser.parse_args()
    out: Path = asked.out
    if out.exists() and any(out.iterdir()):
        parser.error(f"{out} is not empty")
    if asked.layers < 2:  # noqa: PLR2004 - what is repeated is the second
        parser.error("--layers must be 2 or more")
    require_packages()
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {line}", flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        checkpoint, small = Path(temporary) / "checkpoint", Path(temporary) / "small"
        tell("random weights for two layers")
        write_checkpoint(checkpoint)
        tell("the model builder makes them a model")
        build_model(checkpoint, small)
        tell(f"{asked.layers} layers are stacked")
        stack_layers(
            small,
            out,
            layers=asked.layers,
            vocabulary=VOCABULARY,
            tell=lambda name: tell(name) if name.endswith("down_proj.MatMul.weight_scales") else None,
        )
    widen_tokenizer(out, VOCABULARY)
    tell(f"{out}: {sum(file.stat().st_size for file in out.iterdir()) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
