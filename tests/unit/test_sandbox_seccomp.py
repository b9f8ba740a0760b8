"""The system call filter, run by a small interpreter of the kernel's BPF."""

from __future__ import annotations

import errno
import struct

import pytest

from penstock_adapters.process.seccomp import (
    LAST_KNOWN_CALL,
    UnknownMachine,
    filter_program,
)

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS, EAFNOSUPPORT = (
    ERRNO | code for code in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT)
)


def verdict(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    data = struct.pack(
        "=IIQ6Q", number, arch or ARCH[machine], 0, *arguments, *[0] * (6 - len(arguments))
    )
    code = list(struct.iter_unpack("=HBBI", filter_program(machine)))
    accumulator = at = 0
    while True:
        operation, then, other, operand = code[at]
        at += 1
        match operation:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, operand)[0]
            case 0x06:
                return operand
            case 0x15:
                at += then if accumulator == operand else other
            case 0x35:
                at += then if accumulator >= operand else other
            case 0x45:
                at += then if accumulator & operand else other
            case _:
                raise AssertionError(operation)


@pytest.mark.parametrize(
    ("machine", "number"), [("x86_64", 0), ("x86_64", 59), ("aarch64", 63), ("aarch64", 221)]
)
def test_ordinary_calls_pass(machine: str, number: int):
    assert verdict(machine, number) == ALLOW


@pytest.mark.parametrize(
    ("machine", "number"),
    [
        ("x86_64", 101),
        ("x86_64", 165),
        ("x86_64", 321),
        ("aarch64", 117),
        ("aarch64", 40),
        ("aarch64", 280),
    ],
)
def test_dangerous_calls_do_not(machine: str, number: int):
    assert verdict(machine, number) == EPERM


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_came_later_does_not_exist(machine: str):
    assert verdict(machine, LAST_KNOWN_CALL) == ALLOW
    assert verdict(machine, LAST_KNOWN_CALL + 1) == ENOSYS
    assert verdict(machine, 435) == ENOSYS


@pytest.mark.parametrize(("machine", "clone"), [("x86_64", 56), ("aarch64", 220)])
def test_threads_may_be_made_but_no_namespaces(machine: str, clone: int):
    assert verdict(machine, clone, 0x003D0F00) == ALLOW
    assert verdict(machine, clone, 17) == ALLOW
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, clone, flag | 17) == EPERM


@pytest.mark.parametrize(("machine", "ioctl"), [("x86_64", 16), ("aarch64", 29)])
def test_terminals_cannot_be_typed_into(machine: str, ioctl: int):
    assert verdict(machine, ioctl, 0, 0x5401) == ALLOW
    assert verdict(machine, ioctl, 0, 0x5412) == EPERM
    assert verdict(machine, ioctl, 0, 0xFF00000000 | 0x5412) == EPERM
    assert verdict(machine, ioctl, 0, 0x541C) == EPERM


@pytest.mark.parametrize(("machine", "call"), [("x86_64", 41), ("aarch64", 198)])
def test_only_four_families_of_sockets(machine: str, call: int):
    allowed = [family for family in range(64) if verdict(machine, call, family) == ALLOW]
    assert allowed == [1, 2, 10, 16]
    assert verdict(machine, call, 40) == EAFNOSUPPORT


@pytest.mark.parametrize(("machine", "call"), [("x86_64", 135), ("aarch64", 92)])
def test_personalities(machine: str, call: int):
    assert verdict(machine, call, 0xFFFFFFFF) == ALLOW
    assert verdict(machine, call, 0) == ALLOW
    assert verdict(machine, call, 0x0400000) == EPERM


def test_foreign_abis_are_killed():
    assert verdict("x86_64", 0, arch=0x40000003) == KILL
    assert verdict("aarch64", 0, arch=0x40000028) == KILL
    assert verdict("x86_64", 0x40000000) == KILL


def test_an_unknown_machine_is_named():
    with pytest.raises(UnknownMachine, match="sparc"):
        filter_program("sparc")
