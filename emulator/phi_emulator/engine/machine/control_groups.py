"""Where Linux says what a container, a service or a job leaves this process of the machine, in either version's form.

Knows the folders of control groups; must not know what is limited. Other systems have no such folders.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["control_groups"]


def control_groups(controller: str, system: Path) -> list[Path]:
    """Folders that may limit a controller, such as `memory`, for this process: each limit on the way up counts.

    `system` is the root of the file system. In a container its own group is often the root of what it sees.
    """
    mounted = system / "sys" / "fs" / "cgroup"
    folders = [mounted, mounted / controller]
    with suppress(OSError, ValueError):
        for line in (system / "proc" / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "" or controller in controllers.split(","):
                top = mounted / controller if controllers else mounted
                own = top / path.strip("/")
                folders += [own, *(above for above in own.parents if above.is_relative_to(top))]
    return list(dict.fromkeys(folders))
