"""Why bwrap cannot start here, in terms of the setting that is in the way."""

from __future__ import annotations

from pathlib import Path

_SYSCTL = Path("/proc/sys")
_SECCOMP_FILTER = "2"


def explain(error: str, sysctl: Path = _SYSCTL, status: Path | None = None) -> tuple[str, str]:
    """Name the obstacle behind an error of bwrap, and the mend.

    Args:
        error: What bwrap printed.
        sysctl: Where the kernel's settings are.
        status: /proc/self/status, or a stand-in.

    Returns:
        The obstacle and the mend, a sentence each.
    """
    if _read(sysctl / "kernel/unprivileged_userns_clone") == "0":
        return (
            "kernel.unprivileged_userns_clone is 0: ordinary users may not make user namespaces",
            "sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if _read(sysctl / "user/max_user_namespaces") == "0":
        return (
            "user.max_user_namespaces is 0: nobody may make user namespaces",
            "sysctl -w user.max_user_namespaces=15000",
        )
    if _read(sysctl / "kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "kernel.apparmor_restrict_unprivileged_userns is 1: AppArmor takes the capabilities "
            "away in user namespaces of programs without a profile",
            "add an AppArmor profile with 'userns,' for this bwrap, or "
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    if _seccomp_mode(status or Path("/proc/self/status")) == _SECCOMP_FILTER:
        return (
            f"a seccomp filter or missing capability refuses namespaces (container?): {error}",
            "run the container with --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined, "
            "or use the dagger sandbox",
        )
    return (
        f"bwrap cannot start: {error or 'no message'}",
        "run `bwrap --unshare-user --ro-bind / / true` as this user and mend what it says",
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _seccomp_mode(status: Path) -> str | None:
    text = _read(status) or ""
    lines = (line.split() for line in text.splitlines())
    return next((line[1] for line in lines if line[0] == "Seccomp:" and len(line) == 2), None)
