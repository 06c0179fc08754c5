"""What refuses Azure to clients of any kind, where they look up a name or name the server to TLS.

Our own client looks for itself (`PHI_ALLOW_REAL`). Of others nothing is known but what they all need: an address for a
name, and TLS for that name, which also those say that go through a proxy or have a resolver of their own. It must not
know pytest, and it loads nothing until a name is looked up that may be Azure's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from pytest_phi.when_loaded import WhenLoaded

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["AzureGuard", "is_of_azure"]

_PERHAPS: Final = ("azure", "microsoft", "windows.net", "169.254.169.254")
"""What the names of all of these have in them."""
_OF_TOKENS: Final = (
    ".microsoftonline.com",
    ".microsoftonline.us",
    ".partner.microsoftonline.cn",
    ".login.chinacloudapi.cn",
    ".login.windows.net",
    ".sts.windows.net",
    ".login.microsoft.com",
)
_METADATA: Final = "169.254.169.254"
"""Where Azure's machines ask for tokens."""


class AzureGuard:
    """Refuses Azure's endpoints to all clients of this process from `begin` to `end`, where `PHI_ALLOW_REAL` is 0."""

    def __init__(self) -> None:
        self.tokens_too = False
        """Whether the places where tokens are from are refused too: they may be for anything."""
        self.is_lifted = False
        """Whether nothing is refused."""
        self._replaced: list[tuple[Any, str, Any]] = []
        self._when_loaded = WhenLoaded(
            {
                "socket": self._sockets,
                "ssl": self._tls,
                "asyncio.base_events": lambda module: self._loops(module.BaseEventLoop),
                "uvloop": lambda module: self._loops(module.Loop),
                "winloop": lambda module: self._loops(module.Loop),
            }
        )

    def begin(self) -> None:
        """Look at each name from here on."""
        self._when_loaded.begin()

    def end(self) -> None:
        """All is as it was."""
        self._when_loaded.end()
        for place, name, value in reversed(self._replaced):
            if value is None:
                delattr(place, name)
            else:
                setattr(place, name, value)
        self._replaced.clear()

    def check(self, host: object) -> None:
        """Refuse a host by its name, or by an address where tokens are from.

        Raises:
            RealEndpointError: it is Azure's, and that is not allowed here.
            ConfigurationError: `PHI_ALLOW_REAL` says neither yes nor no.
        """
        if self.is_lifted or not isinstance(host, str | bytes | bytearray):
            return
        name = host if isinstance(host, str) else bytes(host).decode("ascii", "replace")
        name = name.lower().removesuffix(".")
        if not any(word in name for word in _PERHAPS) or not is_of_azure(name, tokens_too=self.tokens_too):
            return
        from phi_client._call.real_endpoints import is_allowed  # noqa: PLC0415 - it is slow to load
        from phi_client.testing import RealEndpointError  # noqa: PLC0415

        if not is_allowed(os.environ):
            raise RealEndpointError(
                f"the endpoint {name!r} is real, and `PHI_ALLOW_REAL` is 0, as it is in tests: nothing was sent. Lead "
                "the client to `phi_emulator.endpoint`, or allow it: `@pytest.mark.phi_real` for one test, "
                "`pytest --phi-real` for all"
            )

    def _replace(self, place: Any, name: str, value: Callable[[Any], Any]) -> None:
        """Have a function stand there that is made of what does."""
        own: Any = place.__dict__.get(name)
        self._replaced.append((place, name, own))
        setattr(place, name, value(getattr(place, name)))

    def _sockets(self, module: ModuleType) -> None:
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
            self._replace(module, name, self._looking_up)
        for name in ("connect", "connect_ex"):
            self._replace(module.socket, name, self._connecting)

    def _tls(self, module: ModuleType) -> None:
        for name in ("wrap_socket", "wrap_bio"):
            self._replace(module.SSLContext, name, self._naming_the_server)

    def _loops(self, loop: type) -> None:
        """An event loop may look up names in C, and is told of the server before it connects."""
        self._replace(loop, "getaddrinfo", self._looking_up_async)
        self._replace(loop, "create_connection", self._connecting_async)
        self._replace(loop, "start_tls", self._starting_tls)

    def _looking_up(self, look_up: Callable[..., Any]) -> Callable[..., Any]:
        def look_up_others(host: Any, *arguments: Any, **options: Any) -> Any:
            self.check(host)
            return look_up(host, *arguments, **options)

        return look_up_others

    def _connecting(self, connect: Callable[..., Any]) -> Callable[..., Any]:
        def connect_others(sock: Any, address: Any) -> Any:
            if isinstance(address, tuple):
                self.check(next(iter(cast("tuple[object, ...]", address)), None))
            return connect(sock, address)

        return connect_others

    def _naming_the_server(self, wrap: Callable[..., Any]) -> Callable[..., Any]:
        # The name is an option, or among what goes before: nothing else there is a text.
        def wrap_others(context: Any, *arguments: Any, **options: Any) -> Any:
            for one in (*arguments, options.get("server_hostname")):
                self.check(one)
            return wrap(context, *arguments, **options)

        return wrap_others

    def _looking_up_async(self, look_up: Callable[..., Any]) -> Callable[..., Any]:
        async def look_up_others(loop: Any, host: Any, *arguments: Any, **options: Any) -> Any:
            self.check(host)
            return await look_up(loop, host, *arguments, **options)

        return look_up_others

    def _connecting_async(self, connect: Callable[..., Any]) -> Callable[..., Any]:
        async def connect_others(
            loop: Any, factory: Any, host: Any = None, *arguments: Any, **options: Any
        ) -> Any:
            self.check(host)
            self.check(options.get("server_hostname"))
            return await connect(loop, factory, host, *arguments, **options)

        return connect_others

    def _starting_tls(self, start: Callable[..., Any]) -> Callable[..., Any]:
        async def start_others(loop: Any, *arguments: Any, **options: Any) -> Any:
            self.check(options.get("server_hostname"))
            return await start(loop, *arguments, **options)

        return start_others


def is_of_azure(name: str, *, tokens_too: bool) -> bool:
    """Whether a name is one of Azure's endpoints for models, by the contract, or one for tokens."""
    from phi_client.contract.dialects import DIALECTS  # noqa: PLC0415 - it is slow to load

    models = tuple({suffix for dialect in DIALECTS.values() for suffix in dialect.host_suffixes})
    if f".{name}".endswith(models):
        return True
    return tokens_too and (name == _METADATA or f".{name}".endswith(_OF_TOKENS))
