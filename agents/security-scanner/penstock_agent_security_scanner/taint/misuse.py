"""Calls and settings that are wrong whoever decides the values."""

import ast
import re
from typing import Final

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.models import Severity
from penstock_agent_security_scanner.taint import crypto, xml_parsers
from penstock_agent_security_scanner.taint.machine import Machine
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.sources import GUESSABLE_CALLS
from penstock_agent_security_scanner.taint.values import GUESSABLE, Value

_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:api_?key|csrf|nonce|otp|passcode|passwd|password|passphrase|pwd|salt|secret|"
    r"session_?id|sid|token|remember_?me|verification_?code|auth|pin|captcha|reset_?code|ticket|key)"
    r"s?(?:_|\d*$)",
    re.IGNORECASE,
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# What needs no secrecy, by the name the value gets.
_HARMLESS_NAME: Final = re.compile(
    r"delay|jitter|sleep|backoff|wait|colou?r|noise|sample|batch|shuffle|noise|weight|angle|speed|"
    r"position|^[xyzij]$|index|^idx|dice|^roll|score|damage|health|price|temperature|choice$|quote|joke",
    re.IGNORECASE,
)
# What a file imports that has to do with secrets and strangers.
_SECURE: Final = frozenset(
    {
        "Crypto", "Cryptodome", "aiohttp", "bcrypt", "bottle", "cryptography", "django",
        "fastapi", "flask", "hashlib", "hmac", "itsdangerous", "jose", "jwt", "passlib",
        "pyramid", "sanic", "starlette", "tornado", "uuid", "smtplib", "rest_framework",
        "werkzeug", "nacl", "ssl",
    }
)  # fmt: skip
_VERIFYING: Final = (
    "verify_ssl",
    "ssl_verify",
    "check_hostname",
    "assert_hostname",
    "verify_certs",
    "ssl_check_hostname",
    "validate_certs",
    "tls_verify",
    "validate_cert",
)
_TLS_CALLS: Final = re.compile(r"^(?:requests|httpx|aiohttp|urllib3)\b")
_OLD_TLS: Final = re.compile(
    r"(?:PROTOCOL_)?(?:SSLv2|SSLv3|TLSv1|TLSv1_1|SSLv23?_METHOD|TLSv1_METHOD|TLSv1_1_METHOD)$"
)
_DEBUG_RUN: Final = re.compile(r"(?:^|\.)(?:run|run_app|run_simple|run_server)$")


def is_secret(name: str) -> bool:
    """Whether a name speaks of something that must not be guessed."""
    plain = _CAMEL.sub("_", name)
    return bool(_SECRET_NAME.search(plain)) and not _HARMLESS_NAME.search(plain)


def called(machine: Machine, site: Site) -> None:
    """Arguments that switch a protection off, and calls that never had one."""
    crypto.judge(machine, site)
    _tls(machine, site)
    _tokens(machine, site)
    _service(machine, site)
    _random(machine, site)
    xml_parsers.judge(machine, site)
    if site.path in ("tempfile.mktemp", "os.tempnam", "os.tmpnam"):
        machine.report(catalogue.TEMP_FILE, site.line)
    if site.path in ("os.chmod", "os.fchmod", "os.mkdir", "os.makedirs", "os.open", "os.umask"):
        _permissions(machine, site)


