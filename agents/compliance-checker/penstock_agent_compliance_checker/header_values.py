"""The four response headers that are asked for, and which of their values protect nothing."""

import re
from dataclasses import dataclass
from typing import Literal

Header = Literal["csp", "frame-options", "hsts", "content-type-options"]
HEADERS: tuple[Header, ...] = ("csp", "frame-options", "hsts", "content-type-options")
NAMES: dict[Header, str] = {
    "csp": "Content-Security-Policy",
    "frame-options": "X-Frame-Options",
    "hsts": "Strict-Transport-Security",
    "content-type-options": "X-Content-Type-Options",
}
BY_NAME: dict[str, Header] = {name.lower(): header for header, name in NAMES.items()}
WHY: dict[Header, str] = {
    "csp": "injected script is run by browsers",
    "frame-options": "other sites can put the pages into a frame (click-jacking)",
    "hsts": "a first request over plain HTTP can be read and changed",
    "content-type-options": "browsers may take a file for another type than the one declared",
}
# Half a year, what scanners and browser makers' guides ask for at least.
MIN_MAX_AGE_S = 15_552_000
MAX_VALUE_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Setting:
    """A header that a file sets.

    Attributes:
        header: Which of the four.
        value: As written; None where it is worked out when the program runs.
        file: Where.
        line: Where in it.
        report_only: A policy that is only reported, not enforced.
    """

    header: Header
    value: str | None
    file: str
    line: int
    report_only: bool = False


def setting(name: str, value: str | None, file: str, line: int) -> Setting | None:
    """Build a setting; None for any other header."""
    lowered = name.strip().strip("\"'").lower()
    if lowered == "content-security-policy-report-only":
        return Setting("csp", value, file, line, report_only=True)
    header = BY_NAME.get(lowered)
    return None if header is None else Setting(header, value, file, line)


def weakness(one: Setting) -> str:
    """Why a value protects nothing; empty if it does, or if it is not known."""
    if one.report_only:
        return "the policy is only reported and not enforced"
    if one.value is None:
        return ""
    value = _bare(one.value[:MAX_VALUE_CHARS]).lower()
    # What a program or template fills in is not known here.
    if re.search(r"\$\{|\$\w|\{\{|%\(|<%|\{[a-z_]+\}", value):
        return ""
    match one.header:
        case "csp":
            return _policy(value)
        case "frame-options":
            known = re.split(r"[\s,]+", value)[0] in ("deny", "sameorigin")
            return "" if known else "only DENY and SAMEORIGIN are understood by browsers"
        case "hsts":
            return _max_age(value)
        case "content-type-options":
            return "" if value == "nosniff" else "the only value with a meaning is nosniff"


def frames_allowed_by(one: Setting) -> bool | None:
    """Whether a policy lets any site frame the pages; None if it does not speak of frames."""
    if one.header != "csp" or one.report_only or one.value is None:
        return None
    sources = _directives(one.value.lower()).get("frame-ancestors")
    if sources is None:
        return None
    return bool({"*", "http:", "https:"} & set(sources))


def _bare(value: str) -> str:
    """Without quotes around it all; a single one at the end is that of a policy's last source."""
    bare = value.strip().strip('"').strip()
    if len(bare) > 1 and bare[0] == bare[-1] == "'":
        return bare[1:-1].strip()
    return bare


def _max_age(value: str) -> str:
    match = re.search(r"max-age\s*=\s*\"?(\d{1,12})", value)
    if match is None:
        return "it has no max-age"
    if int(match[1]) < MIN_MAX_AGE_S:
        return f"max-age={int(match[1])} is shorter than half a year"
    return ""


def _directives(value: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in _bare(value).split(";"):
        words = part.replace('"', " ").split()
        if words:
            found.setdefault(words[0], words[1:])
    return found


def _policy(value: str) -> str:
    directives = _directives(value)
    if not directives:
        return "the policy is empty"
    scripts = directives.get("script-src", directives.get("default-src"))
    if scripts is None:
        if set(directives) <= {"frame-ancestors", "upgrade-insecure-requests", "report-uri",
                               "report-to", "block-all-mixed-content"}:  # fmt: skip
            return "it does not restrict scripts (no default-src, no script-src)"
        return "it has neither default-src nor script-src, so any script may be loaded"
    safe = any(one.startswith(("'nonce-", "'sha256-", "'sha384-", "'sha512-")) for one in scripts)
    strict = "'strict-dynamic'" in scripts
    if "'unsafe-inline'" in scripts and not (safe or strict):
        return "'unsafe-inline' allows injected script"
    if "'unsafe-eval'" in scripts:
        return "'unsafe-eval' allows text to be run as script"
    wide = {"*", "http:", "https:", "data:", "http://*", "https://*"} & set(scripts)
    if wide and not strict:
        return f"{min(wide)} allows script from anywhere"
    return ""
