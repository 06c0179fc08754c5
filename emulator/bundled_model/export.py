"""Export a checkpoint to int4 and write the package data: `python export.py --checkpoint out/checkpoint`.

onnxruntime-genai's own model builder makes the int4 model; `phi_emulator.models.graph.prepare` gives it the graph that the
dynamic Engine needs, as it does for any stock model; the result goes to the emulator's package data.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from phi_emulator.models.genai_config import read_settings
from phi_emulator.models.graph.prepare import prepare_model

PACKAGE_DATA = Path(__file__).parents[1] / "phi_emulator" / "models" / "bundled" / "phi-tiny-arith"


def build(checkpoint: Path, precision: str, out: Path, cache: Path) -> None:
    """Run the model builder; everything it needs is in the checkpoint, so nothing is fetched."""
    command = [
        sys.executable,
        "-m",
        "onnxruntime_genai.models.builder",
        "-i",
        str(checkpoint),
        "-o",
        str(out),
    ]
    command += ["-p", precision, "-e", "cpu", "-c", str(cache)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=PACKAGE_DATA)
    parser.add_argument(
        "--precision", choices=["int4", "fp32"], default="int4", help="fp32: for comparison only"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        stock = Path(temporary) / "stock"
        build(args.checkpoint, args.precision, stock, Path(temporary) / "cache")
        prepared = prepare_model(stock, read_settings(stock))
        assert not prepared.obstacle, prepared.obstacle
        shutil.copytree(prepared.folder, args.out, dirs_exist_ok=True)
        # For builds that are older than the Engine: the stock graph, over the same weights.
        shutil.copyfile(stock / "model.onnx", args.out / "generator.onnx")
    size = sum(file.stat().st_size for file in args.out.iterdir())
    print(f"{args.out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
