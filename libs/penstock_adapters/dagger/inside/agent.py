"""Becoming the agent: its files, its limits, and no privilege left."""

from __future__ import annotations

import _ctypes
import array
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

INPUT, OUTPUT = "/penstock/input.json", "/penstock/output.json"
WORK, ARTIFACTS = "/penstock/work", "/penstock/artifacts"

_HEAP_FACTOR = 4  # of the memory limit: no process grows past this between two looks
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38
_FILTER_MODE, _INSTRUCTION_BYTES, _LAST_CAPABILITY = 2, 8, 63
_NOT_FOUND, _NOT_STARTED = 127, 126
_PATH = b"/usr/local/bin:/usr/bin:/bin"
_SHARED = ("/var/tmp", "/run/lock", "/dev/mqueue")  # writable to all in common images
_ENGINES = (b"OTEL_", b"DAGGER_", b"_DAGGER", b"_EXPERIMENTAL_DAGGER", b"TRACE", b"BAGGAGE")


class _Long(_ctypes._SimpleCData):  # pyright: ignore  # noqa: PGH003, SLF001
    """What ctypes.c_ulong is, without the rest of ctypes."""

    _type_ = "L"


def place_files(order: dict[str, Any]) -> int:
    """Write the input, make the output and the scratch areas; give the output's descriptor."""
    os.umask(0o022)
    for path in (INPUT, OUTPUT):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
    with open(INPUT, "wb") as file:
        file.write(order["input"])
    output = os.open(OUTPUT, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.fchown(output, order["uid"], order["uid"])
    for path in _SHARED:
        try:
            os.chmod(path, 0o755)
        except OSError:
            continue
    return output


def become_agent(order: dict[str, Any], out: int, err: int) -> NoReturn:
    """Turn this process into the agent's; never returns."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    program, env = order["argv"][0], environment(order["env"])
    try:
        os.setsid()
        limit(order)
        renounce(order["uid"], order["filter"])
        os.chdir(WORK)
        execute(program, order["argv"], env)
    except OSError as error:
        os.write(2, f"cannot start {os.fsdecode(program)}: {error.strerror}\n".encode())
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_STARTED)


def execute(program: bytes, argv: list[bytes], env: dict[bytes, bytes]) -> NoReturn:
    """Become a program, found as a shell finds it; os.execvpe would import more modules.

    Raises:
        OSError: it is not there, or cannot be executed.
    """
    folders = [b""] if b"/" in program else env.get(b"PATH", _PATH).split(b":")
    found: OSError | None = None
    for folder in folders:
        try:
            os.execve(folder + b"/" + program if folder else program, argv, env)  # noqa: S606
        except FileNotFoundError as error:
            found = found or error
        except OSError as error:
            found = error
    raise found or FileNotFoundError(2, "not found")


def limit(order: dict[str, Any]) -> None:
    """Set the limits that the kernel holds; all processes of the agent inherit them."""
    cpu_s = int(order["cpu_s"] + 0.999)
    heap = order["memory"] * _HEAP_FACTOR
    for kind, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, max(cpu_s, 1), max(cpu_s, 1) + 1),
        (resource.RLIMIT_FSIZE, order["file_bytes"], order["file_bytes"]),
        (resource.RLIMIT_NOFILE, order["open_files"], order["open_files"]),
        (resource.RLIMIT_DATA, heap, heap),
        (resource.RLIMIT_NPROC, order["processes"], order["processes"]),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
    ):
        _, ceiling = resource.getrlimit(kind)
        if ceiling == resource.RLIM_INFINITY:
            ceiling = hard
        resource.setrlimit(kind, (min(soft, ceiling), min(hard, ceiling)))


def renounce(uid: int, program: bytes) -> None:
    """Give up every privilege and every way to one; the call filter comes last.

    Raises:
        OSError: the kernel refuses one of it.
    """
    for capability in range(_LAST_CAPABILITY):
        _ = control(_PR_CAPBSET_DROP, capability)  # refused for numbers that the kernel lacks
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    code = array.array("B", program)
    count, place = len(program) // _INSTRUCTION_BYTES, code.buffer_info()[0]
    filter_ = array.array("Q", [count, place])  # struct sock_fprog
    if control(_PR_SET_NO_NEW_PRIVS, 1) != 0:
        raise OSError(0, "privileges cannot be renounced")
    if control(_PR_SET_SECCOMP, _FILTER_MODE, filter_.buffer_info()[0]) != 0:
        raise OSError(0, "the call filter cannot be set")


def control(*arguments: int) -> int:
    """Call prctl(2)."""
    prctl = _ctypes.dlsym(
        _ctypes.dlopen(None, os.RTLD_NOW),  # pyright: ignore[reportArgumentType]
        "prctl",
    )
    padded = (*arguments, 0, 0, 0, 0)[:5]
    return _ctypes.call_function(prctl, tuple(_Long(number) for number in padded))


def environment(given: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Give the image's own variables and the task's; the engine's are not the agent's affair."""
    kept = {name: value for name, value in os.environb.items() if not name.startswith(_ENGINES)}
    return {**kept, **given}
