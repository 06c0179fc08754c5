"""Asking a credential for tokens: one ask at a time serves all who wait, and nobody waits beyond the deadline.

It must not know where tokens go, nor import azure-identity before a token is needed. A sync credential is asked on a
thread of its own, because nothing could interrupt it; an async one in a task of its event loop, which goes on when one
of those who wait for it is cancelled.

    ask ──good, and another renews──> the token that is there
     ├──nobody asks──> one ask begins ──┐
     └──one is under way────────────────┴──> its outcome, to each who waits
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from phi_client._call.errors import ConfigurationError, CredentialError
from phi_client._call.fork_lock import ForkSafeLock, renew_in_children
from phi_client._call.real_endpoints import refuse_entra
from phi_client._call.tokens import (
    USUAL,
    AccessToken,
    AsyncTokenCredential,
    TokenCredential,
    Tokens,
    Way,
)
from phi_client._wire.background import Job
from phi_client._wire.connection_state import bounded

if TYPE_CHECKING:
    import asyncio

    from phi_client._call.steps import AskToken

__all__ = [
    "AccessToken",
    "AsyncCredentials",
    "AsyncTokenCredential",
    "Credentials",
    "TokenCredential",
    "check_credential",
    "default_credential",
]


@dataclass(frozen=True, slots=True)
class _Ask:
    """An ask under way."""

    way: Way
    job: Job[AccessToken]

    def outcome(self) -> AccessToken:
        """What came of it. Each who waits has an error of their own: they are told of different calls."""
        try:
            return self.job.result()
        except CredentialError as error:
            raise copy.copy(error) from error.__cause__


class _Asks:
    """The asks for one lane's token, of which there is one at a time."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._lock = ForkSafeLock()
        self._ask: _Ask | None = None
        renew_in_children(self)

    def begin(
        self,
        way: Way,
        seen: AccessToken | None,
        start: Callable[[_Ask], None],
    ) -> AccessToken | _Ask:
        """A token that will do, or the ask to wait for. `seen` was the current token when the caller came."""
        tokens, made = self._tokens, _Ask(way, Job())
        try:
            with self._lock:
                current, good = tokens.current, tokens.good
                if good is not None and good is current and current is not seen:
                    return good
                under_way = self._ask if self._ask is not None and not self._ask.job.is_done else None
                if way == USUAL and good is not None and (under_way is not None or not tokens.is_due):
                    return good
                if under_way is not None:
                    return under_way
                self._ask = made
            start(made)
        except BaseException as error:
            made.job.give_up(error)
            raise
        return made

    def renew(self) -> None:
        """Ask anew: this is a forked child, and whoever asks is not in it."""
        self._ask = None


class Credentials:
    """A sync credential and the token that it gave; without one, `DefaultAzureCredential` of azure-identity."""

    def __init__(self, tokens: Tokens, credential: TokenCredential | None) -> None:
        self.tokens = tokens
        self._credential = credential
        self._asks = _Asks(tokens)

    def ask(self, step: AskToken) -> AccessToken:
        """The token that `step` asks for.

        Raises:
            CredentialError: there is none.
            APITimeoutError: the deadline passed first.
            RealEndpointError: Entra ID is not to be asked.
        """
        refuse_entra(self._credential)
        seen, deadline = self.tokens.current, step.limits.deadline
        while True:
            deadline.check(request_sent=False)
            found = self.begin(step.way, seen)
            if not isinstance(found, _Ask):
                return found
            if not found.job.wait(bounded(deadline.left_s)):
                raise deadline.reached(request_sent=False)
            if found.way == step.way:
                return found.outcome()

    def begin(self, way: Way, seen: AccessToken | None) -> AccessToken | _Ask:
        """A token that will do, or the ask to wait for, which runs on a thread."""
        return self._asks.begin(way, seen, lambda ask: ask.job.start(lambda: self._get(way)))

    def _get(self, way: Way) -> AccessToken:
        try:
            if self._credential is None:
                self._credential = default_credential()
            return self.tokens.keep(self._credential.get_token(self.tokens.scope, **way.arguments))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # credentials are foreign code and raise anything
            return self.tokens.without(self._credential, error, way)


class AsyncCredentials:
    """As `Credentials`, with an async credential; without one, the sync default on a thread, which needs no aiohttp.

    Each event loop asks for itself: what an async credential holds belongs to a loop.
    """

    def __init__(self, tokens: Tokens, credential: AsyncTokenCredential | None) -> None:
        self.tokens = tokens
        self._credential = credential
        self._default = Credentials(tokens, None) if credential is None else None
        self._asks: dict[asyncio.AbstractEventLoop, _Asks] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, step: AskToken) -> AccessToken:
        """The token that `step` asks for.

        Raises:
            CredentialError: there is none.
            APITimeoutError: the deadline passed first.
            ConfigurationError: no event loop of asyncio runs, or Entra ID is not to be asked.
        """
        refuse_entra(self._credential)
        from phi_client._wire.async_waiting import finished, running_loop  # noqa: PLC0415  # asyncio

        loop = running_loop()
        seen, deadline = self.tokens.current, step.limits.deadline
        while True:
            deadline.check(request_sent=False)
            found = self._begin(loop, step.way, seen)
            if not isinstance(found, _Ask):
                return found
            try:
                await finished(found.job, bounded(deadline.left_s))
            except TimeoutError:
                raise deadline.reached(request_sent=False) from None
            if found.way == step.way:
                return found.outcome()

    def _begin(
        self, loop: asyncio.AbstractEventLoop, way: Way, seen: AccessToken | None
    ) -> AccessToken | _Ask:
        if self._default is not None:
            return self._default.begin(way, seen)
        asks = self._asks.get(loop)
        if asks is None:
            for other in [one for one in list(self._asks) if one.is_closed()]:
                self._asks.pop(other, None)
            asks = self._asks.setdefault(loop, _Asks(self.tokens))

        def start(ask: _Ask) -> None:
            task = loop.create_task(self._get(ask))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return asks.begin(way, seen, start)

    async def _get(self, ask: _Ask) -> None:
        tokens, credential = self.tokens, cast("AsyncTokenCredential", self._credential)
        try:
            ask.job.finish(tokens.keep(await credential.get_token(tokens.scope, **ask.way.arguments)))
        except BaseException as error:
            # A refresh that was cancelled within the credential is its failure, and cancels nobody who waits.
            try:
                ask.job.finish(tokens.without(credential, error, ask.way))
            except CredentialError as failure:
                ask.job.give_up(failure)
            # Out of a task `SystemExit` would end the loop, over the heads of all others.
            if isinstance(error, KeyboardInterrupt):
                raise


def check_credential(credential: object, *, is_async: bool) -> None:
    """Refuse a credential that is none, or is of the other kind than the client.

    Raises:
        ConfigurationError: the message says which one to pass.
    """
    get_token = getattr(credential, "get_token", None)
    if not callable(get_token):
        raise ConfigurationError("`credential` has no `get_token`: pass a credential of azure-identity")
    if inspect.iscoroutinefunction(get_token) != is_async:
        right = "azure.identity.aio" if is_async else "azure.identity"
        client = "AsyncPhiClient" if is_async else "PhiClient"
        raise ConfigurationError(f"`{client}` needs a credential of `{right}`")


def default_credential() -> TokenCredential:
    """azure-identity's way of finding who one is: environment, managed identity, the tools one signed in with."""
    # Importing azure-identity takes about half a second, which a key never needs.
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    return cast("TokenCredential", DefaultAzureCredential())
