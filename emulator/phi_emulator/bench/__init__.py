"""Measures an emulator against the engine inside it, driven by hand: what HTTP, queue and streaming cost.

It must not know how requests are answered. `processes` holds the two sides, `served` asks over HTTP, `runs` says what,
`sizes` how much, and `bars` what must come of it.
"""

from phi_emulator.bench.bars import bars_table, verdicts
from phi_emulator.bench.report import Report
from phi_emulator.bench.runs import run_benchmark
from phi_emulator.bench.sizes import DEFAULTS

__all__ = ["DEFAULTS", "Report", "bars_table", "run_benchmark", "verdicts"]
