"""`penstock agent`: make, check, test and run an agent's folder, without any service."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Annotated

import typer

from penstock_cli.access import access_of
from penstock_cli.agent.faults import Folders, check_folders
from penstock_cli.agent.scaffold import Language, Template, example_of, make_agent
from penstock_cli.faults import ExitCode
from penstock_cli.terminal import plain, print_json

app = typer.Typer(
    no_args_is_help=True,
    help="Make, check, test and run an agent's folder; no service is needed. "
    "(`penstock agents` is about those that are registered.)",
)
Agent = Annotated[
    str, typer.Argument(help="Folder with an agent.yaml, or an agent's name.", metavar="AGENT")
]


@app.command("new")
def new_agent(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, - and _.")],
    template: Annotated[
        Template, typer.Option(help="It reads, changes a repository, or tells somebody.")
    ] = Template.ANALYSIS,
    language: Annotated[
        Language, typer.Option(help="Python, or any program: a shell script to begin with.")
    ] = Language.PYTHON,
    folder: Annotated[Path | None, typer.Option(help="Where [a new folder NAME here].")] = None,
) -> None:
    """Make the folder of an agent that works, with cases and tests; nothing is overwritten."""
    target = folder or Path(name)
    files = make_agent(name, template, language, target)
    if access_of(context).json:
        print_json({"folder": str(target), "files": files})
        return
    plain(f"made {target}: {', '.join(files)}")
    place = shlex.quote(str(target))
    plain(
        f"\nnext:\n  penstock agent test {place}\n  "
        + example_of(template, place)
        + f"\n  penstock agents register {place}    (with a stack whose executor has it: "
        "PENSTOCK_AGENT_ROOTS names the folder above it)"
    )


@app.command("run")
def run_agent(  # noqa: PLR0913, PLR0917 - one parameter an option
    context: typer.Context,
    agent: Agent,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", help="name=value, a YAML or JSON file, or - (repeatable)."),
    ] = None,
    repository: Annotated[
        Path | None, typer.Option("--repository", "-r", help="Folder that it works on.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Allow what needs a person's leave, and do it.")
    ] = False,
    feedback: Annotated[
        str, typer.Option(help="What an approver would say who sends a plan back.")
    ] = "",
    allow_egress: Annotated[
        list[str] | None,
        typer.Option(help="host:port that it may reach, if its manifest says so (repeatable)."),
    ] = None,
    secrets: Annotated[
        Path | None, typer.Option(help="Folder with one file a secret, or a file of NAME=value.")
    ] = None,
    artifacts: Annotated[
        Path | None, typer.Option(help="Folder to keep the files in that it leaves.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the output [printed].")
    ] = None,
) -> None:
    """Run an agent once in the sandbox, as an executor does, against folders of this machine.

    Input and output are checked against its manifest, and its limits hold. Secrets that the
    manifest names come from PENSTOCK_SECRET_<NAME>, or from --secrets. An agent that plans shows
    its plan; with --apply exactly that is done.

    Exit codes: 0 it succeeded, 3 it did not.
    """
    from penstock_cli.agent.inputs import (  # noqa: PLC0415 - other verbs start faster
        find_agent,
        read_input,
        with_folders,
    )
    from penstock_cli.agent.running import Wanted  # noqa: PLC0415
    from penstock_cli.agent.running import run_agent as run  # noqa: PLC0415

    bundle = find_agent(agent)
    given = with_folders(read_input(inputs or []), bundle.manifest, repository, Path.cwd())
    wanted = Wanted(
        input=given, apply=apply, feedback=feedback, egress=tuple(allow_egress or ()),
        secrets=secrets, artifacts=artifacts, output=output, json=access_of(context).json,
    )  # fmt: skip
    raise typer.Exit(asyncio.run(run(bundle, wanted)))


@app.command("validate")
def validate_agent(context: typer.Context, folders: Folders) -> None:
    """Show every fault of an agent's folder at once: file, line, column, suggestion.

    Stricter than registering: a field that means nothing is a fault. Exit code 1 if there is one.
    """
    check_folders(folders, as_json=access_of(context).json)


@app.command("test")
def try_agent(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder with an agent.yaml.")],
    case: Annotated[str, typer.Option(help="Only this case.")] = "",
    show: Annotated[
        bool, typer.Option("--show", help="Print also what agents printed and gave.")
    ] = False,
) -> None:
    """Run the cases of an agent in the sandbox and compare what it does with what is expected.

    A case is `fixtures/NAME/case.yaml`, with the folders that its input names beside it; agents
    work on copies. Exit codes: 0 all passed, 1 one did not.
    """
    from penstock_cli.agent.cases import read_cases  # noqa: PLC0415 - other verbs start faster
    from penstock_cli.agent.inputs import read_folder  # noqa: PLC0415
    from penstock_cli.agent.trying import try_cases  # noqa: PLC0415

    bundle, cases = read_folder(folder), read_cases(folder, case)
    passed = asyncio.run(try_cases(bundle, cases, as_json=access_of(context).json, everything=show))
    raise typer.Exit(ExitCode.OK if passed else ExitCode.REFUSED)
