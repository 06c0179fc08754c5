"""The models that have a name here: where their files are, how large they are, and what to say of them.

Data alone: it must not know what is on this machine, nor how anything is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["BUNDLED", "CATALOG", "PHI_4_MINI_REASONING", "CatalogEntry", "Variant"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One build of a model: a folder in its repository."""

    name: str
    folder: str
    execution_provider: str
    """What it is built for, as ONNX Runtime says."""
    about_bytes: int
    """Before the hub was asked; `pull` shows the exact size."""
    contents: frozenset[str] = frozenset()
    """Digests (`Manifest.content`) of whole builds that this release vouches for; none is known to it yet."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model known by name."""

    name: str
    description: str
    licence: str
    folder: Path | None = None
    """Where its files are when they came with the package."""
    repository: str = ""
    """On the Hugging Face hub."""
    revision: str = "main"
    variants: tuple[Variant, ...] = ()
    """The first is the default."""

    def variant(self, name: str | None = None) -> Variant | None:
        """The variant of that name, or the default one."""
        return next((known for known in self.variants if name in (None, known.name)), None)


BUNDLED: Final = CatalogEntry(
    name="phi-tiny-arith",
    description=(
        "the small model that comes with phi-emulator: it reasons about arithmetic and simple word problems, "
        "and is not Phi-4-mini-reasoning"
    ),
    licence="MIT",
    folder=Path(__file__).parents[1] / "bundled" / "phi-tiny-arith",
)
# The folders are those of Microsoft's repository. The sizes are those of Foundry Local's builds of the same variants:
# they were read in its catalog, not in the repository.
PHI_4_MINI_REASONING: Final = CatalogEntry(
    name="phi-4-mini-reasoning",
    description="Microsoft's Phi-4-mini-reasoning",
    licence="MIT",
    repository="microsoft/Phi-4-mini-reasoning-onnx",
    variants=(
        Variant(
            "cpu-int4",
            "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4",
            "CPUExecutionProvider",
            4_853_313_044,
        ),
        Variant("gpu-int4", "gpu/gpu-int4-rtn-block-32", "CUDAExecutionProvider", 3_382_286_745),
        Variant("npu-int4", "npu/qnn-int4", "QNNExecutionProvider", 2_982_936_576),
    ),
)
CATALOG: Final = {entry.name: entry for entry in (BUNDLED, PHI_4_MINI_REASONING)}
