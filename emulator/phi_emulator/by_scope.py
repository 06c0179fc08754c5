"""What is kept of each scope, within bounds: of a thousand scopes the one that was not used for longest is forgotten.

It must not know what is kept. A scope is what a request has in `x-phi-scope`; anybody who may ask may name new ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

__all__ = ["MOST_SCOPES", "ByScope"]

T = TypeVar("T")

MOST_SCOPES: Final = 1000


class ByScope(Generic[T]):
    """What is kept of scopes, made by `make` when one is used first; `gone` is told of one that had to go.

    Not for several threads at once: whoever has one has a lock for it.
    """

    def __init__(self, make: Callable[[], T], gone: Callable[[str, T], object] | None = None) -> None:
        self._make = make
        self._gone = gone
        self._kept: OrderedDict[str, T] = OrderedDict()

    def use(self, scope: str) -> T:
        """What is kept of a scope, which is used now."""
        if scope not in self._kept:
            self._kept[scope] = self._make()
        self._kept.move_to_end(scope)
        found = self._kept[scope]
        if len(self._kept) > MOST_SCOPES:
            name, went = self._kept.popitem(last=False)
            if self._gone is not None:
                self._gone(name, went)
        return found

    def put(self, scope: str, kept: T) -> None:
        """Keep something else of a scope, which is used now."""
        self._kept[scope] = kept
        self.use(scope)

    def look(self, scope: str) -> T | None:
        """What is kept of a scope, which is not used by that."""
        return self._kept.get(scope)

    def forget(self, scope: str | None) -> T | None:
        """Keep nothing of a scope any more, or of any; what was kept of it."""
        if scope is not None:
            return self._kept.pop(scope, None)
        self._kept.clear()
        return None

    def values(self) -> list[T]:
        """All that is kept."""
        return [*self._kept.values()]

    def __iter__(self) -> Iterator[str]:
        """The scopes, the one that was not used for longest first."""
        return iter([*self._kept])

    def __contains__(self, scope: object) -> bool:
        return scope in self._kept

    def __len__(self) -> int:
        return len(self._kept)
