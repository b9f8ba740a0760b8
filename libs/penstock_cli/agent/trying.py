"""How the cases of an agent are shown while they run, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence

from penstock_cli.agent.cases import Case
from penstock_cli.agent.testing import Verdict, run_cases
from penstock_cli.terminal import counted, out, print_json, say, span, symbol
from penstock_cli.visible import json_text, one_line, visible
from penstock_runtime.bundles import Bundle

LINES_SHOWN = 20  # of what an agent printed whose case failed


async def try_cases(
    bundle: Bundle, cases: Sequence[Case], *, as_json: bool, everything: bool = False
) -> bool:
    """Run cases, show each when it has ended, and tell whether all passed."""
    verdicts: list[Verdict] = []
    async for verdict in run_cases(bundle, cases):
        verdicts.append(verdict)
        if not as_json:
            _show(verdict, everything=everything)
    passed = sum(verdict.passed for verdict in verdicts)
    if as_json:
        print_json({"agent": bundle.manifest.name, "digest": bundle.digest,
                    "passed": passed == len(verdicts),
                    "cases": [_document(verdict) for verdict in verdicts]})  # fmt: skip
    else:
        failed = len(verdicts) - passed
        tail = f", [red]{failed} failed[/]" if failed else ""
        say(f"{bundle.manifest.name}: {counted(passed, 'case')} passed{tail}")
    return passed == len(verdicts)


def _show(verdict: Verdict, *, everything: bool) -> None:
    sign = symbol("succeeded" if verdict.passed else "failed")
    sign.stylize("green" if verdict.passed else "red")
    line = sign.append(" ").append_text(one_line(verdict.name, "bold"))
    out.print(line.append(f"  {span(verdict.wall_s)}", "dim"), soft_wrap=True)
    for fault in verdict.faults:
        out.print(one_line(f"    {fault}", "red"), soft_wrap=True)
    if everything or not verdict.passed:
        printed = verdict.printed if everything else verdict.printed[-LINES_SHOWN:]
        for text in printed:
            out.print(visible(f"    | {text}", "dim"), soft_wrap=True)
    if everything and verdict.output is not None:
        out.print(json_text(verdict.output), soft_wrap=True)


def _document(verdict: Verdict) -> dict[str, object]:
    return {
        "name": verdict.name,
        "passed": verdict.passed,
        "faults": list(verdict.faults),
        "wall_s": verdict.wall_s,
        "output": verdict.output,
        "printed": list(verdict.printed),
    }
