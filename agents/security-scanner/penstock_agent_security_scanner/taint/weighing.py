"""Whether a value at a sink is worth a report."""

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.models import Severity
from penstock_agent_security_scanner.taint.machine import Machine
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import CLEAN, Reach, Value

Levels = dict[Reach, Severity]


def weigh(
    machine: Machine,
    site: Site,
    rule: Rule,
    weakness: str,
    value: Value,
    levels: Levels,
) -> bool:
    """Report a value at a sink by who has a hold on it; clear the call when nobody has.

    Returns:
        Whether it was reported.
    """
    reach = value.reach(weakness)
    if machine.outside and reach is Reach.REMOTE and reach in levels:
        machine.report_outside(rule, levels[reach])
        return True
    if reach is not None and reach in levels:
        machine.report(rule, site.line, levels[reach], value.built)
        return True
    if harmless(value, weakness):
        machine.clear(rule, site.lines)
    else:
        machine.doubt(rule, site.lines)
    return False


def harmless(value: Value, weakness: str) -> bool:
    """Known to be of this program's own making, or cleaned."""
    if value.fixed or value.known:
        return True
    taint = value.whole()
    return taint != CLEAN and value.reach(weakness) is None
