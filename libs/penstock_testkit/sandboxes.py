"""Real sandboxes for tests, where this machine can have them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_adapters.bubblewrap import BubblewrapSandbox
from penstock_adapters.bundles import sdk_folder
from penstock_adapters.dagger import DaggerSandbox, Image
from penstock_adapters.dagger.surroundings import (
    CLI_VARIABLE,
    ENGINE_VARIABLE,
    cli_program,
    installed_cli,
)
from penstock_adapters.egress import EgressDecision

GRACE_S = 0.5


@asynccontextmanager
async def opened_bubblewrap(
    scratch: Path,
    *,
    readable: Iterable[Path] = (),
    on_egress: Callable[[str, EgressDecision], None] | None = None,
    use_cgroups: bool = True,
    spare: int = 1,
) -> AsyncIterator[BubblewrapSandbox]:
    """A bubblewrap sandbox; skips the test, saying why, where bwrap cannot run."""
    sandbox = BubblewrapSandbox(
        scratch,
        readable=readable,
        on_egress=on_egress,
        grace_s=GRACE_S,
        spare=spare,
        use_cgroups=use_cgroups,
    )
    try:
        health = await sandbox.check()
        if not health.available:
            pytest.skip(f"bubblewrap cannot run here: {health.obstacle}; mend: {health.mend}")
        yield sandbox
    finally:
        await sandbox.close()


@asynccontextmanager
async def opened_dagger(
    scratch: Path,
    *,
    engine: str | None = None,
    on_egress: Callable[[str, EgressDecision], None] | None = None,
    image: Image = None,
) -> AsyncIterator[DaggerSandbox]:
    """A sandbox on the Dagger engine that the environment names; skips the test without one.

    Args:
        scratch: Its folder.
        engine: Another way to that engine: through a proxy of the test's.
        on_egress: Told of decisions about egress.
        image: Files of agents; this machine's own by default.
    """
    folder = sdk_folder()
    sandbox = DaggerSandbox(
        scratch,
        cli=dagger_cli(),
        engine=engine or dagger_engine(),
        image=image,
        readable=() if folder is None else (folder,),
        on_egress=on_egress,
        grace_s=GRACE_S,
    )
    try:
        yield sandbox
    finally:
        await sandbox.close()


def dagger_engine() -> str:
    """The runner host that tests may use; skips the test without one."""
    engine = os.environ.get(ENGINE_VARIABLE)
    if not engine:
        pytest.skip(f"no Dagger engine: set {ENGINE_VARIABLE}, unix:///run/dagger/engine.sock say")
    return engine


def dagger_cli() -> Path:
    """The `dagger` program; skips the test where there is none."""
    found = cli_program(None, os.environ) or installed_cli()
    if not found:
        pytest.skip(f"no `dagger` program: put it on PATH, or name it by {CLI_VARIABLE}")
    return found
