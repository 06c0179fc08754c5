"""A token of Entra ID on the wire: its form, and whom one for a scope is for.

It must not know how a token is made or verified, nor which surface it is sent to.
"""

import re
from typing import Final

__all__ = ["audience_of", "is_token"]

# The first part is a JSON object, whose first two characters `{"` are always encoded as `eyJ`.
_TOKEN: Final = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*", re.ASCII)


def is_token(value: str) -> bool:
    """True for what has the form of a signed token; everything else is a key."""
    return _TOKEN.fullmatch(value) is not None


def audience_of(scope: str) -> str:
    """The audience of a token for `scope`, as a surface names it: without `/.default` and slashes at the end."""
    return scope.removesuffix("/.default").rstrip("/")
