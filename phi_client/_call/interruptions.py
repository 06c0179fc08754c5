"""Errors that carry what came of an answer."""

from phi_client._call.completion import Completion
from phi_client._call.errors import APIConnectionError, PhiError
from phi_client.contract.answers import Usage
from phi_client.contract.error_body import ErrorBody

__all__ = ["ParseError", "ReasoningTruncatedError", "StreamInterruptedError"]


class StreamInterruptedError(APIConnectionError):
    """A stream stopped before its end; `partial` holds text, reasoning and usage so far."""

    def __init__(self, message: str, *, partial: "Completion", body: ErrorBody | None = None) -> None:
        super().__init__(message, request_sent=True)
        self.client_request_id = partial.client_request_id
        self.partial = partial
        self.body = body

    def _facts(self) -> list[str]:
        """What remains of the answer, counted; its text is in `partial` only."""
        kept = f"kept {len(self.partial.reasoning)} characters of reasoning"
        facts = [f"{kept} and {len(self.partial.content)} of content in `partial`"]
        if self.partial.request_id:
            facts.append(f"request id {self.partial.request_id}")
        return facts


class ParseError(PhiError):
    """The content does not fit the model that `parse()` was asked for, or holds no JSON.

    `problems` says what is wrong, without the values; `completion` is the last answer; `spent` and `asks` count all
    answers of the call.
    """

    def __init__(
        self,
        message: str,
        *,
        completion: "Completion",
        problems: tuple[str, ...],
        spent: "Usage | None",
        asks: int,
    ) -> None:
        super().__init__(message)
        self.completion = completion
        self.problems = problems
        self.spent = spent
        self.asks = asks

    def _facts(self) -> list[str]:
        asked = [f"asked {self.asks} times"] if self.asks > 1 else []
        return [*asked, *([f"request id {self.completion.request_id}"] if self.completion.request_id else [])]


class ReasoningTruncatedError(PhiError):
    """The budget of tokens ended inside the reasoning, so that there is no answer; `partial` holds what came."""

    def __init__(self, partial: "Completion") -> None:
        super().__init__("the budget of tokens ended inside the reasoning, so there is no answer")
        self.client_request_id = partial.client_request_id
        self.partial = partial

    def _facts(self) -> list[str]:
        facts = ["raise `max_tokens`, or take what came with `on_truncation='return'`"]
        if self.partial.request_id:
            facts.insert(0, f"request id {self.partial.request_id}")
        return facts
