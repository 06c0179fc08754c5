"""A short generation in a process of its own, and what it shows: which device ran, and how fast.

    try_model() ──► this module as a process ──► load_engine() ──► a few tokens ──► measurements

In a process of its own, because a native library that ends it must not end whoever asks. Knows engines and ONNX
Runtime's profiles; knows nothing of servers or Azure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from phi_emulator.engine.errors import ModelLoadError
from phi_emulator.engine.protocol import Engine, Message, Sampling

__all__ = ["Trial", "TrialError", "read_profiles", "try_model"]

_QUESTION: Final = "What is 17 * 24?"
_TOKENS: Final = 32
_PROFILED_TOKENS: Final = 8
"""A profile has a line for each operator of each step."""
_SEQUENCE: Final = 1


class TrialError(Exception):
    """The trial came to nothing; the message says how it ended."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial showed."""

    execution_provider: str
    """The one that the model was loaded for."""
    why: str
    notes: list[str]
    context_length: int
    load_s: float
    prompt_tokens: int
    first_token_s: float
    """From the prompt to the first token."""
    tokens_a_second: float
    """After the first token, one request alone."""
    ran: dict[str, float] = field(default_factory=dict[str, float])
    """By ONNX Runtime's profile: for each execution provider the share of the time, 0 to 1."""
    on_the_cpu: list[str] = field(default_factory=list[str])
    """Operators that ran on the CPU, most often first."""


def try_model(
    folder: Path, *, model: str, device: str, context_length: int | None = None, limit_s: float = 600.0
) -> Trial:
    """Load a model and let it say something, twice: for its speed, and with a profile of what ran where.

    Raises:
        TrialError: it could not be loaded, broke down, or took longer than `limit_s`.
    """
    asked = {"folder": str(folder), "model": model, "device": device, "context_length": context_length}
    plain = _run(asked | {"tokens": _TOKENS, "profile": None}, limit_s)
    with tempfile.TemporaryDirectory(prefix="phi-emulator-") as profiles:
        profile = str(Path(profiles) / "profile")
        _run(asked | {"tokens": _PROFILED_TOKENS, "profile": profile}, limit_s)
        ran, on_the_cpu = read_profiles(Path(profiles).glob("*.json"))
    return Trial(**plain, ran=ran, on_the_cpu=on_the_cpu)


def read_profiles(paths: Iterable[Path]) -> tuple[dict[str, float], list[str]]:
    """Shares of time by execution provider, and the operators that ran on the CPU, from ONNX Runtime's profiles."""
    time_us: Counter[str] = Counter()
    on_the_cpu: Counter[str] = Counter()
    for path in paths:
        events: list[Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        for event in events:
            arguments: Mapping[str, Any] = event.get("args") or {}
            provider = arguments.get("provider")
            if event.get("cat") != "Node" or not provider:
                continue
            time_us[provider] += int(event.get("dur", 0))
            if provider == "CPUExecutionProvider":
                on_the_cpu[str(arguments.get("op_name", "?"))] += 1
    total = sum(time_us.values()) or 1
    shares = {name: time / total for name, time in time_us.most_common()}
    return shares, [name for name, _ in on_the_cpu.most_common()]


def _run(arguments: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", "phi_emulator.doctor.trial", json.dumps(arguments)],
            capture_output=True,
            env=environ,
            timeout=limit_s,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise TrialError(f"the trial took longer than {limit_s:g} s") from error
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        answer: dict[str, Any] = json.loads(lines[-1])
        if "error" in answer:
            raise TrialError(answer["error"])
        return answer
    words = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
    raise TrialError(f"the process of the trial ended with {how}" + (f": {words[-1]}" if words else ""))


def measure(engine: Engine, tokens: int) -> dict[str, Any]:
    """Answer a question with `tokens` tokens at most; the fields of a `Trial` that this shows."""
    prompt = engine.encode([Message("user", _QUESTION)])
    begun = time.perf_counter()
    engine.open(_SEQUENCE, prompt, Sampling(max_tokens=tokens, temperature=0))
    first: float | None = None
    count, ended = 0, False
    while not ended:
        for step in engine.step():
            first = time.perf_counter() if first is None else first
            count += step.token is not None
            ended = ended or step.end is not None
    last = time.perf_counter()
    engine.release(_SEQUENCE)
    first = last if first is None else first
    return {
        "prompt_tokens": len(prompt),
        "first_token_s": first - begun,
        "tokens_a_second": (count - 1) / (last - first) if last > first and count > 1 else 0.0,
    }


def main() -> None:
    """Run the trial that the command line describes; print its measurements, or the error, as JSON."""
    from phi_emulator.engine.loading import load_engine  # noqa: PLC0415 - the parent needs none of it
    from phi_emulator.engine.options import ModelOptions  # noqa: PLC0415
    from phi_emulator.models.genai_config import read_settings  # noqa: PLC0415

    asked = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # the native library may write there
    try:
        begun = time.perf_counter()
        options = ModelOptions(
            asked["model"],
            device=asked["device"],
            context_length=asked["context_length"],
            profile=None if asked["profile"] is None else Path(asked["profile"]),
        )
        engine = load_engine(Path(asked["folder"]), read_settings(Path(asked["folder"])), options)
        load_s = time.perf_counter() - begun
        measured = measure(engine, asked["tokens"])
        info = engine.info
        engine.close()
    except ModelLoadError as error:
        answers.write(json.dumps({"error": str(error)}) + "\n")
        answers.flush()
        return
    said = {
        "execution_provider": info.execution_provider,
        "why": info.why,
        "notes": list(info.notes),
        "context_length": info.context_length,
        "load_s": load_s,
    }
    answers.write(json.dumps(said | measured) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
