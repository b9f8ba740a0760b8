"""Python web frameworks: Flask, FastAPI, Starlette, aiohttp and others; Django settings."""

import re
from itertools import islice

from penstock_agent_compliance_checker.header_values import Header, Setting
from penstock_agent_compliance_checker.serving import Seen, Serving
from penstock_agent_compliance_checker.web_code import (
    MAX_CALLS,
    line_at,
    literal_settings,
    options_of,
    without_comments,
)

_APPS: tuple[tuple[str, str, str], ...] = (
    ("Flask", "flask", r"\bFlask\("),
    ("Quart", "quart", r"\bQuart\("),
    ("FastAPI", "fastapi", r"\bFastAPI\("),
    ("Starlette", "starlette", r"\bStarlette\("),
    ("aiohttp", "aiohttp", r"\bweb\.Application\("),
    ("Sanic", "sanic", r"\bSanic\("),
    ("Litestar", "litestar", r"\bLitestar\("),
    ("Bottle", "bottle", r"\b(?:Bottle\(|bottle\.run\()"),
    ("Tornado", "tornado", r"\btornado\.web\.Application\(|(?<![.\w])Application\(\s*\["),
)
_ALL: frozenset[Header] = frozenset({"csp", "frame-options", "hsts", "content-type-options"})


def python(file: str, given_text: str) -> Seen:
    """One application a file at most; headers by name, Flask-Talisman, `secure`."""
    text = without_comments(given_text, "#")
    seen = Seen(settings=literal_settings(text, file))
    for name, module, pattern in _APPS:
        if not re.search(rf"(?m)^[ \t]*(?:from|import)\s+{module}\b", text):
            continue
        match = re.search(pattern, text)
        if match:
            line = line_at(text, match.start())
            seen.serving.append(Serving(f"{name} application", "app", "python", file, line))
            break
    given: set[Header] = set()
    calls = re.finditer(r"(?<![\w.])Talisman\(|\btalisman\.init_app\(", text)
    for match in islice(calls, MAX_CALLS):
        options = options_of(text, match.end() - 1)
        bare = match[0].startswith("Talisman(") and not options.strip()
        if bare and "talisman.init_app(" in text:
            continue
        given |= _ALL
        _talisman(options, file, text, match.end(), seen, given)
    if re.search(r"(?m)^[ \t]*(?:from|import)\s+secure\b", text) and re.search(
        r"\bSecure\(|Secure\.\w+\(", text
    ):
        given |= {"frame-options", "hsts", "content-type-options"}
        if re.search(
            r"with_default_headers\(|from_preset\(|\bcsp\s*=|ContentSecurityPolicy\(", text
        ):
            given.add("csp")
    if (
        re.search(r"(?m)^[ \t]*(?:from|import)\s+secweb\b", text, re.IGNORECASE)
        and "SecWeb(" in text
    ):
        given |= _ALL
    seen.given = frozenset(given)
    return seen


_TALISMAN: tuple[tuple[str, Header], ...] = (
    ("content_security_policy", "csp"),
    ("frame_options", "frame-options"),
    ("strict_transport_security", "hsts"),
    ("x_content_type_options", "content-type-options"),
)


def _talisman(
    options: str, file: str, text: str, start: int, seen: Seen, given: set[Header]
) -> None:
    first = line_at(text, start)
    for name, header in _TALISMAN:
        match = re.search(rf"\b{name}\s*=\s*(\S[^,\n]*)", options)
        if match is None:
            continue
        line = first + options.count("\n", 0, match.start())
        value = match[1].strip()
        if re.match(r"(?:None|False|\{\}|''|\"\")(?!\w)", value):
            given.discard(header)
            seen.off[header] = line
        elif header == "frame-options" and value[0] in "\"'":
            seen.settings.append(Setting(header, value.strip("\"'"), file, line))
    age = re.search(r"strict_transport_security_max_age\s*=\s*(\d+)(?!\s*\*)", options)
    if age:
        line = first + options.count("\n", 0, age.start())
        seen.settings.append(Setting("hsts", f"max-age={age[1]}", file, line))
    if re.search(r"content_security_policy_report_only\s*=\s*True", options):
        seen.settings.append(Setting("csp", None, file, first, report_only=True))
    if "content_security_policy" in options and "csp" in given:
        seen.settings += _policy_table(text, file)


