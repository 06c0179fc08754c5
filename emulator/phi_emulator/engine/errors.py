"""What an engine can't do, each as an exception of its own. Knows no engine."""

from __future__ import annotations

__all__ = [
    "EngineError",
    "EngineFailedError",
    "EngineStoppedError",
    "GuidanceError",
    "ModelLoadError",
    "PromptError",
    "PromptTooLongError",
    "QueueFullError",
    "QueueTimeoutError",
    "SequenceError",
    "UnscriptedError",
]


class EngineError(Exception):
    """The engine can't do what was asked."""


class ModelLoadError(EngineError):
    """The model's files can't be loaded; the message says what to do."""


class PromptError(EngineError):
    """The chat template refuses these messages."""


class PromptTooLongError(EngineError):
    """The prompt leaves no room for an answer in the context."""

    def __init__(self, prompt_tokens: int, context_length: int) -> None:
        super().__init__(f"the prompt has {prompt_tokens} tokens, the context holds {context_length}")
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


class UnscriptedError(EngineError):
    """A script answers, and it has no answer to this conversation; the message says why, and nothing of the text."""


class QueueFullError(EngineError):
    """As many requests are waiting as may wait."""

    def __init__(self, waiting: int, retry_after_s: int) -> None:
        super().__init__(f"{waiting} requests are waiting already")
        self.waiting = waiting
        self.retry_after_s = retry_after_s


class QueueTimeoutError(EngineError):
    """The request waited as long as one may wait, and has not begun."""

    def __init__(self, waited_s: float, retry_after_s: int) -> None:
        super().__init__(f"the request waited for {waited_s:g} s and could not begin")
        self.retry_after_s = retry_after_s


class SequenceError(EngineError):
    """The native engine refused this sequence or gave it up; it is well, and the others go on."""


class EngineFailedError(EngineError):
    """The native engine broke down, for all sequences."""


class EngineStoppedError(EngineError):
    """The engine is stopping or has stopped."""


class GuidanceError(EngineError):
    """A grammar that the engine can't follow; the message says why."""
