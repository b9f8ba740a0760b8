"""The /etc that agents see: one user, one host name, public certificates."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

AGENT_NAME = "agent"

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
