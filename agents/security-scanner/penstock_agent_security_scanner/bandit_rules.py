"""What bandit's findings mean here: rule, level and weakness of each of its checks."""

import ast
import re
from dataclasses import dataclass
from typing import Any, Final

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.bandit_driver import Checks, Visitor
from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.models import Severity

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
# Style, or the import of a module whose use is reported where it is used.
LEFT_OUT: Final = frozenset(
    {
        "B403", "B404", "B405", "B406", "B407", "B408", "B409", "B410", "B411", "B413",
        "B603", "B606", "B607", "B311",
    }
)  # fmt: skip
# Which of our rules a check is about: one weakness is one finding, whoever saw it.
SAME: Final[dict[str, Rule]] = {
    "B101": catalogue.ASSERTION,
    "B102": catalogue.CODE, "B307": catalogue.CODE,
    "B103": catalogue.PERMISSIONS, "B104": catalogue.BIND_ALL,
    "B105": catalogue.CREDENTIAL, "B106": catalogue.CREDENTIAL, "B107": catalogue.CREDENTIAL,
    "B108": catalogue.TEMP_FILE, "B110": catalogue.SWALLOWED, "B112": catalogue.SWALLOWED,
    "B113": catalogue.NO_TIMEOUT, "B201": catalogue.DEBUG, "B202": catalogue.PATH,
    "B301": catalogue.DESERIALISATION, "B302": catalogue.DESERIALISATION,
    "B303": catalogue.WEAK_HASH, "B304": catalogue.WEAK_CIPHER, "B305": catalogue.WEAK_CIPHER,
    "B306": catalogue.TEMP_FILE, "B308": catalogue.XSS, "B310": catalogue.SSRF,
    "B312": catalogue.CLEARTEXT, "B321": catalogue.CLEARTEXT, "B401": catalogue.CLEARTEXT,
    "B402": catalogue.CLEARTEXT, "B313": catalogue.XXE, "B314": catalogue.XXE,
    "B315": catalogue.XXE, "B316": catalogue.XXE, "B317": catalogue.XXE, "B318": catalogue.XXE,
    "B319": catalogue.XXE, "B320": catalogue.XXE, "B323": catalogue.UNCHECKED_TLS,
    "B324": catalogue.WEAK_HASH, "B325": catalogue.TEMP_FILE, "B501": catalogue.UNCHECKED_TLS,
    "B502": catalogue.OLD_TLS, "B503": catalogue.OLD_TLS, "B504": catalogue.OLD_TLS,
    "B505": catalogue.WEAK_KEY, "B506": catalogue.DESERIALISATION,
    "B507": catalogue.UNCHECKED_TLS, "B508": catalogue.CLEARTEXT, "B509": catalogue.CLEARTEXT,
    "B601": catalogue.COMMAND, "B602": catalogue.COMMAND, "B604": catalogue.COMMAND,
    "B605": catalogue.COMMAND, "B608": catalogue.SQL, "B609": catalogue.COMMAND,
    "B610": catalogue.SQL, "B611": catalogue.SQL, "B614": catalogue.DESERIALISATION,
    "B701": catalogue.XSS, "B702": catalogue.XSS, "B703": catalogue.XSS, "B704": catalogue.XSS,
}  # fmt: skip
# Its own levels say how bad and how sure; here another level serves a gate better.
_LEVELS: Final[dict[str, Severity]] = {
    "B504": "medium",
    "B104": "medium", "B105": "low", "B106": "low", "B107": "low", "B108": "low", "B110": "low",
    "B112": "low", "B113": "low", "B301": "high", "B302": "high", "B310": "low", "B324": "medium",
    "B303": "medium", "B401": "low", "B402": "low", "B506": "high", "B602": "high",
    "B604": "medium",
    "B605": "high", "B608": "medium", "B610": "medium", "B611": "medium", "B614": "medium",
    "B615": "low", "B704": "low", "B703": "low", "B308": "low", "B701": "medium",
}  # fmt: skip
_SUGGESTIONS: Final = {"B202": "Extract with filter='data', or check each member's path."}
DEFAULT_SUGGESTION = "See the rule's documentation, and change the call or justify it in review."
# What a statement looks like, as opposed to prose that begins with "select".
_STATEMENT = re.compile(
    r"select\s+(?:distinct\s+)?[^\s,]+(?:\s*,\s*[^\s,]+)*\s+from\s"
    r"|insert\s+into\s|delete\s+from\s|update\s+\S+\s+set\s|drop\s+table\s",
    re.IGNORECASE,
)
_AROUND_TEXT = re.compile(r"#.*$|\b[fFrRbBuU]{1,2}(?=[\"'])|[\"'()]")


