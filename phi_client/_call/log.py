"""Loggers of this package, and the one variable that shows them.

It must not log, nor offer to log, headers, bodies, queries or messages of a service: they may hold secrets
and prompts.
"""

import logging
from collections.abc import Mapping
from typing import Final
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


def apply_log_level(environ: Mapping[str, str]) -> None:
    """Send this package's log to standard error when `PHI_LOG` is `debug`, `info`, `warning` or `error`.

    Without the variable the application's own logging decides. Repeating it adds no second handler.
    """
    level = _LEVELS.get(environ.get(LOG_VARIABLE, "").strip().lower())
    if level is None:
        return
    LOGGER.setLevel(level)
    if not LOGGER.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        LOGGER.addHandler(handler)


def safe_url(url: str) -> str:
    """Scheme, host and path of `url`: no query and no user, which may hold secrets."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


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
    if text and text not in _warned:
        _warned.add(text)
        LOGGER.warning("%s", text)
