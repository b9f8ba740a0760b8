"""Programs that answer HTTP requests, and the headers their text sets.

Read as text: nothing is run or imported. What is set anywhere in a program counts, so a header
set in a branch that never runs is not noticed; what is nowhere is surely not set.
"""

import re
from collections.abc import Iterator
from itertools import islice

from penstock_agent_compliance_checker.header_values import (
    NAMES,
    Header,
    Setting,
    setting,
)
from penstock_agent_compliance_checker.serving import Seen, Serving

MAX_CHARS = 400_000
MAX_OPTIONS_CHARS = 8_000
# Calls of a library that sets headers, in one file.
MAX_CALLS = 40
_HEADER_NAMES = "|".join(re.escape(name) for name in NAMES.values())
# A header's name as a text, followed by what sets it: `] =`, `,`, `:`, `=>`; then perhaps a text.
_LITERAL = re.compile(
    rf"(?<![\w-])b?[\"'`]({_HEADER_NAMES}|Content-Security-Policy-Report-Only)[\"'`]\s*"
    r"(\]\s*=(?!=)|,|:|=>|\)\s*\.(?:set|value)\()\s*\(?\s*(?:b?f?([\"'`])(.*?)(?<!\\)\3)?",
    re.IGNORECASE | re.DOTALL,
)
_READS = re.compile(
    r"(?:\.get|getHeader|get_header|hasHeader|\.has|\.pop|assert\w*|expect)\s*\(?\s*$"
)
# Constants of libraries that stand for the names.
_CONSTANTS: tuple[tuple[re.Pattern[str], Header], ...] = (
    (
        re.compile(r"\b(?:HeaderNames\.|Headers\.|\.)ContentSecurityPolicy\s*(?:=(?!=)|,|\]\s*=)"),
        "csp",
    ),
    (
        re.compile(r"\b(?:HeaderNames\.|Headers\.|\.)XFrameOptions\s*(?:=(?!=)|,|\]\s*=)"),
        "frame-options",
    ),
    (
        re.compile(
            r"\b(?:HeaderNames\.|Headers\.|\.)StrictTransportSecurity\s*(?:=(?!=)|,|\]\s*=)"
        ),
        "hsts",
    ),
    (
        re.compile(r"\b(?:HeaderNames\.|Headers\.|\.)XContentTypeOptions\s*(?:=(?!=)|,|\]\s*=)"),
        "content-type-options",
    ),
)


def without_comments(text: str, marker: str) -> str:
    """Blank out whole-line and block comments; lines stay where they are."""
    kept = text[:MAX_CHARS]
    if marker == "//":
        kept = re.sub(
            r"/\*.*?\*/", lambda match: "\n" * match[0].count("\n"), kept, flags=re.DOTALL
        )
        return re.sub(r"(?m)(^|[\s;{}(),])//[^\n]*", r"\1", kept)
    return re.sub(r"(?m)(^|\s)#[^\n]*", r"\1", kept)


def line_at(text: str, position: int) -> int:
    """Number of the line of a position, from 1."""
    return text.count("\n", 0, position) + 1


def literal_settings(text: str, file: str) -> list[Setting]:
    """Headers set by their names, in any language."""
    found: list[Setting] = []
    for match in _LITERAL.finditer(text):
        if _READS.search(text[max(0, match.start() - 40) : match.start()]):
            continue
        value = match[4] if match[3] and len(match[4]) < MAX_OPTIONS_CHARS else None
        behind = text[match.end() : match.end() + 20].lstrip()
        if value is not None and behind.startswith(("+", ".", "%")):
            value = None  # only a part of the value
        one = setting(match[1], value, file, line_at(text, match.start()))
        if one is not None:
            found.append(one)
    for pattern, header in _CONSTANTS:
        found += [
            Setting(header, None, file, line_at(text, m.start())) for m in pattern.finditer(text)
        ]
    return found


def options_of(text: str, opening: int) -> str:
    """What stands between a parenthesis and its partner."""
    depth = 0
    for at in range(opening, min(len(text), opening + MAX_OPTIONS_CHARS)):
        if text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
            if depth == 0:
                return text[opening + 1 : at]
    return text[opening + 1 : opening + MAX_OPTIONS_CHARS]


