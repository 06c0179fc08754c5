"""One emulator with the bundled model for the suite, on a free port, over real sockets."""

from collections.abc import Iterator

import pytest
from phi_emulator import Emulator, EmulatorConfig

QUESTION = "What is 17 * 24?"


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with Emulator(EmulatorConfig(port=0)) as emulator:
        yield emulator


@pytest.fixture(params=["", "/serverless", "/managed-compute"], ids=["root", "serverless", "managed_compute"])
def endpoint(request: pytest.FixtureRequest, emulator: Emulator) -> str:
    """A base URL for each surface that speaks chat completions."""
    prefix: str = request.param
    return emulator.endpoint + prefix
