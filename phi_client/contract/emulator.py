"""Where the local emulator listens when nothing else is said, and its well-known key.

It must not know how the emulator works. The key is public on purpose, as with other storage emulators, and
opens nothing but a process on the same machine.
"""

from typing import Final

__all__ = [
    "EMULATOR_ALIAS",
    "EMULATOR_ENDPOINT",
    "EMULATOR_ENTRA",
    "EMULATOR_HEADERS",
    "EMULATOR_HOST",
    "EMULATOR_KEY",
    "EMULATOR_LIVE",
    "EMULATOR_PLACE",
    "EMULATOR_PORT",
    "EMULATOR_READY",
    "EMULATOR_STATUS",
]

EMULATOR_ALIAS: Final = "emulator"
"""The word that stands for endpoint and key in `PHI_ENDPOINT`."""

EMULATOR_HOST: Final = "127.0.0.1"
EMULATOR_PORT: Final = 16180
EMULATOR_ENDPOINT: Final = "http://127.0.0.1:16180"
EMULATOR_KEY: Final = "phi-emulator-well-known-key-0000"
EMULATOR_HEADERS: Final = "x-phi-"
"""How the names of headers begin that are for the emulator and for no surface of Azure."""
EMULATOR_PLACE: Final = "/_emulator"
"""The path under which is what no surface of Azure has."""
EMULATOR_LIVE: Final = f"{EMULATOR_PLACE}/live"
"""The path that answers 200 unless only a new start would help."""
EMULATOR_READY: Final = f"{EMULATOR_PLACE}/ready"
"""The path that answers 200 while requests are answered."""
EMULATOR_STATUS: Final = f"{EMULATOR_PLACE}/status"
"""The path that says which model answers, and how busy it is."""
EMULATOR_ENTRA: Final = f"{EMULATOR_PLACE}/entra"
"""The path under which the emulator imitates Entra ID."""
