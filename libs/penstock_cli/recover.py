"""`penstock recover`: work goes on after a store was put back to an earlier state."""

from __future__ import annotations

import asyncio
import getpass
import os
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from penstock_adapters.embedded.home import StateFolder
from penstock_cli.access import Access, access_of
from penstock_cli.faults import CliFault
from penstock_cli.rebuild import Journal, relay_after
from penstock_cli.recover_place import OpenPlace, opened, state_folder, stores_of
from penstock_cli.recover_progress import agreed, progress
from penstock_cli.terminal import counted, moment, out, plain, print_json, say, short, span, table
from penstock_runtime.recovering import Recovered, RecoveryPlan, recover, survey
from penstock_runtime.recovering_events import Lost, lost_of
from penstock_runtime.recovering_streams import Relayed

app = typer.Typer()
SHOWN = 20  # of each list; --json has them all


@app.command(name="recover")
def recover_verb(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what is lost and what would be done; stop.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Recover although EVENTS is not ahead of the store: what was lost may never have "
            "been published.",
        ),
    ] = False,
    by: Annotated[str, typer.Option(help="Who answers for it; this user if not given.")] = "",
    reason: Annotated[str, typer.Option(help="Why; kept in the record.")] = "",
) -> None:
    """Go on after a store was restored from a backup, or a replica that lagged was promoted.

    Shows what EVENTS holds that the store has lost. Then every open attempt of a `once` agent
    becomes of unknown outcome, epochs rise, EVENTS and the read model are made again from the
    store, and a record stays. Only while no service runs.
    """
    access = access_of(context)
    folder = state_folder(access)
    who = by or this_user()
    asyncio.run(_Recovery(access, who, reason, dry_run=dry_run, yes=yes, force=force).run(folder))


def this_user(ask: Callable[[], str] = getpass.getuser) -> str:
    """Name who calls; a container's user need not have an account."""
    try:
        return ask()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


class _Recovery:
    """One call of the verb."""

    def __init__(
        self, access: Access, by: str, reason: str, *, dry_run: bool, yes: bool, force: bool
    ) -> None:
        self._access = access
        self._by = by
        self._reason = reason
        self._dry_run = dry_run
        self._yes = yes
        self._force = force

    async def run(self, folder: StateFolder) -> None:
        """Survey, show, ask, recover, show."""
        began = time.monotonic()
        async with opened(folder) as open_place:
            with progress(self._access) as told:
                plan = await survey(open_place.place, told)
            if not self._access.json:
                show_plan(plan)
            needed = self._needed(plan)
            if self._dry_run or not needed:
                if self._access.json:
                    print_json({"plan": document_of(plan), "done": None})
                return
            question = f"Recover the stores {stores_of(folder)}, and delete what EVENTS holds?"
            await asyncio.to_thread(agreed, question, yes=self._yes)
            Journal.of(folder).end()  # what a rebuild may have left is about another EVENTS
            done, relayed = await self._recover(open_place, plan)
        took_s = time.monotonic() - began
        if self._access.json:
            print_json({"plan": document_of(plan), "done": _done_document(done, relayed, took_s)})
        else:
            _show_done(done, relayed, took_s)

    def _needed(self, plan: RecoveryPlan) -> bool:
        if self._force:
            return True
        fault = doubt_of(plan)
        if fault is not None and not self._dry_run:
            raise fault
        if self._access.json:
            return bool(plan.put_back)
        if fault is not None:
            say(f"[bold red]{escape(fault.message)}[/]")
            plain(fault.mend)
        elif not plan.put_back:
            say("[green]nothing to recover[/]: the store holds every event of EVENTS")
        return bool(plan.put_back)

    async def _recover(
        self, open_place: OpenPlace, plan: RecoveryPlan
    ) -> tuple[Recovered, Relayed]:
        with progress(self._access) as told:
            done = await recover(open_place.place, plan, self._by, self._reason, told)
            return done, await relay_after(open_place, done.relayed, told)


def doubt_of(plan: RecoveryPlan) -> CliFault | None:
    """Say why a plan is carried out only by `--force`, if so: what was lost is not to be told."""
    stored = any(finding.store_n for finding in plan.findings)
    if plan.events and not stored:
        return CliFault(
            "the stores are empty, and EVENTS is not: nothing was put back yet",
            "`penstock restore FILE` first; --force gives up all that was",
        )
    if not plan.events and stored:
        return CliFault(
            "EVENTS holds nothing, so nobody can tell whether the store was put back",
            "if it was, give --force; if only EVENTS was lost, just start the services",
        )
    return None


