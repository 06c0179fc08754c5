"""Make the model folders of the tests: random weights, by the public model builder: `python tiny_folders.py OUT`.

Three kinds that differ in all that a server must not take for granted: architecture, tokenizer, end-of-turn tokens,
and where the chat template is. They answer nonsense.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedTokenizerFast,
)

VOCABULARY = 384
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.2,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
PHI_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CHATML_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As Phi-4 splits text, and as SmolLM2 does.
PHI_4_PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def tokenizer(special: list[str], pre: pre_tokenizers.PreTokenizer) -> Tokenizer:
    """A byte-level BPE tokenizer that learned from this file."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(special), initial_alphabet=alphabet, show_progress=False
    )
    made.train([__file__], trainer)
    made.add_special_tokens(special)
    return made


def phi_4_pieces() -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(PHI_4_PATTERN), "isolated", invert=False)
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def digit_pieces() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def save(
    folder: Path, model: torch.nn.Module, made: Tokenizer, *, start: str, ends: list[str], template: str
) -> None:
    """Save a checkpoint as the model builder reads it."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=start,
        eos_token=ends[-1],
        pad_token=ends[-1],
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )
    ids = wrapped.convert_tokens_to_ids([start, *ends])
    model.generation_config.bos_token_id = ids[0]
    model.generation_config.eos_token_id = ids[1:]
    model.generation_config.pad_token_id = ids[-1]
    model.config.bos_token_id, model.config.eos_token_id = ids[0], ids[-1]
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)


def phi3(folder: Path) -> None:
    """As Phi-3-mini-4k: one rotary table over the whole head."""
    special = ["<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>", "<|system|>"]
    config = Phi3Config(**SIZES, max_position_embeddings=256, original_max_position_embeddings=256)
    save(
        folder,
        Phi3ForCausalLM(config),
        tokenizer(special, digit_pieces()),
        start="<|endoftext|>",
        ends=["<|end|>", "<|endoftext|>"],
        template=PHI_TEMPLATE,
    )


def phi4mini(folder: Path) -> None:
    """As Phi-4-mini: partial rotary, long RoPE with two tables."""
    special = [
        "<|endoftext|>",
        "<|assistant|>",
        "<|end|>",
        "<|user|>",
        "<|system|>",
        "<|tool_call|>",
        "<|/tool_call|>",
    ]
    factors = 24
    config = Phi3Config(
        **SIZES,
        max_position_embeddings=256,
        original_max_position_embeddings=128,
        partial_rotary_factor=0.75,
        rope_scaling={
            "type": "longrope",
            "short_factor": [1.0] * factors,
            "long_factor": [1 + index / factors for index in range(factors)],
        },
        sliding_window=262144,
    )
    save(
        folder,
        Phi3ForCausalLM(config),
        tokenizer(special, phi_4_pieces()),
        start="<|endoftext|>",
        ends=["<|end|>", "<|endoftext|>"],
        template=PHI_TEMPLATE,
    )


def llama(folder: Path) -> None:
    """As SmolLM2 and its kin: another architecture, ChatML, one end-of-turn token."""
    config = LlamaConfig(**SIZES, max_position_embeddings=256)
    save(
        folder,
        LlamaForCausalLM(config),
        tokenizer(["<s>", "<|im_start|>", "<|im_end|>"], digit_pieces()),
        start="<s>",
        ends=["<|im_end|>"],
        template=CHATML_TEMPLATE,
    )


def move_template(folder: Path) -> None:
    """Put the chat template where transformers wrote it before version 5."""
    template = folder / "chat_template.jinja"
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings["chat_template"] = template.read_text(encoding="utf-8")
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    template.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    torch.manual_seed(0)
    for make in (phi3, phi4mini, llama):
        with tempfile.TemporaryDirectory() as temporary:
            checkpoint = Path(temporary) / "checkpoint"
            make(checkpoint)
            folder = out / make.__name__
            shutil.rmtree(folder, ignore_errors=True)
            command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(checkpoint)]
            command += ["-o", str(folder), "-p", "int4", "-e", "cpu", "-c", str(Path(temporary) / "cache")]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if make is llama:
                move_template(folder)
        print(folder, sum(file.stat().st_size for file in folder.iterdir()))


if __name__ == "__main__":
    main()
