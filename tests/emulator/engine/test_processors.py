"""An affinity or a container's quota is respected, which the native runtime does not do by itself."""

import os
from pathlib import Path

import pytest
from phi_emulator.engine.machine.processors import usable_processors


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Tests run on machines of any size; the one that is spoken of has eight processors.
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 8)
    return tmp_path


def put(system: Path, **files: str) -> None:
    for name, content in files.items():
        path = system / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="ascii")


def test_without_a_limit_the_runtime_decides(system: Path) -> None:
    assert usable_processors(system, affinity=8) is None


def test_an_affinity_is_a_limit(system: Path) -> None:
    assert usable_processors(system, affinity=3) == 3


@pytest.mark.parametrize(("quota", "usable"), [("250000", 2), ("50000", 1), ("800000", None), ("max", None)])
def test_the_quota_of_a_container_is_a_limit(system: Path, quota: str, usable: int | None) -> None:
    put(system, sys__fs__cgroup__cpu_dot_max=f"{quota} 100000\n")
    assert usable_processors(system, affinity=8) == usable


def test_so_is_that_of_a_group_above_one_s_own(system: Path) -> None:
    put(
        system,
        proc__self__cgroup="0::/a/b\n",
        sys__fs__cgroup__a__cpu_dot_max="200000 100000\n",
        sys__fs__cgroup__a__b__cpu_dot_max="max 100000\n",
    )
    assert usable_processors(system, affinity=8) == 2


@pytest.mark.parametrize(("quota", "usable"), [("300000", 3), ("-1", None)])
def test_older_control_groups_are_known(system: Path, quota: str, usable: int | None) -> None:
    put(
        system,
        proc__self__cgroup="3:cpuset:/\n2:cpu,cpuacct:/job\n",
        sys__fs__cgroup__cpu__job__cpu_dot_cfs_quota_us=f"{quota}\n",
        sys__fs__cgroup__cpu__job__cpu_dot_cfs_period_us="100000\n",
    )
    assert usable_processors(system, affinity=8) == usable
