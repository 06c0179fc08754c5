"""All that differs between Linux, macOS and Windows, in one place. The platform is a parameter, so that tests try all.

It must not know models, servers or command lines. What is said of Windows and macOS is from the documentation of `os`,
`signal` and `subprocess`: these branches were never run there by this project.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO

__all__ = [
    "CannotRunError",
    "affinity",
    "apart",
    "cuda_driver",
    "end_by_signal_as_first_process",
    "ending_signals",
    "environment_line",
    "exit_status",
    "find_program",
    "is_in_foreground",
    "is_windows",
    "kill_group",
    "kills_for_memory",
    "launch_line",
    "lenient_output",
    "raise_file_limit",
    "reset_on_close",
    "send",
    "write_through",
]

_WINDOWS: Final = "win32"
_MACOS: Final = "darwin"
_LINUX: Final = "linux"
_ENDED_BY_CTRL_C: Final = 0xC000013A
"""Windows' STATUS_CONTROL_C_EXIT."""
_SIGN_BIT: Final = 1 << 31
_BATCH: Final = (".cmd", ".bat")
_NOT_FOR_FOLDERS: Final = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)
_ENDING: Final = ("SIGINT", "SIGTERM", "SIGHUP")
_ENDING_ON_WINDOWS: Final = ("SIGINT", "SIGBREAK", "SIGTERM")
_MOST_FILES: Final = 10_240
"""Where a system names no limit; macOS takes no more."""
# Even between quotes cmd.exe reads these.
_READ_BY_CMD: Final = frozenset('"%\r\n\0')


class CannotRunError(Exception):
    """The command can't be started as it was given; the message says why."""


def write_through(path: Path, platform: str = sys.platform) -> None:
    """Write a file or a folder through to the disk.

    Windows opens no folders, and keeps renames in its journal; its files must be open for writing. On macOS `fsync`
    ends at the drive's own cache, and `F_FULLFSYNC` goes through it. Some file systems on a network can't do it for
    folders, and some folders may be written to and not opened: there the system decides when.
    """
    is_folder = path.is_dir()
    if platform == _WINDOWS and is_folder:
        return
    try:
        descriptor = os.open(path, os.O_RDWR if platform == _WINDOWS else os.O_RDONLY)
        try:
            if platform != _MACOS or not _flush_drive(descriptor):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not is_folder or error.errno not in _NOT_FOR_FOLDERS:
            raise


def _flush_drive(descriptor: int) -> bool:
    """Whether macOS' own call is there and did it; not every file system has it."""
    import fcntl  # noqa: PLC0415 - Windows has none

    command: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if command is None:
        return False
    try:
        fcntl.fcntl(descriptor, command)
    except OSError:
        return False
    return True


def end_by_signal_as_first_process(pid: int | None = None) -> None:
    """Let SIGTERM end this process if it is the first one of a container, until a command has a handler of its own.

    To a first process the kernel hands on only what it has a handler for: without one, `docker stop` during the start
    waits ten seconds and kills. Ctrl-C has Python's.
    """
    if (os.getpid() if pid is None else pid) == 1:
        signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))


def ending_signals(platform: str = sys.platform, *, with_hangup: bool = False) -> tuple[int, ...]:
    """The signals that end programs here: Ctrl-C, Ctrl-Break, SIGTERM and, where asked for, the terminal's end.

    A hang-up that whoever started this process ignores (`nohup`) is left ignored.
    """
    found: list[int] = []
    for name in _ENDING_ON_WINDOWS if platform == _WINDOWS else _ENDING:
        number: int | None = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and not with_hangup):
            continue
        if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
            continue
        found.append(number)
    return tuple(found)


def apart(platform: str = sys.platform) -> dict[str, Any]:
    """What `Popen` needs so that Ctrl-C in the terminal, which goes to a whole group, doesn't reach a child."""
    if platform == _WINDOWS:
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return {"process_group": 0}


def kill_group(leader: int, platform: str = sys.platform) -> None:
    """End a process that was started `apart`, and whoever it started; on Windows the process alone."""
    with suppress(OSError):
        if platform == _WINDOWS:
            os.kill(leader, signal.SIGTERM)  # there it can't be caught
        else:
            os.killpg(leader, signal.SIGKILL)


