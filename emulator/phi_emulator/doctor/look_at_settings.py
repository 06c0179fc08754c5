"""Whether the settings and what they name can be used: the file of settings, and the script, if there is one.

It must not know command lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phi_emulator.config import ConfigError, EmulatorConfig, read_sources
from phi_emulator.config.script import open_script
from phi_emulator.doctor.doctor import Finding
from phi_emulator.documents import counted
from phi_emulator.scripts.errors import ScriptError

__all__ = ["look_at_settings"]


def look_at_settings(
    environ: Mapping[str, str], file: Path | None, given: Mapping[str, Any]
) -> tuple[list[Finding], EmulatorConfig]:
    """What is to be said of the settings, and those with which all else is looked at.

    Where they can't be used these are the defaults, over them what is `given`, which must be good.
    """
    try:
        sources = read_sources(environ, file, given)
        config = EmulatorConfig.from_sources(sources)
    except ConfigError as error:
        text = f"{error}; what follows is looked at without them"
        return [Finding("failure", "settings", text)], EmulatorConfig.from_sources(
            read_sources({}, None, given)
        )
    found = [Finding("warning", "settings", line) for line in sources.complaints]
    if sources.document is not None:
        keys = counted(sum(origin.source == "file" for origin in sources.origins.values()), "setting")
        found.append(Finding("ok", "settings", f"{keys} of {sources.document.source}"))
    try:
        _, script = open_script(config)
    except ScriptError as error:
        found.append(Finding("failure", "script", f"it can't be used: {error}"))
    else:
        if script is not None:
            found.append(Finding("ok", "script", counted(len(script.rules), "rule")))
    return found, config
