"""Measures an emulator against the engine inside it, driven by hand: what HTTP, queue and streaming cost.

It must not know how requests are answered. `processes` holds the two sides, `served` asks over HTTP, `runs` says what.
"""

from phi_emulator.bench.report import Report
from phi_emulator.bench.runs import run_benchmark

__all__ = ["Report", "run_benchmark"]
