"""The version of the installed distribution.

It must not be worked out at import time: reading metadata takes longer than the rest of the import.
"""

from functools import cache

__all__ = ["version"]


@cache
def version() -> str:
    """The version, or `0+unknown` when the package runs without being installed."""
    from importlib.metadata import PackageNotFoundError  # noqa: PLC0415
    from importlib.metadata import version as version_of  # noqa: PLC0415

    try:
        return version_of("phi-client")
    except PackageNotFoundError:
        return "0+unknown"
