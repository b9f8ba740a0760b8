"""Start one program so that it dies with its parent; run as a script, never imported.

Usage: launch.py SIGNAL PARENT IDENTITY COVER KEEP PROGRAM [ARGUMENT...]

SIGNAL is what the kernel sends the program when the thread that started it ends. PARENT is the
pid of the starting process; if it has gone already, nothing is started. IDENTITY is `-`, or
`UID:GID` to become, or `=FILE`: a user without an account gets a name, as FILE replaces
/etc/passwd in a user and mount namespace of its own. COVER and KEEP are `-`, or two folders, KEEP
below COVER: in a private mount namespace COVER is hidden behind an empty, traversable folder in
which only KEEP is reachable, at the same path; so an unprivileged program can live below a folder
that only root may enter.

Only the standard library, and little of it: this runs before every child (`python -I -S`).
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
EXIT_PARENT_GONE = 120
EXIT_REFUSED = 121

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    encoded = [os.fsencode(text) for text in (source, target, kind)]
    _checked(_libc.mount(*encoded, ctypes.c_ulong(flags), os.fsencode(data)), f"mount {target}")


def uncover(cover: str, keep: str) -> None:
    """Make `keep` reachable for everybody in a mount namespace of our own."""
    _checked(_libc.unshare(CLONE_NEWNS), "unshare")
    _mount("none", "/", "", MS_REC | MS_PRIVATE, "")
    kept = os.open(keep, os.O_PATH | os.O_DIRECTORY)
    _mount("tmpfs", cover, "tmpfs", 0, "mode=0755,size=64k")
    previous = os.umask(0o022)
    os.makedirs(keep)
    _ = os.umask(previous)
    _mount(f"/proc/self/fd/{kept}", keep, "", MS_BIND, "")
    os.close(kept)
    os.chdir("/")


def become(identity: str) -> None:
    """Drop root for good."""
    uid, _, gid = identity.partition(":")
    os.setgroups([])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))


def name_user(passwd: str) -> None:
    """Show `passwd` as /etc/passwd; needs no privilege where user namespaces are allowed."""
    maps = (("uid_map", os.getuid()), ("gid_map", os.getgid()))
    _checked(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
    _write("/proc/self/setgroups", "deny")
    for name, number in maps:
        _write(f"/proc/self/{name}", f"{number} {number} 1")
    _mount(passwd, "/etc/passwd", "", MS_BIND, "")


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY)
    _ = os.write(handle, text.encode())
    os.close(handle)


def main(arguments: list[str]) -> int:
    """Prepare this process, then become the program; returns only when that failed."""
    death_signal, parent, identity, cover, keep, *command = arguments
    if cover != "-":
        uncover(cover, keep)
    if identity.startswith("="):
        name_user(identity[1:])
    elif identity != "-":
        become(identity)
    # Last, as a change of identity clears it; then look whether the parent died before.
    _checked(_libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0), "prctl")
    if os.getppid() != int(parent):
        return EXIT_PARENT_GONE
    # penstock: ignore[command-injection] -- becomes what it is told to, without a shell
    return os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except OSError as error:
        _ = sys.stderr.write(f"launch: {error}\n")
        sys.exit(EXIT_REFUSED)
