"""Writes an OCI archive of one layer: a file system that an engine takes in one piece.

Equal files make an equal archive, so an engine that has it already knows it by its digest.
Layout: https://github.com/opencontainers/image-spec, version 1.1.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from penstock_adapters.dagger.host_root import HostRoot, listed
from penstock_adapters.dagger.libraries import CannotCollect
from penstock_adapters.process.etc import make_etc

_PLATFORMS = {"x86_64": "amd64", "aarch64": "arm64"}
_KIND = "application/vnd.oci.image"
_NOBODY = 65_534
_PIECE_BYTES = 1024 * 1024


def write_archive(root: HostRoot, path: Path) -> None:
    """Write an image with what `root` plans, and an /etc for agents.

    Raises:
        CannotCollect: Images have no name for this machine's architecture.
    """
    machine = os.uname().machine
    if machine not in _PLATFORMS:
        raise CannotCollect(f"no image can be made for {machine}")
    with tempfile.TemporaryFile(dir=path.parent) as layer:
        _write_layer(root, layer, path.parent)
        digest, size = _measured(layer)
        blobs: dict[str, bytes] = {}
        config = _document(
            blobs,
            "config.v1",
            {
                "architecture": _PLATFORMS[machine],
                "os": "linux",
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            },
        )
        layer_media = {"mediaType": f"{_KIND}.layer.v1.tar", "digest": f"sha256:{digest}"}
        manifest = _document(
            blobs,
            "manifest.v1",
            {
                "schemaVersion": 2,
                "mediaType": f"{_KIND}.manifest.v1+json",
                "config": config,
                "layers": [{**layer_media, "size": size}],
            },
        )
        index = {"schemaVersion": 2, "manifests": [manifest]}
        with tarfile.open(path, "w") as tar:
            _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
            _add(tar, "index.json", json.dumps(index).encode())
            for name, data in blobs.items():
                _add(tar, f"blobs/sha256/{name}", data)
            entry = tarfile.TarInfo(f"blobs/sha256/{digest}")
            entry.size = size
            tar.addfile(entry, layer)


def _write_layer(root: HostRoot, layer: IO[bytes], scratch: Path) -> None:
    with (
        tarfile.open(fileobj=layer, mode="w") as tar,
        tempfile.TemporaryDirectory(dir=scratch) as folder,
    ):
        seen: set[str] = set()
        for place, source in listed(root):
            if place not in seen:
                seen.add(place)
                tar.add(source, place, recursive=False, filter=_of_root)
        for place, target in sorted(root.links.items()):
            name = place.removeprefix("/")
            if name not in seen:
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                tar.addfile(entry)
        make_etc(Path(folder), _NOBODY, _NOBODY)
        tar.add(Path(folder) / "etc", "etc", filter=_of_any_time)


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    if entry.islnk():  # to a file that was brought before; the same to an agent
        return entry
    # Whoever installed it, agents have another uid.
    entry.mode |= 0o555 if entry.isdir() else 0o444
    return entry


def _of_any_time(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = 0
    return _of_root(entry)


def _measured(layer: IO[bytes]) -> tuple[str, int]:
    digest = hashlib.sha256()
    layer.seek(0)
    while piece := layer.read(_PIECE_BYTES):
        digest.update(piece)
    size = layer.tell()
    layer.seek(0)
    return digest.hexdigest(), size


def _document(blobs: dict[str, bytes], kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    blobs[digest] = data
    media = f"{_KIND}.{kind}+json"
    return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
