"""What a question may take of time, processor and memory is seen to from outside, so on every system."""

from __future__ import annotations

from dataclasses import replace

import pytest
from phi_emulator.engine.native.asked_process import AskedProcess, AskingError, Budget

PLENTY = Budget(wall_s=600, cpu_s=600, memory_bytes=2**40)
MODULE = "tests.emulator.engine.wasteful"


@pytest.mark.parametrize(
    ("waste", "budget"),
    [
        ("compute", replace(PLENTY, cpu_s=0.1)),
        ("fill", replace(PLENTY, memory_bytes=32 * 2**20)),
        ("wait", replace(PLENTY, wall_s=0.05)),
    ],
)
def test_what_is_beyond_its_budget_is_ended_and_that_is_said(waste: str, budget: Budget) -> None:
    process = AskedProcess(MODULE)
    try:
        assert process.ask("anything", budget=PLENTY) == "anything"
        with pytest.raises(AskingError, match="ended"):
            process.ask(waste, budget=budget)
        assert process.has_ended
        with pytest.raises(AskingError, match="ended"):
            process.ask("anything", budget=budget)
    finally:
        process.close()
