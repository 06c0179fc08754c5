"""The only place that decides how a text stands in a header of an answer.

It must not know which header it is. A name may be anything that a folder or a request can hold, while HTTP carries
printable ASCII: other characters are percent-encoded as UTF-8, as Azure does it where a name travels in a URL or a
header, and a plain name stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

__all__ = ["header_value", "safe_headers"]

_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))
_MOST_CHARACTERS: Final = 256
"""Of a value, encoded: clients take some kilobytes of headers in all."""


def safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """`headers` with values that can be sent."""
    return {name: header_value(value) for name, value in headers.items()}


def header_value(text: str) -> str:
    """`text` as it can stand in a header."""
    encoded = quote(text[:_MOST_CHARACTERS], safe=_PRINTABLE, errors="replace").strip()
    if len(encoded) <= _MOST_CHARACTERS:
        return encoded
    cut = encoded[:_MOST_CHARACTERS]
    # Not in the middle of an escape.
    return cut[: cut.rfind("%")] if "%" in cut[-2:] else cut
