"""The engine as somebody sees it who looks on: who runs, what the cache holds, how fast it goes.

It must not know who looks, or how often.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phi_emulator.engine.serving.source import InPlay
from phi_emulator.journal.journal import Journal
from phi_emulator.service.chat import ChatService

__all__ = ["EngineWatch", "look"]


class EngineWatch:
    """Looks again and again: rates are those since the last look. `now` tells seconds."""

    def __init__(self, service: ChatService, journal: Journal, now: Callable[[], float]) -> None:
        self._service = service
        self._journal = journal
        self._now = now
        self._last: tuple[float, int, int] | None = None

    def look(self) -> dict[str, Any]:
        """How it is now, as the routes tell it."""
        told = look(self._service, self._journal)
        now, steps, tokens = self._now(), told["steps"], told["tokens"]
        if self._last is not None and now > self._last[0]:
            seconds = now - self._last[0]
            told["steps_a_second"] = round((steps - self._last[1]) / seconds, 1)
            told["tokens_a_second"] = round(max(tokens - self._last[2], 0) / seconds, 1)
        self._last = (now, steps, tokens)
        return told


def look(service: ChatService, journal: Journal) -> dict[str, Any]:
    """How the engine is now; of rates nothing is known at one look."""
    view, health = service.engine, service.health
    counts = service.counts
    names = {id(one.progress): one.id for one in journal.all_watched() if one.progress is not None}
    told = [_told(one, names.get(id(one.progress))) for one in view.in_play]
    under_way = sum(one.progress.completion_tokens for one in view.in_play)
    return {
        "state": "broken" if health.is_broken else "reloading" if health.is_reloading else "ready",
        "running": [one for one in told if one["admitted"]],
        "waiting": [one for one in told if not one["admitted"]],
        "max_running": service.status.max_running,
        "cache": {
            "block_tokens": view.block_tokens,
            "total": view.blocks,
            "in_use": view.blocks_in_use,
            "shared": view.blocks_shared,
        },
        "steps": counts.steps,
        "tokens": counts.completion_tokens + under_way,
        "steps_a_second": None,
        "tokens_a_second": None,
    }


def _told(one: InPlay, request_id: str | None) -> dict[str, Any]:
    progress = one.progress
    return {
        "id": request_id,
        "admitted": progress.admitted is not None,
        "prompt_tokens": progress.prompt_tokens,
        "completion_tokens": progress.completion_tokens,
        "max_tokens": one.max_tokens,
        "blocks": one.blocks,
        "shared": one.shared,
    }