def _tls(machine: Machine, site: Site) -> None:
    if (
        any(site.is_set(name, False) for name in _VERIFYING)
        or (site.is_set("verify", False) and _TLS_CALLS.match(site.path))
        or site.path in ("ssl._create_unverified_context", "ssl._create_stdlib_context")
        or (site.is_set("ssl", False) and site.path.startswith("aiohttp."))
    ):
        machine.report(catalogue.UNCHECKED_TLS, site.line)
    for value in [*site.arguments, *site.keywords.values()]:
        if value.kind.endswith(("SSL.VERIFY_NONE", "OPT_X_TLS_NEVER", "OPT_X_TLS_ALLOW")):
            machine.report(catalogue.UNCHECKED_TLS, site.line)
    if site.path == "asyncssh.connect" and site.is_set("known_hosts", None):
        machine.report(catalogue.UNCHECKED_TLS, site.line)
    if site.method == "tls_insecure_set" and site.arguments and site.arguments[0].const is True:
        machine.report(catalogue.UNCHECKED_TLS, site.line)
    for value in site.keywords.values():
        if value.kind == "ssl.CERT_NONE" or (value.const == "CERT_NONE" and "urllib3" in site.path):
            machine.report(catalogue.UNCHECKED_TLS, site.line)
    for value in [
        *site.arguments[:1],
        *(site.keywords[k] for k in ("ssl_version", "method") if k in site.keywords),
    ]:
        if value.kind.startswith(("ssl.", "OpenSSL.SSL.")) and _OLD_TLS.search(value.kind):
            machine.report(catalogue.OLD_TLS, site.line)
    policy = site.argument(0, "policy")
    if (
        site.path.endswith("set_missing_host_key_policy")
        and policy is not None
        and any(part in policy.kind for part in ("AutoAddPolicy", "WarningPolicy"))
    ):
        machine.report(catalogue.UNCHECKED_TLS, site.line)


def _tokens(machine: Machine, site: Site) -> None:
    if not site.path.endswith(
        ("jwt.decode", "jws.verify", "jws.get_unverified_claims", "jwt.get_unverified_claims")
    ):
        return
    options = site.argument(9, "options")
    listed = options.pairs if options is not None else None
    unchecked = any(
        key in ("verify_signature", "verify") and value.known and not value.const
        for key, value in listed or ()
    )
    algorithms = site.argument(2, "algorithms", "algorithm")
    names = [algorithms] if algorithms is not None else []
    names += list(algorithms.items or ()) if algorithms is not None else []
    allows_none = any(str(name.const).lower() == "none" for name in names if name.known)
    if unchecked or allows_none or site.is_set("verify", False) or "unverified" in site.path:
        machine.report(catalogue.JWT, site.line)
    else:
        machine.clear(catalogue.JWT, site.lines)


def _service(machine: Machine, site: Site) -> None:
    if _DEBUG_RUN.search(site.path) and site.is_set("debug", True):
        machine.report(catalogue.DEBUG, site.line)
    if (
        site.path.endswith("CORS")
        and "flask_cors" in machine.imports
        and site.path.startswith("flask_cors")
    ):
        origins = site.argument(9, "origins")
        has_credentials = site.is_set("supports_credentials", True)
        if (origins is not None and origins.const == "*") or has_credentials:
            machine.report(catalogue.CORS, site.line, "medium" if has_credentials else "low")
    if site.method == "add_middleware":
        allowed = site.keywords.get("allow_origins")
        if allowed is not None and any(item.const == "*" for item in allowed.items or ()):
            level = "medium" if site.is_set("allow_credentials", True) else "low"
            machine.report(catalogue.CORS, site.line, level)
    if site.path in ("telnetlib.Telnet", "ftplib.FTP"):
        machine.report(catalogue.CLEARTEXT, site.line)
    if (
        site.path.endswith("Environment")
        and site.path.startswith("jinja2.")
        and site.is_set("autoescape", False)
    ):
        machine.report(catalogue.XSS, site.line, "medium")


def _random(machine: Machine, site: Site) -> None:
    """Where a value that can be predicted is made; what it becomes is judged elsewhere."""
    is_known = GUESSABLE_CALLS.match(site.path) and site.path.startswith("random.")
    if not is_known and site.path != "random.Random":
        return
    if is_secret(site.function):
        machine.report(catalogue.WEAK_RANDOM, site.line)
    elif _HARMLESS_NAME.search(site.function):
        machine.clear(catalogue.RANDOM, site.lines)
    else:
        is_text = any(value.kind.startswith("string.") for value in site.arguments)
        level: Severity = "medium" if is_text or _SECURE & machine.imports else "low"
        machine.report(catalogue.RANDOM, site.line, level)


