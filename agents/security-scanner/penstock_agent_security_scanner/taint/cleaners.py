"""Functions whose result is harmless for some weakness, and functions that only reshape."""

import re
from dataclasses import replace
from typing import Final

from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import (
    CLEAN,
    HOLE,
    NUMBER,
    UNKNOWN,
    Taint,
    Value,
    merged,
)

# Weaknesses by the word that cleaners, guards and sinks share.
SQL, SHELL, CODE, PATH, HTML, URL, HEADER = "sql", "shell", "code", "path", "html", "url", "header"
LDAP, XPATH, LOG, REGEX, TEMPLATE, NOSQL = "ldap", "xpath", "log", "regex", "template", "nosql"
HOST: Final = "host"

_NUMBERS: Final = frozenset(
    {
        "abs", "bool", "complex", "datetime.date", "datetime.datetime",
        "datetime.datetime.strptime", "decimal.Decimal", "divmod", "float", "hash", "id",
        "int", "isinstance", "ipaddress.ip_address", "ipaddress.IPv4Address",
        "ipaddress.ip_network", "len", "ord", "pow", "range", "round", "uuid.UUID",
        "time.time", "uuid.uuid4", "uuid.uuid1", "zlib.crc32",
    }
)  # fmt: skip
_ANSWERS: Final = frozenset({"hexdigest", "digest", "isoformat", "timestamp", "total_seconds"})
_BY_PATH: Final[dict[str, tuple[str, ...]]] = {
    "shlex.quote": (SHELL,), "pipes.quote": (SHELL,), "shlex.join": (SHELL,),
    "html.escape": (HTML,), "cgi.escape": (HTML,), "markupsafe.escape": (HTML,),
    "flask.escape": (HTML,), "django.utils.html.escape": (HTML,), "bleach.clean": (HTML,),
    "django.utils.html.conditional_escape": (HTML,), "django.utils.html.strip_tags": (HTML,),
    "django.utils.html.escapejs": (HTML,), "django.utils.html.format_html": (HTML,),
    "nh3.clean": (HTML,), "xml.sax.saxutils.escape": (HTML, XPATH),
    "xml.sax.saxutils.quoteattr": (HTML, XPATH), "tornado.escape.xhtml_escape": (HTML,),
    "werkzeug.utils.escape": (HTML,), "jinja2.escape": (HTML,), "markdown.escape": (HTML,),
    "urllib.parse.quote": (HTML, HEADER, LOG, HOST, URL, SQL, XPATH, SHELL),
    "urllib.parse.quote_plus": (HTML, HEADER, LOG, HOST, URL, PATH, SQL, XPATH, SHELL),
    "urllib.parse.urlencode": (HTML, HEADER, LOG, HOST, URL, SHELL, SQL),
    "urllib.quote": (HTML, HEADER, LOG, HOST, URL),
    "os.path.basename": (PATH,), "ntpath.basename": (PATH,), "posixpath.basename": (PATH,),
    "werkzeug.utils.secure_filename": (PATH, SHELL, HTML, HEADER, LOG),
    "werkzeug.secure_filename": (PATH, SHELL, HTML, HEADER, LOG),
    "werkzeug.utils.safe_join": (PATH,), "werkzeug.security.safe_join": (PATH,),
    "flask.safe_join": (PATH,), "django.utils._os.safe_join": (PATH,),
    "django.utils.text.get_valid_filename": (PATH,), "django.utils.text.slugify": ("*",),
    "re.escape": (REGEX,), "ldap.filter.escape_filter_chars": (LDAP,),
    "ldap3.utils.conv.escape_filter_chars": (LDAP,), "ldap.dn.escape_dn_chars": (LDAP,),
    "ldap3.utils.dn.escape_rdn": (LDAP,), "ast.literal_eval": (CODE,),
    "json.dumps": (CODE, LOG, HEADER), "flask.json.dumps": (CODE, LOG, HEADER),
    "flask.jsonify": (HTML, CODE, LOG, HEADER), "django.http.JsonResponse": (HTML,),
    "flask.url_for": ("*",), "url_for": ("*",), "django.urls.reverse": ("*",),
    "repr": (LOG, HEADER), "json.loads": (), "psycopg2.sql.Identifier": (SQL,),
    "psycopg2.sql.Literal": (SQL,), "psycopg.sql.Identifier": (SQL,), "psycopg.sql.Literal": (SQL,),
    "MySQLdb.escape_string": (SQL,), "pymysql.converters.escape_string": (SQL,),
    "base64.b64encode": (HTML, LOG, HEADER, SQL, SHELL, LDAP, XPATH),
    "base64.urlsafe_b64encode": (HTML, LOG, HEADER, SQL, SHELL, LDAP, XPATH, PATH),
    "binascii.hexlify": ("*",),
}  # fmt: skip
_DECODERS: Final = frozenset(
    {
        "base64.b64decode", "base64.urlsafe_b64decode", "html.unescape",
        "urllib.parse.unquote", "urllib.parse.unquote_plus", "binascii.unhexlify",
        "codecs.decode",
    }
)  # fmt: skip
# By the name alone, for functions out of sight and for methods.
_BY_NAME: Final[tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), classes)
    for pattern, classes in (
        (r"escape_?filter|ldap_?escape|escape_?(ldap|dn|rdn)", (LDAP,)),
        (
            r"(escape|quote|sanitize|clean|encode).*(html|xss|markup)|html_?escape|^xhtml_escape$",
            (HTML,),
        ),
        (r"^(html_)?(escape|e|sanitize|sanitise|bleach|strip_tags)$", (HTML,)),
        (
            r"secure_?file_?name|sanitize_?(file|path)|safe_?(join|path|file)|valid_?file_?name",
            (PATH,),
        ),
        (
            r"escape_?(string|sql|literal|identifier)|quote_?(ident|name|literal|sql)|mogrify",
            (SQL,),
        ),
        (r"shell_?(quote|escape)|escape_?shell|quote_?(arg|shell)", (SHELL,)),
        (r"escape_?xpath|xpath_?(escape|quote)", (XPATH,)),
        (r"(sanitize|sanitise|clean|strip)_?(log|crlf|newline)|strip_crlf", (LOG, HEADER)),
        (r"(validate|validated|safe|sanitize|allowed)_?(url|redirect|next|host)", (URL, HOST)),
        (r"^(hash|hash_password|get_random_string|make_password|slugify|quote_plus)$", ("*",)),
    )
)
# They give text of the same make as their object or arguments.
PURE: Final = frozenset(
    {
        "codecs.decode", "codecs.encode", "os.path.abspath", "os.path.normpath",
        "os.path.realpath", "sorted", "textwrap.dedent", "list", "tuple", "reversed",
    }
)  # fmt: skip
_KEEPING_ITEMS: Final = frozenset(
    {
        "list", "tuple", "reversed", "sorted", "set", "iter", "copy.copy", "copy.deepcopy",
        "frozenset",
    }
)  # fmt: skip


