"""The command `phi-emulator`, up to the point where it is certain that what it needs is installed.

It must not import any of that: what is missing is to be said in one line.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Final

__all__ = ["main", "what_is_missing"]

_NEEDED: Final = (
    "click",
    "cryptography",
    "filelock",
    "huggingface_hub",
    "jwt",
    "numpy",
    "onnx",
    "onnxruntime_genai",
    "platformdirs",
    "prometheus_client",
    "prompt_toolkit",
    "psutil",
    "starlette",
    "tqdm",
    "uvicorn",
    "wcwidth",
)
_INSTALL: Final = 'python -m pip install "phi-client[emulator]"'
_USAGE_ERROR: Final = 2
_LIGHT: Final = "wait"


def what_is_missing() -> str:
    """What an emulator needs that is not installed, and how to install it; nothing where all is there."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    return f"needs {', '.join(missing)}, which the plain package leaves out: run  {_INSTALL}"


def main() -> None:
    """Run the command line; exits with its status."""
    from phi_emulator.platforms import (  # noqa: PLC0415 - whoever asks what is missing needs none
        end_by_signal_as_first_process,
        lenient_output,
    )

    end_by_signal_as_first_process()
    reason = what_is_missing()
    if reason:
        print(f"phi-emulator {reason}", file=sys.stderr)
        sys.exit(_USAGE_ERROR)
    if sys.argv[1:2] == [_LIGHT]:
        # A container's check of its health, every few seconds: the other commands take a second to import.
        from phi_emulator.command_line.waiting import wait  # noqa: PLC0415 - needs click

        wait(sys.argv[2:], prog_name=f"phi-emulator {_LIGHT}")
    from phi_emulator.command_line.commands import phi_emulator  # noqa: PLC0415 - needs click

    lenient_output(sys.stdout)
    phi_emulator(prog_name="phi-emulator")