def _permissions(machine: Machine, site: Site) -> None:
    mode = site.argument(
        0 if site.path == "os.umask" else 2 if site.path == "os.open" else 1, "mode"
    )
    if mode is None or not isinstance(mode.const, int) or isinstance(mode.const, bool):
        return
    if site.path == "os.umask":
        if mode.const == 0:
            machine.report(catalogue.PERMISSIONS, site.line)
    elif mode.const & 0o002:
        machine.report(catalogue.PERMISSIONS, site.line)
    elif not mode.const & 0o020:
        machine.clear(catalogue.PERMISSIONS, site.lines)


def assigned(machine: Machine, target: ast.expr, value: Value, node: ast.expr) -> None:
    """`target = node`."""
    name = (
        target.attr
        if isinstance(target, ast.Attribute)
        else target.id
        if isinstance(target, ast.Name)
        else ""
    )
    if not name and isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        name = str(target.slice.value)
    if name:
        named(machine, name, value)
        _setting(machine, name, value, node.lineno)


def named(machine: Machine, name: str, value: Value) -> None:
    """A value that gets a name, by assignment or as what a function of that name returns."""
    lines = value.marks(GUESSABLE)
    if not lines:
        return
    if _HARMLESS_NAME.search(name):
        for line in lines:
            machine.withdraw(catalogue.RANDOM, line)
    elif is_secret(name):
        vouched(machine, value)


def vouched(machine: Machine, value: Value) -> None:
    """A value whose worth is that nobody guesses it."""
    for line in value.marks(GUESSABLE):
        machine.report(catalogue.WEAK_RANDOM, line)


_SETTINGS: Final = {
    "DEBUG": (True, catalogue.DEBUG),
    "DEBUG_PROPAGATE_EXCEPTIONS": (True, catalogue.DEBUG),
    "SESSION_COOKIE_SECURE": (False, catalogue.INSECURE_COOKIE),
    "CSRF_COOKIE_SECURE": (False, catalogue.INSECURE_COOKIE),
    "SESSION_COOKIE_HTTPONLY": (False, catalogue.SCRIPT_COOKIE),
    "WTF_CSRF_ENABLED": (False, catalogue.CSRF),
    "CORS_ORIGIN_ALLOW_ALL": (True, catalogue.CORS),
    "CORS_ALLOW_ALL_ORIGINS": (True, catalogue.CORS),
    "check_hostname": (False, catalogue.UNCHECKED_TLS),
    "verify": (False, catalogue.UNCHECKED_TLS),
}


def _setting(machine: Machine, name: str, value: Value, line: int) -> None:
    bad = _SETTINGS.get(name)
    if (
        bad is not None
        and value.known
        and value.const is bad[0]
        and name not in ("verify", "check_hostname")
    ):
        machine.report(bad[1], line)
    if name == "ALLOWED_HOSTS" and any(item.const == "*" for item in value.items or ()):
        machine.report(catalogue.HOST_HEADER, line)
    if name in ("_create_default_https_context", "match_hostname") and (
        "unverified" in value.kind or value.kind == "<lambda>"
    ):
        machine.report(catalogue.UNCHECKED_TLS, line)


def attribute_set(machine: Machine, owner: Value, name: str, value: Value, line: int) -> None:
    """`owner.name = value`."""
    if (
        (name == "verify_mode" and value.kind == "ssl.CERT_NONE")
        or (name == "check_hostname" and value.known and value.const is False)
        or (name == "verify" and value.known and value.const is False and "ession" in owner.kind)
    ):
        machine.report(catalogue.UNCHECKED_TLS, line)
    elif name == "debug" and value.known and value.const is True and "Flask" in owner.kind:
        machine.report(catalogue.DEBUG, line)


def defined(machine: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Decorators that take a protection away, and answers that are always yes."""
    if node.name == "missing_host_key" and all(
        isinstance(part, ast.Pass | ast.Return | ast.Expr) for part in node.body
    ):
        machine.report(catalogue.UNCHECKED_TLS, node.lineno)
    for decorator in node.decorator_list:
        name = (
            decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
        )
        if name == "csrf_exempt" or (isinstance(decorator, ast.Attribute) and name == "exempt"):
            machine.report(catalogue.CSRF, decorator.lineno, "low")
