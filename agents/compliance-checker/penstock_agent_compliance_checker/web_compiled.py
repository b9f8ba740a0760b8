"""Spring Security, ASP.NET Core and Go servers, read as text."""

import re

from penstock_agent_compliance_checker.header_values import NAMES, Header, Setting
from penstock_agent_compliance_checker.serving import Seen, Serving
from penstock_agent_compliance_checker.web_code import line_at, literal_settings, without_comments

_SPRING = re.compile(r"\b(SecurityFilterChain|WebSecurityConfigurerAdapter|HttpSecurity)\b")
_JAVA_PARTS: tuple[tuple[str, Header], ...] = (
    ("frameOptions", "frame-options"),
    ("contentTypeOptions", "content-type-options"),
    ("httpStrictTransportSecurity", "hsts"),
)


def java(file: str, given_text: str) -> Seen:
    """Spring Security: three of the headers by default, the policy on demand."""
    text = without_comments(given_text, "//")
    seen = Seen(settings=literal_settings(text, file))
    match = _SPRING.search(text)
    if match is None or not re.search(
        r"\.(?:authorize|csrf|headers|formLogin|build|anyRequest)", text
    ):
        return seen
    at = re.search(
        r"SecurityFilterChain\s+\w+\s*\(|void configure\(\s*HttpSecurity|fun \w+\([^)]*HttpSecurity",  # noqa: E501
        text,
    )
    line = line_at(text, at.start() if at else match.start())
    given: set[Header] = {"frame-options", "content-type-options", "hsts"}
    served = Serving("Spring Security chain", "app", "java", file, line)
    everything = re.search(
        r"\.headers\(\s*\)\s*\.disable\(|\.headers\(\s*(?:(\w+)\s*->\s*\1\.disable\(|\w+::disable)"
        r"|headers\s*\{\s*disable\(",
        text,
    )
    if everything:
        given.clear()
        served.off = dict.fromkeys(NAMES, line_at(text, everything.start()))
    for name, header in _JAVA_PARTS:
        off = re.search(
            rf"\b{name}\(\s*\)\s*\.disable\(|\b{name}\(\s*(?:(\w+)\s*->\s*\1\.disable\(|[\w.]+::disable)"
            rf"|\b{name}\s*\{{\s*disable\(",
            text,
        )
        if off:
            given.discard(header)
            served.off[header] = line_at(text, off.start())
    age = re.search(r"maxAgeInSeconds\(\s*([\d_]+)L?\s*\)", text)
    if age:
        value = f"max-age={age[1].replace('_', '')}"
        served.settings.append(Setting("hsts", value, file, line_at(text, age.start())))
    for policy in re.finditer(
        r"(?:contentSecurityPolicy|policyDirectives)\(\s*(?:\"([^\"]*)\"\s*\))?", text
    ):
        if policy[1] is not None or "policyDirectives" not in text:
            where = line_at(text, policy.start())
            served.settings.append(Setting("csp", policy[1], file, where))
            served.off.pop("csp", None)
    if re.search(r"contentSecurityPolicy", text) and not any(
        s.header == "csp" for s in served.settings
    ):
        served.settings.append(Setting("csp", None, file, line))
    served.given = frozenset(given)
    seen.serving.append(served)
    return seen


def csharp(file: str, given_text: str) -> Seen:
    """ASP.NET Core: `UseHsts`, headers by name, NWebsec."""
    text = without_comments(given_text, "//")
    seen = Seen(settings=literal_settings(text, file))
    given: set[Header] = set()
    parts: tuple[tuple[str, Header], ...] = (
        (r"\.UseHsts\(", "hsts"),
        (r"\.UseXContentTypeOptions\(|AddContentTypeOptionsNoSniff\(", "content-type-options"),
        (r"\.UseXfo\(|AddFrameOptions\w*\(", "frame-options"),
        (r"\.UseCsp\(|AddContentSecurityPolicy\(", "csp"),
        (r"AddStrictTransportSecurity\w*\(", "hsts"),
    )
    for pattern, header in parts:
        if re.search(pattern, text):
            given.add(header)
    if re.search(r"AddDefaultSecurityHeaders\(|UseSecurityHeaders\(\s*\)", text):
        given |= {"frame-options", "content-type-options", "hsts", "csp"}
    seen.given = frozenset(given)
    match = re.search(
        r"WebApplication\.Create\w*\(|public void Configure\(\s*IApplicationBuilder", text
    )
    if match:
        line = line_at(text, match.start())
        seen.serving.append(Serving("ASP.NET Core application", "app", "csharp", file, line))
    return seen


_GO_PARTS: tuple[tuple[str, Header, str], ...] = (
    (r"\bSTSSeconds:\s*(\d+)", "hsts", "max-age={}"),
    (r"\bFrameDeny:\s*(true)", "frame-options", "DENY"),
    (r"\bCustomFrameOptionsValue:\s*\"([^\"]*)\"", "frame-options", "{}"),
    (r"\bContentTypeNosniff:\s*(true)", "content-type-options", "nosniff"),
    (r"\bContentSecurityPolicy:\s*[\"`]([^\"`]*)[\"`]", "csp", "{}"),
)


def go(file: str, given_text: str) -> Seen:
    """net/http and what builds on it; headers by name, `unrolled/secure`."""
    text = without_comments(given_text, "//")
    seen = Seen(settings=literal_settings(text, file))
    for pattern, header, form in _GO_PARTS:
        for match in re.finditer(pattern, text):
            where = line_at(text, match.start())
            seen.settings.append(Setting(header, form.format(match[1]), file, where))
    match = re.search(
        r"\b(?:http\.ListenAndServe(?:TLS)?|\w+\.ListenAndServe(?:TLS)?|\w+\.Run(?:TLS)?)\(", text
    )
    served = match and re.search(
        r"\"net/http\"|gin-gonic/gin|labstack/echo|gofiber/fiber|go-chi/chi", text
    )
    if match and served and "package main" in text:
        line = line_at(text, match.start())
        seen.serving.append(Serving("Go HTTP server", "app", "go", file, line))
    return seen
