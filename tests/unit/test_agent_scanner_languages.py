"""Every rule for programs beside Python, on a weak text and its safe twin."""

# ruff: noqa: E501 (a twin is one line of code, however long)

from pathlib import Path

import pytest

from penstock_agent_sdk.repository import SourceFile
from penstock_agent_security_scanner import languages
from penstock_agent_security_scanner.languages.flow.reading_tables import table_of
from penstock_agent_security_scanner.languages.rules import BY_NAME
from tests.unit.read_sources import found_in

JAVA_START = (
    "class A {{ void f(HttpServletRequest request, HttpServletResponse response) {{\n{}\n}} }}"
)
NODE_START = "const app = express();\napp.post('/x', async (req, res) => {{\n{}\n}});"
GO_START = "package a\nfunc f(w http.ResponseWriter, r *http.Request, db *sql.DB) {{\n{}\n}}"

# rule, extension, weak, safe; a single line stands inside of a handler.
TWINS = [
    ("sql-injection", "java",
     's.executeQuery("SELECT a FROM b WHERE c = \'" + request.getParameter("c") + "\'");',
     'PreparedStatement p = c.prepareStatement("SELECT a FROM b WHERE c = ?"); p.setString(1, request.getParameter("c")); p.executeQuery();'),
    ("sql-injection", "js",
     "db.query(`SELECT a FROM b WHERE c = ${req.query.c}`);",
     "db.query('SELECT a FROM b WHERE c = ?', [req.query.c]);"),
    ("sql-injection", "go",
     'db.Query(fmt.Sprintf("SELECT a FROM b WHERE c = \'%s\'", r.FormValue("c")))',
     'db.Query("SELECT a FROM b WHERE c = $1", r.FormValue("c"))'),
    ("command-injection", "java",
     'Runtime.getRuntime().exec("ping " + request.getParameter("h"));',
     'Runtime.getRuntime().exec("ping " + Integer.parseInt(request.getParameter("h")));'),
    ("command-injection", "js",
     "require('child_process').exec('ping ' + req.body.host);",
     "require('child_process').execFile('ping', ['localhost']);"),
    ("command-injection", "go",
     'exec.Command("sh", "-c", "ping "+r.URL.Query().Get("h")).Run()',
     'exec.Command("sh", "-c", "ping gateway").Run()'),
    ("code-injection", "java",
     'ScriptEngine engine = m(); engine.eval(request.getParameter("s"));',
     'ScriptEngine engine = m(); engine.eval("1 + 1");'),
    ("code-injection", "js", "eval(req.body.sum);", "JSON.parse(req.body.sum);"),
    ("path-traversal", "java",
     'new FileInputStream("/srv/" + request.getParameter("n"));',
     'new FileInputStream("/srv/" + FilenameUtils.getName(request.getParameter("n")));'),
    ("path-traversal", "js",
     "res.send(fs.readFileSync('/srv/' + req.params.name));",
     "res.send(fs.readFileSync('/srv/' + path.basename(req.params.name)));"),
    ("path-traversal", "go",
     'os.Open("/srv/" + r.FormValue("n"))',
     'os.Open("/srv/" + filepath.Base(r.FormValue("n")))'),
    ("xml-external-entities", "java",
     "DocumentBuilderFactory f = DocumentBuilderFactory.newInstance(); f.newDocumentBuilder();",
     'DocumentBuilderFactory f = DocumentBuilderFactory.newInstance(); f.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);'),
    ("xml-external-entities", "js",
     "libxmljs.parseXml(req.body.x, { noent: true });",
     "libxmljs.parseXml(req.body.x, { noent: false });"),
    ("cross-site-scripting", "java",
     'response.getWriter().println("<p>" + request.getParameter("n"));',
     'response.getWriter().println("<p>" + Encode.forHtml(request.getParameter("n")));'),
    ("cross-site-scripting", "js",
     "res.send('<p>' + req.query.name);", "res.send('<p>' + escapeHtml(req.query.name));"),
    ("cross-site-scripting", "go",
     'fmt.Fprintf(w, "<p>%s", r.FormValue("n"))',
     'fmt.Fprintf(w, "<p>%s", html.EscapeString(r.FormValue("n")))'),
    ("server-side-request-forgery", "java",
     'new URL(request.getParameter("u")).openStream();',
     'new URL("https://api.example.com/" + request.getParameter("u")).openStream();'),
    ("server-side-request-forgery", "js",
     "axios.get(req.query.url);", "axios.get(`https://api.example.com/${req.query.id}`);"),
    ("server-side-request-forgery", "go",
     'http.Get(r.FormValue("u"))', 'http.Get("https://api.example.com/" + r.FormValue("u"))'),
    ("open-redirect", "java",
     'response.sendRedirect(request.getParameter("to"));',
     'response.sendRedirect("/home?from=" + request.getParameter("to"));'),
    ("open-redirect", "js", "res.redirect(req.query.to);", "res.redirect('/home/' + req.query.to);"),
    ("open-redirect", "go",
     'http.Redirect(w, r, r.FormValue("to"), 302)', 'http.Redirect(w, r, "/home", 302)'),
    ("ldap-injection", "java",
     'DirContext d = c(); d.search("ou=x", "(uid=" + request.getParameter("u") + ")", k);',
     'DirContext d = c(); d.search("ou=x", "(uid=" + e.encodeForLDAP(request.getParameter("u")) + ")", k);'),
    ("xpath-injection", "java",
     'XPath xpath = x(); xpath.evaluate("//u[@n=\'" + request.getParameter("n") + "\']", doc);',
     'XPath xpath = x(); xpath.evaluate("//u[@n=$n]", doc);'),
    ("nosql-injection", "js",
     "User.findOne({ name: req.body.name });", "User.findOne({ name: String(req.body.name) });"),
    ("prototype-pollution", "js",
     "_.merge(settings, req.body);", "_.merge(settings, { theme: 'dark' });"),
    ("slow-regular-expression", "js", "/^(a+)+$/.test(x);", "/^a+$/.test(x);"),
    ("regular-expression-injection", "js",
     "new RegExp(req.query.q);", "new RegExp(escapeRegExp(req.query.q));"),
    ("template-injection", "js",
     "pug.compile('p ' + req.query.name);", "pug.compile('p= name')({ name: req.query.name });"),
    ("weak-hash", "java",
     'MessageDigest.getInstance("MD5");', 'MessageDigest.getInstance("SHA-256");'),
    ("weak-hash", "js", "crypto.createHash('sha1');", "crypto.createHash('sha256');"),
    ("weak-hash", "go", "md5.New()", "sha256.New()"),
    ("weak-cipher", "java",
     'Cipher.getInstance("DES/CBC/PKCS5Padding");', 'Cipher.getInstance("AES/GCM/NoPadding");'),
    ("weak-cipher", "js",
     "crypto.createCipheriv('des-ecb', k, i);", "crypto.createCipheriv('aes-256-gcm', k, i);"),
    ("weak-cipher", "go", "des.NewCipher(k)", "aes.NewCipher(k)"),
    ("weak-key", "java",
     'KeyPairGenerator g = k(); g.getClass(); KeyPairGenerator keyGen = KeyPairGenerator.getInstance("RSA"); keyGen.initialize(1024);',
     'KeyPairGenerator keyGen = KeyPairGenerator.getInstance("RSA"); keyGen.initialize(3072);'),
    ("weak-key", "go", "rsa.GenerateKey(rand.Reader, 1024)", "rsa.GenerateKey(rand.Reader, 3072)"),
    ("guessable-secret", "java",
     "String token = Long.toHexString(new Random().nextLong());",
     "String token = Long.toHexString(new SecureRandom().nextLong());"),
    ("guessable-secret", "js",
     "const token = Math.random().toString(36);",
     "const token = crypto.randomBytes(16).toString('hex');"),
    ("predictable-random", "java",
     "int shade = new Random().nextInt(9);", "int shade = new SecureRandom().nextInt(9);"),
    ("unsafe-deserialisation", "java",
     "ObjectInputStream in = new ObjectInputStream(s); in.readObject();",
     "JsonNode in = mapper.readTree(s); in.get(1);"),
    ("unsafe-deserialisation", "js",
     "require('node-serialize').unserialize(req.body.x);", "JSON.parse(req.body.x);"),
    ("tls-not-verified", "js",
     "new https.Agent({ rejectUnauthorized: false });",
     "new https.Agent({ rejectUnauthorized: true });"),
    ("tls-not-verified", "go",
     "c := &tls.Config{InsecureSkipVerify: true}", "c := &tls.Config{InsecureSkipVerify: false}"),
    ("tls-not-verified", "java",
     "new HostnameVerifier() { public boolean verify(String h, SSLSession s) { return true; } };",
     "new HostnameVerifier() { public boolean verify(String h, SSLSession s) { return h.equals(n); } };"),
    ("weak-tls-version", "go",
     "c := &tls.Config{MinVersion: tls.VersionTLS10}",
     "c := &tls.Config{MinVersion: tls.VersionTLS12}"),
    ("weak-tls-version", "java",
     'SSLContext.getInstance("SSLv3");', 'SSLContext.getInstance("TLSv1.3");'),
    ("host-key-not-verified", "go", "ssh.InsecureIgnoreHostKey()", "ssh.FixedHostKey(k)"),
    ("insecure-cookie", "java",
     'Cookie c = new Cookie("a", v); response.addCookie(c);',
     'Cookie c = new Cookie("a", v); c.setSecure(true); response.addCookie(c);'),
    ("insecure-cookie", "js",
     "res.cookie('session', t, { httpOnly: true });",
     "res.cookie('session', t, { httpOnly: true, secure: true });"),
    ("script-readable-cookie", "js",
     "res.cookie('session', t, { secure: true, httpOnly: false });",
     "res.cookie('session', t, { secure: true, httpOnly: true });"),
    ("insecure-cookie", "go",
     'c := http.Cookie{Name: "a", HttpOnly: true}',
     'c := http.Cookie{Name: "a", HttpOnly: true, Secure: true}'),
    ("jwt-not-verified", "js",
     "jwt.verify(t, key, { algorithms: ['none'] });",
     "jwt.verify(t, key, { algorithms: ['RS256'] });"),
    ("jwt-not-verified", "go", "jwt.ParseUnverified(t, c)", "jwt.ParseWithClaims(t, c, k)"),
    ("hardcoded-key", "js",
     "jwt.sign(claims, 'shh-do-not-tell');", "jwt.sign(claims, process.env.JWT_KEY);"),
    ("hardcoded-key", "java",
     'new SecretKeySpec("0123456789abcdef".getBytes(), "AES");',
     'new SecretKeySpec(load(), "AES");'),
    ("trust-boundary", "java",
     'request.getSession().setAttribute("role", request.getParameter("role"));',
     'request.getSession().setAttribute("role", "guest");'),
    ("header-injection", "java",
     'response.setHeader("X-A", request.getParameter("a"));',
     'response.setHeader("X-A", URLEncoder.encode(request.getParameter("a")));'),
    ("wide-file-permissions", "go",
     'os.WriteFile("a", b, 0666)', 'os.WriteFile("a", b, 0600)'),
    ("readable-by-everybody", "go",
     'os.MkdirAll("a", 0755)', 'os.MkdirAll("a", 0750)'),
    ("path-from-environment", "go",
     'os.Open("/srv/" + os.Getenv("NAME"))', 'os.Open("/srv/" + filepath.Base(os.Getenv("NAME")))'),
    ("predictable-temporary-file", "go",
     'os.Create("/tmp/report")', 'os.CreateTemp("", "report")'),
    ("no-time-limit", "go",
     'http.ListenAndServe(":80", nil)',
     "s := &http.Server{Addr: a, ReadHeaderTimeout: t}; s.ListenAndServe()"),
    ("debugging-exposed", "js",
     "new BrowserWindow({ webPreferences: { nodeIntegration: true } });",
     "new BrowserWindow({ webPreferences: { nodeIntegration: false } });"),
    ("wide-cors", "js",
     "const h = { 'Access-Control-Allow-Origin': '*' };",
     "const h = { 'Access-Control-Allow-Origin': 'https://example.com' };"),
    ("csrf-off", "java", "http.csrf().disable();", "http.csrf().ignoringAntMatchers(a);"),
    ("path-traversal", "go",
     "for _, f := range z.File { p := filepath.Join(d, f.Name); os.Create(p) }",
     "for _, f := range z.File { p := filepath.Join(d, filepath.Base(f.Name)); os.Create(p) }"),
    ("decompression-bomb", "go",
     "z, _ := gzip.NewReader(r.Body); io.Copy(out, z)",
     "z, _ := gzip.NewReader(r.Body); io.CopyN(out, z, 1000)"),
]  # fmt: skip
WRAPS = {"java": JAVA_START, "js": NODE_START, "go": GO_START}


