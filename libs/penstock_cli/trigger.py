"""`penstock trigger`: ask for work by hand."""

from __future__ import annotations

import json
import re
import shlex
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from penstock_cli.access import Access, access_of
from penstock_cli.client import MAX_TRIGGER_BYTES, Api, Json, Refused, with_api
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import err, print_json, say
from penstock_cli.watching import watch

app = typer.Typer()


@app.command()
def trigger(  # noqa: PLR0913, PLR0917 - one parameter an option
    context: typer.Context,
    workflow: Annotated[str, typer.Argument(help="Workflow to start.")] = "",
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", help="name=value; the value is JSON, else text."),
    ] = None,
    inputs_file: Annotated[Path | None, typer.Option(help="YAML or JSON object of inputs.")] = None,
    subject: Annotated[
        str, typer.Option(help="Instead of a workflow: a trigger's path, as in ci.build.failed.")
    ] = "",
    data: Annotated[
        str, typer.Option(help="With --subject: JSON, @FILE, or - for standard input.")
    ] = "",
    key: Annotated[
        str, typer.Option("--id", help="Sent twice with the same id, it is still one run.")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the runs have ended.")] = False,
    show: Annotated[bool, typer.Option("--watch", help="Wait, and show the run live.")] = False,
    within_s: Annotated[
        float | None, typer.Option("--timeout", help="Bound of the wait, in seconds.")
    ] = None,
) -> None:
    """Start a workflow, or publish any JSON as a trigger.

    Exit codes with --wait or --watch: 0 the runs succeeded, 3 one did not, 7 not in time.
    """
    if bool(workflow) == bool(subject):
        raise CliFault("name a workflow, or give --subject", "not both", ExitCode.USAGE)
    access = access_of(context)
    path: tuple[str, ...]
    if workflow:
        body: object = {"inputs": _inputs(inputs or [], inputs_file)}
        path = ("workflows", workflow, "trigger")
    else:
        body, path = _data(data), ("triggers", subject)
    check_size(body)

    async def work(api: Api) -> bool:
        try:
            status, answer = await api.send("POST", *path, body=body, key=key or str(uuid.uuid4()))
        except Refused as refusal:
            refusal.mend = refusal.mend or quoting_hint(refusal.message, inputs or [])
            raise
        _told(access, status, answer, quiet=wait or show)
        if not (wait or show):
            return True
        return await _awaited(access, api, status, answer, within_s, live=show)

    if not with_api(access, work):
        raise typer.Exit(ExitCode.RUN_FAILED)


def check_size(body: object) -> None:
    """Refuse what neither the gateway nor the bus would take.

    Raises:
        CliFault: it is too large.
    """
    size = len(json.dumps(body).encode())
    if size > MAX_TRIGGER_BYTES:
        limit = MAX_TRIGGER_BYTES // 1024**2
        raise CliFault(
            f"the trigger is {size / 1024**2:.1f} MB, the limit is {limit} MB; nothing was sent",
            "put the data where the agent can read it, and send its place",
        )


def _inputs(pairs: list[str], file: Path | None) -> Json:
    given: Json = {}
    if file is not None:
        given |= _object_in(file)
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise CliFault(f"--input {pair!r} is not name=value", "", ExitCode.USAGE)
        given[name] = value_of(text)
    return given


def value_of(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Read a value: JSON where it is JSON, else the text itself."""
    try:
        return cast("Any", json.loads(text))
    except ValueError:
        return text


def quoting_hint(refusal: str, pairs: Sequence[str]) -> str:
    """Say how to write an input as text that was read as another kind of JSON; "" if none was.

    Args:
        refusal: the gateway's, which names the place of the fault.
        pairs: name=value, as they were given.
    """
    for pair in reversed(pairs):  # the last of a name is the one that was sent
        name, _, text = pair.partition("=")
        said = rf"(^|: ){re.escape(name)}: must be .*\bof type string\b"
        if not isinstance(value_of(text), str) and re.search(said, refusal):
            written = shlex.quote(json.dumps(text, ensure_ascii=False))
            return f"quote it, as {text} is JSON: --input {name}={written}"
    return ""


def _object_in(file: Path) -> Json:
    from penstock_adapters.yaml import DocumentError, read_document  # noqa: PLC0415 - rarely used

    try:
        return dict(read_document(file.read_text(encoding="utf-8"), str(file)).value)
    except DocumentError as error:
        raise CliFault(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CliFault(f"{file} cannot be read: {error}", "", ExitCode.NOT_FOUND) from None


def _data(text: str) -> object:
    where = "--data"
    if text == "-":
        text, where = sys.stdin.read(), "standard input"
    elif text.startswith("@"):
        where = text[1:]
        try:
            text = Path(where).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CliFault(f"{where} cannot be read: {error}", "", ExitCode.NOT_FOUND) from None
    try:
        return cast("object", json.loads(text)) if text else {}
    except ValueError as error:
        raise CliFault(f"{where} is not JSON: {error}", "", ExitCode.USAGE) from None


def _told(access: Access, status: int, answer: Json, *, quiet: bool) -> None:
    if access.json and not quiet:
        print_json(answer)
        return
    if status == 202:
        err.print(f"delivered as {answer['trigger_id']}, not answered yet: `penstock runs list`")
        return
    for run in answer.get("runs", []):
        if not access.json:
            say(f"run [bold]{run['run_id']}[/] of {run['workflow']}")
    for fault in answer.get("faults", []):
        err.print(f"[yellow]not started:[/] {fault}", markup=True)


async def _awaited(
    access: Access, api: Api, status: int, answer: Json, within_s: float | None, *, live: bool
) -> bool:
    """Follow every run to its end; True when all succeeded."""
    if status == 202:
        raise CliFault(
            "the trigger was delivered, but no run is known yet",
            "repeat with the same --id: it stays one run", ExitCode.TIMED_OUT,
        )  # fmt: skip
    ended: list[Json] = []
    for run in answer.get("runs", []):
        document = await api.get("runs", run["run_id"])
        console = None if live and not access.json else _silent()
        picture = await watch(
            api, document, within_s=within_s, **({} if console is None else {"console": console})
        )
        ended.append({"run_id": picture.run_id, "workflow": picture.workflow,
                      "status": picture.status, "cause": picture.cause})  # fmt: skip
        if not access.json and not live:
            cause = f"  {picture.cause}" if picture.cause else ""
            say(f"{picture.status}{cause}")
    if access.json:
        print_json({**answer, "runs": ended})
    return all(run["status"] == "succeeded" for run in ended)


def _silent() -> Any:  # noqa: ANN401 - a console
    from rich.console import Console  # noqa: PLC0415 - rarely used

    return Console(quiet=True)
