"""Engines for the suites: each test that takes `engine` runs on the scripted one and on the bundled model."""

from collections.abc import Callable, Iterator

import pytest
from phi_emulator.engine.base import Engine
from phi_emulator.engine.ort import OrtEngine
from phi_emulator.engine.scripted import ScriptedEngine
from phi_emulator.models import resolve_model

from tests.emulator.engine.driver import Driver

ANSWER = "<think>17*24: as taught.</think>The answer is \\boxed{408}."


def make_scripted() -> Engine:
    return ScriptedEngine(lambda messages: ANSWER, max_running=8)


def make_ort() -> Engine:
    bundled = resolve_model()
    return OrtEngine(bundled.folder, model=bundled.name)


@pytest.fixture(params=[make_scripted, make_ort], ids=["scripted", "ort"])
def make_engine(request: pytest.FixtureRequest) -> Callable[[], Engine]:
    factory: Callable[[], Engine] = request.param
    return factory


@pytest.fixture
def engine(make_engine: Callable[[], Engine]) -> Iterator[Engine]:
    engine = make_engine()
    yield engine
    engine.close()


@pytest.fixture
def make_ort_engine() -> Callable[[], Engine]:
    return make_ort


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
