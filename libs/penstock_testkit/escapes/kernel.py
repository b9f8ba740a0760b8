"""Ways through the kernel: calls with a history of holes, and calls no agent needs."""

from __future__ import annotations

from penstock_testkit.escapes.ways import Escape

_GETPID_BY_INT_80 = "b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'"  # mov eax, 20; int 0x80; ret

KERNEL = (
    Escape(
        "mount",
        "mount a file system",
        "allowed(165, 0, 0, 0, 0, 0) or allowed(166, 0, 2) or allowed(430, 0, 0) "
        "or allowed(428, 0, 0, 0)",
    ),
    Escape("unshare", "make a namespace", "allowed(272, 0x10000000)"),
    Escape("setns", "enter a namespace", "allowed(308, 0, 0)"),
    Escape(
        "clone",
        "start a process in a namespace of its own",
        "allowed(56, 0x10000011, 0, 0, 0, 0) or allowed(435, 0, 0)",
    ),
    Escape(
        "chroot",
        "change its root",
        "works(lambda: os.chroot('/tmp')) or allowed(155, 0, 0)",
    ),
    Escape(
        "keyring",
        "use the kernel's keyring",
        "allowed(250, 0, 0xFFFFFFFD, 0, 0, 0) or allowed(248, 0, 0, 0, 0, 0) "
        "or allowed(249, 0, 0, 0, 0)",
    ),
    Escape("bpf", "load a BPF program", "allowed(321, 0, 0, 0)"),
    Escape("io-uring", "set up an io_uring", "allowed(425, 1, 0) or allowed(426, 0, 0, 0, 0, 0)"),
    Escape("perf", "count performance events", "allowed(298, 0, 0, 0, 0, 0)"),
    Escape("userfaultfd", "handle page faults", "allowed(323, 0) or reads('/dev/userfaultfd')"),
    Escape("handles", "open files by handle", "allowed(304, 0, 0, 0)"),
    Escape(
        "terminal",
        "type into a terminal (TIOCSTI)",
        "allowed(16, 0, 0x5412, 0) or allowed(16, 0, 0x100005412, 0) or allowed(16, 0, 0x541C, 0)",
    ),
    Escape("kernel-log", "read the kernel's log", "allowed(103, 3, 0, 0) or reads('/dev/kmsg')"),
    Escape(
        "modules",
        "load a module or another kernel",
        "allowed(175, 0, 0, 0) or allowed(313, -1, 0, 0) or allowed(246, 0, 0, 0, 0)",
    ),
    Escape("clock", "set the clock", "allowed(227, 0, 0) or allowed(164, 0, 0)"),
    Escape("host-name", "set the host's name", "works(lambda: socket.sethostname(''))"),
    Escape("personality", "change its personality", "allowed(135, 0x0400000)"),
    Escape(
        "32-bit-calls",
        "make a call of the 32-bit table",
        f"survives(lambda: machine_code({_GETPID_BY_INT_80}) > 0)",
    ),
    Escape(
        "x32-calls",
        "make a call of the x32 table",
        "survives(lambda: libc.syscall(0x40000000 + 39) > 0)",
    ),
    Escape("future-calls", "make a call that is newer than the filter", "allowed(470)"),
)

PRIVILEGES = (
    Escape("root", "become root", "works(lambda: os.setuid(0)) or works(lambda: os.setgid(0))"),
    Escape(
        "setuid",
        "gain privileges by a set-uid program",
        "works(lambda: __import__('shutil').copy('/usr/bin/id', '/penstock/work/id')) and "
        "works(lambda: os.chmod('/penstock/work/id', 0o6755)) and "
        "os.popen('/penstock/work/id -u').read().strip() == '0'",
    ),
    Escape(
        "capabilities",
        "have a capability, or a way to one",
        "not all(holds('/proc/self/status', word) for word in "
        "(b'CapEff:\\t' + b'0' * 16, b'CapBnd:\\t' + b'0' * 16, b'NoNewPrivs:\\t1'))",
    ),
)
