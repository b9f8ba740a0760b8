"""Pages, redirects, cookies and requests to other servers."""

import ast
import re
from typing import Final

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.taint import misuse, sources
from penstock_agent_security_scanner.taint.machine import Machine, lines_of
from penstock_agent_security_scanner.taint.scopes import Function
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import HOLE, LEAK, Reach, Value
from penstock_agent_security_scanner.taint.weighing import Levels, weigh

_REMOTE_HIGH: Final[Levels] = {Reach.REMOTE: "high"}
_REMOTE_MEDIUM: Final[Levels] = {Reach.REMOTE: "medium"}
_PAGES: Final = frozenset(
    {
        "make_response", "Response", "HttpResponse", "HTMLResponse", "Markup", "mark_safe",
        "SafeString", "SafeText", "HttpResponseBadRequest", "HttpResponseNotFound",
        "HttpResponseServerError", "HttpResponseForbidden", "StreamingHttpResponse",
        "html_safe", "HTTPResponse", "html",
    }
)  # fmt: skip
_SURE_PAGES: Final = frozenset({"Markup", "mark_safe", "SafeString", "SafeText", "HTMLResponse"})
_HEADER_CALLS: Final = frozenset(
    {
        "add", "set", "append", "setdefault", "add_header", "set_header", "send_header",
        "append_header", "__setitem__",
    }
)  # fmt: skip
_WEB: Final = frozenset(
    {
        "flask", "django", "markupsafe", "werkzeug", "fastapi", "starlette", "aiohttp",
        "sanic", "quart", "bottle", "pyramid", "webob", "tornado", "jinja2", "http",
        "cherrypy", "falcon", "rest_framework", "BaseHTTPServer", "wsgiref", "twisted",
        "web",
    }
)  # fmt: skip
_ESCAPING: Final = frozenset(
    {
        "application/json", "text/plain", "application/octet-stream", "text/csv",
        "application/pdf", "application/xml", "image/png",
    }
)  # fmt: skip
_REDIRECTS: Final = frozenset(
    {
        "redirect", "HttpResponseRedirect", "HttpResponsePermanentRedirect",
        "RedirectResponse", "HTTPFound", "HTTPSeeOther", "HTTPTemporaryRedirect",
        "HTTPMovedPermanently", "HTTPPermanentRedirect", "HTTPMovedTemporarily",
    }
)  # fmt: skip
_FETCHERS: Final = re.compile(
    r"^(?:requests|httpx)\.(?:api\.)?(?:get|post|put|delete|patch|head|options|request|stream)$|"
    r"^(?:requests|httpx|aiohttp|requests\.sessions)\.(?:Session|session|Client|AsyncClient|ClientSession)\(\)\."
    r"(?:get|post|put|delete|patch|head|options|request|stream|ws_connect)$|"
    r"^urllib\.request\.(?:urlopen|urlretrieve|Request|build_opener\(\)\.open)$|"
    r"^urllib2?\.(?:urlopen|urlretrieve|Request)$|^urllib3\.request$|"
    r"^urllib3\.(?:PoolManager|HTTPConnectionPool|ProxyManager)\(\)\.(?:request|urlopen|request_encode_url)$|"
    r"^http\.client\.HTTPS?Connection$|^httplib\.HTTPS?Connection$|^wget\.download$|"
    r"^(?:treq|grequests|aiohttp)\.(?:get|post|request)$|^pycurl\.Curl\(\)\.setopt$|"
    r"^socket\.create_connection$|^websockets?\.(?:connect|create_connection)$|^xmlrpc\.client\.ServerProxy$|"
    r"^pandas\.read_(?:html|json|csv|xml)$|^feedparser\.parse$|^tornado\.httpclient\.\w+\(\)\.fetch$"
)
_WITH_METHOD: Final = frozenset({"request", "stream", "urlopen", "setopt"})
_FIXED_HOST: Final = re.compile(r"^[a-z][a-z0-9+.-]*://[^/\0?#]+[/?#]", re.IGNORECASE)
_PLACE_HERE: Final = re.compile(
    r"^(?:/[^/\\\0]|\?|#|\.{1,2}/|/\?|/$)|^[a-z][a-z0-9+.-]*://[^/\0?#]+[/?#]", re.IGNORECASE
)


def judge(machine: Machine, site: Site) -> None:
    """Calls that answer a client, or ask a server."""
    method = site.method
    if method in _PAGES:
        _page_call(machine, site)
    elif method in ("write", "finish") and site.arguments:
        _written(machine, site)
    elif method == "Response" or site.path == "aiohttp.web.Response":
        _page_call(machine, site)
    if method in _REDIRECTS and _WEB & machine.imports | ({"web"} & {site.hint}):
        target = site.argument(0, "location", "url", "redirect_to", "to")
        if target is not None:
            redirected(machine, site, target)
    if method in ("set_cookie", "set_signed_cookie"):
        _cookie(machine, site)
    if method in _HEADER_CALLS and len(site.arguments) >= 2:
        _header(machine, site)
    headers = site.keywords.get("headers")
    given = headers.pairs or () if headers is not None and method in _PAGES else ()
    if any(value.reach("header") is Reach.REMOTE for _, value in given):
        machine.report(catalogue.HEADER, site.line)
    if _FETCHERS.match(site.path):
        _fetched(machine, site)
    if site.path == "print" and "cgi" in machine.imports:
        for value in site.arguments:
            weigh(machine, site, catalogue.XSS, "html", value, _REMOTE_HIGH)


def redirected(machine: Machine, site: Site, target: Value) -> None:
    """A redirect to a value; a fixed begin keeps it on one site."""
    if _PLACE_HERE.match(target.text):
        machine.clear(catalogue.REDIRECT, site.lines)
    else:
        weigh(machine, site, catalogue.REDIRECT, "url", target, _REMOTE_MEDIUM)