def cleaned(site: Site) -> Value | None:
    """What a known cleaner or reshaping function gives; None for any other."""
    if (
        site.path in _NUMBERS
        or site.method in _ANSWERS
        or site.path.startswith(("hashlib.", "hmac."))
    ):
        if site.path.startswith(("hashlib.", "hmac.")) and site.method not in _ANSWERS:
            return Value(kind=f"{site.path}()")
        kept = merged([site.receiver.whole(), site.taint()])[3]
        return NUMBER if not kept else replace(NUMBER, fixed=False, taint=(*CLEAN[:3], kept))
    first = site.argument(0)
    if site.path in _KEEPING_ITEMS and first is not None:
        return first
    if site.path in _BY_PATH:
        source = first if first is not None else site.extra
        taint = merged(value.whole() for value in site.all())
        kept = replace(
            source,
            const=UNKNOWN,
            items=None,
            pairs=None,
            rest=None,
            taint=taint,
            kind="str",
            text=HOLE if not source.fixed else source.text,
        )
        return kept.cleaned(*_BY_PATH[site.path])
    if site.path in _DECODERS and first is not None:
        return Value(taint=_uncleaned(first), text=HOLE, kind="str", fixed=first.fixed)
    if site.method in ("sub", "replace", "translate"):
        return _substituted(site)
    for pattern, classes in _BY_NAME:
        if pattern.search(site.method):
            return Value(taint=merged([site.receiver.whole(), site.taint()]), text=HOLE).cleaned(
                *classes
            )
    return None


def by_name(site: Site, result: Value) -> Value:
    """The result of a function in sight that calls itself a cleaner."""
    for pattern, classes in _BY_NAME[:2]:
        if pattern.search(site.method):
            return result.cleaned(*classes)
    return result


def _uncleaned(value: Value) -> Taint:
    first, second, third, marks = value.whole()
    none = frozenset[str]()
    return (
        None if first is None else none,
        None if second is None else none,
        None if third is None else none,
        marks,
    )


def _substituted(site: Site) -> Value | None:
    """`re.sub` and `replace`: what they take out decides what the result is safe for."""
    if site.method == "sub":
        pattern, subject = site.argument(0), site.argument(2, "string")
        if subject is None and site.receiver.kind.startswith("re.compile"):
            pattern, subject = site.receiver, site.argument(1)
        if subject is None or pattern is None:
            return None
        result = Value(taint=subject.whole(), text=HOLE, kind="str")
        text = pattern.text if isinstance(pattern.text, str) else ""
        # A class of all that is not wanted, taken out wherever it stands.
        if re.fullmatch(r"\[\^[^\]]*\]\+?|\\W\+?|\(?\[\^.*\]\)?\+?", text) and not set(
            "<'\";/"
        ) & set(text):
            return result.cleaned("*")
        return result
    old, subject = site.argument(0), site.receiver
    kept = replace(subject, const=UNKNOWN, items=None, pairs=None, kind="str",
                   taint=merged([subject.whole(), site.taint()]))  # fmt: skip
    if old is None or not isinstance(old.const, str):
        return kept
    removed = {"'": (XPATH,), "\n": (LOG,), "\r": (HEADER,), "<": (HTML,), "\r\n": (LOG, HEADER)}
    return kept.cleaned(*removed.get(old.const, ()))