def _policy_table(text: str, file: str) -> list[Setting]:
    """A policy as a dictionary: `"script-src": ["'self'", ..]`."""
    parts: list[str] = []
    line = 1
    for match in re.finditer(
        r"[\"']((?:default|script|frame-ancestors)(?:-src)?)[\"']\s*:\s*"
        r"(\[[^\]]{0,1000}\]|\"[^\"]*\"|'[^'\n]*')",
        text,
    ):
        line = line_at(text, match.start()) if not parts or match[1] == "script-src" else line
        words = match[2].replace("[", " ").replace("]", " ").replace('"', " ").replace(",", " ")
        parts.append(f"{match[1]} {' '.join(words.split())}")
    return [Setting("csp", "; ".join(parts), file, line)] if parts else []


def is_django_settings(text: str) -> bool:
    """Whether a file is a Django settings module."""
    if "MIDDLEWARE" not in text or not ("INSTALLED_APPS" in text or "ROOT_URLCONF" in text):
        return False
    return re.search(r"(?m)^MIDDLEWARE\w*\s*\+?=", text) is not None


def django(file: str, given_text: str) -> Seen:
    """Django: what its middleware sends, by the settings of the same file."""
    text = without_comments(given_text, "#")
    at = re.search(r"(?m)^MIDDLEWARE\w*\s*(?:\+?=)", text)
    line = line_at(text, at.start()) if at else 1
    seen = Seen()
    served = Serving("Django application", "app", "django", file, line)
    given: set[Header] = set()
    switched_off = _off(text, "SECURE_CONTENT_TYPE_NOSNIFF", served, "content-type-options")
    if "django.middleware.security.SecurityMiddleware" in text and not switched_off:
        given.add("content-type-options")
    if "XFrameOptionsMiddleware" in text:
        given.add("frame-options")
    if "CSPMiddleware" in text or "ContentSecurityPolicyMiddleware" in text:
        given.add("csp")
    seen.settings, seen.off = django_values(file, text)
    served.given = frozenset(given)
    seen.serving.append(served)
    return seen


def django_values(file: str, given_text: str) -> tuple[list[Setting], dict[Header, int]]:
    """What single settings say; also of a module that adds to another one."""
    text = without_comments(given_text, "#")
    found: list[Setting] = []
    off: dict[Header, int] = {}
    for match in re.finditer(r"(?m)^[ \t]*SECURE_HSTS_SECONDS\s*=\s*([^\n]+)", text):
        number = re.fullmatch(r"[\d_]+", match[1].strip())
        value = f"max-age={match[1].strip().replace('_', '')}" if number else None
        found.append(Setting("hsts", value, file, line_at(text, match.start())))
    found += [
        Setting("frame-options", match[1], file, line_at(text, match.start(1)))
        for match in re.finditer(r"(?m)^[ \t]*X_FRAME_OPTIONS\s*=\s*[\"']([^\"'\n]*)[\"']", text)
    ]
    for match in re.finditer(
        r"(?m)^[ \t]*(?:SECURE_CSP|CONTENT_SECURITY_POLICY|CSP_(?:DEFAULT|SCRIPT)_SRC)\s*=\s*", text
    ):
        value: str | None = None
        name = match[0].strip(" =\n\t")
        if name.startswith("CSP_"):
            sources = re.findall(
                r"[\"']('?[^\"'\n]+'?)[\"']", text[match.end() :].split("\n\n")[0][:400]
            )
            quoted = re.match(r"[(\[][^)\]]{0,400}[)\]]", text[match.end() :])
            words = re.findall(r"\"([^\"]*)\"", quoted[0]) if quoted else sources
            value = f"{name[4:].lower().replace('_', '-')} {' '.join(words)}" if words else None
            if name == "CSP_SCRIPT_SRC" or value is None or "CSP_SCRIPT_SRC" not in text:
                found.append(Setting("csp", value, file, line_at(text, match.start())))
            continue
        found.append(Setting("csp", value, file, line_at(text, match.start())))
    match = re.search(r"(?m)^[ \t]*SECURE_CONTENT_TYPE_NOSNIFF\s*=\s*False", text)
    if match:
        off["content-type-options"] = line_at(text, match.start())
    return found, off


def _off(text: str, name: str, served: Serving, header: Header) -> bool:
    match = re.search(rf"(?m)^[ \t]*{name}\s*=\s*False\b", text)
    if match:
        served.off[header] = line_at(text, match.start())
    return match is not None
