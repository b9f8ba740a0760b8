"""The whole story with agents in containers of a Dagger engine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from penstock_adapters.dagger.surroundings import CLI_VARIABLE, ENGINE_VARIABLE
from penstock_testkit.sandboxes import dagger_cli, dagger_engine

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.dagger, pytest.mark.timeout(400)]

WITHIN_S = 360


def test_the_story_ends_well_on_an_engine():
    engine, cli = dagger_engine(), dagger_cli()
    with tempfile.TemporaryDirectory(prefix="penstock dagger ") as name:
        Path(name).chmod(0o755)
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "penstock_cli", "demo"],
            env={
                **os.environ,
                "TMPDIR": name,
                "PENSTOCK_HOME": f"{name}/others",
                "PENSTOCK_SANDBOX": "dagger",
                ENGINE_VARIABLE: engine,
                CLI_VARIABLE: str(cli),
            },
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
        assert "equal: the served state is what the stored events give" in ended.stdout
        assert not [path for path in Path(name).iterdir() if path.name.startswith("penstock-demo")]
