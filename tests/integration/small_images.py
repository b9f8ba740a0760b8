"""Images with next to nothing in them, written by hand."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path


def small_root(folder: Path) -> Path:
    """A root file system with nothing in it: the interpreter that is brought along has to do."""
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/mark").write_text("small")
    return folder


def archive(folder: Path) -> Path:
    """An OCI archive of one layer, written by hand."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(small_root(folder / "layer"), arcname=".")
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def document(value: object, kind: str) -> dict[str, object]:
        return blob(json.dumps(value).encode(), f"application/vnd.oci.image.{kind}+json")

    plain = blob(layer.getvalue(), "application/vnd.oci.image.layer.v1.tar")
    config = document(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
            "os": "linux",
            "config": {"Env": ["PATH=/bin", "OF_THE_IMAGE=yes"]},
            "rootfs": {"type": "layers", "diff_ids": [plain["digest"]]},
        },
        "config.v1",
    )
    manifest = document(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [plain],
        },
        "manifest.v1",
    )
    index = {"schemaVersion": 2, "manifests": [manifest]}
    path = folder / "image.tar"
    with tarfile.open(path, "w") as tar:
        files = {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": json.dumps(index).encode(),
            **{f"blobs/sha256/{digest}": data for digest, data in blobs.items()},
        }
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path
