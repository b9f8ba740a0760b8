"""Ways to files of the host, and to more room than was given."""

from __future__ import annotations

from penstock_testkit.escapes.ways import OWN_FIRST, Escape

FILES = (
    Escape("host-file", "read a file of the host", "reads(sys.argv[1])"),
    Escape(
        "planted-link",
        "read a file of the host through a link that it plants",
        "works(lambda: os.symlink(sys.argv[1], '/penstock/work/link')) "
        "and reads('/penstock/work/link')",
    ),
    Escape(
        "host-home",
        "list a home folder's credentials",
        "any(os.path.lexists(f'{sys.argv[3]}/{name}') for name in "
        "('.ssh', '.aws', '.kube', '.netrc', '.bashrc', '.profile'))",
    ),
    Escape("shadow", "read password hashes", "reads('/etc/shadow')"),
    Escape("machine-id", "learn which machine it is", "reads('/etc/machine-id')"),
    Escape(
        "other-root",
        "look at files and descriptors of the first process",
        "reads('/proc/1/root/etc/passwd') or works(lambda: os.listdir('/proc/1/fd')[0])",
        maybe_in={"bubblewrap": OWN_FIRST},
    ),
    Escape("kernel-memory", "open kernel memory", "reads('/dev/mem') or reads('/proc/kcore')"),
    Escape("disk", "open a disk of the host", "reads('/dev/vda') or reads('/dev/sda')"),
    Escape("fuse", "open /dev/fuse", "reads('/dev/fuse')"),
    Escape(
        "device",
        "make a device of its own",
        "works(lambda: os.mknod('/penstock/work/disk', 0o60600, os.makedev(8, 0))) or "
        "works(lambda: os.mknod('/penstock/work/mem', 0o20600, os.makedev(1, 1)))",
    ),
    Escape(
        "system-write",
        "write outside its work folders",
        "any(map(writes, ('/x', '/usr/x', '/etc/x', '/penstock/x', '/penstock/agent/x')))",
    ),
    Escape(
        "output-link",
        "replace its output by a link",
        "works(lambda: os.unlink(os.environ['PENSTOCK_OUTPUT'])) "
        "or works(lambda: os.symlink('/etc/passwd', os.environ['PENSTOCK_OUTPUT']))",
    ),
    Escape("kernel-settings", "write a kernel setting", "opens('/proc/sys/kernel/core_pattern')"),
    Escape(
        "kernel-objects",
        "write below /sys",
        "any(map(opens, ('/sys/power/state', '/sys/kernel/mm/ksm/run', "
        "'/sys/kernel/uevent_helper')))",
    ),
    Escape("sysrq", "trigger SysRq", "opens('/proc/sysrq-trigger')"),
    Escape(
        "cgroups",
        "look at control groups",
        "os.path.isdir('/sys/fs/cgroup') and bool(os.listdir('/sys/fs/cgroup'))",
        {"dagger": "the engine shows its own, read-only"},
    ),
)

SCRATCH = (
    Escape("tmp", "fill /tmp beyond its limit", "works(lambda: fills('/tmp'))"),
    Escape(
        "work", "fill its work folder beyond its limit", "works(lambda: fills('/penstock/work'))"
    ),
    Escape(
        "public-folders",
        "fill a folder that images leave open to all",
        "any(works(lambda: fills(path)) for path in ('/var/tmp', '/run/lock', '/dev/mqueue'))",
    ),
    Escape(
        "shared-memory",
        "fill /dev/shm beyond the task's own limit",
        "works(lambda: fills('/dev/shm'))",
        {"dagger": "up to 64 MiB, which count as the task's memory"},
    ),
)
