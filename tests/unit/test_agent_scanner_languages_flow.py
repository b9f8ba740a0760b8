"""How values are followed through programs, and that nobody can keep the analysis busy."""

# ruff: noqa: E501 (a program is one line, however long)

import time
from pathlib import Path

import pytest

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner import languages
from tests.unit.read_sources import found_in

BUDGET_S = 20.0


def rules(name: str, text: str) -> set[str]:
    """Names of rules."""
    return {rule for rule, _ in found_in(name, text)}


def java(body: str, rest: str = "") -> set[str]:
    """What is found in a servlet."""
    start = "class A extends HttpServlet { void doGet(HttpServletRequest request, HttpServletResponse response) {"
    return rules("A.java", f'{start} String p = request.getParameter("p"); {body} }} {rest} }}')


SINK = 's.executeQuery("SELECT a FROM b WHERE c=\'" + q + "\'");'


@pytest.mark.parametrize(
    "body",
    [
        "String q = p;",
        "String q = p.trim().toLowerCase();",
        'String q = "a"; if (request.isSecure()) { q = p; }',
        'String q = "a"; while (n()) { q = r; r = p; }',
        'String q; switch (n()) { case 1: q = "a"; break; default: q = p; }',
        'StringBuilder b = new StringBuilder("x"); b.append("y").append(p); String q = b.toString();',
        'Map<String, String> m = new HashMap<>(); m.put("k", p); String q = m.get("k");',
        'List<String> l = new ArrayList<>(); l.add("a"); l.add(p); String q = l.get(1);',
        "String[] l = {p}; String q = l[0];",
        'String q = String.format("%s", p);',
        "String q = same(p);",
        "String q = new Inner().same(p);",
        "this.held = p; String q = this.held;",
        'String q = (n() > 1) ? p : "a";',
        'String q = "a"; try { q = p; n(); } catch (Exception e) { n(); }',
        'for (String q : p.split(",")) { ' + SINK + ' } String q = "";',
    ],
)  # fmt: skip
def test_a_value_is_followed(body: str) -> None:
    rest = "String same(String v) { return v; } class Inner { String same(String v) { return v; } }"
    assert "sql-injection" in java(body + SINK, rest)


@pytest.mark.parametrize(
    "body",
    [
        'String q = "a";',
        'String q = p; q = "a";',
        'String q = p; if (7 * 6 > 40) { q = "a"; }',
        'String q; if (false) { q = p; } else { q = "a"; }',
        "String q; switch (\"ABC\".charAt(1)) { case 'A': q = p; break; case 'B': q = \"a\"; break; default: q = p; }",
        'Map<String, String> m = new HashMap<>(); m.put("k", p); m.put("o", "a"); String q = m.get("o");',
        'List<String> l = new ArrayList<>(); l.add("a"); l.add(p); l.add("b"); l.remove(0); String q = l.get(1);',
        "int q = Integer.parseInt(p);",
        "String q = p; if (!ALLOWED.contains(q)) { return; }",
        'String q = p; if (!q.matches("[a-z]+")) { throw new E(); }',
        "String q = fixed(p);",
        'String q = "a"; while (false) { q = p; }',
        "String q = size(p.length());",
    ],
)
def test_a_harmless_value_is_told(body: str) -> None:
    rest = 'String fixed(String v) { return "a"; } String size(int v) { return "" + v; }'
    assert "sql-injection" not in java(body + SINK, rest)


def test_a_name_of_javascript_is_followed_through_imports_and_handlers() -> None:
    start = "const { exec: run } = require('child_process');\nconst go = require('util').promisify(run);\n"
    handler = "router.get('/a', async (a, b) => {{ const {{ host }} = a.query; await go(`ping ${{{}}}`); }});"
    assert "command-injection" in rules("a.js", start + handler.format("host"))
    assert "command-injection" not in rules("a.js", start + handler.format("Number(host)"))


def test_a_function_that_others_can_call_is_suspected_only_of_what_it_builds() -> None:
    assert "command-injection" in rules("a.js", "exports.run = (x) => cp.exec('ls ' + x);")
    assert "command-injection" not in rules("a.js", "exports.run = (x) => cp.exec(x);")
    hidden = 'func run(x string) { db.Query("SELECT a FROM " + x) }\nfunc Main() { run("b") }'
    assert "sql-injection" not in rules("a.go", f"package a\n{hidden}")


