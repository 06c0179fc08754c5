"""Checks the key or the token of a request, as the dialect carries it. It must not know where either comes from."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Collection, Mapping

from starlette.types import Receive, Send

from phi_client.contract.service import Surface
from phi_client.contract.service.tokens import read_token
from phi_emulator.service.entra import Authority, check_token
from phi_emulator.service.errors import ServiceError
from phi_emulator.web.chain import Step
from phi_emulator.web.exchange import Exchange

__all__ = ["Gate", "is_same"]

logger = logging.getLogger("phi_emulator.web")


class Gate:
    """A link: lets a request pass that presents a key of its surface, or a token of `authority` for it.

    `key` opens every surface but those that `surface_keys` gives keys of their own, by the name of the dialect; a
    further key that `lets_in` knows opens all.
    """

    def __init__(
        self,
        key: str,
        authority: Authority,
        surface_keys: Mapping[str, Collection[str]] | None = None,
        lets_in: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._key = key
        self._authority = authority
        self._surface_keys = dict(surface_keys or {})
        self._lets_in = lets_in

    async def __call__(self, following: Step, exchange: Exchange, receive: Receive, send: Send) -> None:
        """Let the request pass.

        Raises:
            ServiceError: there is neither key nor token, or it is none of this surface.
        """
        if exchange.place.needs_key:
            await self._check(exchange.dialect, exchange.headers)
        await following(exchange, receive, send)

    async def _check(self, dialect: Surface, headers: Mapping[str, str]) -> None:
        token = read_token(headers)
        if token is None:
            self._check_key(dialect, headers)
            return
        try:
            # In a thread: the first token brings libraries with it.
            await asyncio.to_thread(check_token, self._authority, dialect, token)
        except ServiceError as error:
            logger.info("token refused on %s: %s", dialect.name, error)
            raise

    def _check_key(self, dialect: Surface, headers: Mapping[str, str]) -> None:
        given = dialect.read_key(headers)
        keys = self._surface_keys.get(dialect.name) or (self._key,)
        if not any([is_same(given, key) for key in keys]):  # noqa: C419 - each is compared, whichever fits
            if self._lets_in(given):
                return
            raise ServiceError(dialect.wrong_key)


def is_same(given: str, key: str) -> bool:
    """Whether both are equal, in a time that doesn't tell where they differ."""
    return hmac.compare_digest(given.encode(), key.encode())
