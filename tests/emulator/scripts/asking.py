"""Requests and scripts for tests, without an emulator around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phi_emulator.faults.rules import Call
from phi_emulator.scripts.asked import Asked
from phi_emulator.scripts.file import read_file
from phi_emulator.scripts.rules import Script

from phi_client.contract.service.chat import ChatRequest

__all__ = ["ask", "written"]


def ask(
    *texts: str, scope: str = "", streams: bool = False, surface: str = "serverless", **more: Any
) -> Asked:
    """A request whose messages are the user's and the model's in turn, the user's first."""
    messages = [
        {"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(texts)
    ]
    body = {"messages": [{"role": "system", "content": "Be short."}, *messages]} | more
    call = Call(surface=surface, route="/chat/completions", streams=streams)
    return Asked(ChatRequest.model_validate(body), call, scope)


def written(folder: Path, text: str, name: str = "answers.toml") -> Script:
    """The script that a file with this text holds."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_file(path)
