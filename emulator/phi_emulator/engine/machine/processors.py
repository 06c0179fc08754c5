"""How many processors this process may use, where that is fewer than the machine has.

Must not know engines, nor how systems differ. ONNX Runtime starts a thread for each of the machine's cores, whatever an
affinity or a container's quota leaves of them. Threads that wait for each other's turns then make a step longer: two
threads on one processor were measured to take two to three times as long as one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from phi_emulator import platforms
from phi_emulator.engine.machine.control_groups import control_groups

__all__ = ["usable_processors"]

_SYSTEM: Final = Path("/")


def usable_processors(system: Path = _SYSTEM, affinity: int | None = None) -> int | None:
    """The number, or None where nothing limits it. A quota is rounded down, because a throttled thread holds up others.

    `system` is the root of the file system; `affinity` how many processors the process may run on, else it is asked.
    """
    machine = os.cpu_count() or 1
    allowed = (platforms.affinity() if affinity is None else affinity) or machine
    quota = _quota(system)
    limit = min(allowed, machine if quota is None else max(1, int(quota)))
    if limit >= machine:
        return None
    import psutil  # noqa: PLC0415 - where it is needed

    return min(limit, psutil.cpu_count(logical=False) or limit)


def _quota(system: Path) -> float | None:
    """Processors' worth of time that the control groups of this process leave it; the smallest on the way up."""
    found: list[float] = []
    for folder in control_groups("cpu", system):
        with suppress(OSError, ValueError):  # version 2
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            found.append(int(quota) / int(period))
        with suppress(OSError, ValueError):  # version 1; -1 is no limit
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
            if int(quota) > 0:
                found.append(int(quota) / int(period))
    return min(found, default=None)