_JS_APP = re.compile(
    r"(?<![\w.])(?:(express)\(\s*\)|([Ff]astify)\(|new (Koa)\(|(NestFactory)\.create|new (Hono)\b"
    r"|(?:https?|http2)\.(createServer|createSecureServer)\()"
)
_HELMET = re.compile(r"(?<![\w.])(?:helmet|koaHelmet|fastifyHelmet)\s*(\.\s*(\w+)\s*)?\(")
_REGISTERED = re.compile(
    r"register\(\s*(?:helmet|fastifyHelmet|require\([\"']@fastify/helmet[\"']\)|"
    r"import\([\"']@fastify/helmet[\"']\))\s*(,)?"
)
_HELMET_PARTS: dict[str, Header] = {
    "contentSecurityPolicy": "csp",
    "frameguard": "frame-options",
    "xFrameOptions": "frame-options",
    "hsts": "hsts",
    "strictTransportSecurity": "hsts",
    "noSniff": "content-type-options",
    "xContentTypeOptions": "content-type-options",
}
_ALL: frozenset[Header] = frozenset(NAMES)


def javascript(file: str, given_text: str) -> Seen:
    """Express, Fastify, Koa, Nest, Hono and plain Node servers; helmet."""
    text = without_comments(given_text, "//")
    seen = Seen(settings=literal_settings(text, file))
    given: set[Header] = set()
    for match in islice(_HELMET.finditer(text), MAX_CALLS):
        before = text[max(0, match.start() - 30) : match.start()]
        if re.search(r"(?:require|import|from|function)\s*\(?\s*$", before):
            continue
        options = options_of(text, match.end() - 1)
        if match[2]:
            header = _HELMET_PARTS.get(match[2])
            if header is not None:
                given.add(header)
                _helmet_options(f"{match[2]}: {options}", file, text, match.start(), seen, given)
            continue
        given |= _ALL
        _helmet_options(options, file, text, match.start(), seen, given)
    for match in islice(_REGISTERED.finditer(text), MAX_CALLS):
        given |= _ALL
        options = options_of(text, text.find("(", match.start()))
        _helmet_options(options, file, text, match.start(), seen, given)
    if re.search(r"(?<![\w.])secureHeaders\(", text):
        given |= {"frame-options", "hsts", "content-type-options"}
    seen.given = frozenset(given)
    for match in _JS_APP.finditer(text):
        name = next(filter(None, match.groups()))
        if name == "createServer" and (seen.serving or _passed_on(text, match.end())):
            continue
        if name == "createServer" and not re.search(r"writeHead|\.end\(|setHeader", text):
            continue
        what = "Node.js server" if name.startswith("create") else f"{name} application"
        seen.serving.append(Serving(what, "app", "javascript", file, line_at(text, match.start())))
        break
    return seen


def _passed_on(text: str, behind: int) -> bool:
    return bool(re.match(r"\s*(?:\w+,\s*)?app\b", text[behind : behind + 60]))


def _helmet_options(
    options: str, file: str, text: str, start: int, seen: Seen, given: set[Header]
) -> None:
    for name, header in _HELMET_PARTS.items():
        match = re.search(rf"[\"']?\b{name}[\"']?\s*:\s*(\S[^\n,}}]*)", options)
        if match is None:
            continue
        line = line_at(text, start) + options.count("\n", 0, match.start())
        value = match[1]
        if value.startswith("false"):
            given.discard(header)
            seen.off[header] = line
        elif header == "hsts":
            inner = options[match.start(1) : match.start(1) + 400]
            age = re.search(r"maxAge[\"']?\s*:\s*([\d_]+)(?!\s*\*|[\d_])", inner)
            if age:
                seen.settings.append(
                    Setting("hsts", f"max-age={age[1].replace('_', '')}", file, line)
                )
        elif header == "frame-options":
            action = re.search(
                r"action[\"']?\s*:\s*[\"']([\w-]+)[\"']", options[match.start() :][:200]
            )
            if action:
                seen.settings.append(Setting(header, action[1], file, line))
        elif header == "csp":
            seen.settings += _helmet_policy(options, match.start(), file, line)


def _helmet_policy(options: str, start: int, file: str, line: int) -> Iterator[Setting]:
    opening = options.find("{", start)
    if opening < 0:
        return
    body = options_of(options, opening)
    if re.search(r"reportOnly[\"']?\s*:\s*true", body):
        yield Setting("csp", None, file, line, report_only=True)
    directives: list[str] = []
    for match in re.finditer(r"[\"']?([A-Za-z][\w-]*)[\"']?\s*:\s*\[([^\]]{0,2000})\]", body):
        name = re.sub(r"([A-Z])", lambda found: "-" + found[1].lower(), match[1])
        sources = re.findall(r"\"([^\"]*)\"|'((?:[^'\\]|\\.)*)'|`([^`]*)`", match[2])
        directives.append(f"{name} {' '.join(''.join(one) for one in sources)}")
    if directives:
        # helmet adds its own defaults, default-src 'self' among them, unless told not to.
        if not re.search(r"useDefaults[\"']?\s*:\s*false", body):
            directives.append("default-src 'self'")
            directives.append("script-src 'self'")
        yield Setting("csp", "; ".join(directives), file, line)
