"""What the SDK does with processes: the notice of the end, and programs of other languages."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_an_agent_that_is_asked_to_end_puts_things_in_order(tmp_path: Path) -> None:
    program = tmp_path / "agent.py"
    program.write_text(
        "import time\n"
        "from penstock_agent_sdk import cancelled, on_cancel, partial\n"
        "import threading\n"
        "asked = threading.Event()\n"
        "on_cancel(lambda: (print('asked', flush=True), asked.set()))\n"
        "assert not cancelled()\n"
        "print('ready', flush=True)\n"
        "while not cancelled():\n"
        "    time.sleep(0.01)\n"
        "assert asked.wait(5)\n"
        "partial({'so_far': 1})\n"
    )
    agent = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
    with agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == "ready\n"
        agent.terminate()
        said, _ = agent.communicate(timeout=10)
    assert said == 'asked\n::penstock-partial {"so_far": 1}\n'
    assert agent.returncode == 0


def launched(tmp_path: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    output = str(tmp_path / "out.json")
    return subprocess.run(
        [sys.executable, "-m", "penstock_agent_sdk.with_egress", *command],
        env={"PATH": os.environ["PATH"], "PENSTOCK_OUTPUT": output, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        cwd=Path(__file__).parents[2] / "agents/sdk",
    )


def test_a_program_of_any_language_is_run_with_the_network(tmp_path: Path) -> None:
    ended = launched(tmp_path, "sh", "-c", "echo run; exit 7", PENSTOCK_EGRESS_SOCKET="direct")
    assert (ended.returncode, ended.stdout) == (7, "run\n")
    killed = launched(tmp_path, "sh", "-c", "kill -9 $$", PENSTOCK_EGRESS_SOCKET="direct")
    assert killed.returncode == 137
    missing = launched(tmp_path, "no-such-program", PENSTOCK_EGRESS_SOCKET="direct")
    assert missing.returncode == 127
    assert "no-such-program" in missing.stderr


def test_without_a_network_it_is_not_run(tmp_path: Path) -> None:
    ended = launched(tmp_path, "sh", "-c", "echo run")
    assert (ended.returncode, ended.stdout) == (10, "")
    error = json.loads((tmp_path / "out.json").read_text())["error"]
    assert error["code"] == "no_network"
