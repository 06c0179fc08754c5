"""The pages of the reference that are written from docstrings: which name is on which. It must not import what it names.

A public name that stands here nowhere fails `tests/docs/test_site.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["API_PAGES", "ApiPage"]


@dataclass(frozen=True, slots=True)
class ApiPage:
    """A page of the reference."""

    title: str
    names: dict[str, tuple[str, ...]]
    """By module, in their order on the page."""
    has_inherited: bool = False
    """Whether what a class has of its parents is shown with it."""
    taken_by_name: tuple[str, ...] = ()
    """Modules whose names are fixtures, which nobody imports."""

    def text(self) -> str:
        """The page as mkdocstrings reads it, in Markdown."""
        parts = [f"# {self.title}\n"]
        options = f"    options:\n      inherited_members: {str(self.has_inherited).lower()}\n"
        for module, names in self.names.items():
            is_import = module not in self.taken_by_name
            parts.append(
                f"To be imported from `{module}`.\n" if is_import else "A test takes these by their names:\n"
            )
            parts += [f"::: {module}.{name}\n{options}" for name in names]
        return "\n".join(parts)


API_PAGES: Final = {
    "clients": ApiPage(
        "Clients and streams",
        {
            "phi_client": (
                "PhiClient", "AsyncPhiClient", "ChatStream", "AsyncChatStream", "check_endpoints", "Finding",
                "RetryEvent", "Timeout", "TokenCredential", "AsyncTokenCredential", "__version__",
            )
        },
        has_inherited=True,
    ),
    "results": ApiPage(
        "Results",
        {
            "phi_client": (
                "Completion", "CompletionChoice", "CompletionChunk", "Usage", "FinishReason", "ToolCall", "ToolCallDelta",
                "TokenLogprob", "ParsedCompletion", "Solution", "Vote", "MapResult", "MapItem", "Price", "Hop", "ModelInfo",
            )
        },
        has_inherited=True,
    ),
    "messages": ApiPage(
        "Messages and options",
        {
            "phi_client": (
                "CompletionOptions", "Message", "ChatMessage", "Role", "MessageDict", "SystemMessageDict",
                "UserMessageDict", "AssistantMessageDict", "ToolMessageDict", "FunctionTool", "ToolChoice",
                "ResponseFormat",
            )
        },
    ),
    "errors": ApiPage(
        "Errors",
        {
            "phi_client": (
                "PhiError", "ConfigurationError", "CredentialError", "CheckpointError", "APIConnectionError",
                "APITimeoutError", "StreamInterruptedError", "APIResponseError", "APIStatusError", "BadRequestError",
                "AuthenticationError", "PermissionDeniedError", "NotFoundError", "RequestTimeoutError",
                "UnprocessableEntityError", "RateLimitError", "InternalServerError", "UnexpectedError",
                "ContentFilterError", "ContextLengthError", "ModelError", "ModelContextLengthError", "ParseError",
                "ReasoningTruncatedError", "ErrorBody",
            )
        },
    ),
    "testing": ApiPage(
        "For tests of your code",
        {
            "phi_client.testing": (
                "instant_retries", "VirtualClock", "clients_with_clock", "with_clock", "Clock", "ClockError",
                "RealEndpointError",
            )
        },
        has_inherited=True,
    ),
    "emulator": ApiPage(
        "The emulator",
        {
            "phi_emulator": ("Emulator", "EmulatorConfig", "EmulatorError"),
            "phi_emulator.containers": ("PhiEmulatorContainer", "ContainerError"),
        },
    ),
    "pytest": ApiPage(
        "The plugin for pytest",
        {
            "pytest_phi": ("phi_emulator", "phi_faults", "phi_script", "phi_journal", "phi_clock"),
            "pytest_phi.emulator": ("PhiEmulator", "PhiFixtureError"),
            "pytest_phi.of_test": ("FaultsOfTest", "ScriptOfTest", "JournalOfTest"),
        },
        taken_by_name=("pytest_phi",),
    ),
}  # fmt: skip
