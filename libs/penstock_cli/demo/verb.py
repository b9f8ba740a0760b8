"""`penstock demo`: set up, tell the story, leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.text import Text

from penstock_adapters.embedded.faults import EmbeddedError
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.postgres_install import FALLBACK_ROOT, outside_of
from penstock_adapters.embedded.processes import log_tail
from penstock_adapters.embedded.stack import EmbeddedStack
from penstock_adapters.embedded.supervisor import ChildEvent, ChildState
from penstock_cli.access import Access
from penstock_cli.demo.receiver import Receiver, receiving
from penstock_cli.demo.repository import make_repository
from penstock_cli.demo.story import Story
from penstock_cli.doctor.codes import Grade
from penstock_cli.doctor.findings import Finding
from penstock_cli.doctor.machine import look_at_sandbox, this_machine
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.services import stack_commands
from penstock_cli.stack_view import (
    ALLOW_VARIABLE,
    EGRESS_VARIABLE,
    SANDBOX_VARIABLE,
    WORKSPACES_VARIABLE,
)
from penstock_cli.terminal import err, out, say, span

app = typer.Typer()
TAIL_LINES = 15
GRACE_S = "1"  # of tasks that run when the demo is interrupted: nobody needs their result
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@app.command()
def demo() -> None:
    """Run the whole story once: trigger, sandboxed scans, gate, notification, replay.

    Everything runs in a throw-away folder on free ports, beside whatever else runs here, and is
    gone afterwards. With a terminal you are asked at the gate; without one the demo approves.
    """
    began = time.monotonic()
    with throw_away_folder() as folder:
        try:
            asyncio.run(_run(folder, began))
        except asyncio.CancelledError:
            err.print("stopped; nothing is left running")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    took = span(time.monotonic() - began)
    say(f"\n[bold green]done[/] in {took}; everything is stopped and {folder} is removed\n")
    say("""Where to look next:
  make up                                      the same stack, left running; prints what to try
  penstock --help                              every verb; exit codes in docs/reference/cli.md
  docs/guides/getting-started.md               the same by hand, step by step
  docs/architecture/one-trigger-hop-by-hop.md  what just happened, message by message""")


@contextlib.contextmanager
def throw_away_folder() -> Iterator[Path]:
    """Give a folder that is removed afterwards, with what root's PostgreSQL may have beside it."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-demo-")).resolve()
    folder.chmod(0o755)  # root's PostgreSQL runs as another user; all inside is private
    try:
        yield folder
    finally:
        beside = outside_of(StateFolder.at(folder / "state"), FALLBACK_ROOT)
        for path in (folder, beside):
            shutil.rmtree(path, ignore_errors=True)


async def _run(folder: Path, began: float) -> None:
    """Run the story; a signal cancels it, and the stack is stopped in any case."""
    me = asyncio.current_task()
    assert me is not None  # noqa: S101 - this is a coroutine of a task
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, me.cancel)
    environ = await _environment()
    planted = await asyncio.to_thread(make_repository, folder / "corner-shop")
    here = source_folder()
    async with receiving() as receiver:
        environ |= _rights(planted, here, receiver, folder)
        access = Access(home=folder / "state")
        stack = EmbeddedStack(access.home, stack_commands(), _tell_trouble, environ)
        story = Story(stack, access, planted, here, receiver, began)
        try:
            await story.tell()
        except CliFault:
            show_logs(stack.folder)
            raise
        except EmbeddedError as error:
            show_logs(stack.folder)
            raise CliFault(str(error), "`penstock doctor` looks for what is in the way") from error
        finally:
            await asyncio.shield(stack.stop())


async def _environment() -> dict[str, str]:
    """Give the caller's environment without settings of other stacks, and with a sandbox.

    Raises:
        CliFault: nothing isolates agents here, and running them so was not allowed by name.
    """
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
    tried = await _tried_sandbox()
    if tried.grade is Grade.BROKEN:
        mend = f"{tried.mend}\n       or, to see it without isolation: {ALLOW_VARIABLE}=1"
        raise CliFault(f"agents cannot be isolated here: {tried.detail}", mend)
    if tried.grade is Grade.WEAK:
        say(f"[bold red]DEGRADED[/] agents run without isolation: {tried.detail}")
        environ |= {ALLOW_VARIABLE: "1", SANDBOX_VARIABLE: "process"}
    return environ


async def _tried_sandbox() -> Finding:
    """Try what the demo will use: Dagger where that is asked for, else bubblewrap."""
    kind = os.environ.get(SANDBOX_VARIABLE)
    asked = {**os.environ, SANDBOX_VARIABLE: "dagger" if kind == "dagger" else ""}
    return (await look_at_sandbox(this_machine(asked), asked))[0]


def _rights(planted: Path, here: Path, receiver: Receiver, folder: Path) -> dict[str, str]:
    """Give what the executor may show and reach: two folders and one port."""
    return {
        WORKSPACES_VARIABLE: os.pathsep.join(map(str, (planted, here))),
        EGRESS_VARIABLE: f"127.0.0.1:{receiver.port}",
        "PENSTOCK_SCRATCH": str(folder / "scratch"),
        "PENSTOCK_GRACE_S": GRACE_S,
        "TMPDIR": str(folder),  # what a killed process leaves there goes with the folder
    }


def source_folder() -> Path:
    """Give the libraries that this module belongs to, or the installed package's folder.

    The whole tree is twice the size of what is installed; a demonstration is not to wait for it.
    """
    package = Path(__file__).resolve().parents[1]
    tree = package.parents[1]
    return package.parent if (tree / "pyproject.toml").is_file() else package


def _tell_trouble(event: ChildEvent) -> None:
    if event.state in (ChildState.BACKOFF, ChildState.FAILED):
        err.print(f"[yellow]{event.name} {event.state.value}:[/] {event.detail}")


def show_logs(folder: StateFolder) -> None:
    """Print the last lines of every log, as the folder is about to be removed."""
    for log in sorted(folder.logs.glob("*.log")) if folder.logs.is_dir() else ():
        tail = log_tail(log, TAIL_LINES)
        if tail:
            err.rule(f"[bold]{log.name}[/]")
            err.print(Text(tail), soft_wrap=True)
    out.file.flush()
