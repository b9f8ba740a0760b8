"""`penstock serve`: run one service in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.services import known_services, run_known_service

app = typer.Typer()


@app.command()
def serve(
    name: Annotated[str, typer.Argument(help="scheduler, executor, approval or webhook-gateway.")],
) -> None:
    """Run one service in the foreground, as PENSTOCK_* settings say.

    `penstock up` starts all four with generated credentials; this is for one process of your own
    deployment. Settings: docs/reference/settings.md.
    """
    code = run_known_service(name)
    if code is None:
        known = ", ".join(sorted(known_services())) or "none; install penstock first"
        raise CliFault(f"there is no service {name!r}", f"known: {known}", ExitCode.USAGE)
    raise typer.Exit(code)
