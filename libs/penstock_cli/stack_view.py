"""The one-machine stack as people see it: its faults, its children, what to try next."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from penstock_adapters.embedded.faults import AlreadyRunningError, EmbeddedError
from penstock_adapters.embedded.home import StateFolder
from penstock_adapters.embedded.service_environment import NATS_URL_VARIABLE
from penstock_cli.access import Access
from penstock_cli.faults import CliFault

WORKSPACES_VARIABLE = "PENSTOCK_WORKSPACE_ROOTS"
EGRESS_VARIABLE = "PENSTOCK_EGRESS_ALLOW"
ALLOW_VARIABLE = "PENSTOCK_ALLOW_UNSANDBOXED"
SANDBOX_VARIABLE = "PENSTOCK_SANDBOX"


@contextmanager
def told(folder: StateFolder) -> Iterator[None]:
    """Turn a fault of the stack into one of the command, with the place of the logs."""
    try:
        yield
    except AlreadyRunningError as error:
        raise CliFault(f"{error}") from error
    except EmbeddedError as error:
        mend = f"see {folder.logs}, or ask `penstock doctor`"
        raise CliFault(f"{error}", mend if folder.logs.is_dir() else "") from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise CliFault(f"{error.strerror or error}{where}") from error


def stack_environment(
    environ: Mapping[str, str], workspaces: list[Path], egress: list[str]
) -> dict[str, str]:
    """Give the environment of the services.

    Agents may see the folders named here; without any, the folder in which the stack is started.
    """
    given = dict(environ)
    if workspaces or not given.get(WORKSPACES_VARIABLE):
        folders = [path.expanduser().resolve() for path in workspaces] or [Path.cwd()]
        given[WORKSPACES_VARIABLE] = os.pathsep.join(map(str, folders))
    if egress:
        given[EGRESS_VARIABLE] = ",".join(egress)
    return given


def what_to_try(access: Access, url: str, environ: Mapping[str, str]) -> str:
    """Say what a person can do with a stack that has just come up."""
    folder = StateFolder.at(access.home)
    scan = Path(__file__).parent / "demo" / "scan.yaml"
    shown, penstock = relative(scan), program()
    return f"""
Gateway      {url}
API token    {relative(folder.admin_token)}  (0600; this command finds it by itself)
NATS login   {relative(folder.trigger_creds)}  ({_rights(environ)})
{_workspaces(environ)}Logs         {relative(folder.logs)}

Try:
  {penstock} agents register --all
  {penstock} apply -f {shown}
  {penstock} trigger scan --input repository="$PWD" --watch
  {penstock} runs list
  {penstock} approvals list
  {penstock} replay RUN
  {penstock} down
"""


def _rights(environ: Mapping[str, str]) -> str:
    """Say what the login of the trigger user may do."""
    if "@" in environ.get(NATS_URL_VARIABLE, ""):
        return f"the login of {NATS_URL_VARIABLE}, which all services share"
    return "may publish triggers, nothing else"


def program() -> str:
    """Give how this command is called from the current folder's shell."""
    if shutil.which("penstock"):
        return "penstock"
    return relative(Path(sys.executable).with_name("penstock"))


def _workspaces(environ: Mapping[str, str]) -> str:
    roots = environ.get(WORKSPACES_VARIABLE)
    told = "what agents may be given; another with --workspace"
    return f"Workspaces   {roots}  ({told})\n" if roots else ""


def relative(path: Path) -> str:
    """Write a path for the current folder's shell."""
    here = Path.cwd()
    text = str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
    return f"'{text}'" if " " in text else text