@dataclass(frozen=True)
class Issue:
    """One finding of bandit, translated.

    Attributes:
        test: Its id.
        rule: The rule it counts for, or None for one only bandit has.
        severity: At which level it counts.
        line: Where it is.
        lines: All lines of the statement.
        message: What bandit says, without values.
        cwe: The weakness.
        sure: Bandit's own confidence is above its lowest.
    """

    test: str
    rule: Rule | None
    severity: Severity
    line: int
    lines: range
    message: str
    cwe: str
    sure: bool = True

    @property
    def name(self) -> str:
        """What the finding is called."""
        return f"bandit:{self.test}"

    @property
    def suggestion(self) -> str:
        """What to do about it."""
        own = _SUGGESTIONS.get(self.test)
        return own or (self.rule.suggestion if self.rule is not None else DEFAULT_SUGGESTION)

    def is_prose(self, source: list[str]) -> bool:
        """Whether it took plain words for a statement.

        Args:
            source: All lines of the file.
        """
        if self.test != "B608" or self.sure:
            return False
        shown = " ".join(
            _AROUND_TEXT.sub(" ", line)
            for line in source[self.lines.start - 1 : self.lines.stop - 1]
        )
        return not _STATEMENT.search(shown + " ")


_PASSWORDS: Final = frozenset({"B105", "B106", "B107"})
_QUOTED_VALUE: Final = re.compile(r": '(.*)'$", re.DOTALL)
# What names a field, a place or a kind rather than being a credential.
_LABEL: Final = re.compile(
    r"(?i)^$|^[<{$%].*|.*[{}<>].*|^https?://.*|^[/.].*|.*\s.*|^(?:\w*[_-])?(?:password|passwd|pwd|pass|"
    r"token|secret|passphrase)(?:[_-]\w*)?$|^(?:none|null|true|false|str|string|bearer|basic|changeme|"
    r"x+|\*+|example|required|optional|access|refresh|csrf|id_token|authorization)$|^.{1,3}$"
    # What looks for one: a place like [key], a regular expression.
    r"|^\[[\w -]+\]$|^\^|^\(\?|^.*(?:\\[bdsw]|\[[^\]]*\w-\w[^\]]*\]|\.[*+])"
)


def _of_password(test: str, text: str) -> Severity:
    """A value compared with or given to something called a password; labels are named so too."""
    found = _QUOTED_VALUE.search(text)
    value = found[1] if found else ""
    if test == "B106" and value:
        return "medium"
    return "low" if _LABEL.match(value) else "medium"


class BanditScanner:
    """Holds bandit's checks; one instance scans any number of files."""

    def __init__(self) -> None:
        self._checks = Checks(LEFT_OUT)

    def scan(self, name: str, tree: ast.Module, text: str) -> list[Issue]:
        """Issues of one file."""
        raw = Visitor(self._checks, name, text).run(tree)
        return [issue for item in raw if (issue := _translated(item)) is not None]


def _translated(raw: Any) -> Issue | None:  # noqa: ANN401
    test: str = raw.test_id
    level = str(raw.severity).lower()
    severity: Severity = _LEVELS.get(test, "low" if level not in ("medium", "high") else level)
    if test in ("B602", "B605") and level == "low":
        severity = "low"
    rule = SAME.get(test)
    number = getattr(raw.cwe, "id", 0)
    if test in _PASSWORDS:
        severity = _of_password(test, str(raw.text))
    lines = list(raw.linerange) or [raw.lineno]
    return Issue(
        test=test,
        rule=rule,
        severity=severity,
        line=raw.lineno,
        lines=range(min(lines), max(lines) + 1),
        message=_QUOTED.sub("'...'", " ".join(str(raw.text).split())),
        cwe=rule.cwe if rule is not None else f"CWE-{number}" if number else "CWE-710",
        sure=raw.confidence != "LOW",
    )
