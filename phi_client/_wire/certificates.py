"""Whom TLS trusts: the authorities that the environment names, else those that come with httpx.

It must not connect to anything.
"""

import os
import re
import ssl
from functools import cache
from pathlib import Path
from typing import Final

import httpx

from phi_client._call.errors import ConfigurationError

__all__ = ["tls_context"]

_HASHED: Final = re.compile(r"[0-9a-f]{8}\.\d+")
"""Names under which OpenSSL looks for an authority in a folder."""


def tls_context() -> ssl.SSLContext:
    """The context that all clients of this process share: reading the certificates takes longer than a request.

    Raises:
        ConfigurationError: a setting of the environment can't work; the message names it.
    """
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
    file, folder, log = (os.environ.get(name) or None for name in names)
    return _context(file, folder, log)


@cache
def _context(file: str | None, folder: str | None, log: str | None) -> ssl.SSLContext:
    # httpx reads the variables itself: here they are the key, and what a failure is blamed on.
    used = "SSL_CERT_FILE" if file else "SSL_CERT_DIR" if folder else ""
    if used == "SSL_CERT_DIR" and not _has_authorities(Path(folder or "")):
        raise ConfigurationError(
            "`SSL_CERT_DIR` names no folder with certificates under their hashed names: run `openssl rehash` on it, "
            "give a file by `SSL_CERT_FILE`, or unset it"
        )
    if file:
        _check_authorities(file)
    try:
        context = httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        blamed = "SSLKEYLOGFILE" if log else used
        if not blamed:
            raise ConfigurationError("the certificates that come with httpx can't be read") from error
        raise ConfigurationError(f"`{blamed}` names a file that can't be used: mend or unset it") from error
    return context


def _check_authorities(file: str) -> None:
    advice = "give a file of certificates in PEM, or unset it"
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        raise ConfigurationError(f"`SSL_CERT_FILE` names a file without certificates: {advice}") from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"`SSL_CERT_FILE` names a file that can't be read: {advice}") from error
    if not context.cert_store_stats()["x509"]:
        raise ConfigurationError(f"`SSL_CERT_FILE` names a file without certificates: {advice}")


def _has_authorities(folder: Path) -> bool:
    try:
        return any(_HASHED.fullmatch(entry.name) for entry in folder.iterdir())
    except (OSError, ValueError):
        return False
