"""What differs between platforms: every branch, with the platform as a parameter."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phi_emulator.platforms import (
    CannotRunError,
    affinity,
    apart,
    cuda_driver,
    ending_signals,
    environment_line,
    exit_status,
    find_program,
    is_in_foreground,
    kills_for_memory,
    launch_line,
    lenient_output,
    raise_file_limit,
    send,
    write_through,
)

WINDOWS, MACOS, LINUX = "win32", "darwin", "linux"


class Child:
    """Remembers what was done to it."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def send_signal(self, number: int) -> None:
        self.heard.append(number)

    def terminate(self) -> None:
        self.heard.append("ended")


def sent(number: int, platform: str) -> list[object]:
    child: Any = Child()
    send(child, number, platform)
    return list(child.heard)


@pytest.mark.parametrize("platform", [WINDOWS, MACOS, LINUX])
def test_files_and_folders_are_written_through(
    tmp_path: Path, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    path = tmp_path / "file"
    path.write_bytes(b"x")
    write_through(path, platform)
    assert len(flushed) == 1
    write_through(tmp_path, platform)
    assert len(flushed) == (1 if platform == WINDOWS else 2)


@pytest.mark.parametrize(("works", "count"), [(True, 0), (False, 1)])
def test_macos_flushes_its_drive_or_falls_back(
    tmp_path: Path, works: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl  # noqa: PLC0415 - Windows has none

    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)

    def call(descriptor: int, command: int) -> int:
        assert command == 51
        if not works:
            raise OSError
        return 0

    monkeypatch.setattr(fcntl, "fcntl", call)
    write_through(tmp_path, MACOS)
    assert len(flushed) == count


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES, errno.EIO])
def test_a_folder_that_can_not_be_flushed_is_left_to_the_system_and_a_file_is_not(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"."):
        write_through(tmp_path / "file", LINUX)
    if number == errno.EIO:  # the disk itself is broken
        with pytest.raises(OSError, match=r"."):
            write_through(tmp_path, LINUX)
    else:
        write_through(tmp_path, LINUX)


