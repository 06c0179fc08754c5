"""Train `phi-tiny-arith` from scratch on two CPU cores: `python train.py --out out/checkpoint`.

The learning rate is constant, then goes down in a line. Over the last steps the weights are seen through int4 rounding,
as the builder will round them, so that the export costs next to no accuracy; there the run ends early when the held-out
check is good enough twice in a row. A run that was cut off goes on from its checkpoint with `--resume`.

The held-out check is exact and cheap: one forward pass says for each position whether greedy decoding would pick the
taught token, and an example counts only if all of its positions do.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import torch
from dialogue import Example, sample_example
from tokenizer import CONTEXT, END, END_OF_TEXT, VOCABULARY, train_tokenizer
from torch import nn
from torch.nn.utils import parametrize
from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

IGNORED = -100
BLOCK = 32


class Int4Rounding(nn.Module):
    """Straight-through rounding to symmetric int4 in blocks of 32, as the export does it."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        blocks = weight.reshape(-1, BLOCK)
        extreme = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
        scale = torch.where(extreme == 0, 1.0, extreme / -8)
        rounded = ((blocks / scale).round().clamp(-8, 7) * scale).reshape(weight.shape)
        return weight + (rounded - weight).detach()


def make_model(seed: int, hidden: int, layers: int, inner: int) -> Phi3ForCausalLM:
    # The model builder takes every Linear whose outputs equal the vocabulary for the LM head.
    assert VOCABULARY not in (hidden, 2 * hidden, 2 * inner)
    torch.manual_seed(seed)
    config = Phi3Config(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=hidden
        // 64,  # GroupQueryAttention wants rotated halves in multiples of 8: 64 * 0.75 / 2
        num_key_value_heads=hidden // 128,
        max_position_embeddings=CONTEXT,
        original_max_position_embeddings=CONTEXT,
        partial_rotary_factor=0.75,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        attn_implementation="sdpa",
    )
    return Phi3ForCausalLM(config)


