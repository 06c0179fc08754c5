"""`phi-emulator` with a scripted engine, as a process of its own: for signals and exit statuses.

The engine takes a step for each byte that it can read from the descriptor in `STEPS_FD`, or freely without one.
"""

import os
from collections.abc import Callable, Sequence

from phi_emulator import emulator
from phi_emulator.cli import main
from phi_emulator.config import EmulatorConfig
from phi_emulator.engine.protocol import Engine, Message
from phi_emulator.engine.scripted import ScriptedEngine


def _reply(messages: Sequence[Message]) -> str:
    return "<think>6 7</think>42"


def _wait_for_a_step() -> None:
    descriptor = os.environ.get("STEPS_FD")
    if descriptor is not None:
        os.read(int(descriptor), 1)


def _find_model(config: EmulatorConfig) -> tuple[str, Callable[[], Engine]]:
    return "a script, no model", lambda: ScriptedEngine(_reply, before_step=_wait_for_a_step)


if __name__ == "__main__":
    emulator.find_model = _find_model
    main()
