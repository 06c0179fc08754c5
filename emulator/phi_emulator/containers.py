"""An emulator in a container, for tests that start what they need by testcontainers.

It must not import the emulator: who asks one in a container needs the client and testcontainers alone. The image is
built from `examples/docker/Dockerfile`.
"""

from __future__ import annotations

import secrets
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from phi_client.contract.emulator import EMULATOR_PORT, EMULATOR_READY
from phi_client.contract.loopback import is_loopback

try:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import WaitStrategy, WaitStrategyTarget
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'phi_emulator.containers needs {error.name}: run  python -m pip install "phi-client[containers]"',
        name=error.name,
    ) from None

__all__ = ["ContainerError", "PhiEmulatorContainer"]

_IMAGE: Final = "phi-emulator"
_FILES: Final = "/etc/phi-emulator"
_START_SECONDS: Final = 60
_ASK_SECONDS: Final = 2.0
_LOOK_EVERY_S: Final = 0.1
_ENDED: Final = ("exited", "dead", "removing")
_LAST_LINES: Final = 20


class ContainerError(RuntimeError):
    """The emulator in a container did not get ready; the message ends with what it said last."""


class PhiEmulatorContainer(DockerContainer):
    """An emulator in a container of its own, with a key of its own, on a free port of this machine.

    It is ready when `start()` returns, or the block of `with` begins, and gone when the block ends.

    Args:
        image: what was built from `examples/docker/Dockerfile`; the name under which the guide builds it.
        key: what callers must present; by default one that is made up for this container.
        start_seconds: how long it may take until it answers, in seconds.
        options: what else `DockerContainer` takes, such as `network` and `network_aliases`.
    """

    def __init__(
        self,
        image: str = _IMAGE,
        *,
        key: str | None = None,
        start_seconds: float = _START_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(image, **options)
        self.key: Final = key or secrets.token_hex(16)
        """What callers must present."""
        self.with_exposed_ports(EMULATOR_PORT)
        self.with_env("PHI_EMULATOR_KEY", self.key)
        self.waiting_for(_Ready(start_seconds))

    @property
    def endpoint(self) -> str:
        """The URL at which clients on this machine reach it; what `PHI_ENDPOINT` takes."""
        host = self.get_container_host_ip()
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{self.get_exposed_port(EMULATOR_PORT)}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point `PhiClient()` at it, for `monkeypatch.setenv` or a process that is started."""
        variables = {"PHI_ENDPOINT": self.endpoint, "PHI_API_KEY": self.key}
        if not is_loopback(self.get_container_host_ip()):
            # A Docker on another machine: the client takes plain http to it only where it is told to.
            variables["PHI_ALLOW_HTTP"] = "1"
        return variables

    def with_faults(self, file: str | Path) -> Self:
        """Give it rules for faults, as `phi-emulator serve --faults`; a copy of the file is put into the container."""
        return self.with_env("PHI_EMULATOR_FAULTS", self._with_file(file))

    def with_script(self, file: str | Path) -> Self:
        """Let it answer what a script says, as `--model scripted:FILE`; a copy is put into the container."""
        return self.with_env("PHI_EMULATOR_MODEL", f"scripted:{self._with_file(file)}")

    def _with_file(self, file: str | Path) -> str:
        path = Path(file)
        inside = f"{_FILES}/{path.name}"
        self.with_copy_into_container(path.read_bytes(), inside)
        return inside


class _Ready(WaitStrategy):
    """Waits until the emulator is ready, and no longer than its container runs."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._startup_timeout = seconds

    def wait_until_ready(self, container: WaitStrategyTarget) -> None:
        host = container.get_container_host_ip()
        url = f"http://{host}:{container.get_exposed_port(EMULATOR_PORT)}{EMULATOR_READY}"
        until = time.monotonic() + self._startup_timeout
        while not _answers(url):
            container.reload()
            if container.status in _ENDED:
                raise ContainerError(
                    f"the emulator in the container ended by itself:\n{_last_words(container)}"
                )
            if time.monotonic() > until:
                raise ContainerError(
                    f"the emulator in the container was not ready within {self._startup_timeout:g} s:\n"
                    f"{_last_words(container)}"
                )
            time.sleep(_LOOK_EVERY_S)


def _answers(url: str) -> bool:
    # Nobody's proxy stands between this machine and its containers.
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=_ASK_SECONDS) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (HTTPError, URLError, OSError):
        return False


def _last_words(container: WaitStrategyTarget) -> str:
    said = b"".join(container.get_logs()).decode("utf-8", "replace")
    return "\n".join(said.splitlines()[-_LAST_LINES:])