def show_plan(plan: RecoveryPlan) -> None:
    """Print what is known to be lost, and what is open."""
    drawn = table("partition", "store", "store has", "EVENTS has", "lost", "")
    for finding in plan.findings:
        told = "contradicts the store" if finding.contradicts else ""
        drawn.add_row(
            finding.partition, finding.store or "none", str(finding.store_n),
            str(finding.events_n), str(finding.lost.events), told if finding.ahead else "",
        )  # fmt: skip
    out.print(drawn)
    if plan.put_back:
        say(f"[bold red]the store was put back[/]: {', '.join(sorted(plan.put_back))}")
        _show_lost(lost_of(plan.findings))
        if rest := plan.doubted - plan.put_back:
            plain(f"EVENTS says too little of {', '.join(sorted(rest))}: doubted as well")
    if plan.attempts_count:
        plain(f"\n{counted(plan.attempts_count, 'attempt')} would become of unknown outcome:")
        for one in plan.attempts[:SHOWN]:
            plain(f"  run {one.run_id}  {one.node}, attempt {one.attempt}, {one.status}")
        _more(plan.attempts_count)


def _show_lost(lost: Lost) -> None:
    plain(f"{counted(lost.events, 'event')} lost, as far as EVENTS tells:")
    for what, ids in (
        ("run started", lost.runs_started),
        ("run ended", lost.runs_ended),
        ("approval asked for or decided", sorted(set(lost.approvals))),
    ):
        if ids:
            plain(f"  {what}: {len(ids)}: {_shorts(ids)}")
    if lost.claims:
        plain(f"  claims of agents that act once: {len(lost.claims)}")
    for claim in lost.claims[:SHOWN]:
        where = f"{claim.node}, attempt {claim.attempt}, by {claim.executor}"
        plain(f"    run {claim.run_id}  {where}: its effect may have happened")
    _more(len(lost.claims))


def _shorts(ids: Sequence[str]) -> str:
    more = " ..." if len(ids) > SHOWN else ""
    return " ".join(short(one) for one in ids[:SHOWN]) + more


def _more(count: int) -> None:
    if count > SHOWN:
        plain(f"    ... and {count - SHOWN} more: --json")


def _show_done(done: Recovered, relayed: Relayed, took_s: float) -> None:
    say(f"[green]recovered[/] after {span(took_s)}: recovery {done.recovery}")
    plain(f"until {moment(done.recovered_us)} what happened may be lost")
    plain(
        f"{counted(done.settled, 'attempt')} of unknown outcome, {counted(done.runs, 'run')} open"
    )
    plain(f"EVENTS holds {counted(relayed.events, 'event')}, {relayed.left} more will follow")
    plain("Next: start the services, then look at what is of unknown outcome:")
    plain("`penstock runs list --unknown`")


def document_of(plan: RecoveryPlan) -> dict[str, Any]:
    """Give a plan for scripts."""
    lost = lost_of(plan.findings)
    return {
        "put_back": sorted(plan.put_back),
        "doubted": sorted(plan.doubted),
        "partitions": [
            {"partition": f.partition, "store": f.store, "store_n": f.store_n,
             "events_n": f.events_n, "contradicts": f.contradicts, "lost_events": f.lost.events}
            for f in plan.findings
        ],
        "lost": {
            "events": lost.events,
            "runs_started": lost.runs_started,
            "runs_ended": lost.runs_ended,
            "approvals": sorted(set(lost.approvals)),
            "claims": [
                {"run_id": c.run_id, "node": c.node, "attempt": c.attempt, "executor": c.executor}
                for c in lost.claims
            ],
        },
        "attempts": [
            {"run_id": one.run_id, "node": one.node, "attempt": one.attempt, "status": one.status}
            for one in plan.attempts
        ],
        "attempts_count": plan.attempts_count,
    }  # fmt: skip


def _done_document(done: Recovered, relayed: Relayed, took_s: float) -> dict[str, Any]:
    return {
        "recovery": done.recovery,
        "recovered_us": done.recovered_us,
        "settled": done.settled,
        "runs": done.runs,
        "partitions": {
            name: {"n": row.n, "epoch": row.epoch} for name, row in sorted(done.rows.items())
        },
        "events": relayed.events,
        "left": relayed.left,
        "seconds": took_s,
    }
