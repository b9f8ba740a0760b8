"""The Dagger adapter keeps the contract, on the engine that the environment names."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from penstock_adapters.dagger import DaggerSandbox
from penstock_runtime.ports.sandbox import ExitReason, Sandbox
from penstock_testkit.conformance.sandbox import (
    BuildSpec,
    Log,
    SandboxConformance,
    greeting,
)
from penstock_testkit.sandboxes import opened_dagger

pytestmark = [pytest.mark.real, pytest.mark.dagger, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DaggerSandbox]:
    """One sandbox for all: a session is opened, and its files are brought, once."""
    scratch = tmp_path_factory.mktemp("dagger") / "scratch here"
    async with opened_dagger(scratch) as sandbox:
        health = await sandbox.check()  # the engine gets the files that agents run in
        assert health.available, health.obstacle
        yield sandbox
    assert list(scratch.iterdir()) == []


class TestDaggerSandbox(SandboxConformance):
    local = False

    @pytest.fixture
    def sandbox(self, opened: DaggerSandbox) -> DaggerSandbox:
        return opened

    @pytest_asyncio.fixture(loop_scope="module")
    async def greeter(self) -> AsyncIterator[int]:  # pyright: ignore[reportIncompatibleVariableOverride]
        async with greeting() as port:
            yield port

    async def test_closing_ends_what_runs(
        self, sandbox: Sandbox, spec: BuildSpec, mark: str
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with opened_dagger(Path(folder) / "scratch") as own:
                assert (await own.check()).available
                await super().test_closing_ends_what_runs(own, spec, mark)
                result = await own.run(spec("pass"), Log())
        assert (result.reason, result.detail) == (
            ExitReason.UNAVAILABLE,
            "the sandbox is closed",
        )
