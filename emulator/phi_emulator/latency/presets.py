"""Profiles that imitate something, each with where its figures are from.

It must not know how profiles are written. docs/reference/latency.md is written from it.

No latency of Phi-4-mini-reasoning on Azure has been published; recording one's own deployment is the way to know it.
Where a page tells the median and the 99th percentile, the jitter is that of the log-normal distribution through both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from phi_emulator.latency.profile import Profile

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A profile under the name of what it imitates."""

    name: str
    imitates: str
    profile: Profile
    source: str
    """The page with the figures; `docs/…` is one of this project."""
    read: str
    """When it was read: year and month."""
    said: str
    """What it says."""
    assumed: str
    """What it doesn't say, and why that is taken to be so."""


def _by_name(presets: Iterable[Preset]) -> Mapping[str, Preset]:
    return {
        preset.name: replace(
            preset,
            profile=replace(preset.profile, name=preset.name, source=f"{preset.source} ({preset.read})"),
        )
        for preset in presets
    }


_VLLM: Final = "https://gist.github.com/surajssd/a1e546da84999df665cd9131f5ab64e0"
_JITTER_OF_OTHERS: Final = "the jitter is that of `phi-4-vllm-a100`, since none is told"

PRESETS: Final = _by_name(
    (
        Preset(
            name="phi-4-mini-azure",
            imitates="Phi-4-mini as a hosted service",
            profile=Profile(first_s=0.34, gap_s=1 / 46, jitter=0.29, first_jitter=0.48),
            source="https://shadabchow.com/blogs/ai-models/127_phi-4-mini",
            read="2026-11",
            said="46 tokens a second in the middle for Phi-4-mini-instruct, as Artificial Analysis measured it",
            assumed=(
                "that Phi-4-mini-reasoning is as fast, being of the same size and form; the first token's time is that "
                f"of `phi-4-multimodal-azure`, which is built on the same model; {_JITTER_OF_OTHERS}"
            ),
        ),
        Preset(
            name="phi-4-multimodal-azure",
            imitates="Phi-4-multimodal on Azure, a slow hour of a small model",
            profile=Profile(first_s=0.34, gap_s=1 / 17, jitter=0.29, first_jitter=0.48),
            source="https://shadabchow.com/blogs/ai-models/128_phi-4-multimodal",
            read="2026-11",
            said="0.34 s to the first token on Azure, 17 tokens a second in the middle",
            assumed=_JITTER_OF_OTHERS,
        ),
        Preset(
            name="phi-4-deepinfra",
            imitates="Phi-4, with 14 billion parameters, at a fast host",
            profile=Profile(first_s=0.21, gap_s=1 / 85, jitter=0.29, first_jitter=0.48),
            source="https://artificialanalysis.ai/models/phi-4/providers",
            read="2026-11",
            said="0.21 s to the first token and 85 tokens a second, in the middle",
            assumed=_JITTER_OF_OTHERS,
        ),
        Preset(
            name="phi-4-vllm-a100",
            imitates="Phi-4 under vLLM on one A100 of Azure, as managed compute has it (NC24ads_A100_v4), lightly used",
            profile=Profile(first_s=0.0671, gap_s=0.0224, jitter=0.29, first_jitter=0.48),
            source=_VLLM,
            read="2026-11",
            said=(
                "one request a second: first token 67 ms on average, 53 in the middle, 155 at 99 %; between tokens "
                "22.4, 21.3 and 41.4 ms"
            ),
            assumed="nothing but the distribution",
        ),
        Preset(
            name="phi-4-vllm-a100-busy",
            imitates="the same with four times the requests: most tokens as fast, some much later",
            profile=Profile(first_s=0.0785, gap_s=0.0277, jitter=0.81, first_jitter=0.53),
            source=_VLLM,
            read="2026-11",
            said=(
                "four requests a second: first token 79 ms on average, 64 in the middle, 201 at 99 %; between tokens "
                "27.7, 23.0 and 119.4 ms"
            ),
            assumed="nothing but the distribution",
        ),
        Preset(
            name="azure-provisioned-target",
            imitates="what Azure aims at for provisioned deployments of large models, such as gpt-5",
            profile=Profile(first_s=1.2, gap_s=1 / 50, jitter=0.29, first_jitter=0.48),
            source="https://learn.microsoft.com/azure/foundry/openai/how-to/provisioned-throughput-onboarding",
            read="2026-11",
            said="a latency target of 99 % above 50 tokens a second",
            assumed=(
                "the first token's time, which has no target: 1.2 s were told of gpt-5.4-mini on Azure "
                f"(https://learn.microsoft.com/answers/questions/5923658); {_JITTER_OF_OTHERS}"
            ),
        ),
        Preset(
            name="phi-4-mini-two-cores",
            imitates="a model of Phi-4-mini's size in this emulator on two processor cores",
            profile=Profile(first_s=0.64, prompt_s=0.057, gap_s=1 / 6, jitter=0.05, first_jitter=0.05),
            source="docs/explanation/engine.md",
            read="2026-11",
            said=(
                "`phi-emulator bench`: 0.64 s to the first token of a short prompt, 28.7 s of an unseen one of 500 "
                "tokens, 6 tokens a second"
            ),
            assumed="the jitter: one machine that does nothing else is even",
        ),
    )
)