def _page_call(machine: Machine, site: Site) -> None:
    if site.method not in _SURE_PAGES and not _WEB & machine.imports:
        return
    if site.method in ("html", "Response") and site.path.split(".")[0] in (
        "lxml",
        "requests",
        "rest_framework",
    ):
        return
    content = site.argument(9, "content_type", "mimetype", "media_type")
    if content is not None and str(content.const).split(";")[0] in _ESCAPING:
        return
    if site.path.startswith("aiohttp") and str(getattr(content, "const", "")) != "text/html":
        return
    if (
        site.path.startswith(("fastapi.", "starlette."))
        and site.method == "Response"
        and content is None
    ):
        return
    given = site.argument(0, "content", "response", "text", "body", "streaming_content")
    if given is None:
        return
    if given.items is not None and site.method == "make_response" and given.items:
        given = given.items[0]
    if given.kind in ("dict", "list") or given.kind.endswith(("jsonify()", "dumps()")):
        return
    level: Levels = _REMOTE_HIGH
    if site.method in ("Markup", "mark_safe", "SafeString") and given.built:
        level = {Reach.REMOTE: "high", Reach.CALLER: "medium"}
    weigh(machine, site, catalogue.XSS, "html", given, level)
    _shown(machine, given, site.line)


def _written(machine: Machine, site: Site) -> None:
    """`self.write` of a handler, `self.wfile.write`, `response.write`."""
    is_page = site.path.endswith((".wfile.write", "response.write", "resp.write")) or (
        "tornado" in machine.imports and site.hint == "self"
    )
    is_page = is_page or site.hint in ("response", "resp") or site.hint == "wfile"
    if not is_page or not _WEB & machine.imports or machine.only_data:
        return
    given = site.arguments[0]
    if given.pairs is None and given.kind not in ("dict", "list"):
        weigh(machine, site, catalogue.XSS, "html", given, _REMOTE_HIGH)
        _shown(machine, given, site.line)


def returned(machine: Machine, function: Function, value: Value, node: ast.AST) -> None:
    """What a handler returns is a page where the framework says so."""
    if not is_handler(function, machine) or not isinstance(node, ast.Return):
        return
    if value.items:
        value = value.items[0]
    if value.pairs is not None or value.kind in ("dict", "list", "int"):
        return
    is_text = value.kind in ("str", "bytes", "") or value.kind.startswith(
        ("request", "flask.request")
    )
    if not is_text:
        return
    line = lines_of(node).start
    if value.reach("html") is Reach.REMOTE and not value.kind.endswith(
        ("Response()", "response()")
    ):
        machine.report(catalogue.XSS, line, "high")
    _shown(machine, value, line)


def _shown(machine: Machine, value: Value, line: int) -> None:
    if value.marks(LEAK):
        machine.report(catalogue.LEAK, line)


def is_handler(function: Function, machine: Machine) -> bool:
    """Whether its result is sent as a page."""
    if {"fastapi", "starlette"} & machine.imports and not {"flask"} & machine.imports:
        return any("HTMLResponse" in ast.dump(item) for item in function.decorators())
    for decorator in function.decorators():
        if isinstance(decorator, ast.Call) and sources.last(decorator.func) in (
            "route", "get", "post", "put", "delete", "patch", "view", "expose", "errorhandler",
        ):  # fmt: skip
            return True
        if sources.last(decorator) in ("expose", "route"):
            return True
    if function.name in machine.handlers and machine.handlers[function.name] != "":
        return not {"django"} & machine.imports
    bases = " ".join(function.owner.all_bases()) if function.owner is not None else ""
    return "MethodView" in bases and function.name in ("get", "post", "put", "delete", "patch")


def _header(machine: Machine, site: Site) -> None:
    """`headers.add`, `send_header`: a name and a value."""
    is_headers = site.hint.endswith("headers") or "header" in site.method
    if not is_headers or site.path.startswith(("requests.", "httpx.", "request.", "flask.request")):
        return
    name, value = site.arguments[:2]
    if value.reach("header") is Reach.REMOTE or name.reach("header") is Reach.REMOTE:
        is_place = str(name.const).lower() == "location"
        machine.report(catalogue.REDIRECT if is_place else catalogue.HEADER, site.line)


def _cookie(machine: Machine, site: Site) -> None:
    value = site.argument(1, "value")
    if value is not None:
        misuse.vouched(machine, value)
    if not _WEB & machine.imports and site.hint not in ("response", "resp", "self"):
        return
    secure, script = site.argument(5, "secure"), site.argument(6, "httponly")
    if site.starred and (secure is None or script is None):
        return
    if secure is None or (secure.known and not secure.const):
        machine.report(
            catalogue.INSECURE_COOKIE, site.line, "medium" if secure is not None else "low"
        )
    else:
        machine.clear(catalogue.INSECURE_COOKIE, site.lines)
        if script is not None and script.known and not script.const:
            machine.report(catalogue.SCRIPT_COOKIE, site.line)


def _fetched(machine: Machine, site: Site) -> None:
    index = 1 if site.method in _WITH_METHOD and not site.path.startswith("urllib.") else 0
    given = site.argument(index, "url", "fullurl", "host", "uri")
    if given is None or (
        site.path == "urllib.request.urlopen" and given.kind.endswith("Request()")
    ):
        return
    if _FIXED_HOST.match(given.text):
        machine.clear(catalogue.SSRF, site.lines)
        return
    if site.path.startswith("pandas.") and given.text != HOLE:
        return
    weigh(machine, site, catalogue.SSRF, "host", given, _REMOTE_HIGH)


__all__ = ["is_handler", "judge", "redirected", "returned"]
