"""Trigger rules: their patterns, and whether a trigger fits one."""

import re

from penstock_contracts.subjects import matches
from penstock_contracts.trigger.v1 import DIRECT_SOURCE
from penstock_contracts.values import JsonObject
from penstock_contracts.workflow.v1 import TriggerRule
from penstock_core.workflow.conditions import compile_condition

_TOKEN = re.compile(r"[A-Za-z0-9_$=:@/-]+")


def pattern_fault(pattern: str) -> tuple[str, str] | None:
    """Say what is wrong with a rule's `on` and how to mend it; None: it is a pattern."""
    parts = pattern.split(".")
    if "" in parts:
        return "an empty token in the pattern", "tokens are separated by single dots"
    for position, part in enumerate(parts):
        if part == ">" and position != len(parts) - 1:
            return "`>` stands for all the rest, so nothing follows it", "use `*` for one token"
        if part not in ("*", ">") and not _TOKEN.fullmatch(part):
            hint = "a wildcard is a whole token: `nats.scan.*`" if "*" in part else ""
            return f"{part!r} is no token of a pattern", hint
    if parts[0] == DIRECT_SOURCE:
        hint = "leave the rule out: every workflow can be started by hand"
        return f"{DIRECT_SOURCE!r} is the source of runs that are started by name", hint
    return None


def match_rule(rule: TriggerRule, path: str, trigger: JsonObject) -> bool:
    """Tell whether a trigger on `path` starts the rule's workflow.

    Args:
        rule: its pattern and its condition.
        path: the trigger's source and further tokens.
        trigger: what the rule's condition sees as `trigger`.

    Raises:
        ConditionError: the rule's condition failed.
    """
    if not matches(rule.on, path):
        return False
    return rule.when is None or compile_condition(rule.when).evaluate({"trigger": trigger})
