"""How a request proves who sends it: a key, or a token of Entra ID.

It must not know options or retries, nor load what only tokens need when there is a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phi_client._wire.http import Auth, Request, Response

if TYPE_CHECKING:
    from collections.abc import Generator

    from phi_client._call.targets import Target
    from phi_client._wire.credentials import AsyncTokenCredential, TokenCredential

__all__ = ["KeyAuth", "auth_for"]


class KeyAuth(Auth):
    """Sets the header that carries the key; the same for sync and async."""

    def __init__(self, header: str, value: str) -> None:
        self._header = header
        self._value = value

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Add the key, and send."""
        request.headers[self._header] = self._value
        yield request


def auth_for(
    target: Target, credential: TokenCredential | AsyncTokenCredential | None, *, is_async: bool
) -> Auth:
    """The way in which a client proves itself: its key, else its credential, else the default credential.

    Raises:
        ConfigurationError: `credential` is of the other kind than the client.
    """
    dialect = target.endpoint.dialect
    if target.api_key is not None:
        return KeyAuth(*dialect.write_key(target.api_key))
    from phi_client._wire.credentials import check_credential  # noqa: PLC0415  # a key needs none of this
    from phi_client._wire.token_auth import TokenAuth  # noqa: PLC0415

    if credential is not None:
        check_credential(credential, is_async=is_async)
    return TokenAuth(credential, target.scope)
