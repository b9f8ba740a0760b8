"""The group `security`: response headers of whatever answers HTTP requests here."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from penstock_agent_compliance_checker import (
    web_code,
    web_compiled,
    web_hosting,
    web_python,
    web_servers,
)
from penstock_agent_compliance_checker.broken import Broken
from penstock_agent_compliance_checker.header_values import (
    HEADERS,
    NAMES,
    WHY,
    Header,
    Setting,
    frames_allowed_by,
    weakness,
)
from penstock_agent_compliance_checker.models import Severity
from penstock_agent_compliance_checker.serving import Seen, Serving
from penstock_agent_sdk.repository import SourceFile

_TESTS = re.compile(
    r"(?:^|/)(?:tests?|__tests__|spec|specs|testdata|fixtures|e2e|cypress|mocks?)/"
    r"|(?:^|/)(?:test_[^/]*|conftest)\.py$|_test\.(?:py|go)$|\.(?:test|spec)\.[jt]sx?$|Tests?\.(?:java|kt|cs)$"
)
_CODE: dict[str, tuple[str, Callable[[str, str], Seen]]] = {
    ".js": ("javascript", web_code.javascript),
    ".mjs": ("javascript", web_code.javascript),
    ".cjs": ("javascript", web_code.javascript),
    ".ts": ("javascript", web_code.javascript),
    ".py": ("python", web_python.python),
    ".java": ("java", web_compiled.java),
    ".kt": ("java", web_compiled.java),
    ".cs": ("csharp", web_compiled.csharp),
    ".go": ("go", web_compiled.go),
}
_DEVELOPMENT = re.compile(r"(?i)(?:^|[_./-])(?:dev|development|local|test|testing|ci)(?:[_./-]|$)")


@dataclass
class SecurityRules:
    """Collects what serves and what is set, and judges them together."""

    _serving: list[Serving] = field(default_factory=list["Serving"])
    _seen: list[tuple[str, str, Seen]] = field(default_factory=list["tuple[str, str, Seen]"])

    @property
    def applicable(self) -> bool:
        """Whether anything serves."""
        return bool(self._serving)

    def look_at(self, source: SourceFile) -> None:
        """Take what a file shows; a malformed one shows nothing."""
        if _TESTS.search(source.name) or not _may_serve(source):
            return
        try:
            language, seen = _read(source)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        if seen is None:
            return
        self._serving += seen.serving
        if seen.settings or seen.off or seen.given:
            self._seen.append((source.name, language, seen))

    def finish(self) -> list[Broken]:
        """Weak values where they are set; missing headers where it is served."""
        self._join_static_sites()
        found: dict[tuple[str, str, int], Broken] = {}
        for one in self._serving:
            for broken in self._judged(one):
                found.setdefault((broken.rule, broken.file, broken.line), broken)
        return list(found.values())

    def _join_static_sites(self) -> None:
        """A site's `_headers` and its netlify.toml are of one site."""
        by_file = [one for one in self._serving if one.what == "static site"]
        if not by_file:
            return
        for one in [one for one in self._serving if one.what == "Netlify site"]:
            by_file[0].settings += one.settings
            self._serving.remove(one)

    def _judged(self, served: Serving) -> Iterator[Broken]:
        settings, given, off = self._reaching(served)
        for one in settings:
            why = weakness(one)
            if why and not _made_good(one, settings):
                yield _broken(
                    one.header,
                    "weak",
                    "warning",
                    one.file,
                    one.line,
                    f"{NAMES[one.header]} is weak: {why}.",
                )
            if frames_allowed_by(one):
                yield _broken(
                    "frame-options",
                    "weak",
                    "warning",
                    one.file,
                    one.line,
                    "frame-ancestors allows every site to put the pages into a frame.",
                )
        present = given | {one.header for one in settings}
        if any(frames_allowed_by(one) is not None for one in settings):
            present |= {"frame-options"}
        for header in HEADERS:
            if header in off:
                file, line = off[header]
                yield _broken(
                    header,
                    "missing",
                    "warning",
                    file,
                    line,
                    f"{NAMES[header]} is switched off here: {WHY[header]}.",
                )
            elif header not in present:
                plain = header == "hsts" and served.plain
                severity: Severity = "info" if plain else "warning"
                text = f"The {served.what} sends no {NAMES[header]}: {WHY[header]}."
                if plain:
                    text = f"The {served.what} answers plain HTTP; behind TLS it should send {NAMES[header]}."  # noqa: E501
                yield _broken(header, "missing", severity, served.file, served.line, text)

    def _reaching(
        self, served: Serving
    ) -> tuple[list[Setting], set[Header], dict[Header, tuple[str, int]]]:
        """What reaches the responses of one thing that serves, and what is switched off."""
        settings, given = list(served.settings), set(served.given)
        off: dict[Header, tuple[str, int]] = {
            header: (served.file, line) for header, line in served.off.items()
        }
        for file, language, seen in self._seen:
            if language == served.language and _related(file, served.file):
                settings += seen.settings
                given |= seen.given
                for header, line in seen.off.items():
                    off.setdefault(header, (file, line))
        present = set(given)
        present.update(one.header for one in settings)
        if served.role == "app":
            others = [one for one in self._serving if one.role == "proxy" and one.forwards]
        else:
            others = [one for one in self._serving if one.role == "app"] if served.forwards else []
        elsewhere: set[Header] = set()
        for other in others:
            elsewhere.update(one.header for one in other.settings)
            elsewhere |= other.given
            if any(frames_allowed_by(one) is not None for one in other.settings):
                elsewhere.add("frame-options")
        if served.forwards:
            for _, language, seen in self._seen:
                if language:
                    elsewhere.update(one.header for one in seen.settings)
                    elsewhere |= seen.given
        set_by_name = {one.header for one in settings if not one.report_only}
        off = {
            header: place
            for header, place in off.items()
            if header not in elsewhere and (header not in set_by_name or served.role == "proxy")
        }
        return settings, present | elsewhere, off


