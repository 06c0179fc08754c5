"""Asks a running emulator over HTTP, and only reads. It must not know who wants to know.

The key goes to that emulator alone, and no further than this machine without TLS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from phi_client.contract.emulator import EMULATOR_HEADERS, EMULATOR_PLACE
from phi_client.contract.loopback import is_loopback
from phi_client.contract.service import SERVERLESS, SURFACES
from phi_emulator.models.printable import printable
from phi_emulator.models.strict_json import object_of

__all__ = ["AskingError", "Asks"]

_MOST_BYTES: Final = 64 * 1024 * 1024
_SECONDS: Final = 30.0
_UNAUTHORIZED: Final = frozenset({400, 401, 403})
_OK: Final = 200


class AskingError(Exception):
    """The emulator could not be asked; the message says why, and what to do."""


class Asks:
    """Asks the emulator at `url`, with its `key`.

    Raises:
        AskingError: the key would leave this machine in the clear.
    """

    def __init__(self, url: str, key: str, *, transport: httpx.BaseTransport | None = None) -> None:
        parsed = httpx.URL(url)
        if parsed.scheme != "https" and not is_loopback(parsed.host):
            raise AskingError(f"{parsed.host} is another machine: its key is only sent by https")
        self.url = f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"
        self._key = key
        self._header: dict[str, str] | None = None
        # Not through a proxy, and nowhere else than asked.
        self._http = httpx.Client(base_url=self.url, timeout=_SECONDS, trust_env=False, transport=transport)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def json(self, *path: str, in_scope: str | None = None, **query: str | int | None) -> Mapping[str, Any]:
        """What a route under `/_emulator/` tells, of all or of a scope.

        Raises:
            AskingError: it can't be asked, or refuses.
        """
        try:
            told: object = json.loads(self.text(*path, in_scope=in_scope, **query))
        except ValueError:
            raise AskingError(f"what listens at {self.url} is no phi-emulator") from None
        return object_of(told) or {}

    def text(self, *path: str, in_scope: str | None = None, **query: str | int | None) -> str:
        """The same as it stands.

        Raises:
            AskingError: it can't be asked, or refuses.
        """
        place = "/".join((EMULATOR_PLACE, *(quote(part, safe="") for part in path)))
        wanted = {name: value for name, value in query.items() if value is not None}
        if self._header is None:
            self._header = self._key_header()
        scope = {} if in_scope is None else {f"{EMULATOR_HEADERS}scope": in_scope}
        status, body = self._get(place, {**self._header, **scope}, wanted)
        if status == _OK:
            return body
        self._header = None  # another emulator may listen there by now
        if status in _UNAUTHORIZED:
            raise AskingError(
                f"the emulator at {self.url} does not take the key: set PHI_API_KEY, for this server, to the key of "
                f"the emulator ({_reason(body)})"
            )
        raise AskingError(_reason(body) or f"the emulator answers {status}")

    def _key_header(self) -> dict[str, str]:
        """The key as the root's surface carries it."""
        status, body = self._get("/", {"Accept": "application/json"}, {})
        try:
            name = str((object_of(json.loads(body)) or {}).get("surface")) if status == _OK else ""
        except ValueError:
            name = ""
        header, value = SURFACES.get(name, SERVERLESS).write_key(self._key)
        return {header: value}

    def _get(self, place: str, headers: Mapping[str, str], query: Mapping[str, str | int]) -> tuple[int, str]:
        try:
            with self._http.stream("GET", place, headers=headers, params=query) as answer:
                pieces: list[bytes] = []
                left = _MOST_BYTES
                for piece in answer.iter_bytes():
                    left -= len(piece)
                    if left < 0:
                        raise AskingError("the emulator tells more than can be read: ask for less")
                    pieces.append(piece)
                return answer.status_code, b"".join(pieces).decode(errors="replace")
        except httpx.HTTPError as error:
            raise AskingError(
                f"no emulator answers at {self.url} ({type(error).__name__}): start one with `phi-emulator serve`, or "
                "name its address with `phi-emulator mcp --url URL`"
            ) from None


def _reason(body: str) -> str:
    """Why the emulator refuses, in its own words."""
    try:
        told = object_of(json.loads(body)) or {}
    except ValueError:
        return printable(body, 300)
    error = object_of(told.get("error")) or told
    for name in ("message", "status", "detail"):
        if isinstance(error.get(name), str):
            return printable(error[name], 300)
    return ""
