"""Discovery of agents: every `<root>/<folder>/agent.yaml`, read, checked and digested."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from penstock_adapters.yaml import DocumentError, read_document
from penstock_contracts.agent.v1 import AgentManifest
from penstock_contracts.envelope import first_fault
from penstock_core.workflow.plan import manifest_digest
from penstock_core.workflow.templating import escape_token
from penstock_runtime.bundles import (
    MANIFEST_NAME,
    Bundle,
    BundleFault,
    Discovery,
    bundle_digest,
    bundle_stamp,
)

MAX_MANIFEST_BYTES = 256 * 1024
_SDK = "penstock_agent_sdk"  # found, never imported

ReadYaml = Callable[[str, str], object]
"""Gives the value of a YAML text; the second argument names it in errors (ValueError)."""
DigestOf = Callable[[AgentManifest], str]
"""Gives the digest of a manifest whose `bundle` is filled in."""


def _read_yaml(text: str, name: str) -> object:
    return read_document(text, name).value


def sdk_folder() -> Path | None:
    """Folder from which agents import their SDK, where one is installed."""
    found = find_spec(_SDK)
    if found is None or found.origin is None:
        return None
    return Path(found.origin).resolve().parents[1]


def default_roots() -> tuple[Path, ...]:
    """Give the root of the agents that came with Penstock.

    In a checkout they stand beside their SDK's folder, in an installation beside its package.
    """
    folder = sdk_folder()
    candidates = () if folder is None else (folder.parent, folder)
    return tuple(root for root in candidates if any(root.glob(f"*/{MANIFEST_NAME}")))[:1]


def read_bundle(
    folder: Path, read: ReadYaml = _read_yaml, digest_of: DigestOf = manifest_digest
) -> Bundle:
    """Read one agent's folder.

    Raises:
        BundleFault: naming the file, and what is wrong with it.
    """
    path = folder / MANIFEST_NAME
    text = ""
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleFault(f"{path}: over {MAX_MANIFEST_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        manifest = AgentManifest.model_validate(read(text, str(path)))
    except ValidationError as error:
        raise BundleFault(f"{_place(text, path, error)}: {first_fault(error)}") from None
    except OSError as error:
        raise BundleFault(f"{path}: {error.strerror}") from error
    except ValueError as error:
        said = str(error)  # with line and column where the reader knows them
        raise BundleFault(said if said.startswith(str(path)) else f"{path}: {said}") from error
    if not manifest.command:
        raise BundleFault(f"{path}: command: an agent in a folder needs a command to run")
    manifest = manifest.model_copy(update={"bundle": bundle_digest(folder)})
    return Bundle(manifest, digest_of(manifest), folder.resolve())


def _place(text: str, path: Path, error: ValidationError) -> str:
    """Give file, line and column of the first fault; the file alone if another reader read it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    pointer = "".join(f"/{escape_token(str(part))}" for part in first["loc"])
    try:
        line, column = read_document(text, str(path)).locate(pointer)
    except DocumentError:
        return str(path)
    return f"{path}:{line}:{column}"


def discover(
    roots: Sequence[Path], read: ReadYaml = _read_yaml, digest_of: DigestOf = manifest_digest
) -> Discovery:
    """Read every agent below `roots`; one that cannot be read becomes a fault, not an error."""
    bundles: dict[str, Bundle] = {}
    faults: list[str] = []
    for root in roots:
        if not root.is_dir():
            faults.append(f"{root}: no such folder of agents")
            continue
        for path in sorted(root.glob(f"*/{MANIFEST_NAME}")):
            try:
                bundle = read_bundle(path.parent, read, digest_of)
            except BundleFault as fault:
                faults.append(str(fault))
                continue
            first = bundles.setdefault(bundle.manifest.name, bundle)
            if first is not bundle:
                faults.append(f"{path}: {first.folder} is called {bundle.manifest.name} already")
    return Discovery(bundles, tuple(faults))


def _stamps(roots: Sequence[Path]) -> Iterable[tuple[Path, int]]:
    for root in roots:
        for path in root.glob(f"*/{MANIFEST_NAME}"):
            with suppress(BundleFault):  # reading it will say what is wrong
                yield path.parent.resolve(), bundle_stamp(path.parent)


@dataclass(frozen=True, slots=True)
class _Known:
    bundle: Bundle
    stamp: int


class FolderBundles:
    """Fulfils the port `Bundles` on folders, with built-in agents beside them.

    A bundle is digested once and again whenever a file of it has changed, so that a task never
    runs files other than those its digest names.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        builtin: Sequence[AgentManifest] = (),
        read: ReadYaml = _read_yaml,
        digest_of: DigestOf = manifest_digest,
    ) -> None:
        self._roots = tuple(roots)
        self._read = read
        self._digest_of = digest_of
        self._builtin = {item.name: Bundle(item, digest_of(item)) for item in builtin}
        self._known: dict[str, _Known] = {}
        self._scan = asyncio.Lock()

    async def find(self, agent: str, digest: str) -> Bundle | None:
        """Give the agent as it is on the disk now; `digest` is for the caller to compare."""
        builtin = self._builtin.get(agent)
        if builtin is not None:
            return builtin
        known = self._known.get(agent)
        if known is not None and await self._unchanged(known):
            return known.bundle
        async with self._scan:
            again = self._known.get(agent)
            if again is None or again is known:  # else another task has just looked
                _ = await self._look()
        found = self._known.get(agent)
        return None if found is None else found.bundle

    async def discover(self) -> Discovery:
        """Look at everything again."""
        async with self._scan:
            return await self._look()

    async def _look(self) -> Discovery:
        found, known = await asyncio.to_thread(self._read_all)
        self._known = known
        return Discovery({**self._builtin, **found.bundles}, found.faults)

    def _read_all(self) -> tuple[Discovery, dict[str, _Known]]:
        # The stamps come first: a change while the digests are taken is then seen as one.
        stamps = dict(_stamps(self._roots))
        found = discover(self._roots, self._read, self._digest_of)
        known = {
            name: _Known(bundle, stamps[bundle.folder])
            for name, bundle in found.bundles.items()
            if bundle.folder in stamps
        }
        return found, known

    async def _unchanged(self, known: _Known) -> bool:
        folder = known.bundle.folder
        if folder is None:
            return True
        try:
            return await asyncio.to_thread(bundle_stamp, folder) == known.stamp
        except BundleFault:
            return False
