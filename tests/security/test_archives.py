"""Archives that name places outside: nothing of ours unpacks one, an agent harms only itself."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_runtime.ports.sandbox import ExitReason, Mount
from penstock_testkit.sandbox_probes import WAIT_S
from tests.security.inside import BuildSpec

ROOT = Path(__file__).parents[2]
UNPACKS = {"extractall", "extract", "unpack_archive", "extractfile"}
ARCHIVES = {"tarfile", "zipfile", "shutil"}

UNPACK = """
import io, tarfile, zipfile
host = sys.argv[1]
trusted = {'filter': 'fully_trusted'} if hasattr(tarfile, 'data_filter') else {}
names = ['../../../../..' + host, host, '../agent/planted', '/penstock/agent/planted',
         '/etc/planted', 'link/planted', '../../penstock/output.json/x']
made = io.BytesIO()
with tarfile.open(fileobj=made, mode='w') as tar:
    link = tarfile.TarInfo('link'); link.type, link.linkname = tarfile.SYMTYPE, '/etc'
    tar.addfile(link)
    for number, name in enumerate(names):
        entry = tarfile.TarInfo(name); entry.size = 7; entry.mode = 0o6777
        tar.addfile(entry, io.BytesIO(b'planted'))
        device = tarfile.TarInfo(f'device{number}'); device.type = tarfile.BLKTYPE
        device.devmajor, device.devminor = 8, 0
        tar.addfile(device)
refused = []
for folder in ('/penstock/work', '/penstock/repo'):
    made.seek(0)
    with tarfile.open(fileobj=made) as tar:
        for entry in tar:
            try: tar.extract(entry, folder, **trusted)
            except (OSError, tarfile.TarError): refused.append(entry.name)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w') as archive:
        for name in names: archive.writestr(name, 'planted')
    with zipfile.ZipFile(packed) as archive:
        for name in archive.namelist():
            try:
                place = os.path.join(folder, name)
                os.makedirs(os.path.dirname(place), exist_ok=True)
                open(place, 'wb').write(archive.read(name))
            except OSError: refused.append(name)
os.symlink(host, '/penstock/repo/to-the-host')
os.symlink('/', '/penstock/repo/to-all')
give(refused)
"""


def test_nothing_of_ours_unpacks_an_archive() -> None:
    """Whatever comes in one has to be read entry by entry, and never by its own names."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for top in ("contracts", "libs", "services", "agents")
        for path in (ROOT / top).rglob("*.py")
        for line in unpacking(path)
    ]
    assert found == []


def unpacking(path: Path) -> Iterator[int]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    if not imported & ARCHIVES:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in UNPACKS:
                yield node.lineno


@pytest.mark.real
async def test_an_agent_that_unpacks_one_reaches_nothing(
    sandbox: BubblewrapSandbox, spec: BuildSpec, tmp_path: Path
) -> None:
    host, repo = tmp_path / "of-the-host", tmp_path / "repo"
    host.write_text("untouched")
    host.chmod(0o644)
    repo.mkdir()
    before = host.stat()
    task = spec(UNPACK, str(host))
    task = replace(task, mounts=(Mount(repo, "/penstock/repo", writable=True),))
    lines: list[str] = []
    async with asyncio.timeout(WAIT_S):
        result = await sandbox.run(task, lambda line: lines.append(line.text))
    assert (result.reason, result.exit_code) == (ExitReason.EXITED, 0), lines
    refused = json.loads(result.output or b"[]")
    assert "/etc/planted" in refused
    assert sum(name.startswith("device") for name in refused) >= 7
    check_untouched(host, before.st_ino, repo, task.bundle)


def check_untouched(host: Path, inode: int, repo: Path, bundle: Path) -> None:
    found = host.stat()
    assert host.read_text() == "untouched"
    assert (found.st_ino, found.st_mode & 0o7777) == (inode, 0o644)
    assert found.st_uid == repo.stat().st_uid  # neither was given away, nor what links lead to
    assert list(bundle.iterdir()) == []
    assert (repo / "to-the-host").is_symlink()
    assert not any(path.is_block_device() for path in repo.rglob("*"))