class Batches:
    """Endless batches of about `tokens` tokens, each of examples of similar length."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int, tokens: int, *, held_out: bool) -> None:
        self.tokenizer, self.random, self.tokens, self.held_out = (
            tokenizer,
            random.Random(seed),
            tokens,
            held_out,
        )
        self.end = tokenizer.convert_tokens_to_ids(END)

    def encode(self, examples: list[Example]) -> list[tuple[list[int], list[int]]]:
        prompts = self.tokenizer.apply_chat_template(
            [e.messages for e in examples], add_generation_prompt=True, tokenize=False
        )
        prompt_ids = self.tokenizer(prompts, add_special_tokens=False).input_ids
        reply_ids = self.tokenizer([e.completion for e in examples], add_special_tokens=False).input_ids
        return [(p, [*c, self.end]) for p, c in zip(prompt_ids, reply_ids, strict=True)]

    def pool(self, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        rows = self.encode([sample_example(self.random, held_out=self.held_out) for _ in range(size)])
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        batches, start = [], 0
        while start < len(rows):
            stop, width = start, 0
            while stop < len(rows):
                width_with = len(rows[stop][0]) + len(rows[stop][1])
                if width_with * (stop + 1 - start) > self.tokens and stop > start:
                    break
                width, stop = width_with, stop + 1
            inputs = torch.zeros(stop - start, width, dtype=torch.long)
            targets = torch.full((stop - start, width), IGNORED)
            for row, (prompt, completion) in enumerate(rows[start:stop]):
                inputs[row, : len(prompt) + len(completion)] = torch.tensor(prompt + completion)
                targets[row, len(prompt) - 1 : len(prompt) + len(completion) - 1] = torch.tensor(completion)
            batches.append((inputs, targets))
            start = stop
        self.random.shuffle(batches)
        return batches

    def __iter__(self):
        while True:
            yield from self.pool(1024)


def forward(model: Phi3ForCausalLM, inputs: torch.Tensor) -> torch.Tensor:
    # Rows are padded on the right and the loss ignores the padding, so causal attention needs no mask.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model(input_ids=inputs, use_cache=False).logits.float()


@torch.no_grad()
def held_out_check(model: Phi3ForCausalLM, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """The share of held-out examples that greedy decoding would answer word for word."""
    model.eval()
    right = total = 0
    for inputs, targets in batches:
        agree = (forward(model, inputs).argmax(-1) == targets) | (targets == IGNORED)
        right += int(agree.all(1).sum())
        total += len(inputs)
    model.train()
    return right / total


def add_rounding(model: Phi3ForCausalLM) -> None:
    """See all matrices through the rounding from here on; the tied embedding and head keep sharing one parameter."""
    for module in list(model.modules()):
        if isinstance(module, nn.Linear | nn.Embedding):
            parametrize.register_parametrization(module, "weight", Int4Rounding())


def save(
    model: Phi3ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path, log: list[dict[str, float]]
) -> None:
    end, end_of_text = tokenizer.convert_tokens_to_ids([END, END_OF_TEXT])
    clean = {
        k.replace("parametrizations.", "").replace(".original", ""): v for k, v in model.state_dict().items()
    }
    plain = Phi3ForCausalLM(model.config)
    plain.load_state_dict(clean, strict=False)
    plain.tie_weights()
    plain.generation_config.eos_token_id = [end, end_of_text]
    plain.generation_config.bos_token_id = plain.generation_config.pad_token_id = end_of_text
    plain.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "training_log.json").write_text(json.dumps(log, indent=1), encoding="utf-8")


def load(model: Phi3ForCausalLM, out: Path) -> list[dict[str, float]]:
    """Take the weights of a run that was cut off; return its log."""
    model.load_state_dict(Phi3ForCausalLM.from_pretrained(out).state_dict())
    return json.loads((out / "training_log.json").read_text(encoding="utf-8"))


def rate_share(step: int, constant: int, decay: int) -> float:
    """The share of the full learning rate: a short rise, constant, then down in a line to a hundredth."""
    return min(step / 100, 1.0, max(0.01, 1 - (step - constant) / decay))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--inner", type=int, default=576)
    parser.add_argument("--tokens", type=int, default=6144, help="tokens in a batch, padding included")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--constant-steps", type=int, default=600)
    parser.add_argument("--decay-steps", type=int, default=6400)
    parser.add_argument("--rounding-steps", type=int, default=900, help="last steps, which see int4 weights")
    parser.add_argument("--good", type=float, default=0.995, help="held-out share that ends the run early")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    # Learnt again from changed problems, the merges would differ, and so would the meaning of every id.
    known = PreTrainedTokenizerFast.from_pretrained(args.out) if args.resume else None
    tokenizer = known or train_tokenizer(args.seed, 30_000)
    model = make_model(args.seed, args.hidden, args.layers, args.inner)
    log = load(model, args.out) if args.resume else []
    first = int(log[-1]["step"]) + 1 if log else 1
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    print(f"{sum(p.numel() for p in matrices + others):,} parameters, from step {first}", flush=True)
    optimizers = [
        torch.optim.Muon(matrices, lr=args.rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    held_out = Batches(tokenizer, args.seed + 1, args.tokens, held_out=True).pool(768)
    training = iter(Batches(tokenizer, args.seed + 1 + first, args.tokens, held_out=False))
    last = args.constant_steps + args.decay_steps
    rounding_from = last - args.rounding_steps
    before = log[-1] if log else {"minutes": 0.0, "tokens": 0}
    started, tokens, losses, good = time.monotonic(), int(before["tokens"]), [], 0
    for step in range(first, last + 1):
        if step >= rounding_from and not parametrize.is_parametrized(model.model.embed_tokens):
            add_rounding(model)
            print(f"rounding from step {step}", flush=True)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                rise = min(1.0, (step - first + 1) / 20)  # after a resume the optimizers know nothing yet
                group["lr"] = args.rate * rise * rate_share(step, args.constant_steps, args.decay_steps)
        inputs, targets = next(training)
        logits = forward(model, inputs)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        tokens += inputs.numel()
        minutes = round(before["minutes"] + (time.monotonic() - started) / 60, 1)
        if step % 50 == 0:
            print(f"step {step}  {minutes} min  loss {sum(losses) / len(losses):.4f}", flush=True)
            losses.clear()
        if step % 250 == 0 or step == last:
            share = held_out_check(model, held_out)
            log.append({"step": step, "minutes": minutes, "tokens": tokens, "held_out": round(share, 4)})
            print(f"step {step}  held out {share:.4f}", flush=True)
            save(model, tokenizer, args.out, log)
            good = good + 1 if share >= args.good and step >= rounding_from else 0
            if good == 2:
                break


if __name__ == "__main__":
    main()