_BY_BASE: dict[str, Callable[[SourceFile], Seen]] = {
    ".htaccess": web_servers.apache,
    "caddyfile": web_servers.caddy,
    "web.config": web_hosting.web_config,
    "netlify.toml": web_hosting.netlify_toml,
    "_headers": web_hosting.headers_file,
    "vercel.json": web_hosting.vercel_json,
    "firebase.json": web_hosting.firebase_json,
}
_DJANGO_VALUES = re.compile(r"(?m)^[ \t]*(?:SECURE_HSTS|SECURE_CSP|X_FRAME_OPTIONS|CSP_\w+_SRC)")


def _read(source: SourceFile) -> tuple[str, Seen | None]:
    base, suffix, name = source.base, source.suffix, source.name
    by_base = _BY_BASE.get(base.lower())
    if by_base is not None:
        return "", by_base(source)
    if suffix == ".caddyfile" or base.startswith("Caddyfile"):
        return "", web_servers.caddy(source)
    if re.match(r"next\.config\.[cm]?[jt]s$", base):
        return "javascript", web_hosting.next_config(source)
    if suffix in (".yml", ".yaml", ".toml") and b"traefik" in source.data.lower() + name.encode():
        return "", web_hosting.traefik(source)
    if suffix in (".conf", ".vhost", "") or re.search(r"(?:sites-|conf\.d|nginx)", name):
        seen = _server_file(source)
        if seen is not None:
            return "", seen
    if suffix == ".py":
        seen = _django(source)
        if seen is not None:
            return "django", seen
    if suffix in _CODE:
        language, reader = _CODE[suffix]
        return language, reader(name, source.text)
    return "", None


def _django(source: SourceFile) -> Seen | None:
    """A settings module; of one for development nothing is asked."""
    text = source.text
    if web_python.is_django_settings(text):
        return Seen() if _DEVELOPMENT.search(source.base) else web_python.django(source.name, text)
    if _DJANGO_VALUES.search(text) and not _DEVELOPMENT.search(source.base):
        settings, off = web_python.django_values(source.name, text)
        return Seen(settings=settings, off=off)
    return None


# Of a program that answers requests, or sets a header, at least one is in its text.
_MARKS: dict[str, tuple[bytes, ...]] = {
    ".py": (
        b"flask", b"quart", b"fastapi", b"starlette", b"aiohttp", b"sanic", b"litestar", b"bottle",
        b"tornado", b"talisman", b"secure", b"middleware", b"x-frame", b"csp_", b"x_frame",
        b"content-security", b"strict-transport", b"x-content-type", b"xframe",
    ),
}  # fmt: skip


def _may_serve(source: SourceFile) -> bool:
    marks = _MARKS.get(source.suffix)
    if marks is None:
        return True
    lowered = source.data.lower()
    return any(mark in lowered for mark in marks)


def _server_file(source: SourceFile) -> Seen | None:
    text = source.text
    if re.search(r"(?m)^[ \t]*server\s*\{|^\s*add_header\s|^\s*http\s*\{", text):
        return web_servers.nginx(source)
    if re.search(
        r"(?im)^\s*<VirtualHost|^\s*DocumentRoot\s|^\s*Header\s+(?:always\s+)?set\s", text
    ):
        return web_servers.apache(source)
    return None


def _made_good(one: Setting, settings: list[Setting]) -> bool:
    """A reported policy beside an enforced one is a trial of a stricter one."""
    return one.report_only and any(
        other.header == "csp" and not other.report_only for other in settings
    )


def _related(file: str, other: str) -> bool:
    """Whether two files may belong to one program: below one folder of the top, or at the top."""
    mine, theirs = file.split("/"), other.split("/")
    return len(mine) == 1 or len(theirs) == 1 or mine[0] == theirs[0]


def _broken(
    header: Header, kind: str, severity: Severity, file: str, line: int, message: str
) -> Broken:
    return Broken(
        "security", f"security-header-{header}:{kind}", severity, file, line, message, header
    )
