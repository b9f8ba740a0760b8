"""Agents as folders, written for one test: each does what its input says, as a real process."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from penstock_testkit.stack import Json

PROGRAM = """\
import json, os, pathlib, subprocess, sys, time

given = json.loads(pathlib.Path("/penstock/input.json").read_text())
def answer(value):
    pathlib.Path("/penstock/output.json").write_text(json.dumps(value))
exec(given["do"])
"""
LIMITS: Json = {"memory_mb": 128, "processes": 32, "wall_s": 20, "cpu_s": 20, "log_kb": 64}


def write_agent(root: Path, name: str, mark: str = "", **manifest: object) -> Path:
    """Write the bundle of an agent that runs the Python code of its input.

    Args:
        root: folder of agents, one of the executor's roots.
        name: of the agent.
        mark: put on its command line, so that its processes are found from outside.
        manifest: what differs from a repeatable agent that answers `{"said": ...}`.
    """
    folder = root / name
    folder.mkdir(parents=True)
    whole = {
        "apiVersion": "penstock/v1",
        "kind": "Agent",
        "name": name,
        "effect": "repeatable",
        "command": ["python", "/penstock/agent/agent.py", mark],
        "limits": LIMITS,
        "input": {"type": "object", "required": ["do"]},
        "output": {
            "type": "object",
            "properties": {"said": {"type": "integer"}},
            "required": ["said"],
        },
        **manifest,
    }
    (folder / "agent.yaml").write_text(json.dumps(whole))
    (folder / "agent.py").write_text(PROGRAM)
    for path in (root, folder):
        path.chmod(0o755)  # root gives agents another uid
    return folder


def open_place() -> tempfile.TemporaryDirectory[str]:
    """Make a folder that agents under another uid may be shown."""
    place = tempfile.TemporaryDirectory(prefix="penstock agents ")
    Path(place.name).chmod(0o755)
    return place
