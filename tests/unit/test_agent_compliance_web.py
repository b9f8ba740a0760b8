"""Which security headers programs, servers and hosting services send, by their text."""

from pathlib import Path

import pytest

from penstock_agent_compliance_checker.models import CheckInput
from penstock_agent_compliance_checker.scan import check

ALL = {"csp", "frame-options", "hsts", "content-type-options"}
EXPRESS = "const helmet = require('helmet');\nconst app = express();\n"
POLICY = "default-src 'self'"


def told(folder: Path, files: dict[str, str]) -> set[str]:
    """What is missing (its name) or weak (with `weak` behind it); `-` where nothing serves."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    output = check(CheckInput(repository_path=str(folder), rules=("security",)))
    if output.summary.security.status == "not_applicable":
        return {"-"}
    prefix = "security-header-"
    return {
        one.rule.removeprefix(prefix).replace(":missing", "").replace(":", " ")
        for one in output.violations
    }


JAVASCRIPT: list[tuple[str, set[str]]] = [
    (EXPRESS, ALL),
    (EXPRESS + "app.use(helmet());", set()),
    (EXPRESS + "// app.use(helmet());", ALL),
    (EXPRESS + "app.use(helmet({ contentSecurityPolicy: false }));", {"csp"}),
    (EXPRESS + "app.use(helmet.noSniff()); app.use(helmet.hsts());", {"csp", "frame-options"}),
    (EXPRESS + "app.use(helmet.hidePoweredBy());", ALL),
    (EXPRESS + "app.use(helmet({ hsts: { maxAge: 60_0 } }));", {"hsts weak"}),
    (EXPRESS + "app.use(helmet({ hsts: { maxAge: 365 * 86400 } }));", set()),
    (EXPRESS + "app.use(helmet({ frameguard: { action: 'deny' } }));", set()),
    (EXPRESS + "app.use(helmet({ frameguard: { action: 'allow-from' } }));",
     {"frame-options weak"}),
    (EXPRESS + "app.use(helmet({ contentSecurityPolicy: { directives: "
     "{ scriptSrc: [\"'self'\", \"'unsafe-inline'\"] } } }));", {"csp weak"}),
    (EXPRESS + "app.use(helmet({ contentSecurityPolicy: { directives: "
     "{ imgSrc: ['*'], scriptSrc: [\"'self'\"] } } }));", set()),
    (EXPRESS + "app.use(helmet({ contentSecurityPolicy: { useDefaults: false, directives: "
     "{ imgSrc: ['*'] } } }));", {"csp weak"}),
    (EXPRESS + "app.use(helmet({ contentSecurityPolicy: { reportOnly: true, directives: "
     "{ scriptSrc: [\"'self'\"] } } }));", set()),
    (EXPRESS + "app.use(helmet({ contentSecurityPolicy: options }));", set()),
    ("const app = fastify({});\napp.register(require('@fastify/helmet'), { hsts: false });",
     {"hsts"}),
    ("const app = Fastify();\napp.register(helmet);", set()),
    ("const app = new Hono();\napp.use(secureHeaders());", {"csp"}),
    ("const app = new Koa();\napp.use((c) => c.set('X-Frame-Options', 'ALLOWALL'));",
     (ALL - {"frame-options"}) | {"frame-options weak"}),
    ("const app = express();\nconst a = res.getHeader('X-Frame-Options');", ALL),
    ("http.createServer((q, r) => { r.setHeader('X-Content-Type-Options', 'nosniff'); r.end(); });",
     ALL - {"content-type-options"}),
    ("http.createServer(app).listen(1); r.end();", {"-"}),
    ("http.createServer(handler).listen(1);", {"-"}),
    ("const app = express();\nhttp.createServer((q, r) => r.end());", ALL),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), JAVASCRIPT)
def test_programs_in_javascript(tmp_path: Path, text: str, expected: set[str]) -> None:
    assert told(tmp_path, {"src/server.js": text}) == expected


SPRING = """class A {{
  SecurityFilterChain chain(HttpSecurity http) {{
    http.authorizeHttpRequests(a -> a.anyRequest().authenticated()){};
    return http.build();
  }} }}
