"""What agents that judge code share: one identity, one silence and one report format.

A finding is named by its `fingerprint`, which outlives line moves; a comment or a baseline file
hides it with a reason; SARIF tells other tools of it.
"""

from penstock_agent_sdk.findings.baseline import Baseline
from penstock_agent_sdk.findings.fingerprints import Place, fingerprints
from penstock_agent_sdk.findings.sarif import Result, RuleText, Tool, sarif_document
from penstock_agent_sdk.findings.sieve import Obeyed, Sieve, Verdict, baseline_in
from penstock_agent_sdk.findings.suppressions import Suppression, SuppressionFault, Suppressions

__all__ = [
    "Baseline",
    "Obeyed",
    "Place",
    "Result",
    "RuleText",
    "Sieve",
    "Suppression",
    "SuppressionFault",
    "Suppressions",
    "Tool",
    "Verdict",
    "baseline_in",
    "fingerprints",
    "sarif_document",
]
