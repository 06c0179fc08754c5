"""What an engine is: the protocol between the worker and whatever turns tokens into more tokens.

Knows sequences, tokens and sampling; knows nothing of HTTP, Azure, queues or threads. Two engines keep this protocol,
`ort` (ONNX Runtime GenAI) and `scripted` (a deterministic stand-in), and one test suite runs on both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from phi_emulator.engine.errors import EngineError

__all__ = [
    "EndReason",
    "Engine",
    "EngineInfo",
    "Marks",
    "Message",
    "Recital",
    "Sampling",
    "Step",
]


class Message(NamedTuple):
    """One message of a conversation, as the chat template takes it."""

    role: str
    content: str
    calls: str = ""
    """The tools that the assistant called, as `tool_calls.write_calls` has them; they follow the content."""
    tools: str = ""
    """With a system message: the tools that may be called, as a JSON list."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What an answer of this model is marked with, for whoever wants it in a form."""

    opens_reasoning: bool = False
    """The template opens the reasoning itself, so that an answer begins inside it."""
    call: tuple[str, str] = ("<tool_call>", "</tool_call>")
    """What stands before and after calls of tools."""
    tool_role: str = "tool"
    """The role of a message that holds what a tool answered."""


class EndReason(StrEnum):
    """Why a sequence ended."""

    STOP = "stop"
    """The model closed its turn, or a stop string appeared."""
    LENGTH = "length"
    """The limit of tokens was reached."""
    CONTENT_FILTER = "content_filter"
    """A recital says so; models don't."""
    TOOL_CALLS = "tool_calls"
    """A recital says so; models don't."""


@dataclass(frozen=True, slots=True)
class Recital:
    """A text to be said in the place of the model's own, in the model's tokens."""

    text: str
    cuts: Sequence[int] | None = None
    """Where its pieces end, in letters, ascending; the rest is the last one. `None`: a piece is a token."""
    end: EndReason = EndReason.STOP
    """Why it is said to end, if it comes to its end."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next tokens are chosen and when to end.

    `temperature` 0 is greedy. `seed` None draws anew each time. `max_tokens` is the number of tokens to generate at
    most and must leave room for the prompt in the context. `stop` strings end the text before themselves.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    guidance: str | None = None
    """A grammar that the answer keeps, from `grammar`; one that `check_guidance` took."""
    recital: Recital | None = None
    """What is said in the place of the model's answer; `engine.scripted.Reciting` says it for any engine."""


class Step(NamedTuple):
    """A token that a model step gave to a sequence, or its end, or both."""

    sequence: int
    token: int | None
    """The token id, or None when the step only ended the sequence (the end-of-turn token is not delivered)."""
    text: str
    """The text that this token completes; empty while a character is incomplete."""
    end: EndReason | None = None
    cached_prompt_tokens: int = 0
    """Prompt tokens that a prefix cache saved; set with `end`."""
    error: EngineError | None = None
    """What ended this sequence alone; there is no `end` then."""
    drafted_tokens: int = 0
    """Tokens that were proposed for the model step; on the first `Step` of several that it gives a sequence."""
    accepted_tokens: int = 0
    """Those of them that the model would have given as well; set with `drafted_tokens`."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What answers, and how much it can hold."""

    model: str
    """The model's name, as responses carry it."""
    source: str
    """Where the model's files are, for people."""
    execution_provider: str
    """As ONNX Runtime says: `CPUExecutionProvider`; `none` for the scripted engine."""
    context_length: int
    """Tokens of prompt and answer together."""
    max_running: int
    """Sequences that may run side by side."""
    block_size: int
    """Tokens in a block of the cache."""
    num_blocks: int
    """Blocks in the cache, shared by all running sequences."""
    batching: str = "continuous"
    """`continuous`: one joins at any step; `static`: it waits for those that run; `no`: they take turns."""
    fingerprint: str = ""
    """Model, graph, execution provider and versions: what must be equal for a seed to repeat an answer."""
    notes: tuple[str, ...] = ()
    """Limits that the user should read in the banner."""
    why: str = ""
    """How the execution provider was decided on."""
    threads: int | None = None
    """Threads that compute a step; None leaves it to ONNX Runtime, which takes one for each core."""
    rates: Mapping[int, float] = field(default_factory=dict[int, float])
    """Tokens a second of all together, by how many run side by side, as the calibration found; may be empty."""
    weights_bytes: int = 0
    """Memory that the loaded model takes, by experience; 0 where it is not known."""
    cache_bytes: int = 0
    """Memory that the cache of a pool may grow to; 0 where it is not known."""
    marks: Marks | None = None
    """How answers are marked; `None` where the engine has no guidance."""


class Engine(Protocol):
    """A model that runs several sequences, one step at a time.

    `info`, `encode` and `check_guidance` may be used from any thread; the others belong to the engine's own.

    What is wrong with one sequence is said of that one: `open` raises, or its `Step` has an `error`. Any other
    exception says that the engine itself is broken and is not to be used any more, but to be closed.
    """

    @property
    def info(self) -> EngineInfo:
        """What answers, and how much it can hold."""
        ...

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Render the chat template and return the token ids of the prompt.

        Raises:
            PromptError: the template refuses the messages.
            PromptTooLongError: they can't fit the context by far, and were not read to their end.
        """
        ...

    def prepare_guidance(self, grammar: str) -> None:
        """Build at once what the first of all grammars would have to wait for; any grammar will do.

        Raises:
            EngineError: this engine follows no grammar, or can't check any.
        """
        ...

    def check_guidance(self, grammar: str) -> None:
        """See whether a grammar can be followed, at a cost that others can bear.

        Raises:
            GuidanceError: it can't, or this engine follows none.
        """
        ...

    def pieces(self, text: str) -> Sequence[tuple[int, str]]:
        """The tokens that say a text, each with what it completes: as the model would have written it.

        Raises:
            EngineError: no tokens say it, or this engine can't tell.
        """
        ...

    def open(self, sequence: int, prompt: Sequence[int], sampling: Sampling) -> None:
        """Begin a sequence under a number of the caller's. Stop strings are the caller's business.

        Raises:
            GuidanceError: its grammar can't be followed; nothing was begun.
            SequenceError: the native engine won't have it; nothing was begun.
            EngineFailedError: the engine is broken.
        """
        ...

    def step(self) -> Iterable[Step]:
        """Run one model step for all open sequences, without holding the interpreter lock while the model works.

        A sequence may get several tokens in it. They are the ones that it would get one by one.
        """
        ...

    def release(self, sequence: int) -> int:
        """End a sequence and free its place; it does no harm to release one twice.

        Returns the prompt tokens that a prefix cache saved, for a sequence that did not come to its own end.
        """
        ...

    def close(self) -> None:
        """Free the model."""
        ...