"""
CSHARP = "var app = WebApplication.Create();\n"
GO = 'package main\nimport "net/http"\nfunc main() {{ {} http.ListenAndServe(":80", nil) }}\n'
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
DJANGO = """INSTALLED_APPS = []
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
"""

PROGRAMS: list[tuple[str, str, set[str]]] = [
    ("A.java", SPRING.format(""), {"csp"}),
    ("A.java", SPRING.format(".headers(h -> h.disable())"), ALL),
    ("A.java", SPRING.format(".headers(h -> h.frameOptions(f -> f.disable()))"),
     {"csp", "frame-options"}),
    ("A.java", SPRING.format(".headers(h -> h.contentSecurityPolicy(\"default-src 'self'\"))"),
     set()),
    ("A.java", SPRING.format(".headers(h -> h.httpStrictTransportSecurity(s -> "
                             "s.maxAgeInSeconds(300L)))"), {"csp", "hsts weak"}),
    ("A.java", SPRING.format(".headers(h -> h.contentSecurityPolicy(c -> "
                             'c.policyDirectives("script-src *")))'), {"csp weak"}),
    ("A.java", SPRING.format(".headers(h -> h.contentSecurityPolicy(c -> c.policy(x)))"), set()),
    ("P.cs", CSHARP, ALL),
    ("P.cs", CSHARP + "app.UseHsts();\napp.UseXfo(o => o.Deny());",
     {"csp", "content-type-options"}),
    ("P.cs", CSHARP + "app.UseSecurityHeaders();", set()),
    ("P.cs", CSHARP + 'c.Response.Headers.XFrameOptions = "DENY";', ALL - {"frame-options"}),
    ("a.go", GO.format(""), ALL),
    ("a.go", GO.format("s := secure.New(secure.Options{STSSeconds: 60, FrameDeny: true})"),
     {"csp", "content-type-options", "hsts weak"}),
    ("a.go", GO.format("w.Header().Set(\"Content-Security-Policy\", \"default-src 'self'\")"),
     ALL - {"csp"}),
    ("app.py", FLASK, ALL),
    ("app.py", FLASK + "Talisman(app)\n", set()),
    ("app.py", FLASK + "t = Talisman()\nt.init_app(app)\ntalisman.init_app(app, "
     "frame_options='ALLOWALL', content_security_policy=None)\n", {"csp", "frame-options weak"}),
    ("app.py", FLASK + "Talisman(app, strict_transport_security_max_age=60)\n", {"hsts weak"}),
    ("app.py", FLASK + "CSP = {'script-src': [\"'self'\", \"'unsafe-eval'\"]}\n"
     "Talisman(app, content_security_policy=CSP)\n", {"csp weak"}),
    ("app.py", FLASK + "Talisman(app, content_security_policy=CSP, "
     "content_security_policy_report_only=True)\n", {"csp weak"}),
    ("app.py", FLASK + "import secure\nheaders = secure.Secure()\n", {"csp"}),
    ("app.py", FLASK + "import secure\nheaders = secure.Secure.with_default_headers()\n", set()),
    ("app.py", "from fastapi import FastAPI\nfrom secweb import SecWeb\napp = FastAPI()\n"
     "SecWeb(app=app)\n", set()),
    ("settings.py", DJANGO, {"csp", "hsts"}),
    ("settings.py", DJANGO + "SECURE_HSTS_SECONDS = 31_536_000\nCSP_DEFAULT_SRC = (\"'self'\",)\n",
     set()),
    ("settings.py", DJANGO + "SECURE_HSTS_SECONDS = 60\nX_FRAME_OPTIONS = 'ALLOWALL'\n"
     "SECURE_CONTENT_TYPE_NOSNIFF = False\n",
     {"csp", "hsts weak", "frame-options weak", "content-type-options"}),
    ("settings.py", DJANGO + "SECURE_HSTS_SECONDS = env('AGE')\nSECURE_CSP = policy()\n", set()),
    ("settings_dev.py", DJANGO, {"-"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "expected"), PROGRAMS)
def test_programs_in_other_languages(
    tmp_path: Path, name: str, text: str, expected: set[str]
) -> None:
    assert told(tmp_path, {f"src/{name}": text}) == expected


NEXT = "module.exports = {{ headers: () => [{{ headers: [{}] }}] }};"
TRAEFIK = "http:\n  routers:\n    a: {{tls: {{}}}}\n  middlewares:\n    b:\n      headers:\n{}"
IIS = "<configuration><system.webServer>{}</system.webServer></configuration>"
FULL = "".join(
    f'<add name="{name}" value="{value}"/>'
    for name, value in (("Content-Security-Policy", POLICY), ("X-Frame-Options", "DENY"),
                        ("X-Content-Type-Options", "nosniff"))
)  # fmt: skip
NGINX = "server {{\n  listen 443 ssl;\n  root /srv;\n{}\n}}\n"

SERVERS: list[tuple[str, str, set[str]]] = [
    ("web.config", IIS.format(""), ALL),
    ("web.config", IIS.format(f"<httpProtocol><customHeaders>{FULL}</customHeaders></httpProtocol>"
                              '<hsts enabled="true" max-age="31536000"/>'), set()),
    ("web.config", "<configuration>", {"-"}),
    ("netlify.toml", '[[headers]]\nfor = "/*"\n[headers.values]\nX-Frame-Options = "DENY"\n',
     ALL - {"frame-options"}),
    ("_headers", f"/*\n  X-Frame-Options: DENY\n  Content-Security-Policy: {POLICY}\n",
     {"hsts", "content-type-options"}),
    ("vercel.json", '{"headers": [{"headers": [{"key": "X-Frame-Options", "value": "ALLOW"}]}]}',
     {"csp", "content-type-options", "frame-options weak"}),
    ("firebase.json", '{"hosting": {"headers": [{"key": "X-Content-Type-Options", '
     '"value": "nosniff"}]}}', {"csp", "frame-options"}),
    ("firebase.json", '{"functions": {}}', {"-"}),
    ("next.config.js", NEXT.format("{ key: 'X-Frame-Options', value: 'DENY' }"),
     ALL - {"frame-options"}),
    ("next.config.mjs", NEXT.format("{ key: 'Content-Security-Policy', value: policy }"),
     ALL - {"csp"}),
    ("traefik/dynamic.yml", TRAEFIK.format("        stsSeconds: 31536000\n        frameDeny: true\n"
     "        contentTypeNosniff: true\n        contentSecurityPolicy: \"default-src 'self'\"\n"),
     set()),
    ("traefik/dynamic.yml", TRAEFIK.format("        stsSeconds: 60\n        frameDeny: false\n"
                                           "        customFrameOptionsValue: ALLOWALL\n"),
     {"hsts weak", "frame-options weak", "csp", "content-type-options"}),
    ("compose.yaml", "services:\n  a:\n    labels:\n      - traefik.http.routers.a.tls=true\n"
     "      - traefik.http.middlewares.b.headers.frameDeny=true\n", ALL - {"frame-options"}),
    ("nginx.conf", NGINX.format(""), ALL),
    ("nginx.conf", NGINX.format('  add_header X-Frame-Options DENY;\n  more_set_headers '
                                '"X-Content-Type-Options: nosniff";'), {"csp", "hsts"}),
    ("nginx.conf", NGINX.format("  add_header X-Frame-Options DENY;\n  location /a {\n"
                                "    root /a;\n    add_header X-A b;\n  }"), ALL),
    ("nginx.conf", "server {\n listen 80;\n return 301 https://example.org;\n}\n", {"-"}),
    ("site.conf", "<VirtualHost *:443>\nDocumentRoot /srv\nHeader always set X-Frame-Options DENY\n"
     "Header unset Strict-Transport-Security\n</VirtualHost>\n", ALL - {"frame-options"}),
    ("site.conf", "<VirtualHost *:80>\nRedirect permanent / https://example.org/\n</VirtualHost>\n",
     {"-"}),
    (".htaccess", 'Header set X-Content-Type-Options "nosniff"\n',
     ALL - {"content-type-options"}),
    ("Caddyfile", "example.org {\n  header {\n    X-Frame-Options DENY\n    -Server\n  }\n"
     "  header /a Strict-Transport-Security max-age=60\n  reverse_proxy a:1\n}\n",
     {"csp", "content-type-options", "hsts weak"}),
    ("Caddyfile", "www.example.org {\n  redir https://example.org\n}\n", {"-"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "expected"), SERVERS)
def test_servers_and_hosting_services(
    tmp_path: Path, name: str, text: str, expected: set[str]
) -> None:
    assert told(tmp_path, {name: text}) == expected


def test_what_a_server_in_front_sends_reaches_the_program_behind(tmp_path: Path) -> None:
    front = NGINX.format(
        '  location / { proxy_pass http://a; }\n  add_header X-Frame-Options "DENY";\n'
        f'  add_header Content-Security-Policy "{POLICY}; frame-ancestors https:";'
    )
    found = told(tmp_path, {"nginx.conf": front, "src/app.py": FLASK})
    assert found == {"hsts", "content-type-options", "frame-options weak"}


def test_the_files_of_one_site_are_read_together(tmp_path: Path) -> None:
    files = {
        "_headers": "/*\n  X-Frame-Options: DENY\n  X-Content-Type-Options: nosniff\n",
        "netlify.toml": "[[headers]]\n[headers.values]\nContent-Security-Policy = "
        f'"{POLICY}"\nStrict-Transport-Security = "max-age=31536000"\n',
    }
    assert told(tmp_path, files) == set()


WEAK: list[tuple[str, str, bool]] = [
    ("Content-Security-Policy", POLICY, False),
    ("Content-Security-Policy", "", True),
    ("Content-Security-Policy", "script-src 'self' 'unsafe-inline'", True),
    ("Content-Security-Policy", "\"script-src 'self' 'unsafe-eval'\"", True),
    ("Content-Security-Policy", "'script-src https'", False),
    ("Content-Security-Policy", "frame-ancestors 'self'", True),
    ("Content-Security-Policy", "img-src 'self'", True),
    ("Content-Security-Policy", "script-src https:", True),
    ("Content-Security-Policy", "script-src https: 'strict-dynamic' 'nonce-a'", False),
    ("Content-Security-Policy", "script-src 'unsafe-inline' 'nonce-a'", False),
    ("Content-Security-Policy", "script-src {{ sources }}", False),
    ("Content-Security-Policy-Report-Only", POLICY, True),
    ("Strict-Transport-Security", "includeSubDomains", True),
    ("Strict-Transport-Security", "max-age=31536000", False),
    ("X-Content-Type-Options", "sniff", True),
    ("X-Frame-Options", "SAMEORIGIN", False),
    ("X-Frame-Options", "ALLOW-FROM https://example.org", True),
]


@pytest.mark.parametrize(("header", "value", "weak"), WEAK)
def test_values_that_protect_nothing(tmp_path: Path, header: str, value: str, weak: bool) -> None:
    found = told(tmp_path, {"_headers": f"/*\n  {header}: {value}\n"})
    assert any(one.endswith(" weak") for one in found) == weak
