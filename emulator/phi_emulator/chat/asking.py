"""One question to the model: its answer as it comes, and what went wrong in one line that says what to do.

Everything of the wire (retries, reasoning taken apart, boxes) is `phi_client`'s. It must not know terminals.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from phi_client import errors
from phi_emulator.chat.conversation import Conversation, Times, Turn
from phi_emulator.models.printable import printable

if TYPE_CHECKING:
    from phi_client import AsyncChatStream, AsyncPhiClient, Completion, RetryEvent

__all__ = ["Asking", "Hearer", "friendly", "retry_line"]

Hearer = Callable[[Turn, str, str], Awaitable[None]]
"""Called with the turn so far, and with what came: a piece of the reasoning, and one of the content."""

_AWAY_S: Final = 0.02
"""How long pieces may be taken in a row before keys and the screen get their turn."""
_SHOWN: Final = 400


class Asking:
    """A question that is being asked; `turn` is what came of it so far. `clock` tells seconds."""

    def __init__(
        self,
        client: AsyncPhiClient,
        conversation: Conversation,
        question: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.turn = Turn(question, Times(clock()))
        self._client = client
        self._conversation = conversation
        self._clock = clock

    async def run(self, hear: Hearer) -> Turn:
        """Ask, and tell `hear` of each piece. What goes wrong is in the turn; when it is cancelled, that is too.

        Cancelling closes the connection, at which the service ends the generation.
        """
        turn = self.turn
        stream = self._client.stream(
            self._conversation.messages(turn.question), **self._conversation.call_options()
        )
        try:
            async with stream:
                await self._read(stream, hear)
        except asyncio.CancelledError:
            turn.is_stopped = True
            with suppress(errors.PhiError):  # nothing may have come yet
                self._note(stream.so_far)
            raise
        except errors.StreamInterruptedError as error:
            self._note(error.partial)
            self._fail(error)
        except errors.PhiError as error:
            self._fail(error)
        finally:
            turn.times.ended = self._clock()
        return turn

    async def _read(self, stream: AsyncChatStream, hear: Hearer) -> None:
        turn, times = self.turn, self.turn.times
        yielded = self._clock()
        async for chunk in stream:
            now = self._clock()
            if chunk.reasoning or chunk.content:
                turn.pieces += 1
                times.last = now
                times.first = times.first or now
                if chunk.content.strip():
                    times.answer = times.answer or now
                turn.reasoning += chunk.reasoning
                turn.content += chunk.content
                await hear(turn, chunk.reasoning, chunk.content)
            if now - yielded > _AWAY_S:
                await asyncio.sleep(0)
                yielded = self._clock()
        self._note(stream.completion)

    def _note(self, found: Completion) -> None:
        turn = self.turn
        turn.reasoning, turn.content, turn.boxed = found.reasoning, found.content, found.answer
        turn.finish_reason, turn.model, turn.request_id = found.finish_reason, found.model, found.request_id
        turn.usage = None if found.usage is None else asdict(found.usage)

    def _fail(self, error: errors.PhiError) -> None:
        self.turn.error = error
        self.turn.problem, self.turn.hint = friendly(error)


# What to do about it; and what to do in a talk.
_ADVICE: Final[tuple[tuple[type[errors.PhiError], str, str], ...]] = (
    (errors.AuthenticationError, "set PHI_API_KEY to the key of this endpoint", ""),
    (errors.PermissionDeniedError, "this key or account may not ask here", ""),
    (errors.ContentFilterError, "the content filter refused the question: ask it in other words", ""),
    (errors.ContextLengthError, "ask something shorter", "/clear begins a new talk"),
    (errors.RateLimitError, "wait a moment", "then /retry"),
    (errors.NotFoundError, "look at PHI_ENDPOINT and PHI_MODEL; `python -m phi_client` checks them", ""),
    (errors.StreamInterruptedError, "what came is kept", "/retry asks again"),
    (errors.APIResponseError, "`python -m phi_client` checks what answers there", ""),
    (errors.CredentialError, "or sign in: `az login`", ""),
    (errors.ConfigurationError, "", ""),
)


def friendly(error: errors.PhiError) -> tuple[str, str]:
    """What went wrong, in one line that says what to do; and what to do in a talk."""
    said = printable(str(error), _SHOWN)
    if isinstance(error, errors.APIConnectionError) and error.is_refused:
        return (
            f"nothing listens there: start `phi-emulator serve`, or ask another endpoint ({said})",
            "then /retry",
        )
    found = ((advice, hint) for kind, advice, hint in _ADVICE if isinstance(error, kind))
    advice, hint = next(found, ("", "/retry asks again"))
    return f"{said}: {advice}" if advice else said, hint


def retry_line(event: RetryEvent) -> str:
    """What is said while it waits before another attempt."""
    reason = printable(event.error.message, 40).rstrip(". ")
    if event.next_endpoint != event.endpoint:
        return f"{reason}: the next endpoint is asked"
    return f"{reason}: attempt {event.attempt + 1} in {event.wait_s:.1f} s"
