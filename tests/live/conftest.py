"""The deployments that the live tests ask: an emulator's for each dialect, and those of Azure in the environment."""

from __future__ import annotations

import datetime as dt
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pytest
from azure.identity import DefaultAzureCredential
from phi_emulator import Emulator, EmulatorConfig

from phi_client.contract.dialects import DIALECTS, Dialect, Endpoint, EndpointError, resolve_endpoint
from tests.live.scenarios import Target, scenarios_of

PREFIX: Final = "PHI_LIVE_"
DEPLOYMENT: Final = "phi-tiny-arith"
NOT_SET: Final = (
    f"no deployment of Azure is named: set {PREFIX}ENDPOINT, and {PREFIX}API_KEY or log in with `az login` "
    "(docs/how-to/run-against-azure.md)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-golden",
        metavar="FOLDER",
        help="store what Azure answered as golden files in FOLDER; theirs is tests/contract/wire",
    )


def words(environ: Mapping[str, str], name: str, count: int) -> list[str | None]:
    """The words of a setting, one for each endpoint; `-` and a missing setting are none."""
    given = environ.get(PREFIX + name, "").split()
    if given and len(given) != count:
        raise pytest.UsageError(f"{PREFIX}{name} has {len(given)} words, but {PREFIX}ENDPOINT has {count}")
    return [None if word == "-" else word for word in given] or [None] * count


def live_endpoints(environ: Mapping[str, str]) -> list[tuple[str, Endpoint, str | None, str | None]]:
    """Name, endpoint, key and model of each deployment that the environment names."""
    urls = environ.get(PREFIX + "ENDPOINT", "").split()
    keys, models, dialects = (words(environ, name, len(urls)) for name in ("API_KEY", "MODEL", "DIALECT"))
    found: list[tuple[str, Endpoint, str | None, str | None]] = []
    for number, (url, key, model, dialect) in enumerate(zip(urls, keys, models, dialects, strict=True), 1):
        try:
            endpoint = resolve_endpoint(url, dialect)
        except EndpointError as error:
            raise pytest.UsageError(f"{PREFIX}ENDPOINT: {error}") from error
        found.append((f"azure-{number}-{endpoint.dialect.name}", endpoint, key, model or endpoint.model))
    return found


def emulated(emulator: Emulator, dialect: str) -> Target:
    """The emulator's own deployment of a dialect."""
    endpoint = resolve_endpoint(emulator.endpoint_of(dialect))
    model = DEPLOYMENT if endpoint.dialect.needs_model else None
    return Target(f"emulator-{dialect}", endpoint, emulator.key, model=model)


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """An emulator with the bundled model that knows one deployment."""
    with Emulator(EmulatorConfig(port=0, deployments=(DEPLOYMENT,))) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def token_of() -> Callable[[str], str]:
    """Tokens of Entra ID by scope, each asked for once."""
    return functools.cache(lambda scope: DefaultAzureCredential().get_token(scope).token)


@pytest.fixture(scope="session")
def today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a `target` runs for each dialect of the emulator and each deployment of Azure.

    One that takes a `scenario` as well runs for those that the target's surface has.
    """
    if "target" not in metafunc.fixturenames:
        return
    places: list[tuple[str, str | int, Dialect]] = [
        (f"emulator-{name}", name, dialect) for name, dialect in DIALECTS.items()
    ]
    live = live_endpoints(os.environ)
    places += [(name, number, endpoint.dialect) for number, (name, endpoint, _, _) in enumerate(live)]
    skipped = [] if live else [pytest.mark.skip(reason=NOT_SET)]
    if "scenario" in metafunc.fixturenames:
        pairs = [
            pytest.param(where, scenario, id=f"{name}-{scenario}")
            for name, where, dialect in places
            for scenario in scenarios_of(dialect)
        ]
        none = [pytest.param(None, None, id="azure", marks=mark) for mark in skipped]
        metafunc.parametrize(("target", "scenario"), [*pairs, *none], indirect=["target"])
        return
    alone = [pytest.param(where, id=name) for name, where, _ in places]
    none = [pytest.param(None, id="azure", marks=mark) for mark in skipped]
    metafunc.parametrize("target", [*alone, *none], indirect=True)


@pytest.fixture
def target(request: pytest.FixtureRequest, emulator: Emulator, token_of: Callable[[str], str]) -> Target:
    """The deployment to ask."""
    if isinstance(request.param, str):
        return emulated(emulator, request.param)
    name, endpoint, key, model = live_endpoints(os.environ)[request.param]
    token = token_of(endpoint.dialect.token_scope) if key is None else None
    return Target(name, endpoint, key, token, model)
