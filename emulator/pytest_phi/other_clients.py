"""What refuses Azure to clients of any kind while a test uses the emulator: names that are not looked up.

It must not know pytest. Our own client looks for itself (`PHI_ALLOW_REAL`); others are met where a name becomes an
address, in this process, by Python's own resolver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from phi_client.contract.dialects import DIALECTS
from phi_client.testing import RealEndpointError

__all__ = ["refuse_azure"]

_SUFFIXES: Final = tuple(
    {suffix for dialect in DIALECTS.values() for suffix in dialect.host_suffixes}
    | {
        ".microsoftonline.com",
        ".microsoftonline.us",
        ".partner.microsoftonline.cn",
        ".chinacloudapi.cn",
        ".windows.net",
        ".login.microsoft.com",
    }
)
_METADATA: Final = "169.254.169.254"
"""Where Azure's machines ask for tokens."""


def refuse_azure(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """`socket.getaddrinfo` without Azure's endpoints for models and tokens."""

    def look_up_others(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
        name = name.lower().removesuffix(".")
        if name == _METADATA or f".{name}".endswith(_SUFFIXES):
            raise RealEndpointError(
                f"the endpoint {name!r} is real, and this test uses the emulator: nothing was sent. Lead the client to "
                "`phi_emulator.endpoint`, or mark the test with `@pytest.mark.phi_real`"
            )
        return look_up(host, *arguments, **options)

    return look_up_others
