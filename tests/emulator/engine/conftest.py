"""Engines for the suites: each test that takes `engine` runs on the scripted one and on the bundled model.

The bundled model runs twice: by GenAI's Engine, where the installed build has it, and by Generators in a process.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from phi_emulator.engine.machine.builds import has_engine_api
from phi_emulator.engine.options import ModelOptions
from phi_emulator.engine.protocol import Engine
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.models import PreparedModel, resolve_model
from phi_emulator.models.genai_config import read_settings

from tests.emulator.engine.driver import Driver
from tests.emulator.loading import load_generator

ANSWER = "<think>17*24: as taught.</think>The answer is \\boxed{408}."


NO_ENGINE = "the installed ONNX Runtime GenAI is older than its Engine"


def make_scripted() -> Engine:
    return ScriptedEngine(lambda messages: ANSWER, max_running=8)


def make_ort(folder: Path | None = None, **given: Any) -> Engine:
    """GenAI's Engine on the bundled model, or another folder."""
    if not has_engine_api():
        pytest.skip(NO_ENGINE)
    from phi_emulator.engine.native.ort import OrtEngine  # noqa: PLC0415 - can't be imported there

    bundled = resolve_model()
    where = folder or bundled.folder
    clock = given.pop("clock", time.perf_counter)
    options = ModelOptions(**{"model": bundled.name} | given)
    return OrtEngine(PreparedModel.unprepared(where, read_settings(where)), options, clock=clock)


def make_generator() -> Engine:
    bundled = resolve_model()
    return load_generator(bundled.folder, model=bundled.name)


@pytest.fixture(params=[make_scripted, make_ort, make_generator], ids=["scripted", "ort", "generator"])
def make_engine(request: pytest.FixtureRequest) -> Callable[[], Engine]:
    factory: Callable[[], Engine] = request.param
    return factory


@pytest.fixture
def engine(make_engine: Callable[[], Engine]) -> Iterator[Engine]:
    engine = make_engine()
    yield engine
    engine.close()


@pytest.fixture(params=[make_ort, make_generator], ids=["ort", "generator"])
def make_native_engine(request: pytest.FixtureRequest) -> Callable[[], Engine]:
    factory: Callable[[], Engine] = request.param
    return factory


@pytest.fixture
def native_driver(make_native_engine: Callable[[], Engine]) -> Iterator["Driver"]:
    engine = make_native_engine()
    yield Driver(engine)
    engine.close()


@pytest.fixture
def ort() -> Iterator[Engine]:
    engine = make_ort()
    yield engine
    engine.close()


@pytest.fixture
def driver(engine: Engine) -> Driver:
    return Driver(engine)


@pytest.fixture
def ort_driver(ort: Engine) -> Driver:
    return Driver(ort)
