"""The command `phi-emulator wait`: it ends when an emulator is ready, or says why it is not.

It must not import an emulator: containers run it every few seconds as a check of their health.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, urlsplit

import click

from phi_client.contract.emulator import (
    EMULATOR_ALIAS,
    EMULATOR_ENDPOINT,
    EMULATOR_LIVE,
    EMULATOR_READY,
    EMULATOR_STATUS,
)

__all__ = ["model_of", "port_in_use", "read_url", "wait"]

_PORT_VARIABLE: Final = "PHI_EMULATOR_PORT"
_TRY_AGAIN_AFTER_S: Final = 0.1
_LONGEST_TRY_S: Final = 10.0
_MOST_BYTES: Final = 65_536
_MOST_DIGITS: Final = 5
_LOOK_S: Final = 2.0
_LOADS_S: Final = 600.0


def _default_url() -> str:
    port = os.environ.get(_PORT_VARIABLE) or _port_of_file()
    return f"http://127.0.0.1:{port}" if port.isdecimal() and port != "0" else EMULATOR_ENDPOINT


def _port_of_file() -> str:
    """The port that the file of settings names; what is wrong in one, the emulator itself says."""
    from phi_emulator.documents import DocumentError, read_document, table  # noqa: PLC0415 - only where it is looked for
    from phi_emulator.settings.sources import find_file  # noqa: PLC0415

    file = find_file(None, os.environ)
    try:
        given = {} if file is None else table(read_document(file).value)
    except DocumentError:
        return ""
    return str(given.get("port", ""))[:_MOST_DIGITS]


def read_url(_context: click.Context, _option: click.Parameter, text: str | None) -> SplitResult:
    """Where an emulator is, as `--url` says, or where one would be looked for."""
    text = _default_url() if text is None else EMULATOR_ENDPOINT if text == EMULATOR_ALIAS else text
    try:
        url = urlsplit(text)
        # Not repeated: it may hold a name and a password.
        if url.scheme in ("http", "https") and url.hostname and url.port != 0 and "@" not in url.netloc:
            return url
    except ValueError:
        pass
    raise click.BadParameter(f"give a URL such as {EMULATOR_ENDPOINT}, or `{EMULATOR_ALIAS}`")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url",
    callback=read_url,
    metavar="URL",
    help=f"Its root, or what a client takes as its endpoint. [default 127.0.0.1 at {_PORT_VARIABLE}, or in the file "
    f"of settings, else {EMULATOR_ENDPOINT}]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 86_400),
    default=60,
    metavar="SECONDS",
    help="How long to wait; 0 asks once. [default 60]",
)
@click.option("--live", is_flag=True, help="Wait until it lives, though its model may still be loading.")
def wait(url: SplitResult, timeout: float, live: bool) -> None:  # noqa: FBT001 - click's
    """Wait until an emulator is ready, and exit with 0; with 1 where it is not in time.

    `phi-emulator record` and `replay` can be waited for as well.
    """
    path, wanted = (EMULATOR_LIVE, "live") if live else (EMULATOR_READY, "ready")
    said = _until(timeout, lambda within_s: _state(url, path, within_s), wanted)
    if said != wanted:
        where = f"{url.scheme}://{url.hostname}" + ("" if url.port is None else f":{url.port}")
        click.echo(f"phi-emulator: {where} is not {wanted} after {timeout:g} s: {said}", err=True)
        sys.exit(1)


def _until(timeout: float, ask: Callable[[float], str], wanted: str) -> str:
    """What was said last, which is `wanted` if it came in time."""
    end = time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        said = ask(min(max(left, 1.0), _LONGEST_TRY_S))
        left = end - time.monotonic()
        if said == wanted or left <= 0:
            return said
        time.sleep(min(_TRY_AGAIN_AFTER_S, left))


def port_in_use() -> str | None:
    """The URL of the emulator that runs where `wait` looks for one, if one does."""
    url = _default_url()
    return url if _state(urlsplit(url), EMULATOR_LIVE, _LOOK_S) == "live" else None


def model_of(url: SplitResult) -> str | None:
    """The model of the emulator at a URL; `None` where something else is. One that loads its model is waited for.

    Raises:
        ConnectionRefusedError: nothing listens there.
    """
    try:
        _ask(url, EMULATOR_LIVE, _LONGEST_TRY_S)
        return str(json.loads(_ask(url, EMULATOR_STATUS, _LOADS_S)[1])["model"])
    except ConnectionRefusedError:
        raise
    except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError, RecursionError):
        return None


def _state(url: SplitResult, path: str, within_s: float) -> str:
    """What the emulator says of itself, or what is in the way of asking."""
    try:
        status, body = _ask(url, path, within_s)
    except TimeoutError:
        return "it does not answer"
    except (OSError, http.client.HTTPException) as error:
        return getattr(error, "strerror", None) or type(error).__name__
    try:
        return str(json.loads(body)["status"])[:40]
    except (ValueError, TypeError, KeyError, RecursionError):
        return f"what listens there answers {status} to {path}, as no phi-emulator does"


def _ask(url: SplitResult, path: str, within_s: float) -> tuple[int, bytes]:
    is_plain = url.scheme == "http"
    connect = http.client.HTTPConnection if is_plain else http.client.HTTPSConnection
    connection = connect(url.hostname or "", url.port, timeout=within_s)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read(_MOST_BYTES)
    finally:
        connection.close()
