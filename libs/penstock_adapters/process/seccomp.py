"""The system call filter of a sandbox, assembled to the kernel's BPF by hand.

A deny list over an isolation that stands without it (namespaces, no capabilities, no new
privileges): it takes away calls with a history of kernel holes and calls no agent needs. What is
newer than `LAST_KNOWN_CALL` does not exist for an agent, so that a new kernel does not open new
doors. Numbers: linux/arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

LAST_KNOWN_CALL = 456
"""futex_requeue (Linux 6.7); everything after it is answered with ENOSYS."""

_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT, _ARGUMENT_BYTES = 0, 4, 16, 8

_NEW_NAMESPACES = 0x7E020080  # CLONE_NEW{USER,PID,NET,IPC,UTS,CGROUP,NS} and NEWTIME
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)


class UnknownMachine(RuntimeError):
    """There is no system call table for this machine."""


@dataclass(frozen=True, slots=True)
class Machine:
    """System call numbers of one architecture, None where it has no such call."""

    audit_arch: int
    denied: tuple[int, ...]
    absent: tuple[int, ...]
    clone: int
    ioctl: int
    personality: int
    socket: int
    other_abi_from: int | None


_SAME_EVERYWHERE = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "memfd_secret": 447,
}
_ABSENT_EVERYWHERE = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "clone3": 435,  # its flags lie in memory, out of a filter's sight: libc falls back to clone
}

_X86_64 = {
    "modify_ldt": 154,
    "uselib": 134,
    "ustat": 136,
    "sysfs": 139,
    "pivot_root": 155,
    "sysctl": 156,
    "adjtimex": 159,
    "chroot": 161,
    "acct": 163,
    "settimeofday": 164,
    "mount": 165,
    "umount2": 166,
    "swapon": 167,
    "swapoff": 168,
    "reboot": 169,
    "sethostname": 170,
    "setdomainname": 171,
    "iopl": 172,
    "ioperm": 173,
    "create_module": 174,
    "init_module": 175,
    "delete_module": 176,
    "get_kernel_syms": 177,
    "query_module": 178,
    "quotactl": 179,
    "nfsservctl": 180,
    "vhangup": 153,
    "ptrace": 101,
    "syslog": 103,
    "lookup_dcookie": 212,
    "clock_settime": 227,
    "kexec_load": 246,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "migrate_pages": 256,
    "unshare": 272,
    "move_pages": 279,
    "perf_event_open": 298,
    "fanotify_init": 300,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "clock_adjtime": 305,
    "setns": 308,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "finit_module": 313,
    "kexec_file_load": 320,
    "bpf": 321,
    "userfaultfd": 323,
}
_AARCH64 = {
    "lookup_dcookie": 18,
    "umount2": 39,
    "mount": 40,
    "pivot_root": 41,
    "nfsservctl": 42,
    "chroot": 51,
    "vhangup": 58,
    "quotactl": 60,
    "acct": 89,
    "unshare": 97,
    "kexec_load": 104,
    "init_module": 105,
    "delete_module": 106,
    "clock_settime": 112,
    "syslog": 116,
    "ptrace": 117,
    "reboot": 142,
    "sethostname": 161,
    "setdomainname": 162,
    "settimeofday": 170,
    "adjtimex": 171,
    "add_key": 217,
    "request_key": 218,
    "keyctl": 219,
    "swapon": 224,
    "swapoff": 225,
    "migrate_pages": 238,
    "move_pages": 239,
    "perf_event_open": 241,
    "fanotify_init": 262,
    "name_to_handle_at": 264,
    "open_by_handle_at": 265,
    "clock_adjtime": 266,
    "setns": 268,
    "process_vm_readv": 270,
    "process_vm_writev": 271,
    "kcmp": 272,
    "finit_module": 273,
    "bpf": 280,
    "userfaultfd": 282,
    "kexec_file_load": 294,
}

_MACHINES = {
    "x86_64": Machine(
        audit_arch=0xC000003E,
        denied=(*_X86_64.values(), *_SAME_EVERYWHERE.values()),
        absent=tuple(_ABSENT_EVERYWHERE.values()),
        clone=56,
        ioctl=16,
        personality=135,
        socket=41,
        other_abi_from=0x40000000,  # x32
    ),
    "aarch64": Machine(
        audit_arch=0xC00000B7,
        denied=(*_AARCH64.values(), *_SAME_EVERYWHERE.values()),
        absent=tuple(_ABSENT_EVERYWHERE.values()),
        clone=220,
        ioctl=29,
        personality=92,
        socket=198,
        other_abi_from=None,
    ),
}


def filter_program(machine: str | None = None, *, network: bool = True) -> bytes:
    """Assemble the filter for a machine (default: this one): an array of `struct sock_filter`.

    Args:
        machine: As `uname -m` names it.
        network: False refuses every socket but Unix ones, where an agent has a network that
            nothing else takes away from it.

    Raises:
        UnknownMachine: There is no table for it.
    """
    name = machine or platform.machine()
    if name not in _MACHINES:
        raise UnknownMachine(f"no system call filter for {name}")
    return _assemble(_MACHINES[name], _FAMILIES if network else (socket.AF_UNIX,))


def _assemble(machine: Machine, families: Sequence[int]) -> bytes:
    code = [
        _op(_LOAD, _ARCH_AT),
        _op(_JUMP_EQ, machine.audit_arch, then=1),
        _op(_RETURN, _KILL_PROCESS),
        _op(_LOAD, _NUMBER_AT),
    ]
    if machine.other_abi_from is not None:
        code += [_op(_JUMP_GE, machine.other_abi_from, other=1), _op(_RETURN, _KILL_PROCESS)]
    code += [_op(_JUMP_GE, LAST_KNOWN_CALL + 1, other=1), _refuse(errno.ENOSYS)]
    for number in sorted(machine.denied):
        code += [_op(_JUMP_EQ, number, other=1), _refuse(errno.EPERM)]
    for number in machine.absent:
        code += [_op(_JUMP_EQ, number, other=1), _refuse(errno.ENOSYS)]
    code += _for_call(
        machine.clone,
        [
            *_argument(0),
            _op(_JUMP_SET, _NEW_NAMESPACES, other=1),
            _refuse(errno.EPERM),
        ],
    )
    code += _for_call(
        machine.ioctl,
        [
            *_argument(1),
            _op(_JUMP_EQ, _TIOCSTI, then=1),
            _op(_JUMP_EQ, _TIOCLINUX, other=1),
            _refuse(errno.EPERM),
        ],
    )
    code += _for_call(machine.personality, _only(0, _PERSONALITIES, errno.EPERM))
    code += _for_call(machine.socket, _only(0, families, errno.EAFNOSUPPORT))
    code.append(_op(_RETURN, _ALLOW))
    return b"".join(code)


def _op(code: int, operand: int, *, then: int = 0, other: int = 0) -> bytes:
    """One instruction; `then` and `other` are the instructions to skip on true and on false."""
    return struct.pack("=HBBI", code, then, other, operand)


def _refuse(error: int) -> bytes:
    return _op(_RETURN, _ERRNO | error)


def _argument(index: int) -> list[bytes]:
    """Load the low half of an argument: the kernel reads these arguments as 32 bits."""
    return [_op(_LOAD, _ARGUMENTS_AT + index * _ARGUMENT_BYTES)]


def _for_call(number: int, body: list[bytes]) -> list[bytes]:
    """Run `body` for one call; falling out of its end allows the call."""
    block = [*body, _op(_RETURN, _ALLOW)]
    return [_op(_JUMP_EQ, number, other=len(block)), *block]


def _only(index: int, allowed: Sequence[int], error: int) -> list[bytes]:
    tests = [
        _op(_JUMP_EQ, int(value), then=len(allowed) - position)
        for position, value in enumerate(allowed)
    ]
    return [*_argument(index), *tests, _refuse(error)]
