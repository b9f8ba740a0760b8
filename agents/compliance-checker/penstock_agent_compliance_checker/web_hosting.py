"""Headers set in the files of hosting services and gateways: IIS, Netlify, Vercel, Traefik, ..."""

import json
import re
from collections.abc import Iterator
from typing import cast

from penstock_agent_compliance_checker.declared import line_of
from penstock_agent_compliance_checker.header_values import Header, Setting, setting
from penstock_agent_compliance_checker.markup import elements
from penstock_agent_compliance_checker.serving import Seen, Serving
from penstock_agent_compliance_checker.toml_text import read_toml
from penstock_agent_sdk.repository import SourceFile

MAX_ENTRIES = 2_000


def web_config(source: SourceFile) -> Seen:
    """IIS and ASP.NET: `customHeaders` of web.config."""
    seen = Seen()
    served = Serving("IIS site", "proxy", "", source.name, 1)
    for path, attributes, _, line in elements(source.text):
        if path[-1] == "system.webServer":
            served.line = line
            seen.serving.append(served)
        if path[-2:] == ("customHeaders", "add"):
            one = setting(attributes.get("name", ""), attributes.get("value"), source.name, line)
            if one is not None:
                served.settings.append(one)
        if path[-1] == "hsts" and attributes.get("enabled") == "true":
            age = attributes.get("max-age", "31536000")
            one = setting("Strict-Transport-Security", f"max-age={age}", source.name, line)
            served.settings += [one] if one is not None else []
    return seen


def netlify_toml(source: SourceFile) -> Seen:
    """`[[headers]]` of netlify.toml; the service itself sends HSTS for its own domains."""
    served = Serving("Netlify site", "proxy", "", source.name, 1)
    document = read_toml(source.text)
    for entry in _tables(document.get("headers")):
        for name, value in _table(entry.get("values")).items():
            line = line_of(source, name)
            one = setting(name, value if isinstance(value, str) else None, source.name, line)
            served.settings += [one] if one is not None else []
    return Seen(serving=[served])


def headers_file(source: SourceFile) -> Seen:
    """Netlify's and Cloudflare's `_headers`: a path, then indented headers."""
    seen = Seen()
    served = Serving("static site", "proxy", "", source.name, 1)
    for number, line in enumerate(source.lines, 1):
        match = re.match(r"\s+([A-Za-z][\w-]+):\s*(.*)$", line)
        one = setting(match[1], match[2], source.name, number) if match else None
        served.settings += [one] if one is not None else []
    if any(line.startswith("/") for line in source.lines):
        seen.serving.append(served)
    return seen


def vercel_json(source: SourceFile) -> Seen:
    """`headers` of vercel.json; the service itself sends HSTS."""
    served = Serving("Vercel site", "proxy", "", source.name, 1, given=frozenset({"hsts"}))
    served.settings = list(_json_headers(source, json.loads(source.text)))
    return Seen(serving=[served])


def firebase_json(source: SourceFile) -> Seen:
    """`hosting.headers` of firebase.json; the service itself sends HSTS."""
    document = json.loads(source.text)
    if "hosting" not in _table(document):
        return Seen()
    served = Serving("Firebase site", "proxy", "", source.name, line_of(source, '"hosting"'),
                     given=frozenset({"hsts"}))  # fmt: skip
    served.settings = list(_json_headers(source, document))
    return Seen(serving=[served])


def _json_headers(source: SourceFile, document: object) -> Iterator[Setting]:
    """Objects with `key` and `value` anywhere."""
    pending, looked = [document], 0
    while pending and looked < MAX_ENTRIES:
        looked += 1
        item = pending.pop()
        if isinstance(item, list):
            pending += cast("list[object]", item)
        elif isinstance(item, dict):
            table = _table(cast("object", item))
            name = table.get("key")
            if isinstance(name, str) and "value" in table:
                value = table["value"]
                text = value if isinstance(value, str) else None
                one = setting(name, text, source.name, line_of(source, name))
                if one is not None:
                    yield one
            pending += list(table.values())


_TRAEFIK: dict[str, Header] = {
    "stsseconds": "hsts",
    "framedeny": "frame-options",
    "customframeoptionsvalue": "frame-options",
    "contenttypenosniff": "content-type-options",
    "contentsecuritypolicy": "csp",
}
_TRAEFIK_KEY = re.compile(
    r"(?i)\b(stsSeconds|frameDeny|customFrameOptionsValue|contentTypeNosniff|contentSecurityPolicy)"
    r"[\"']?\s*[:=]\s*[\"']?([^\"'\n]{0,2000})"
)


def traefik(source: SourceFile) -> Seen:
    """Traefik's `headers` middleware, in its own files or as labels of containers."""
    seen = Seen()
    text = source.text
    is_own = bool(re.search(r"(?m)^\s*\[?http\b", text)) and "routers" in text
    is_own = is_own and ("middlewares" in text or "traefik" in source.name.lower())
    labelled = "traefik.http.routers." in text
    if not is_own and not labelled and "traefik.http.middlewares" not in text:
        return seen
    settings = [
        one
        for number, line in enumerate(source.lines, 1)
        for match in _TRAEFIK_KEY.finditer(line[:5_000])
        if not line.lstrip().startswith("#")
        for one in _of_traefik(match[1], match[2].strip(), source.name, number)
    ]
    served = Serving("Traefik router", "proxy", "", source.name, line_of(source, "routers"),
                     settings, forwards=True)  # fmt: skip
    served.plain = not re.search(r"(?i)websecure|\btls\b|443", text)
    if is_own or labelled:
        seen.serving.append(served)
    else:
        seen.settings = settings
    return seen


def _of_traefik(key: str, value: str, file: str, line: int) -> Iterator[Setting]:
    header = _TRAEFIK[key.lower()]
    match key.lower():
        case "stsseconds":
            yield Setting(header, f"max-age={value or 0}", file, line)
        case "framedeny":
            if value.lower().startswith("true"):
                yield Setting(header, "DENY", file, line)
        case "contenttypenosniff":
            if value.lower().startswith("true"):
                yield Setting(header, "nosniff", file, line)
        case _:
            yield Setting(header, value, file, line)


_NEXT_HEADER = re.compile(
    r"key\s*:\s*([\"'`])([\w-]+)\1\s*,\s*value\s*:\s*(?:([\"'`])(.{0,2000}?)\3|([\w.]+))", re.DOTALL
)


def next_config(source: SourceFile) -> Seen:
    """`headers()` of next.config.*."""
    served = Serving("Next.js site", "app", "javascript", source.name, 1)
    for match in _NEXT_HEADER.finditer(source.text[:200_000]):
        line = source.text.count("\n", 0, match.start()) + 1
        one = setting(match[2], match[4] if match[3] else None, source.name, line)
        served.settings += [one] if one is not None else []
    return Seen(serving=[served])


def _table(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _tables(value: object) -> list[dict[str, object]]:
    return [_table(item) for item in cast("list[object]", value)] if isinstance(value, list) else []
