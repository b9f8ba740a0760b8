"""Cgroup version 2, on a folder that looks like one."""

from __future__ import annotations

from pathlib import Path

from penstock_adapters.bubblewrap.cgroups import OWN_PROCESSES, GroupV2, find_cgroups
from penstock_testkit.sandbox_probes import LIMITS


def test_a_group_is_limited_as_a_whole(tmp_path: Path):
    group = GroupV2(tmp_path, "task")
    (folder,) = group.folders
    group.limit(LIMITS)
    group.join(42)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "memory.max": str(LIMITS.memory_bytes),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": str(LIMITS.processes + OWN_PROCESSES),
        "cgroup.procs": "42",
    }
    assert not group.remove()


def test_usage_is_read_from_the_kernel_s_files(tmp_path: Path):
    group = GroupV2(tmp_path, "task")
    (folder,) = group.folders
    assert group.usage().peak_bytes == 0
    (folder / "memory.peak").write_text("4096\n")
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (folder / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    usage = group.usage()
    assert (usage.peak_bytes, usage.cpu_s, usage.oom) == (4096, 1.5, True)


def test_a_group_that_is_gone_is_removed(tmp_path: Path):
    group = GroupV2(tmp_path, "task")
    assert group.remove()
    assert group.remove()


def test_a_delegated_folder_is_used(tmp_path: Path):
    found = find_cgroups(tmp_path, delegated=tmp_path)
    assert found is not None
    assert found.version == 2


def test_controllers_that_are_handed_down_are_used(tmp_path: Path):
    # Whatever our own group is called, it is not below this root: its parent is the root.
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    found = find_cgroups(tmp_path)
    assert found is None or found.version == 2
