"""What a `map` gives: an item for each input, and what they add up to.

It must not know how items are asked, or kept.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from phi_client._call.completion import Completion
from phi_client._call.errors import PhiError
from phi_client._call.interruptions import ReasoningTruncatedError
from phi_client._call.totals import add_usage

if TYPE_CHECKING:
    from phi_client._call.request_types import Message
    from phi_client.contract.answers import Usage

__all__ = ["MapItem", "MapResult", "in_order", "telling_of", "usage_of"]

_T = TypeVar("_T", bound="str | Sequence[Message]")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MapItem(Generic[_T]):
    """What came of one input: a `completion`, or the `error` that took its place.

    `position` counts from 0. `retries` are the tries after the first. `cost` is `None` without a price, or where
    the tokens are not known. `is_restored` is true when the answer comes from a checkpoint; its `raw` and all that
    is read from it are there, its `headers` and the `hops` before it are not.
    """

    position: int
    input: _T
    completion: Completion | None = None
    error: PhiError | None = None
    retries: int = 0
    cost: float | None = None
    is_restored: bool = False

    def __repr__(self) -> str:
        """Its shape, without the prompt and the answer."""
        facts = [type(self.error).__name__ if self.error is not None else "answered"]
        facts += [f"{self.usage.total_tokens} tokens"] if self.usage is not None else []
        facts += [f"{self.retries} retries"] if self.retries else []
        facts += ["restored"] if self.is_restored else []
        return f"<MapItem {self.position}: {', '.join(facts)}>"

    @property
    def outcome(self) -> Completion | PhiError:
        """The completion, or the error."""
        outcome = self.completion or self.error
        assert outcome is not None  # noqa: S101  # an item has the one or the other
        return outcome

    @property
    def usage(self) -> Usage | None:
        """The tokens that the answer took, also one that was cut off inside its reasoning."""
        return usage_of(self.completion, self.error)


@dataclass(frozen=True, slots=True, repr=False)
class MapResult(Sequence[MapItem[_T]]):
    """The items in the order of the inputs, and what they add up to."""

    items: tuple[MapItem[_T], ...]

    def __repr__(self) -> str:
        """Its shape, without prompts and answers."""
        usage, failed = self.usage, len(self.failed)
        facts = [f"{len(self.items)} items"]
        facts += [f"{failed} failed"] if failed else []
        facts += [f"{usage.total_tokens} tokens"] if usage is not None else []
        return f"<MapResult: {', '.join(facts)}>"

    @property
    def failed(self) -> tuple[MapItem[_T], ...]:
        """The items that have an error."""
        return tuple(item for item in self.items if item.error is not None)

    @property
    def usage(self) -> Usage | None:
        """The tokens of all items; `None` when no answer told."""
        return add_usage(item.usage for item in self.items)

    @property
    def retries(self) -> int:
        """The tries after the first, of all items."""
        return sum(item.retries for item in self.items)

    @property
    def cost(self) -> float | None:
        """What all items cost; `None` when the cost of an answered one is not known."""
        costs = [item.cost for item in self.items if item.completion is not None or item.cost is not None]
        return None if None in costs or not costs else sum(cost for cost in costs if cost is not None)

    @overload
    def __getitem__(self, index: int) -> MapItem[_T]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[MapItem[_T], ...]: ...
    def __getitem__(self, index: int | slice) -> MapItem[_T] | tuple[MapItem[_T], ...]:
        """The item at a position."""
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


def in_order(items: Iterable[MapItem[_T]]) -> MapResult[_T]:
    """The result that items make, however they came."""
    return MapResult(tuple(sorted(items, key=lambda item: item.position)))


@contextmanager
def telling_of(items: list[MapItem[Any]]) -> Generator[None]:
    """Let an error that ends the gathering of `items` carry what was gathered."""
    try:
        yield
    except PhiError as error:
        error.finished = in_order(items)
        error.spent = error.finished.usage
        raise


def usage_of(completion: Completion | None, error: PhiError | None) -> Usage | None:
    """The tokens that an outcome took; those of an answer cut inside its reasoning count."""
    if isinstance(error, ReasoningTruncatedError):
        return error.partial.usage
    return None if completion is None else completion.usage
