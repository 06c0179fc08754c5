"""What answers, as the service sees it: something that takes prompts and gives texts in the making.

Must not know how. `Worker` is one; whatever else answers (a recording, another process) keeps this protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from phi_emulator.engine.protocol import EngineInfo, Message, Sampling
from phi_emulator.engine.serving.generation import Generation, Progress
from phi_emulator.engine.serving.text import TextMachine

__all__ = ["AnswerSource", "Counts", "EngineView", "InPlay", "SourceStatus"]


class SourceStatus(NamedTuple):
    """How the engine is, and how busy."""

    is_broken: bool
    """It answers nothing any more."""
    running: int
    waiting: int
    is_reloading: bool = False
    """It broke and is being loaded again; requests wait meanwhile."""
    reloads: int = 0
    """How often it was loaded again."""
    trouble: str = ""
    """Why it broke last."""


@dataclass(frozen=True, slots=True)
class InPlay:
    """A request that runs or waits."""

    progress: Progress
    """How far it has come, and by which whoever asked knows it again."""
    max_tokens: int
    """Tokens that its answer may have."""
    blocks: int
    """Blocks of the cache that it takes now, those that it shares too; 0 while it waits."""
    shared: int
    """Those of them that another running one begins with as well."""


@dataclass(frozen=True, slots=True)
class EngineView:
    """Who runs, who waits, and what they take of the cache.

    Blocks are counted from prompts and tokens, as the engine lays them; what it keeps of requests that have ended is
    not in use.
    """

    in_play: tuple[InPlay, ...] = ()
    """Those that run, then those that wait."""
    block_tokens: int = 0
    """Tokens in a block."""
    blocks: int = 0
    """Blocks that there are; 0 where they are not known."""
    blocks_in_use: int = 0
    """Each that is shared counts once."""
    blocks_shared: int = 0
    """Those that several running ones begin with."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the requests so far, and how many tokens they took."""

    ended: int = 0
    cancelled: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    """Prompt tokens that were not computed, because a request before had begun with them."""
    completion_tokens: int = 0
    drafted_tokens: int = 0
    """Tokens that were proposed to be checked several at a time."""
    accepted_tokens: int = 0
    """Those of them that the model gave as well: steps that were saved."""
    steps: int = 0
    """Steps that the model has begun: tokens of answers, or chunks of prompts, of all that run together."""


class AnswerSource(Protocol):
    """Answers for any number of event loops.

    `start` comes first and `stop` last, both from any thread. `encode`, `check_guidance` and `submit` belong to an
    event loop, and never block it.
    """

    def start(self) -> EngineInfo:
        """Get ready; return when it can answer.

        Raises:
            ModelLoadError: it can't; the message says what to do.
        """
        ...

    def stop(self) -> None:
        """Fail what is still running or waiting, and free everything. Blocks; does no harm twice."""
        ...

    @property
    def info(self) -> EngineInfo:
        """What answers, and how much it can hold; once started."""
        ...

    @property
    def status(self) -> SourceStatus:
        """How it is, and how busy."""
        ...

    @property
    def counts(self) -> Counts:
        """What became of the requests so far."""
        ...

    @property
    def view(self) -> EngineView:
        """Who runs and who waits now."""
        ...

    async def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's token ids. They go to `submit` as they are: a source may know them again.

        Raises:
            EngineError: the messages can't be taken, or nothing answers any more.
        """
        ...

    async def check_guidance(self, grammar: str) -> None:
        """See whether answers can follow a grammar.

        Raises:
            GuidanceError: they can't.
            EngineError: nothing answers any more.
        """
        ...

    def submit(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        watch: TextMachine | None = None,
        received: float | None = None,
    ) -> Generation:
        """Begin an answer, for the event loop that is running.

        `watch` sees the text after the stop strings, and may change or end it. `received` is when the request came in,
        in seconds of the clock that the source was given; without it that is now.

        Raises:
            PromptTooLongError: prompt and `max_tokens` don't fit the context.
            QueueFullError: too many requests are waiting.
            EngineError: nothing answers any more.
        """
        ...
