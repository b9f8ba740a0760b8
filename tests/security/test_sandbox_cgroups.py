"""Control groups, version 1 and 2: on trees that look like them, and for real where they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap.cgroups import (
    OWN_PROCESSES,
    Cgroups,
    Group,
    GroupV1,
    GroupV2,
    find_cgroups,
)
from penstock_testkit.sandbox_probes import LIMITS, MIB, WAIT_S

DEAD = "penstock-sandbox-999999999-1-1"
UNIFIED = Path("/sys/fs/cgroup/unified")


@contextmanager
def child(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does something once it is told to."""
    program = f"import sys; sys.stdin.readline()\n{code}"
    with subprocess.Popen([sys.executable, "-S", "-c", program], stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[bytes]) -> int:
    """Let it begin, and give how it ended."""
    process.communicate(b"\n", WAIT_S)
    return process.returncode


def hierarchies(root: Path, *names: str) -> dict[str, Path]:
    """A tree as version 1 has it, wherever in it we are ourselves."""
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "cgroup.procs").touch()
    return {name: root / name for name in names}


def written(folder: Path) -> Mapping[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


# --- version 1, on a fixture --------------------------------------------------------------------


def test_version_1_is_found_hierarchy_by_hierarchy(tmp_path: Path):
    hierarchies(tmp_path, "memory", "pids", "cpuacct", "freezer")
    found = find_cgroups(tmp_path)
    assert found is not None
    assert found.version == 1
    group = found.make()
    assert {folder.parent.name for folder in group.folders} == {"memory", "pids", "cpuacct"}


@pytest.mark.parametrize("names", [("memory",), ("pids", "cpuacct"), ()])
def test_version_1_needs_memory_and_pids(tmp_path: Path, names: tuple[str, ...]):
    hierarchies(tmp_path, *names)
    assert find_cgroups(tmp_path) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_version_1_needs_the_right_to_make_groups(tmp_path: Path):
    for folder in hierarchies(tmp_path, "memory", "pids").values():
        folder.chmod(0o555)
    assert find_cgroups(tmp_path) is None


@pytest.mark.parametrize("swap", [True, False])
def test_version_1_limits_each_hierarchy(tmp_path: Path, *, swap: bool):
    group = GroupV1(hierarchies(tmp_path, "memory", "pids", "cpuacct"), "task")
    memory, pids, cpu = group.folders
    if swap:
        (memory / "memory.memsw.limit_in_bytes").write_text("0")
    group.limit(LIMITS)
    assert written(memory) == {
        "memory.limit_in_bytes": str(LIMITS.memory_bytes),
        "memory.max_usage_in_bytes": "0",
        **({"memory.memsw.limit_in_bytes": str(LIMITS.memory_bytes)} if swap else {}),
    }
    assert written(pids) == {"pids.max": str(LIMITS.processes + OWN_PROCESSES)}
    assert written(cpu) == {"cpuacct.usage": "0"}


def test_version_1_tells_its_use(tmp_path: Path):
    group = GroupV1(hierarchies(tmp_path, "memory", "pids", "cpuacct"), "task")
    memory, _, cpu = group.folders
    assert group.usage() == type(group.usage())()
    (memory / "memory.max_usage_in_bytes").write_text("4096\n")
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    (cpu / "cpuacct.usage").write_text("2500000000\n")
    usage = group.usage()
    assert (usage.peak_bytes, usage.cpu_s, usage.oom) == (4096, 2.5, True)


def test_version_1_without_accounting_of_time(tmp_path: Path):
    group = GroupV1(hierarchies(tmp_path, "memory", "pids"), "task")
    group.limit(LIMITS)
    assert len(group.folders) == 2
    assert group.usage().cpu_s == 0


# --- version 2, on a fixture --------------------------------------------------------------------


def test_version_2_is_used_where_it_hands_down_controllers(tmp_path: Path):
    own = own_unified()
    here = tmp_path / own.lstrip("/")
    here.mkdir(parents=True, exist_ok=True)
    (here / "cgroup.subtree_control").write_text("cpu io memory pids\n")
    found = find_cgroups(tmp_path)
    assert found is not None
    assert found.version == 2
    (folder,) = found.make().folders
    assert folder.parent == here


def own_unified() -> str:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next((line[3:] for line in lines if line.startswith("0::")), "/")


def test_version_1_takes_over_where_version_2_refuses(tmp_path: Path):
    hierarchies(tmp_path, "memory", "pids")
    found = find_cgroups(tmp_path, delegated=Path("/proc/self"))  # nobody makes folders there
    assert found is not None
    assert found.version == 1


def test_a_version_2_without_a_limit_on_swap_is_limited_all_the_same(tmp_path: Path):
    group = GroupV2(tmp_path, "task")
    group.limit(LIMITS)
    assert "memory.max" in written(group.folders[0])


# --- processes in them, on a fixture ------------------------------------------------------------


@pytest.fixture(params=[1, 2])
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Group:
    if request.param == 2:
        return GroupV2(tmp_path, "task")
    return GroupV1(hierarchies(tmp_path, "memory", "pids"), "task")


def test_all_processes_of_a_group_are_killed(group: Group):
    with child("import time; time.sleep(60)") as one, child("import time; time.sleep(60)") as two:
        (group.folders[0] / "cgroup.procs").write_text(f"{one.pid}\n{two.pid}\n999999999\n")
        group.kill()
        assert [one.wait(WAIT_S), two.wait(WAIT_S)] == [-signal.SIGKILL] * 2


def test_a_group_that_is_still_in_use_says_so(group: Group):
    group.join(42)
    assert not group.remove()
    for folder in group.folders:
        (folder / "cgroup.procs").unlink()
    assert group.remove()
    assert group.usage().peak_bytes == 0


def test_groups_of_the_dead_are_removed_with_what_runs_in_them(tmp_path: Path):
    parents = hierarchies(tmp_path, "memory", "pids")
    for parent in parents.values():
        (parent / DEAD).mkdir()
        (parent / "of-somebody-else").mkdir()
    with child("import time; time.sleep(60)") as process:
        (parents["pids"] / DEAD / "cgroup.procs").write_text(f"{process.pid}\n")
        Cgroups(1, parents)  # gives up on the folder: here the file in it does not vanish
        assert process.wait(WAIT_S) == -signal.SIGKILL
    assert sorted(path.name for path in parents["memory"].iterdir()) == [
        "cgroup.procs",
        "of-somebody-else",
    ]


# --- for real -----------------------------------------------------------------------------------


@pytest.fixture
def real() -> Iterator[Group]:
    found = find_cgroups()
    if found is None:
        pytest.skip("no control group may be made here")
    group = found.make()
    group.limit(LIMITS)
    yield group
    cleared(group)


def cleared(group: Group) -> None:
    """Remove it; what was killed takes a moment to be gone."""
    until = time.monotonic() + WAIT_S
    while not group.remove():
        assert time.monotonic() < until
        group.kill()
        time.sleep(0.01)


@pytest.mark.real
def test_a_real_group_holds_memory(real: Group):
    with child(f"held = bytearray({2 * LIMITS.memory_bytes}); held[::4096] = held[::4096]") as one:
        real.join(one.pid)
        assert tell(one) == -signal.SIGKILL
    usage = real.usage()
    assert usage.oom
    assert LIMITS.memory_bytes - 16 * MIB < usage.peak_bytes <= LIMITS.memory_bytes


@pytest.mark.real
def test_a_real_group_holds_processes_and_counts_time(real: Group):
    forks = (
        "import os, signal, time\ncount = 0\nuntil = time.process_time() + 0.05\n"
        "while time.process_time() < until: pass\n"
        "try:\n while count < 200:\n  if os.fork() == 0: signal.pause()\n  count += 1\n"
        "except OSError: pass\nos._exit(count)"
    )
    with child(forks) as one:
        real.join(one.pid)
        assert tell(one) == LIMITS.processes + OWN_PROCESSES - 1
    assert real.usage().cpu_s >= 0.05
    assert not real.remove()  # its children are still there


@pytest.mark.real
def test_a_real_version_2_without_controllers_is_not_taken(tmp_path: Path):
    if not (UNIFIED / "cgroup.procs").exists() or not os.access(UNIFIED, os.W_OK):
        pytest.skip("no writable cgroup2 beside version 1 here")
    assert find_cgroups(tmp_path, delegated=UNIFIED) is None
    group = GroupV2(UNIFIED, f"penstock-test-{os.getpid()}")
    try:
        with child("import time; time.sleep(60)") as process:
            group.join(process.pid)
            assert not group.remove()
            group.kill()
            assert process.wait(WAIT_S) == -signal.SIGKILL
    finally:
        cleared(group)
