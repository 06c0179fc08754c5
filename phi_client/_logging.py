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
    "safe_url",
    "warn_of_retirement",
]

LOGGER: Final = logging.getLogger("phi_client")
RETRY_LOGGER: Final = logging.getLogger("phi_client.retry")
LOG_VARIABLE: Final = "PHI_LOG"

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def apply_log_level(environ: Mapping[str, str]) -> None:
    """Send this package's log to standard error when `PHI_LOG` is `debug`, `info` or `warning`.

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


def log_answer(method: str, url: str, status: int) -> None:
    """Note that the head of an answer came."""
    LOGGER.debug("%s %s answered %d", method, safe_url(url), status)


_warned: set[str] = set()


def warn_of_retirement(text: str) -> None:
    """Note once in a process that a surface has no future; an empty text says nothing."""
    if text and text not in _warned:
        _warned.add(text)
        LOGGER.warning("%s", text)
