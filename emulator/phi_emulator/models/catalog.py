"""The models that have a name here: where their files are, and what to say of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["BUNDLED", "CATALOG", "PHI_4_MINI_REASONING", "CatalogEntry"]


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model known by name."""

    name: str
    description: str
    folder: Path | None
    """Where its files are when they came with the package."""
    how_to_get: str = ""
    """What to do when they did not."""


BUNDLED: Final = CatalogEntry(
    name="phi-tiny-arith",
    description=(
        "the small model that comes with phi-emulator: it reasons about arithmetic and simple word problems, "
        "and is not Phi-4-mini-reasoning"
    ),
    folder=Path(__file__).parent / "bundled" / "phi-tiny-arith",
)
PHI_4_MINI_REASONING: Final = CatalogEntry(
    name="phi-4-mini-reasoning",
    description="Microsoft's Phi-4-mini-reasoning",
    folder=None,
    how_to_get=(
        "download the folder `cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4` of the Hugging Face repository "
        "`microsoft/Phi-4-mini-reasoning-onnx` (MIT licence, about 4.9 GB) and start with `--model PATH`"
    ),
)
CATALOG: Final = {entry.name: entry for entry in (BUNDLED, PHI_4_MINI_REASONING)}
