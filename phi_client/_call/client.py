"""What both clients are before they send: settings, lanes, a clock, and how options become a call.

It must not send anything, and must not know whether it is sync or async.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack

from phi_client._call.clock_of_clients import ClockOfClients
from phi_client._call.deadline import Deadline
from phi_client._call.errors import ConfigurationError
from phi_client._call.exchange import Exchange, chat_exchange, info_exchange
from phi_client._call.flow import Call, Lane
from phi_client._call.log import warn_of_retirement
from phi_client._call.options import CallOptions, CompletionOptions
from phi_client._call.retrying import RetryHook
from phi_client._call.targets import Settings
from phi_client._call.wrong_words import missing_attribute
from phi_client.contract.clock.base import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from phi_client._call.request_types import Message
    from phi_client._call.steps import Watcher

__all__ = ["BaseClient"]


class BaseClient:
    """A client without its I/O."""

    _settings: Settings
    _lanes: Sequence[Lane]
    _on_retry: RetryHook | None
    _clock: Clock
    _owns_connections: bool

    def _set_up(self, settings: Settings, lanes: Sequence[Lane], on_retry: RetryHook | None) -> None:
        for target in settings.targets:
            warn_of_retirement(target.endpoint.dialect.retirement)
        self._settings = settings
        self._lanes = lanes
        self._on_retry = on_retry
        self._owns_connections = True
        self._go_by(ClockOfClients.current)

    def _go_by(self, clock: Clock) -> None:
        """Let limits, waits and chance be a clock's from here on."""
        self._clock = clock
        for lane in self._lanes:
            if lane.tokens is not None:
                lane.tokens.now = clock.unix

    def with_options(self, **options: Unpack[CompletionOptions]) -> Self:
        """A copy with other defaults that shares the connections; closing the copy leaves them open.

        Raises:
            ConfigurationError: an option can't work.
        """
        copy = self._copy()
        copy._settings = self._settings.with_options(options)
        return copy

    if not TYPE_CHECKING:  # for type checkers an attribute that is not there must stay a mistake

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(missing_attribute(name, "client", dir(type(self))))

    def __repr__(self) -> str:
        endpoints = " ".join(lane.target.endpoint.base_url for lane in self._lanes)
        return (
            f"{type(self).__name__}({endpoints!r}, dialect={self._lanes[0].target.endpoint.dialect.name!r})"
        )

    def __copy__(self) -> Self:
        """As `with_options` without any."""
        return self._copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """As `with_options` without any: connections can't be copied."""
        return self._copy()

    def __getstate__(self) -> NoReturn:
        """Refuse to be pickled: a client holds connections and its key.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"a {type(self).__name__} can't be pickled: it holds connections and a key; make one in each process"
        )

    def _copy(self) -> Self:
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        copy._owns_connections = False
        return copy

    def _deadline(self, options: CompletionOptions) -> Deadline:
        """The deadline of a call with these options, which begins now."""
        return Deadline.of(
            self._settings.options.merged(options).deadline_s, self._clock.now, self._clock.virtual
        )

    def _chat(
        self,
        messages: str | Sequence[Message],
        options: CompletionOptions,
        *,
        stream: bool = False,
        deadline: Deadline | None = None,
        watcher: Watcher | None = None,
    ) -> Call:
        """A chat completion as a call; errors as of `complete`, as far as nothing was sent."""
        merged = self._settings.options.merged(options)
        make = partial(chat_exchange, options=merged, messages=messages, stream=stream)
        return self._call(make, merged, deadline, watcher)

    def _info(self, options: CompletionOptions) -> Call:
        """The question which model answers, as a call."""
        merged = self._settings.options.merged(options)
        return self._call(partial(info_exchange, options=merged), merged)

    def _call(
        self,
        make: Callable[..., Exchange],
        options: CallOptions,
        deadline: Deadline | None = None,
        watcher: Watcher | None = None,
    ) -> Call:
        call_id = str(uuid.uuid4())
        # For all endpoints at once: what can't work at one of them is said before anything is sent.
        exchanges = [make(lane.target, call_id=call_id) for lane in self._lanes]
        return Call(
            self._lanes,
            exchanges,
            clock=self._clock,
            deadline=deadline or Deadline.of(options.deadline_s, self._clock.now, self._clock.virtual),
            on_retry=self._on_retry,
            fallback_on=self._settings.fallback_on,
            watcher=watcher,
        )
