"""bandit, run in-process over files already chosen.

Only its AST checks are used. Its configuration files, baselines and `# nosec` handling are not:
they would let the scanned repository decide what is found.
"""

import logging
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from penstock_agent_security_scanner.models import Severity

with warnings.catch_warnings():
    # It loads its plugins at import, by a call its own dependency has deprecated.
    warnings.simplefilter("ignore")
    from bandit.core import config as bandit_config
    from bandit.core import manager as bandit_manager

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
# Its own levels say how bad and how sure; these are the ids where another level, or a more exact
# weakness, serves a gate better. None: style, not security, dropped.
SEVERITY: dict[str, Severity | None] = {
    "B101": None,  # assert
    "B105": "low",  # hard-coded password by name: the secrets check judges the value
    "B106": "low",
    "B107": "low",
    "B104": "low",  # bind to all interfaces
    "B108": "low",  # a fixed name below /tmp
    "B110": None,  # try, except, pass
    "B112": None,
    "B113": "low",  # no timeout
    "B310": "low",  # urlopen of a variable
    "B311": "low",  # random: see guessable-secret
    "B301": "high",
    "B302": "high",
    "B403": None,  # the import alone; the use is reported
    "B404": None,
    "B405": None,
    "B406": None,
    "B407": None,
    "B408": None,
    "B409": None,
    "B410": None,
    "B411": None,
    "B412": None,
    "B413": None,
    "B506": "high",
    "B602": "high",
    "B603": None,  # an argument list without a shell is the right way
    "B605": "high",
    "B606": None,
    "B607": None,
    "B608": "high",
    "B614": "high",
}
CWE: dict[str, str] = {
    "B105": "CWE-798", "B106": "CWE-798", "B107": "CWE-798",
    "B301": "CWE-502", "B302": "CWE-502", "B307": "CWE-95", "B102": "CWE-95",
    "B303": "CWE-327", "B304": "CWE-327", "B305": "CWE-327", "B324": "CWE-327",
    "B313": "CWE-611", "B314": "CWE-611", "B315": "CWE-611", "B316": "CWE-611",
    "B317": "CWE-611", "B318": "CWE-611", "B319": "CWE-611", "B320": "CWE-611",
    "B202": "CWE-22", "B506": "CWE-502", "B614": "CWE-502",
}  # fmt: skip
SUGGESTION: dict[str, str] = {
    "CWE-22": "Extract with filter='data', or check each member's path.",
    "CWE-78": "Start the program with a list of arguments and without a shell.",
    "CWE-79": "Leave automatic escaping on.",
    "CWE-89": "Pass values as parameters of the statement; choose identifiers from a fixed list.",
    "CWE-94": "Switch automatic escaping on.",
    "CWE-95": "Parse the data instead of evaluating it (ast.literal_eval, json).",
    "CWE-295": "Leave certificate verification on.",
    "CWE-319": "Use the encrypted variant of the protocol.",
    "CWE-326": "Use at least 2048 bits for RSA and DSA, 224 for elliptic curves.",
    "CWE-327": "Use SHA-256 or better, AES-GCM or ChaCha20-Poly1305.",
    "CWE-330": "Use the secrets module for anything that must not be guessed.",
    "CWE-502": "Use a data-only format such as JSON, or a safe loader.",
    "CWE-611": "Use defusedxml for XML that others wrote.",
    "CWE-732": "Give files the least permissions they need.",
    "CWE-798": "Take the secret from the environment or a secret store, and replace it.",
}
DEFAULT_SUGGESTION = "See the rule's documentation, and change the call or justify it in review."
# What a statement looks like, as opposed to prose that begins with "select".
_STATEMENT = re.compile(
    r"select\s+(?:distinct\s+)?[^\s,]+(?:\s*,\s*[^\s,]+)*\s+from\s"
    r"|insert\s+into\s|delete\s+from\s|update\s+\S+\s+set\s|drop\s+table\s",
    re.IGNORECASE,
)
# A shell line that is constant is nobody's injection: bandit itself lowers these.
_CONSTANT_SHELL = frozenset({"B602", "B605"})


@dataclass(frozen=True)
class Issue:
    """One finding of bandit, translated."""

    rule: str
    severity: Severity
    path: str
    line: int
    lines: range
    message: str
    cwe: str
    suggestion: str
    sure: bool = True

    def judged(self, source: list[str], constant_sql: set[int]) -> "Issue | None":
        """The issue in the light of its own lines; None when it is a false alarm.

        Args:
            source: All lines of the file.
            constant_sql: Lines with a built string whose parts are all constants.
        """
        if self.rule != "bandit:B608":
            return self
        if not constant_sql.isdisjoint(self.lines):
            return None
        shown = " ".join(source[self.lines.start - 1 : self.lines.stop - 1])
        if not self.sure and not _STATEMENT.search(shown + " "):
            return None
        return self


class BanditScanner:
    """Scans files in batches; `unparsed` counts those that are not valid Python here."""

    def __init__(self) -> None:
        logging.getLogger("bandit").setLevel(logging.CRITICAL)
        profile = {
            "include": [],
            "exclude": [test for test, level in SEVERITY.items() if not level],
        }
        self._manager = bandit_manager.BanditManager(
            bandit_config.BanditConfig(), "file", quiet=True, ignore_nosec=True, profile=profile
        )
        self.unparsed = 0

    def scan(self, paths: Iterable[str]) -> list[Issue]:
        """Issues of these files, by absolute path."""
        manager = self._manager
        manager.results, manager.skipped, manager.scores = [], [], []
        manager.files_list = list(paths)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the scanned code's syntax, quoted in our log
            manager.run_tests()
        self.unparsed += len(manager.get_skipped())
        return [issue for raw in manager.results if (issue := _translated(raw)) is not None]


def _translated(raw: object) -> Issue | None:
    data = raw.as_dict(with_code=False)  # type: ignore[attr-defined]
    test = data["test_id"]
    severity: Severity | None = SEVERITY.get(test, data["issue_severity"].lower())
    if test in _CONSTANT_SHELL and data["issue_severity"] == "LOW":
        severity = "low"
    if severity is None or severity not in ("low", "medium", "high"):
        return None
    number = data.get("issue_cwe", {}).get("id")
    cwe = CWE.get(test) or (f"CWE-{number}" if number else "CWE-710")
    lines = data["line_range"] or [data["line_number"]]
    return Issue(
        rule=f"bandit:{test}",
        severity=severity,
        path=data["filename"],
        line=data["line_number"],
        lines=range(min(lines), max(lines) + 1),
        message=_QUOTED.sub("'...'", " ".join(data["issue_text"].split())),
        cwe=cwe,
        suggestion=SUGGESTION.get(cwe, DEFAULT_SUGGESTION),
        sure=data["issue_confidence"] != "LOW",
    )