def found(name: str, text: str) -> set[tuple[str, int]]:
    """Names of rules and lines."""
    return set(found_in(name, text))


@pytest.mark.parametrize(("rule", "kind", "weak", "safe"), TWINS)
def test_a_rule_fires_on_the_weak_twin_only(rule: str, kind: str, weak: str, safe: str) -> None:
    line = WRAPS[kind].split("{}", maxsplit=1)[0].count("\n") + 1
    assert (rule, line) in found(f"a.{kind}", WRAPS[kind].format(weak))
    assert rule not in {name for name, _ in found(f"a.{kind}", WRAPS[kind].format(safe))}


def test_every_rule_of_the_tables_has_twins() -> None:
    named: set[str] = set()
    for language in ("java", "javascript", "go"):
        table = table_of(language)
        specs = [*table.sinks.all(), *table.wrongs.all(), *table.guarded.all(), *table.options]
        named |= {spec.rule.name for spec in specs}
    assert named <= {rule for rule, *_ in TWINS}
    assert set(BY_NAME) <= {rule for rule, *_ in TWINS}


def test_names_decide_what_is_read() -> None:
    kept = ["a.java", "b/c.tsx", "d.go", "Dockerfile", "x.dockerfile", "Dockerfile.dev", "k.yml",
            "main.tf", "a.kt", "b.php"]  # fmt: skip
    left = ["a.py", "README.md", "a.json", "Dockerfile.md5sum/readme.txt", "a.css"]
    for name in kept:
        assert languages.handles(SourceFile(name, Path(name), b""))
    for name in left:
        assert not languages.handles(SourceFile(name, Path(name), b""))


def test_findings_come_once_and_in_order() -> None:
    text = NODE_START.format(
        "eval(req.body.a + req.body.b);\neval(req.query.c); eval(req.query.d);"
    )
    lines = [line for rule, line in found_in("a.js", text) if rule == "code-injection"]
    assert lines == [3, 4]