def send(child: subprocess.Popen[Any], number: int, platform: str = sys.platform) -> None:
    """Hand a signal on to a child.

    On Windows the console has sent Ctrl-C and Ctrl-Break to the child too, and `send_signal` takes neither for a child
    in the same group; what is left is to end it.
    """
    if platform != _WINDOWS:
        child.send_signal(number)
    elif number == signal.SIGTERM:
        child.terminate()


def exit_status(status: int, platform: str = sys.platform) -> int:
    """A child's status as a shell gives it: 128 + n after signal n."""
    if platform == _WINDOWS:
        if status & 0xFFFFFFFF == _ENDED_BY_CTRL_C:
            return 128 + signal.SIGINT
        # `sys.exit` takes what fits into C's long, which has 32 bits there.
        return status - 2 * _SIGN_BIT if status >= _SIGN_BIT else status
    return status if status >= 0 else 128 - status


def launch_line(
    command: Sequence[str], found: str | None, environ: Mapping[str, str], platform: str = sys.platform
) -> str | Sequence[str]:
    """What to give to `Popen` for `command`, whose program was found at `found`.

    `CreateProcess` looks for `.exe` alone, so on Windows the whole path is given. A batch file, such as `npm.CMD`, is
    run by cmd.exe, which reads its arguments by rules of its own: each is put between quotes.

    Raises:
        CannotRunError: an argument has characters that cmd.exe would read even so.
    """
    if platform != _WINDOWS or found is None:
        return list(command)
    if not found.lower().endswith(_BATCH):
        return [found, *command[1:]]
    parts = [found, *command[1:]]
    for part in parts:
        if _READ_BY_CMD.intersection(part):
            raise CannotRunError(
                f"{found!r} is a batch file, and cmd.exe would read {part!r} in its own way: run the program that "
                "it starts, or put the command into a script"
            )
    # A backslash before a quote would take the quote's meaning away from whatever the batch file starts.
    line = " ".join(f'"{part}{_last_backslashes(part)}"' for part in parts)
    return f'"{environ.get("COMSPEC", "cmd.exe")}" /d /e:on /v:off /s /c "{line}"'


def _last_backslashes(part: str) -> str:
    return "\\" * (len(part) - len(part.rstrip("\\")))


def is_windows(platform: str = sys.platform) -> bool:
    """Whether this is Windows."""
    return platform == _WINDOWS


def is_in_foreground(platform: str = sys.platform) -> bool:
    """True when Ctrl-C in the terminal reaches a child by itself, so that forwarding would send it twice."""
    if platform == _WINDOWS:
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def environment_line(name: str, value: str, platform: str = sys.platform) -> str:
    """How the shell that is usual here sets a variable."""
    return f'$env:{name} = "{value}"' if platform == _WINDOWS else f"export {name}={value}"


def lenient_output(*streams: TextIO) -> None:
    """Let what a terminal's encoding has no characters for be replaced, in the place of an error.

    Windows' consoles and `LC_ALL=C` have encodings with few.
    """
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def find_program(name: str, environ: Mapping[str, str]) -> str | None:
    """Where a command's program is: what the child's own `PATH` names, with Windows' endings."""
    return shutil.which(name, path=environ.get("PATH"))


def raise_file_limit(platform: str = sys.platform) -> None:
    """Let this process have as many files and connections open as it may: macOS begins with 256, Linux with 1,024."""
    if platform == _WINDOWS:  # which has no such limit
        return
    import resource  # noqa: PLC0415 - Windows has none

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # what the kernel has for all is less
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def affinity(platform: str = sys.platform) -> int | None:
    """On how many processors this process may run; None where that is not told."""
    if platform == _LINUX:
        return len(os.sched_getaffinity(0))
    if platform == _MACOS:
        return None
    import psutil  # noqa: PLC0415 - where it is needed

    return len(psutil.Process().cpu_affinity() or ()) or None


def kills_for_memory(platform: str = sys.platform) -> bool:
    """Whether the system ends a process that takes more memory than there is; others swap as far as the disk goes."""
    return platform == _LINUX


def cuda_driver(platform: str = sys.platform) -> str:
    """The file name of the library of NVIDIA's driver."""
    return "nvcuda.dll" if platform == _WINDOWS else "libcuda.so.1"


def reset_on_close(platform: str = sys.platform) -> bytes:
    """The value of the socket option `SO_LINGER` with which closing resets the connection.

    Two numbers, on and zero seconds: ints on POSIX, and two bytes each on Windows.
    """
    return struct.pack("hh" if platform == _WINDOWS else "ii", 1, 0)
