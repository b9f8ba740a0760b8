"""Ways out of a sandbox, each as a few lines that an agent runs, and where they are open.

`docs/security/sandboxes.md` is made from this list, and `tests/security/test_sandbox_denials.py`
tries every entry in every sandbox that the machine has: what is declared open has to be open, and
nothing else may be.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PRELUDE = """
import ctypes, errno, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *[ctypes.c_long(value) for value in arguments])
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(action):
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno]
def give(value):
    open(os.environ['PENSTOCK_OUTPUT'], 'w').write(json.dumps(value))
def works(action):
    try:
        return action() is not False
    except OSError:
        return False
def reads(path):
    return works(lambda: open(path, 'rb').read(1) is not None)
def writes(path):
    return works(lambda: open(path, 'wb').close())
def allowed(number, *arguments):
    return call(number, *arguments) not in ('EPERM', 'ENOSYS', 'EACCES')
def fills(folder):
    for number in range(32):
        with open(f'{folder}/{number}', 'wb') as file: file.write(b'x' * (1 << 20))
"""
"""What every attempt can use; `sys.argv[1]` is a file of the host, `[2]` a port of its
loopback, `[3]` the executor's home folder."""


@dataclass(frozen=True, slots=True)
class Escape:
    """One way out.

    Attributes:
        name: short, and a test's name.
        aim: what the agent tries, as the table says it.
        code: an expression that is true if it got through.
        open_in: adapters that do not deny it, each with what that means.
    """

    name: str
    aim: str
    code: str
    open_in: dict[str, str] = field(default_factory=dict[str, str])


ESCAPES = (
    Escape("host-file", "read a file of the host", "reads(sys.argv[1])"),
    Escape(
        "host-home",
        "list a home folder's credentials",
        "any(os.path.lexists(f'{sys.argv[3]}/{name}') for name in "
        "('.ssh', '.aws', '.kube', '.netrc', '.bashrc', '.profile'))",
    ),
    Escape("shadow", "read password hashes", "reads('/etc/shadow')"),
    Escape("machine-id", "learn which machine it is", "reads('/etc/machine-id')"),
    Escape(
        "host-environment",
        "find a variable of the executor",
        "any('HOST_SECRET' in name for name in os.environ)",
    ),
    Escape("environ", "read the first process' environment", "reads('/proc/1/environ')"),
    Escape("memory", "read the first process' memory", "reads('/proc/1/mem')"),
    Escape("kill", "kill the first process", "works(lambda: os.kill(1, 9))"),
    Escape(
        "neighbours",
        "see processes of another task",
        "len([n for n in os.listdir('/proc') if n.isdigit()]) > 3",
    ),
    Escape("kernel-memory", "open kernel memory", "reads('/dev/mem') or reads('/proc/kcore')"),
    Escape("disk", "open a disk of the host", "reads('/dev/vda') or reads('/dev/sda')"),
    Escape("fuse", "open /dev/fuse", "reads('/dev/fuse')"),
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
    Escape("kernel-settings", "write a kernel setting", "writes('/proc/sys/kernel/core_pattern')"),
    Escape("sysrq", "trigger SysRq", "writes('/proc/sysrq-trigger')"),
    Escape(
        "cgroups",
        "look at control groups",
        "os.path.isdir('/sys/fs/cgroup') and bool(os.listdir('/sys/fs/cgroup'))",
        {"dagger": "the engine shows its own, read-only"},
    ),
    Escape(
        "host-loopback",
        "reach a port of the host's loopback",
        "works(lambda: socket.create_connection(('127.0.0.1', int(sys.argv[2])), 2).close())",
    ),
    Escape(
        "metadata",
        "reach a cloud's metadata service",
        "works(lambda: socket.create_connection(('169.254.169.254', 80), 1).close())",
    ),
    Escape(
        "internet",
        "reach an address of the internet",
        "works(lambda: socket.create_connection(('192.0.2.1', 80), 1).close())",
    ),
    Escape(
        "names",
        "ask a name server",
        "works(lambda: socket.socket(2, 2).sendto(b'?', ('192.0.2.53', 53)))",
    ),
    Escape(
        "interfaces",
        "have a network interface besides its own loopback",
        "sorted(os.listdir('/sys/class/net')) != ['lo'] if os.path.isdir('/sys/class/net') "
        "else len(open('/proc/net/dev').readlines()) > 3",
        {"dagger": "it is there, and the call filter refuses every socket that could use it"},
    ),
    Escape("packets", "open a raw socket", "works(lambda: socket.socket(17, 3).close())"),
    Escape(
        "sockets",
        "connect to an engine's or a supervisor's socket",
        "any(works(lambda: socket.socket(socket.AF_UNIX).connect(path)) for path in ("
        "'/var/run/docker.sock', '/run/dagger/engine.sock', '/run/buildkit/buildkitd.sock', "
        "'/penstock/.channel'))",
    ),
    Escape("ptrace", "trace a process", "allowed(101, 16, 1, 0, 0)"),
    Escape("mount", "mount a file system", "allowed(165, 0, 0, 0, 0)"),
    Escape("unshare", "make a namespace", "allowed(272, 0x10000000)"),
    Escape("chroot", "change its root", "works(lambda: os.chroot('/tmp'))"),
    Escape("keyring", "use the kernel's keyring", "allowed(250, 0, 0xFFFFFFFD, 0, 0, 0)"),
    Escape("bpf", "load a BPF program", "allowed(321, 0, 0, 0)"),
    Escape("io-uring", "set up an io_uring", "allowed(425, 1, 0)"),
    Escape("perf", "count performance events", "allowed(298, 0, 0, 0, 0, 0)"),
    Escape("userfaultfd", "handle page faults", "allowed(323, 0)"),
    Escape("handles", "open files by handle", "allowed(304, 0, 0, 0)"),
    Escape("terminal", "type into a terminal (TIOCSTI)", "allowed(16, 0, 0x5412, 0)"),
    Escape("kernel-log", "read the kernel's log", "allowed(103, 3, 0, 0)"),
    Escape("root", "become root", "works(lambda: os.setuid(0))"),
    Escape(
        "setuid",
        "gain privileges by a set-uid program",
        "works(lambda: __import__('shutil').copy('/usr/bin/id', '/penstock/work/id')) and "
        "works(lambda: os.chmod('/penstock/work/id', 0o6755)) and "
        "os.popen('/penstock/work/id -u').read().strip() == '0'",
    ),
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
"""In the order of the table."""

LIMITED = (
    ("memory", "control group, else a watchdog that looks ten times a second",
     "a watchdog that looks ten times a second; the engine's own group bounds all tasks together"),
    ("processes and threads", "control group, else a watchdog",
     "the kernel, by a uid that no other task has"),
    ("CPU time", "the kernel for each process, a watchdog for all", "the same"),
    ("size of a file, open files", "the kernel, for each process", "the same"),
    ("scratch folders", "size of a file system in memory", "the same"),
    ("empty files in scratch folders", "memory, where a control group counts it",
     "not limited: they cost the engine memory that nobody counts"),
    ("growth of a workspace", "the executor looks at the repository's clone",
     "the first process looks once a second, and at the end"),
    ("time", "the executor, and with it every process of the task",
     "the executor, and the first process by itself when it hears nothing"),
)  # fmt: skip
"""What is limited, and by whom under bubblewrap and dagger."""


def program(escape: Escape) -> str:
    """The agent that tries one."""
    return PRELUDE + f"give(bool({escape.code}))"
