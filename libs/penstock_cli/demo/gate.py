"""The demo's gate: the findings on the screen, then the decision of whoever sits there."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

from rich.text import Text

from penstock_cli.client import Api, Json
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import out, say, table

SHOWN_FINDINGS = 12
SHOWN_TRIES = 50  # for the read model to show the approval
SHOWN_WAIT_S = 0.1
SEVERITY_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim"}


def asks_a_person() -> bool:
    """Tell whether somebody can answer."""
    # A closed standard input is None, whatever its type says.
    return bool(sys.stdin) and sys.stdin.isatty() and out.is_terminal


async def decide(api: Api, approval_id: str) -> bool:
    """Show what is asked, get the decision and send it; True: approved."""
    approval = await _shown(api, approval_id)
    out.print()
    out.print(Text(f"⏸ {approval.get('title', 'Approve?')}", style="bold yellow"))
    _show_findings(cast("Json", approval.get("context") or {}))
    if asks_a_person():
        approved = await _answer("Approve? [y/n] ")
        reason = "decided at the demo's prompt"
    else:
        approved, reason = True, "no terminal is attached: approved by the demo itself"
        say("no terminal is attached, so nobody can be asked: [yellow]the demo approves[/]")
    decision = "approve" if approved else "reject"
    body = {"decision": decision, "reason": reason}
    _, answer = await api.send("POST", "approvals", approval_id, "respond", body=body)
    say(f"the approval is [bold]{answer['status']}[/]\n")
    return approved


async def _shown(api: Api, approval_id: str) -> Json:
    for _ in range(SHOWN_TRIES):
        try:
            return await api.get("approvals", approval_id)
        except CliFault as fault:
            if fault.code is not ExitCode.NOT_FOUND:
                raise
        await asyncio.sleep(SHOWN_WAIT_S)
    raise CliFault(f"approval {approval_id} was opened but is not shown", "", ExitCode.TIMED_OUT)


def _show_findings(context: Json) -> None:
    for name, where in (("planted", "the planted repository"), ("self", "this source tree")):
        total = _total(context.get(name))
        counted = ", ".join(f"{count} {severity}" for severity, count in total.items() if count)
        say(f"[bold]{where}[/]: {counted or 'nothing found'}")
        findings = cast("list[Json]", context.get(f"{name}_findings") or [])
        if not findings:
            continue
        drawn = table("severity", "where", "weakness", "what")
        for finding in findings[:SHOWN_FINDINGS]:
            severity = str(finding.get("severity"))
            drawn.add_row(
                Text(severity, style=SEVERITY_STYLES.get(severity, "")),
                Text(f"{finding.get('file')}:{finding.get('line')}"),
                str(finding.get("cwe")), Text(str(finding.get("message"))[:100]),
            )  # fmt: skip
        out.print(drawn)
        if len(findings) > SHOWN_FINDINGS:
            say(f"[dim]and {len(findings) - SHOWN_FINDINGS} more[/]")


def _total(summary: Any) -> dict[str, int]:  # noqa: ANN401 - JSON
    total = summary.get("total") if isinstance(summary, dict) else None
    return cast("dict[str, int]", total) if isinstance(total, dict) else {}


async def _answer(question: str) -> bool:
    """Read yes or no from the terminal; the end of input means no, as silence denies."""
    while True:
        sys.stdout.write(question)
        sys.stdout.flush()
        text = await _line()
        match text.strip().lower():
            case "y" | "yes":
                return True
            case "n" | "no":
                return False
            case "" if not text:
                say("no answer: rejected")
                return False
            case _:
                continue


async def _line() -> str:
    """Read one line of standard input without a thread, so that Ctrl-C ends the wait."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sys.stdin, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline()
