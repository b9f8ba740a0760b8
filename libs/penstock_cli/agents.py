"""`penstock agents`: which programs workflows may call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from penstock_adapters.bundles import default_roots, discover, read_bundle
from penstock_cli.access import access_of
from penstock_cli.agent.faults import Folders, check_folders
from penstock_cli.client import Api, with_api
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import moment, out, print_json, say, table
from penstock_contracts.agent.v1 import AgentManifest
from penstock_runtime.bundles import BundleFault

app = typer.Typer(
    no_args_is_help=True,
    help="Registered agents: list, show, register, remove. "
    "(`penstock agent` makes, tests and runs one in its folder.)",
)


@app.command("list")
def list_agents(context: typer.Context) -> None:
    """List registered agents."""
    access = access_of(context)
    answer = with_api(access, lambda api: api.get("agents"))
    if access.json:
        print_json(answer)
        return
    drawn = table("agent", "version", "risk", "network", "registered", "digest", "")
    for item in answer["items"]:
        manifest = item["manifest"]
        drawn.add_row(
            item["name"], manifest.get("version", "0.0.0"), manifest.get("risk", "AUTO"),
            manifest.get("network", "none"), moment(item.get("registered_us")),
            item["digest"][:19], manifest.get("description", ""),
        )  # fmt: skip
    out.print(drawn)
    if not answer["items"]:
        say("no agents yet: `penstock agents register --all`")


@app.command("show")
def show_agent(context: typer.Context, name: str) -> None:
    """Show an agent's manifest, with all defaults spelled out."""
    access = access_of(context)
    answer = with_api(access, lambda api: api.get("agents", name))
    if access.json:
        print_json(answer)
        return
    manifest = AgentManifest.model_validate(answer["manifest"])
    say(f"[bold]{name}[/] {manifest.version}  [dim]{answer['digest']}[/]")
    print_json(manifest.model_dump(mode="json", by_alias=True))


@app.command("register")
def register(
    context: typer.Context,
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders that hold an agent.yaml.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every agent that came with Penstock.")
    ] = False,
) -> None:
    """Register agents by their manifests; an unchanged one stays as it is.

    The digest covers the manifest and every file of the folder: an executor runs exactly that.
    """
    access = access_of(context)
    manifests = manifests_in(folders or [], every=every)
    results = with_api(access, lambda api: register_all(api, manifests))
    if access.json:
        print_json({"registered": results})
        return
    for result in results:
        changed = "[green]registered[/]" if result["changed"] else "[dim]unchanged[/] "
        say(f"{changed} {result['name']}  [dim]{result['digest']}[/]")


@app.command("validate")
def validate(context: typer.Context, folders: Folders) -> None:
    """Show every fault of agents' folders before they are registered; as `penstock agent validate`.

    Exit code 1 if there is one.
    """
    check_folders(folders, as_json=access_of(context).json)


def manifests_in(folders: list[Path], *, every: bool) -> Mapping[str, AgentManifest]:
    """Read the manifests of folders, and with `every` those that came with Penstock.

    Raises:
        CliFault: there are none, or one cannot be read.
    """
    found: dict[str, AgentManifest] = {}
    if every:
        discovery = discover(default_roots())
        if discovery.faults:
            raise CliFault("\n".join(discovery.faults))
        found |= {name: bundle.manifest for name, bundle in discovery.bundles.items()}
    for folder in folders:
        try:
            manifest = read_bundle(folder).manifest
        except BundleFault as fault:
            raise CliFault(str(fault), "name a folder that holds an agent.yaml") from None
        found[manifest.name] = manifest
    if not found:
        what = "no agents came with this installation" if every else "no agent was named"
        raise CliFault(what, "give folders with an agent.yaml, or --all", ExitCode.USAGE)
    return found


async def register_all(api: Api, manifests: Mapping[str, AgentManifest]) -> list[dict[str, Any]]:
    """Register manifests in the order of their names."""
    results: list[dict[str, Any]] = []
    for name, manifest in sorted(manifests.items()):
        _, answer = await api.send("PUT", "agents", name, body=manifest.to_data())
        results.append(answer)
    return results


@app.command("remove")
def remove(context: typer.Context, name: str) -> None:
    """Take an agent out of use; runs that have started keep their version."""
    access = access_of(context)
    _, answer = with_api(access, lambda api: api.send("DELETE", "agents", name))
    if access.json:
        print_json(answer)
    else:
        say(f"removed {name}")
