"""nginx, Apache and Caddy configuration, read block by block."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock_agent_compliance_checker.header_values import Setting, setting
from penstock_agent_compliance_checker.serving import Seen, Serving
from penstock_agent_sdk.repository import SourceFile

MAX_TOKENS = 200_000
MAX_DEPTH = 40
_NGINX_TOKEN = re.compile(r"#[^\n]*|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[{};]|[^\s{};\"'#]+|\n")


@dataclass
class _Block:
    """A directive with a body: its words, where, and what is inside."""

    words: list[str]
    line: int
    lines: list[tuple[list[str], int]] = field(default_factory=list["tuple[list[str], int]"])
    blocks: list["_Block"] = field(default_factory=list["_Block"])

    @property
    def name(self) -> str:
        return self.words[0].lower() if self.words else ""

    def named(self, *names: str) -> Iterator["_Block"]:
        """Blocks of these names anywhere inside."""
        for block in self.blocks:
            if block.name in names:
                yield block
            yield from block.named(*names)


def nginx(source: SourceFile) -> Seen:
    """Read an nginx file: one thing that serves for each `server` block."""
    top = _nginx_blocks(source.text)
    seen = Seen(settings=_added(top, source.name))
    for http in [top, *top.named("http")]:
        inherited = _added(http, source.name)
        for server in (block for block in http.blocks if block.name == "server"):
            one = _nginx_server(server, inherited, source.name)
            if one is not None:
                seen.serving.append(one)
    return seen


def _nginx_server(server: _Block, inherited: list[Setting], file: str) -> Serving | None:
    directives = [words[0].lower() for words, _ in server.lines if words]
    inside = [
        words for block in server.named("location", "if") for words, _ in block.lines if words
    ]
    locations = list(server.named("location"))
    names = {words[0].lower() for words in inside} | set(directives)
    if "listen" not in names and not locations and "root" not in names:
        return None
    answers = {"root", "proxy_pass", "alias", "try_files", "fastcgi_pass", "uwsgi_pass", "index",
               "grpc_pass", "scgi_pass", "autoindex"}  # fmt: skip
    returns = [words for words, _ in server.lines if words and words[0].lower() == "return"]
    returns += [words for words in inside if words[0].lower() == "return"]
    if not names & answers and any(len(w) > 1 and w[1][:1] in "34" for w in returns):
        return None  # it redirects or refuses only
    listens = [" ".join(w[1:]) for w, _ in server.lines if w and w[0].lower() == "listen"]
    secure = any("ssl" in one or "443" in one or "quic" in one for one in listens)
    secure = secure or "ssl_certificate" in names
    own = _added(server, file) or inherited
    forwards = bool(names & {"proxy_pass", "grpc_pass", "uwsgi_pass", "fastcgi_pass"})
    one = Serving("nginx server block", "proxy", "", file, server.line, list(own),
                  plain=not secure, forwards=forwards)  # fmt: skip
    for location in locations:
        # A location with a header of its own inherits none (nginx: ngx_http_headers_module).
        added = _all_added(location, file)
        kept = {item.header for item in added}
        if added is not None and _any_header(location):
            for item in own:
                if item.header not in kept and not _is_asset(location):
                    one.off.setdefault(item.header, location.line)
        if not own:
            one.settings += added
    return one


def _is_asset(location: _Block) -> bool:
    return bool(re.search(r"js|css|png|jpg|ico|svg|woff|static|assets|favicon|robots|media",
                          " ".join(location.words)))  # fmt: skip


def _any_header(block: _Block) -> bool:
    return any(words and words[0].lower() == "add_header" for words, _ in block.lines)


def _all_added(block: _Block, file: str) -> list[Setting]:
    return _added(block, file) + [one for inner in block.blocks for one in _all_added(inner, file)]


def _added(block: _Block, file: str) -> list[Setting]:
    found: list[Setting] = []
    for words, line in block.lines:
        if len(words) < 3:
            continue
        name = words[0].lower()
        if name == "add_header":
            one = setting(words[1], words[2], file, line)
        elif name == "more_set_headers":
            header, _, value = words[-1].partition(":")
            one = setting(header, value.strip(), file, line)
        else:
            continue
        if one is not None:
            found.append(one)
    for words, line in block.lines:
        if len(words) == 2 and words[0].lower() == "more_set_headers":
            header, _, value = words[1].partition(":")
            one = setting(header, value.strip(), file, line)
            if one is not None:
                found.append(one)
    return found


def _nginx_blocks(text: str) -> _Block:
    top = _Block([], 1)
    open_ones, words, line, begun = [top], list[str](), 1, 1
    for count, match in enumerate(_NGINX_TOKEN.finditer(text)):
        part = match[0]
        if count > MAX_TOKENS:
            break
        if part == "\n":
            line += 1
        elif part.startswith("#"):
            continue
        elif part == ";":
            if words:
                open_ones[-1].lines.append((words, begun))
            words = []
        elif part == "{":
            block = _Block(words, begun)
            if len(open_ones) <= MAX_DEPTH:
                open_ones[-1].blocks.append(block)
            open_ones.append(block)
            words = []
        elif part == "}":
            if len(open_ones) > 1:
                open_ones.pop()
            words = []
        else:
            if not words:
                begun = line
            line += part.count("\n")
            words.append(part[1:-1] if part[0] in "\"'" and len(part) > 1 else part)
    return top


_APACHE_HEADER = re.compile(
    r"^\s*Header\s+(?:always\s+|onsuccess\s+)?(set|append|add|merge|setifempty|unset|edit)\s+"
    r"\"?([\w-]+)\"?:?\s*(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|(\S+))?",
    re.IGNORECASE,
)


def apache(source: SourceFile) -> Seen:
    """Read an Apache file: each virtual host serves; a .htaccess is one by itself."""
    seen = Seen()
    host: Serving | None = None
    redirects = False
    if source.base == ".htaccess":
        host = Serving("Apache folder", "proxy", "", source.name, 1)
        seen.serving.append(host)
    for number, line in enumerate(source.lines, 1):
        bare = line.strip()
        opened = re.match(r"<VirtualHost\s+([^>]*)>", bare, re.IGNORECASE)
        if opened:
            host = Serving("Apache virtual host", "proxy", "", source.name, number)
            host.plain = "443" not in opened[1]
            redirects = False
            seen.serving.append(host)
        elif re.match(r"</VirtualHost>", bare, re.IGNORECASE):
            if host is not None and redirects:
                seen.serving.remove(host)
            host = None
        if host is None and re.match(r"DocumentRoot\s", bare, re.IGNORECASE) and not seen.serving:
            host = Serving("Apache server", "proxy", "", source.name, number, plain=True)
            seen.serving.append(host)
        if host is not None:
            _apache_line(bare, host)
            if re.match(
                r"(?:Redirect(?:Match|Permanent)?\s+.*https|RewriteRule .*https://.*R)",
                bare,
                re.IGNORECASE,
            ):
                redirects = True
            if re.match(r"(?:DocumentRoot|ProxyPass)\s", bare, re.IGNORECASE):
                redirects = False
        one = _apache_header(bare, source.name, number)
        if one is not None:
            (seen.settings if host is None else host.settings).append(one)
    return seen


def _apache_line(bare: str, host: Serving) -> None:
    if re.match(r"SSLEngine\s+on", bare, re.IGNORECASE):
        host.plain = False
    if re.match(r"ProxyPass\s", bare, re.IGNORECASE):
        host.forwards = True


def _apache_header(bare: str, file: str, line: int) -> Setting | None:
    match = _APACHE_HEADER.match(bare)
    if match is None or match[1].lower() in ("unset", "edit"):
        return None
    value = next((one for one in (match[3], match[4], match[5]) if one is not None), None)
    return setting(match[2], value, file, line)


def caddy(source: SourceFile) -> Seen:
    """Read a Caddyfile: each site serves; Caddy does TLS by itself."""
    seen = Seen()
    depth, in_header, site = 0, 0, None
    snippets: list[Setting] = []
    for number, line in enumerate(source.lines, 1):
        bare = line.split(" #")[0].strip()
        if not bare or bare.startswith("#"):
            continue
        opens = bare.endswith("{")
        if depth == 0 and (opens or (number == 1 and re.match(r"[\w.:*-]+$", bare))):
            site = None
            if bare != "{" and not bare.startswith("("):
                site = Serving("Caddy site", "proxy", "", source.name, number)
                address = bare.rstrip("{").strip()
                site.plain = bool(re.match(r"(?:http://|:80\b|:8\d{3}\b)", address))
                seen.serving.append(site)
        header = re.match(
            r"header\s+(?:(?:/\S*|\*|@\w+)\s+)?([?+>]?)([A-Za-z][\w-]+)\s+(.*)$", bare
        )
        if re.match(r"header\b.*\{$", bare):
            in_header = depth + 1
        elif in_header and depth >= in_header and not bare.startswith(("}", "-")):
            header = re.match(r"([?+>]?)([A-Za-z][\w-]+)\s+(.*)$", bare)
        if header and not opens:
            one = setting(header[2], header[3].strip().strip('"`'), source.name, number)
            if one is not None:
                (site.settings if site is not None else snippets).append(one)
        if site is not None and re.match(r"(?:reverse_proxy|php_fastcgi)\b", bare):
            site.forwards = True
        if bare.startswith("redir ") and site is not None and site in seen.serving:
            seen.serving.remove(site)
        depth += bare.count("{") - bare.count("}")
        if in_header and depth < in_header:
            in_header = 0
    seen.settings = snippets
    return seen
