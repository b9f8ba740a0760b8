"""Where an agent in bubblewrap can write, and how much."""

from __future__ import annotations

import pytest

from tests.security.inside import Inside

pytestmark = pytest.mark.real


REFUSED = ("EPERM", "ENOSYS", "EACCES")


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/user/max_user_namespaces",
        "/proc/sysrq-trigger",
        "/proc/self/uid_map",
    ],
)
async def test_kernel_settings_cannot_be_written(inside: Inside, path: str):
    code = "give(attempt(lambda: os.write(os.open(sys.argv[1], os.O_WRONLY), b'1')))"
    assert await inside(code, path) in (*REFUSED, "EROFS", "ENOENT")


@pytest.mark.parametrize(
    "path", ["/x", "/usr/x", "/etc/x", "/dev/x", "/penstock/x", "/penstock/agent/x", "/home/x"]
)
async def test_nothing_outside_the_work_folders_can_be_written(inside: Inside, path: str):
    code = "give(attempt(lambda: open(sys.argv[1], 'w').write('x')))"
    assert await inside(code, path) in (*REFUSED, "EROFS", "ENOENT")


@pytest.mark.parametrize("folder", ["/tmp", "/penstock/work", "/dev/shm"])  # noqa: S108
async def test_scratch_space_is_bounded(inside: Inside, folder: str):
    code = (
        "def fill():\n"
        "  for number in range(64):\n"
        "    with open(f'{sys.argv[1]}/{number}', 'wb') as file: file.write(b'x' * (1 << 20))\n"
        "give(attempt(fill))"
    )
    assert await inside(code, folder) == "ENOSPC"


async def test_the_output_cannot_become_a_link(inside: Inside):
    code = (
        "path = os.environ['PENSTOCK_OUTPUT']\n"
        "open('/penstock/work/o', 'w').close()\n"
        "give([attempt(lambda: os.unlink(path)), attempt(lambda: os.symlink('/etc/passwd', path)),"
        " attempt(lambda: os.rename('/penstock/work/o', path))])"
    )
    unlink, link, rename = await inside(code)  # type: ignore[misc]
    assert unlink in ("EBUSY", "EROFS", "EACCES")
    assert link == "EEXIST"
    assert rename in ("EXDEV", "EBUSY", "EROFS")