def test_go_keeps_results_apart() -> None:
    start = (
        'package a\nfunc two(r *http.Request) (string, string) { return r.FormValue("a"), "b" }\n'
    )
    call = "func F(w http.ResponseWriter, r *http.Request) {{ x, y := two(r); os.ReadFile({}) ; _ = y; _ = x }}"
    assert "path-traversal" in rules("a.go", start + call.format("x"))
    assert "path-traversal" not in rules("a.go", start + call.format("y"))


def test_typescript_and_markup_are_read() -> None:
    text = "export class C { @Get() async a(@Query('q') q: string): Promise<void> { eval(q); } }"
    assert "code-injection" in rules("a.ts", text)
    page = "const A = ({ html }: P) => <div dangerouslySetInnerHTML={{ __html: html }} />;"
    assert "cross-site-scripting" in rules("a.tsx", page)
    clean = page.replace("__html: html", "__html: DOMPurify.sanitize(html)")
    assert "cross-site-scripting" not in rules("a.tsx", clean)


def test_copying_keys_into_an_object_can_reach_all_objects() -> None:
    copy = "function merge(to, from) {{ for (const k in from) {{ {} if (o(to[k])) merge(to[k], from[k]); else to[k] = from[k]; }} }}"
    assert "prototype-pollution" in rules("a.js", copy.format(""))
    refusing = copy.format("if (k === '__proto__') continue;")
    assert "prototype-pollution" not in rules("a.js", refusing)
    handler = "app.post('/a', (req, res) => {{ {} }});"
    nested = handler.format("data[req.body.a][req.body.b] = req.body.c;")
    assert "prototype-pollution" in rules("a.js", nested)
    assert "prototype-pollution" not in rules("a.js", handler.format("data[req.body.a] = 1;"))


def test_other_languages_keep_their_line_patterns() -> None:
    assert "code-injection" in rules("a.php", "<?php eval($x);")
    assert "sql-injection" in rules("a.rb", "User.where(\"name = '#{params[:n]}'\")")
    assert "weak-hash" in rules("a.kt", 'MessageDigest.getInstance("MD5")')


HOSTILE = {
    "nested.js": "(" * 40_000 + "x" + ")" * 40_000,
    "blocks.go": "package a\nfunc f() {" + "if a {" * 20_000,
    "sum.java": "class A { void f(String s) { s = s" + " + s" * 20_000 + "; } }",
    "chain.js": "a" + ".b(c)" * 20_000,
    "calls.java": "class A { void f(String s) { " + "f(" * 5_000 + "s" + ")" * 5_000 + "; } }",
    "each.js": "".join(f"function f{i}(x) {{ f{(i * 7) % 400}(x); f{(i * 3) % 400}(x + 1); }}\n" for i in range(400)),
    "loops.java": "class A { void f(String s) { " + "while (s.a()) { " * 60 + "s = s + s;" + "}" * 60 + " } }",
    "branches.go": "package a\nfunc F(s string) {\n" + "if s == t { s = s + s }\n" * 3_000 + "}\n",
    "object.js": "x = {" + "a: {" * 5_000 + "}" * 5_000 + "}",
    "line.js": "x = 1;" * 60_000,
    "array.tf": "a = [" * 20_000,
    "blocks.tf": "a {\n" * 20_000 + "}\n" * 20_000,
    "deep.yaml": "apiVersion: v1\nkind: Pod\nspec: " + "{a: " * 3_000 + "1" + "}" * 3_000,
    "laughs.yaml": "apiVersion: v1\nkind: Pod\na0: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 20) + "]\n" for i in range(1, 30)) + "spec: {containers: *a29}\n",
    "Dockerfile": "FROM a:1\nRUN " + "curl x | \\\n" * 20_000 + "sh\n",
    "spaces.dockerfile": "FROM a:1\nRUN curl " + " -" * 50_000 + "\n",
    "junk.java": "\x00\ufffd{{{ class \" ' /* " * 5_000,
    "regex.js": "/" + "(a" * 300 + ")" * 300 + "/;\n" + "/(" + "a|" * 400 + "b)*/;\n" * 50,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(60)
def test_a_hostile_file_costs_little(name: str) -> None:
    source = SourceFile(name, Path(name), HOSTILE[name].encode())
    started = time.monotonic()
    list(languages.scan_file(source))
    assert time.monotonic() - started < BUDGET_S
