"""What an exchange asked, ready to be asked again: without credentials, and without what a client adds by itself.

It must not know in which form it is copied.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from phi_client.contract.secrets import SECRET
from phi_client.contract.service import SURFACES, Surface
from phi_emulator.journal.entry import JournalEntry
from phi_emulator.models.strict_json import object_of, parse_json

__all__ = ["Copied", "CopyError", "copied"]

_LONGEST_PATH: Final = 200
"""Of what the journal keeps of a path."""
_BY_THE_CLIENT: Final = frozenset(
    {
        *(
            "accept",
            "accept-encoding",
            "accept-language",
            "baggage",
            "connection",
            "content-length",
            "cookie",
        ),
        *("expect", "host", "keep-alive", "priority", "te", "traceparent", "tracestate", "trailer"),
        *("transfer-encoding", "upgrade", "user-agent", "authorization", "api-key"),
    }
)
"""Headers that each client has of its own, or that are credentials."""
_OF_A_CLIENT: Final = ("x-stainless-", "sec-", "x-ms-client-", "proxy-")


class CopyError(ValueError):
    """An exchange can't be copied in this form; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A request that can be sent again."""

    surface: Surface
    method: str
    path: str
    """On the emulator, with its query."""
    route: str
    """As the surface calls it."""
    headers: Mapping[str, str]
    """Those that the answer may depend on."""
    text: str = field(repr=False)
    """The body; empty without one."""

    @property
    def asked(self) -> Mapping[str, Any] | None:
        """The body as an object, if it is one."""
        try:
            return object_of(parse_json(self.text.encode()))
        except ValueError:
            return None

    @property
    def plain_text(self) -> str:
        """The body without a character that a terminal would act on.

        Raises:
            CopyError: it is no JSON, in which such characters could be written otherwise.
        """
        if all(character.isprintable() or character == "\n" for character in self.text):
            return self.text
        asked = self.asked
        if asked is None:
            raise CopyError("its body holds control characters, which can't be copied into a command")
        return json.dumps(asked)


def copied(entry: JournalEntry) -> Copied:
    """What an exchange asked.

    Raises:
        CopyError: that is not known, or not all of it.
    """
    surface = SURFACES.get(entry.surface)
    if surface is None:
        raise CopyError("its surface is not known here")
    # Of a long path the journal has the beginning; what a surface calls it is the same place.
    is_whole = len(entry.path) < _LONGEST_PATH
    path = entry.path if is_whole and entry.path else surface.emulator_prefix + entry.route
    if SECRET in path:
        raise CopyError("its path holds a credential")
    query = "" if entry.api_version is None else f"?api-version={entry.api_version}"
    return Copied(surface, entry.method, path + query, entry.route, _headers(entry), _body(entry))


def _headers(entry: JournalEntry) -> dict[str, str]:
    return {
        name: value
        for name, value in entry.request_headers.items()
        if name not in _BY_THE_CLIENT and not name.startswith(_OF_A_CLIENT) and SECRET not in value
    }


def _body(entry: JournalEntry) -> str:
    if not entry.request_bytes:
        head = entry.request_headers
        if head.get("content-length", "0").strip() != "0" or "transfer-encoding" in head:
            raise CopyError("it was refused before its body was read, so that is not known")
        return ""
    if entry.texts is None:
        raise CopyError(
            "what was asked was not kept: set `journal_texts` (`--journal-texts yes`, or "
            '`POST /_emulator/settings` with {"journal_texts": true}), and ask again'
        )
    text = entry.texts.request
    size = len(text.encode(errors="replace"))
    if text.endswith("…") and size < entry.request_bytes:
        raise CopyError("its body is too long to be kept whole in the journal")
    if "\N{REPLACEMENT CHARACTER}" in text and size != entry.request_bytes:
        raise CopyError("its body is no UTF-8")
    return text
