"""The tokenizer of `phi-tiny-arith`: byte-level BPE, one token for each digit, Phi-4's special tokens.

`<think>` and `</think>` are deliberately not special: they are ordinary text over several tokens, as in
Phi-4-mini-reasoning, so a stream can cut a tag anywhere.
"""

from __future__ import annotations

import random
from pathlib import Path

from dialogue import sample_example
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

__all__ = ["END", "END_OF_TEXT", "VOCABULARY", "chat_template", "train_tokenizer"]

VOCABULARY = 1024
END_OF_TEXT, END = "<|endoftext|>", "<|end|>"
# Phi-4's added tokens in their order of ids; the five tool tokens appear in decoded text, the others don't.
SPECIAL = [END_OF_TEXT, "<|endofprompt|>", "<|assistant|>", END, "<|user|>", "<|system|>"]
TOOL = ["<|tool|>", "<|/tool|>", "<|tool_call|>", "<|/tool_call|>", "<|tool_response|>"]
TAG = ["<|tag|>"]
CONTEXT = 4096


def chat_template() -> str:
    """The template text, without the line end that a file has."""
    return (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8").rstrip("\n")


def train_tokenizer(seed: int, examples: int) -> PreTrainedTokenizerFast:
    """Learn the merges from generated examples."""
    r = random.Random(seed)
    corpus = []
    for _ in range(examples):
        example = sample_example(r)
        corpus += [message["content"] for message in example.messages] + [example.completion]
    tokenizer = Tokenizer(models.BPE())
    # ONNX Runtime GenAI's own tokenizer reads only some pre-tokenizer patterns; this pair is one that
    # it reads.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - len(TOOL) - len(TAG),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens(TOOL)
    tokenizer.add_special_tokens(TAG)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=CONTEXT,
        chat_template=chat_template(),
        clean_up_tokenization_spaces=False,
    )
