"""A `map` carried by threads: the sync shell. Its twin is `_map_tasks.py`, with tasks.

It must not decide anything: what goes next, and what came of it, is the work's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

from phi_client._call.completion import Completion
from phi_client._map.result import MapItem
from phi_client._map.work import MapWork, Start

if TYPE_CHECKING:
    from phi_client._call.request_types import Message

__all__ = ["run_in_threads"]

_T = TypeVar("_T", bound="str | Sequence[Message]")
_Ended = tuple[Start[Any], Completion | BaseException]

# Without a limit a wait could not be interrupted on Windows.
_LONGEST_WAIT_S: Final = 0.5
_LAST_WAIT_S: Final = 1.0


def run_in_threads(
    work: MapWork[_T],
    ask: Callable[[Start[_T]], Completion],
    *,
    sleep: Callable[[float], None],
    cut: Callable[[], None],
) -> Generator[MapItem[_T]]:
    """The items as they end. When the generator is left, `cut` ends what still runs."""
    ended: SimpleQueue[_Ended] = SimpleQueue()
    threads: dict[int, threading.Thread] = {}

    def begin(start: Start[_T]) -> None:
        # A daemon: a call that can't be cut must not keep the process.
        thread = threading.Thread(target=carry, args=[start], name="phi-client-map", daemon=True)
        threads[start.position] = thread
        thread.start()

    def carry(start: Start[_T]) -> None:
        outcome: Completion | BaseException
        try:
            outcome = ask(start)
        except BaseException as error:  # noqa: BLE001  # it belongs to the thread that runs the whole
            outcome = error
        ended.put((start, outcome))

    try:
        yield from work.restored()
        while (step := work.next()) is not None:
            if isinstance(step, Start):
                begin(step)
            elif work.is_idle:
                sleep(step)
            elif (found := _next(ended, step)) is not None:
                threads.pop(found[0].position).join()
                yield from work.finish(*found)
                work.sync_checkpoint()
    except KeyboardInterrupt:
        work.say_how_to_resume()
        raise
    finally:
        work.stop()
        cut()
        _join(threads.values())
        work.close()


def _join(threads: Iterable[threading.Thread]) -> None:
    """Wait for threads that are about to end; those that can't be cut are left to themselves."""
    end = time.monotonic() + _LAST_WAIT_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _next(ended: SimpleQueue[_Ended], wait_s: float) -> _Ended | None:
    try:
        return ended.get(timeout=min(wait_s, _LONGEST_WAIT_S))
    except Empty:
        return None
