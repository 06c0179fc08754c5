"""Whose a request is: the scope that it names, else that of its key, else the one that is open. It must not know HTTP.

Tests that run side by side each have a scope: rules, counts and what was noted of one are nobody else's business. Code
under test need not know of it: the key that it is given says it.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import Counter, OrderedDict
from typing import Final

__all__ = ["Scopes"]

_MOST_ENDED: Final = 100_000


class Scopes:
    """The keys that stand for scopes. Threads may ask and change.

    A scope whose key has ended has no requests any more: what still comes with that key, from a client that outlived
    its scope, is of the scope that is open.
    """

    def __init__(self) -> None:
        self.open = ""
        """The scope of requests that name none, by header or key."""
        self._keys: dict[bytes, str] = {}
        self._ended: OrderedDict[bytes, str] = OrderedDict()
        self._late: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def new_key(self, scope: str) -> str:
        """A key that lets in as the emulator's own does, and says that a request is of `scope`."""
        key = secrets.token_hex(20)
        with self._lock:
            self._keys[_hidden(key)] = scope
        return key

    def end(self, key: str, *, joins: bool = True) -> None:
        """End the scope of a key; requests with it join the open scope, or else are refused like any wrong key."""
        with self._lock:
            scope = self._keys.pop(_hidden(key), None)
            if scope is None or not joins:
                return
            self._ended[_hidden(key)] = scope
            if len(self._ended) > _MOST_ENDED:
                self._ended.popitem(last=False)

    def lets_in(self, key: str) -> bool:
        """Whether it is a key of a scope, though perhaps of one that has ended."""
        hidden = _hidden(key)
        return hidden in self._keys or hidden in self._ended

    def scope_of(self, named: str | None, key: str) -> str:
        """The scope of a request that names `named` and presents `key`, which need not be anybody's."""
        if named:
            return named
        hidden = _hidden(key)
        scope = self._keys.get(hidden)
        if scope is not None:
            return scope
        with self._lock:
            ended = self._ended.get(hidden)
            if ended is not None:
                self._late[ended, self.open] += 1
            return self.open

    def late(self, scope: str) -> dict[str, int]:
        """How many requests of a scope came with the key of one that had ended, by the name of that."""
        with self._lock:
            return {ended: count for (ended, joined), count in self._late.items() if joined == scope}


def _hidden(key: str) -> bytes:
    """What a key is looked up by: how long that takes says nothing of any other key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
