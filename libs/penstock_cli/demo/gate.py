"""The demo's gate: all of it on the screen, then the decision of whoever sits there."""

from __future__ import annotations

import asyncio
import sys

from penstock_cli.approval_picture import show_approval
from penstock_cli.bound import require_bound
from penstock_cli.client import Api, Json
from penstock_cli.faults import CliFault, ExitCode
from penstock_cli.terminal import say, somebody_is_there

SHOWN_TRIES = 50  # for the read model to show the approval
SHOWN_WAIT_S = 0.1


async def decide(api: Api, approval_id: str) -> bool:
    """Show what is asked, get the decision and send it; True: approved."""
    approval = await _shown(api, approval_id)
    show_approval(approval)
    require_bound(approval)
    if somebody_is_there():
        approved = await _answer("Approve? [y/n] ")
        reason = "decided at the demo's prompt"
    else:
        approved, reason = True, "no terminal is attached: approved by the demo itself"
        say("no terminal is attached, so nobody can be asked: [yellow]the demo approves[/]")
    decision = "approve" if approved else "reject"
    body = {"decision": decision, "reason": reason, "digest": approval["digest"]}
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
