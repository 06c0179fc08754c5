"""A store in a folder of the test's own, a hub on loopback, and stock models with their rewritten graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from phi_emulator.models.store.catalog import PHI_4_MINI_REASONING
from phi_emulator.models.store.download import Hub
from phi_emulator.models.store.pull import pull
from phi_emulator.models.store.store import Store, StoredModel

from tests.emulator.models.paged_pool import Convert, StockGraph
from tests.emulator.models.stock_models import Stock, rewrite, write_stock_model
from tests.hub_server import HubServer


class Heard:
    """A progress that only remembers."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int]] = []
        self.counts: list[int] = []

    def begin(self, text: str, total: int, done: int = 0) -> None:
        self.stages.append((text, total, done))

    def advance(self, count: int) -> None:
        self.counts.append(count)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    ticks = iter(range(1, 1000))
    return Store(tmp_path / "home", clock=lambda: next(ticks))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with HubServer() as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    """How long the hub's client waited between attempts."""
    return []


@pytest.fixture
def hub(server: HubServer, waits: list[float]) -> Iterator[Hub]:
    hub = Hub(server.endpoint, sleep=waits.append)
    yield hub
    hub.close()


Pull = Callable[..., StoredModel]


@pytest.fixture(name="pull")
def _pull(store: Store, hub: Hub, heard: Heard) -> Pull:
    """Pulls the CPU variant of the real model's name from the test's hub into the test's store."""

    def run(**options: Any) -> StoredModel:
        entry = PHI_4_MINI_REASONING
        variant = entry.variant()
        assert variant is not None
        return pull(store, hub.plan(entry, variant), hub, heard, **options)[0]

    return run


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """Writes a stock model, and its rewritten graph beside; the stock graph, and the other's folder."""

    def make(stock: Stock, *, context_length: int | None = None, **more: Any) -> tuple[StockGraph, Path]:
        folder = write_stock_model(tmp_path / "stock", stock)
        rewrite(folder, context_length=context_length or stock.tables[-1], **more)
        return StockGraph(folder), folder / "paged"

    return make
