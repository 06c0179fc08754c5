"""Loggers of this package, and the one variable that shows them.

It must not log, nor offer to log, headers, bodies, queries or messages of a service: they may hold secrets
and prompts.

`PHI_LOG` adds a handler of ours, which holds its tongue for each record that a handler of the application brings to the
same terminal. That is looked at for each record, so it does not matter who comes first; and records go on to the
application's handlers as ever, so its files and pytest's `caplog` miss nothing.
"""

import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

__all__ = [
    "LOGGER",
    "LOG_VARIABLE",
    "RETRY_LOGGER",
    "apply_log_level",
    "log_answer",
    "log_request",
    "safe_url",
    "warn_of_retirement",
]

LOGGER: Final = logging.getLogger("phi_client")
RETRY_LOGGER: Final = logging.getLogger("phi_client.retry")
LOG_VARIABLE: Final = "PHI_LOG"

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_TERMINAL: Final = frozenset({1, 2})
"""The descriptors of standard output and standard error."""
_SENT_AWAY: Final = ("opentelemetry.", "sentry_sdk.")
"""Packages whose handlers show nothing to who sits at the terminal."""


class _StandardError(logging.Handler):
    """Writes to what standard error is just then, unless the record is shown there anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        self._levels: tuple[int, int] | None = None

    def show(self, level: int) -> None:
        """Show what is logged from `level` on."""
        before = LOGGER.level if self._levels is None else self._levels[0]
        self._levels = before, level
        LOGGER.setLevel(level)
        LOGGER.addHandler(self)

    def leave(self) -> None:
        """Leave the logger as it was, unless somebody has set another level since."""
        LOGGER.removeHandler(self)
        if self._levels is not None and LOGGER.level == self._levels[1]:
            LOGGER.setLevel(self._levels[0])
        self._levels = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        stream = sys.stderr
        # A program without a terminal has no standard error.
        if stream is None or any(_shows(other, record) for other in _others(record)):
            return
        try:
            stream.write(f"{self.format(record)}\n")
            stream.flush()
        except Exception:  # noqa: BLE001  # what logs must not fail; `handleError` says it as the library does
            self.handleError(record)


_SHOWN: Final = _StandardError()


def apply_log_level(environ: Mapping[str, str]) -> None:
    """Show this package's log on standard error when `PHI_LOG` is `debug`, `info`, `warning` or `error`.

    Without the variable the application's own logging decides. Any other word is noted once, and counts as none.
    """
    word = environ.get(LOG_VARIABLE, "").strip().lower()
    level = _LEVELS.get(word)
    if level is not None:
        _SHOWN.show(level)
        return
    _SHOWN.leave()
    if word:
        _warn_once(
            f"`{LOG_VARIABLE}` is none of {', '.join(f'`{name}`' for name in _LEVELS)}: it counts as not set"
        )


def _others(record: logging.LogRecord) -> Iterator[logging.Handler]:
    """The handlers that get a record, but for ours."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        yield from (handler for handler in tuple(logger.handlers) if handler is not _SHOWN)
        logger = logger.parent if logger.propagate else None


def _shows(handler: logging.Handler, record: logging.LogRecord) -> bool:
    """Whether a handler brings a record to the terminal. One of an unknown kind does: it may well be a prettier one."""
    if record.levelno < handler.level or not handler.filter(record):
        return False
    if isinstance(handler, logging.StreamHandler):
        return _is_terminal(cast("Any", handler).stream)
    is_away = type(handler).__module__.startswith(_SENT_AWAY)
    return not is_away and not isinstance(handler, logging.NullHandler)


def _is_terminal(stream: Any) -> bool:
    if stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        return True
    try:
        return stream.fileno() in _TERMINAL
    except (AttributeError, OSError, ValueError):
        return False


def safe_url(url: str) -> str:
    """Scheme, host and path of `url`: no query and no user, which may hold secrets."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(no URL)"
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"


def log_request(method: str, url: str, content: bytes | None, sent_as: str) -> None:
    """Note that a request is about to be sent: how long it is, not what it says."""
    if LOGGER.isEnabledFor(logging.DEBUG):
        LOGGER.debug("%s %s: %d bytes, as %s", method, safe_url(url), len(content or b""), sent_as)


def log_answer(url: str, status: int, request_id: str | None, sent_as: str) -> None:
    """Note that the head of an answer came."""
    if LOGGER.isEnabledFor(logging.DEBUG):
        LOGGER.debug("%s answered %d to %s, request id %s", safe_url(url), status, sent_as, request_id)


_warned: set[str] = set()


def warn_of_retirement(text: str) -> None:
    """Note once in a process that a surface has no future; an empty text says nothing."""
    if text:
        _warn_once(text)


def _warn_once(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        LOGGER.warning("%s", text)
