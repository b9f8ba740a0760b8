"""The /etc that agents see: one user, one host name, public certificates."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

AGENT_NAME = "agent"

ALTERNATIVES = Path("/etc/alternatives")
MAX_ALTERNATIVES = 1_000  # programs; a system has a few hundred

_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


def make_etc(folder: Path, uid: int, gid: int) -> None:
    """Write the whole of a sandbox's /etc: one user, one host name, public certificates."""
    shell = "/usr/sbin/nologin"
    files = {
        "passwd": f"{AGENT_NAME}:x:{uid}:{gid}:{AGENT_NAME}:/penstock/work:{shell}\n",
        "group": f"{AGENT_NAME}:x:{gid}:\n",
        "hosts": "127.0.0.1 localhost penstock\n::1 localhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    for name, text in files.items():
        _write_public(folder / "etc" / name, text.encode())
    # The linker's cache names the folders of libraries; without it those outside the default
    # folders (/usr/local/lib in many images) are not found.
    cache = Path("/etc/ld.so.cache")
    if cache.exists():
        _write_public(folder / "etc/ld.so.cache", cache.read_bytes())
    certificates = certificate_bundle()
    if certificates is not None:
        _write_public(folder / _CERTIFICATES, certificates.read_bytes())
    chosen = folder / "etc" / ALTERNATIVES.name
    for name, program in islice(alternatives(), MAX_ALTERNATIVES):
        chosen.mkdir(exist_ok=True)
        chosen.chmod(0o755)
        (chosen / name).symlink_to(program)


def alternatives(place: Path = ALTERNATIVES) -> Iterator[tuple[str, str]]:
    """Names of programs that the system's administrator chose among several, and which.

    On Debian and its like `/usr/bin/awk` or `/usr/bin/java` is a link that leads there and back
    into /usr, so without these links the program is not found.
    """
    if not place.is_dir():
        return
    for link in sorted(place.iterdir()):
        target = os.path.normpath(os.readlink(link)) if link.is_symlink() else ""
        if target.startswith("/usr/") and os.access(target, os.X_OK) and Path(target).is_file():
            yield link.name, target


def certificate_bundle() -> Path | None:
    """The host's bundle of public certificate authorities, if it has one."""
    known = (ssl.get_default_verify_paths().cafile, f"/{_CERTIFICATES}", "/etc/ssl/cert.pem")
    return next((Path(path) for path in known if path and Path(path).is_file()), None)


def _write_public(path: Path, data: bytes) -> None:
    old_mask = os.umask(0o022)  # the agent has another uid: what it is shown must be readable
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    finally:
        os.umask(old_mask)