def test_a_file_that_may_only_be_read_is_written_through(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(mode=0o400)
    write_through(path, LINUX)


def test_the_signals_that_end_programs() -> None:
    # Under `nohup` a hang-up is ignored, and then ends nothing.
    hung_up = (signal.SIGHUP,) if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else ()
    assert ending_signals(LINUX) == (signal.SIGINT, signal.SIGTERM)
    assert ending_signals(LINUX, with_hangup=True) == (signal.SIGINT, signal.SIGTERM, *hung_up)
    assert ending_signals(WINDOWS, with_hangup=True) == (
        signal.SIGINT,
        signal.SIGTERM,
    )  # SIGBREAK is there alone


def test_a_hang_up_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in ending_signals(LINUX, with_hangup=True)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_child_hears_signals_where_it_does_not_hear_them_by_itself() -> None:
    assert sent(signal.SIGINT, LINUX) == [signal.SIGINT]
    assert sent(signal.SIGTERM, MACOS) == [signal.SIGTERM]
    assert sent(signal.SIGINT, WINDOWS) == []  # `Popen.send_signal` would raise ValueError
    assert sent(signal.SIGTERM, WINDOWS) == ["ended"]


@pytest.mark.parametrize(
    ("platform", "status", "expected"),
    [
        (LINUX, 7, 7),
        (LINUX, -9, 137),
        (WINDOWS, 7, 7),
        (WINDOWS, 0xC000013A, 130),
        (WINDOWS, 0xC000013A - 2**32, 130),
        (WINDOWS, 0xC0000005, 0xC0000005 - 2**32),
    ],
)
def test_an_exit_status_is_a_shells(platform: str, status: int, expected: int) -> None:
    assert exit_status(status, platform) == expected


def test_a_command_is_started_as_it_was_given() -> None:
    assert launch_line(["npm", "a b"], "/usr/bin/npm", {}, LINUX) == ["npm", "a b"]
    assert launch_line(["python", "x"], r"C:\py\python.EXE", {}, WINDOWS) == [r"C:\py\python.EXE", "x"]
    assert launch_line(["gone"], None, {}, WINDOWS) == ["gone"]


def test_a_batch_file_is_run_by_cmd_with_quoted_arguments() -> None:
    line = launch_line(
        ["npm", "run", "a & b", "x\\"], r"C:\Program Files\npm.CMD", {"COMSPEC": r"C:\w\cmd.exe"}, WINDOWS
    )
    assert line == (r'"C:\w\cmd.exe" /d /e:on /v:off /s /c ""C:\Program Files\npm.CMD" "run" "a & b" "x\\""')


@given(st.lists(st.text(max_size=10), max_size=3))
def test_nothing_in_a_batch_files_arguments_leaves_its_quotes(arguments: list[str]) -> None:
    try:
        line = launch_line(["x", *arguments], r"C:\x.bat", {}, WINDOWS)
    except CannotRunError:
        assert any(set('"%\r\n\0') & set(argument) for argument in arguments)
        return
    assert isinstance(line, str)
    inner = line.partition(" /s /c ")[2]
    assert inner[0] == inner[-1] == '"'
    assert inner.count('"') == 2 * (len(arguments) + 2)
    assert "%" not in inner


def test_a_program_is_looked_for_where_the_child_will_look(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    assert find_program("tool", {"PATH": str(tmp_path)}) == str(program)
    assert find_program("tool", {"PATH": str(tmp_path / "elsewhere")}) is None


def test_the_console_of_windows_reaches_everybody() -> None:
    assert is_in_foreground(WINDOWS)


def test_without_a_terminal_nobody_is_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "open", refuse)
    assert not is_in_foreground(LINUX)


def test_a_variable_is_set_as_the_shell_here_does_it() -> None:
    assert environment_line("A", "b", LINUX) == "export A=b"
    assert environment_line("A", "b", WINDOWS) == '$env:A = "b"'


def test_an_encoding_with_few_characters_ends_nothing() -> None:
    script = """
import sys
from phi_emulator.platforms import lenient_output
lenient_output(sys.stdout)
print(chr(0x2026))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.strip() == b"?"
    lenient_output(object())  # type: ignore[arg-type]  # a stream that was replaced, as test runners do it


def test_a_child_that_is_asked_hears_no_ctrl_c() -> None:
    assert apart(LINUX) == apart(MACOS) == {"process_group": 0}
    assert set(apart(WINDOWS)) == {"creationflags"}  # a number that Python has there alone


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (1024, 524_288, 10_240),
        (256, -1, 10_240),  # macOS, and -1 is no limit
        (256, 4096, 4096),
        (20_000, 524_288, None),
        (-1, -1, None),
        (4096, 4096, None),
    ],
)
def test_as_many_connections_as_the_system_allows(
    soft: int, hard: int, wanted: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource  # noqa: PLC0415 - Windows has none

    asked: list[tuple[int, int]] = []

    def set_limit(_kind: int, limits: tuple[int, int]) -> None:
        asked.append(limits)
        raise ValueError  # the kernel has fewer for all: the emulator goes on with what it has

    monkeypatch.setattr(resource, "RLIM_INFINITY", -1)
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    for platform in (WINDOWS, MACOS, LINUX):
        asked.clear()
        raise_file_limit(platform)
        assert asked == ([] if wanted is None or platform == WINDOWS else [(wanted, hard)])


def test_processors_are_counted_as_the_system_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        def cpu_affinity(self) -> list[int]:
            return [0, 1, 5]

    monkeypatch.setattr("psutil.Process", Process)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1}, raising=False)
    assert (affinity(LINUX), affinity(WINDOWS), affinity(MACOS)) == (2, 3, None)


def test_what_systems_call_and_do_otherwise() -> None:
    assert (cuda_driver(WINDOWS), cuda_driver(LINUX)) == ("nvcuda.dll", "libcuda.so.1")
    assert [kills_for_memory(platform) for platform in (WINDOWS, MACOS, LINUX)] == [False, False, True]


@pytest.mark.parametrize(("pid", "status"), [(1, 128 + 15), (2, -15)])
def test_sigterm_ends_a_first_process_that_has_no_handler_yet(pid: int, status: int) -> None:
    # As a first process the second one would go on: the kernel drops what has no handler there. `make image` sees that.
    script = (
        "import os, signal; from phi_emulator.platforms import end_by_signal_as_first_process as end\n"
        f"end({pid}); os.kill(os.getpid(), signal.SIGTERM); print('went on')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, "")
