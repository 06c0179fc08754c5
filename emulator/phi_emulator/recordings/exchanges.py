"""A recorded exchange as plain data: what was asked, what came back, piece by piece, and how it ended.

It must not know files, HTTP libraries or surfaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from phi_client.contract.parameters import EXTRA_PARAMETERS

__all__ = ["KEPT_HEADERS", "End", "RecordedChunk", "RecordedExchange", "RecordedHead", "RecordedRequest"]


KEPT_HEADERS: Final = frozenset(
    ("content-type", EXTRA_PARAMETERS, "azureml-model-deployment", "x-ms-model-mesh-model-name")
)
"""The headers of a request on which an answer depends; others differ from call to call, or are nobody's business."""


class End(StrEnum):
    """How an exchange ended."""

    COMPLETE = "complete"
    CLIENT_LEFT = "client left"
    CUT_OFF = "cut off"
    """The endpoint broke off, or kept silent for too long."""
    UNREACHABLE = "unreachable"
    """There was no answer at all."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """What was asked. `path` is the surface's own, without what an emulator or a gateway puts before it.

    `headers` are those that the answer may depend on, with names in lower case, and never a credential.
    """

    surface: str
    method: str
    path: str
    api_version: str | None
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class RecordedHead:
    """The beginning of an answer, so many milliseconds after the request."""

    status: int
    headers: Mapping[str, str]
    ms: int


@dataclass(frozen=True, slots=True)
class RecordedChunk:
    """Bytes of an answer as they came in one piece, so many milliseconds after the request."""

    data: bytes
    ms: int


@dataclass(frozen=True, slots=True)
class RecordedExchange:
    """One exchange; `head` is `None` where no answer began. `ms` is when it ended."""

    request: RecordedRequest
    head: RecordedHead | None
    chunks: tuple[RecordedChunk, ...]
    end: End
    ms: int

    @property
    def body(self) -> bytes:
        """The answer's bytes, joined."""
        return b"".join(chunk.data for chunk in self.chunks)
