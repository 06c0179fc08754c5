"""One emulator for all tests of the chat: it answers from a script, and what no rule is about, the bundled model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from phi_emulator import Emulator, EmulatorConfig

HOSTILE = "A\x1b[2J\x1b]0;title\x07 \x9b31m red \u202e evil \b\b <script>alert(1)</script>"
STEPS = [f"step {number}: {' '.join(['carry the one and go on'] * 3)}" for number in range(40)]
FORMULA = r"So \[ x = \frac{-b \pm \sqrt{b^2-4ac}}{2a} \] gives \boxed{\frac{3}{4}}"

if sys.platform == "win32":
    collect_ignore = ["test_terminal.py"]  # it has no pseudo-terminals


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """Each question is answered by the rule of its name."""
    with Emulator(EmulatorConfig(port=0, script="nothing")) as emulator:
        answer = emulator.script.answer
        answer("hostile", HOSTILE + "\n" + "z" * 3000, reasoning="a \x1b[31m red thought", times=1000)
        answer("formula", FORMULA, reasoning=r"Let \(x^2 = 2\).")
        answer("wide", "乘以" * 60, reasoning="先算 17 乘以 20 得 340。" * 20)
        answer("empty", "", reasoning="")
        answer("thoughts alone", "", reasoning="hm")
        answer("cut", "half an", finish_reason="length")
        answer("cut in thoughts", "", reasoning="half a", finish_reason="length")
        answer("filtered", "half an", finish_reason="content_filter")
        answer("many", "a line of words\n" * 300)
        answer("broken", "half an answer", chunks=1, fault={"effect": "cut_body", "bytes": 1500})
        answer("stalls", "half an answer", chunks=1, fault={"effect": "stall", "tokens": 4})
        answer(
            "thinks long", r"\boxed{7}", reasoning="\n".join(STEPS), fault={"effect": "stall", "tokens": 500}
        )
        answer("no", fault={"effect": "error", "error": "content_filter"})
        answer("busy", [{"fault": {"effect": "error", "error": "rate_limited"}}, "Here I am."], repeat=True)
        yield emulator


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables of a user who has set none of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PHI_")}
    home = str(tmp_path / "state")
    return kept | {
        "TERM": "xterm-256color",
        "XDG_STATE_HOME": home,
        "PHI_EMULATOR_PORT": "0",
        "LC_ALL": "C.UTF-8",
    }


if sys.platform != "win32":
    from tests.emulator.chat.terminal import Terminal

    Start = Callable[..., Terminal]

    @pytest.fixture
    def terminal(emulator: Emulator, environ: dict[str, str]) -> Iterator[Start]:
        """Starts the chat in terminals, with the emulator of these tests."""
        with ExitStack() as cleanup:

            def start(*arguments: str, **more: object) -> Terminal:
                changed = environ | more.pop("environ", {})  # type: ignore[operator]  # a mapping of texts
                made = Terminal("--url", emulator.root, *arguments, environ=changed, **more)  # type: ignore[arg-type]
                cleanup.callback(made.close)
                return made

            yield start
