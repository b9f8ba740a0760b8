"""Credentials in text: what is found, what stays silent, and what it may cost."""

from __future__ import annotations

import random
import string
import time
import tomllib
from importlib import resources

import pytest

from penstock_agent_sdk.credentials import Credential, CredentialFinder
from penstock_agent_sdk.credentials.forms import pieces
from penstock_agent_sdk.credentials.names import is_credential_name
from penstock_agent_sdk.credentials.values import grade

FINDER = CredentialFinder()
CHARS = string.ascii_letters + string.digits
WORTH = "k8Vq" + "T2mZ" + "x4Lw" + "9RbN"  # a value that somebody made hard to guess


def made(size: int, chars: str = CHARS, seed: int = 7) -> str:
    """A value of no meaning, the same in every run; none stands in this file."""
    # penstock: ignore[guessable-secret] -- means nothing, and is the same in every run
    return "".join(random.Random(seed).choices(chars, k=size))  # noqa: S311 (means nothing)


def found(name: str, *lines: str) -> list[Credential]:
    return FINDER.find(name, list(lines))


def lines_of(name: str, *lines: str) -> list[int]:
    return [one.line for one in found(name, *lines)]


HEX = "0123456789abcdef"
TOKENS = {
    "aws": "AK" + "IA" + made(16, string.ascii_uppercase + "234567"),
    "github": "gh" + "p_" + made(36),
    "fine": "github" + "_pat_" + made(22) + "_" + made(59),
    "gitlab": "gl" + "pat-" + made(20),
    "slack": "xo" + "xb-" + made(12, string.digits) + "-" + made(24),
    "stripe": "sk" + "_live_" + made(24),
    "google": "AI" + "za" + made(35),
    "npm": "np" + "m_" + made(36),
    "pypi": "py" + "pi-AgE" + made(80),
    "sendgrid": "S" + "G." + made(22) + "." + made(43),
    "anthropic": "sk" + "-ant-api03-" + made(95),
    "openai": "sk" + "-proj-" + made(48),
    "vault": "hv" + "s." + made(24),
    "digitalocean": "do" + "p_v1_" + made(64, HEX),
    "telegram": made(10, "123456789") + ":AA" + made(33),
    "azure": "Account" + "Key=" + made(86) + "==",
    "age": "AGE-SECRET" + "-KEY-1" + made(58, string.ascii_uppercase + string.digits),
    "jwt": "ey" + "JhbGciOiJIUzI1NiJ9.ey" + "J" + made(40) + "." + made(43),
    "tailscale": "tskey" + "-auth-" + made(12) + "-" + made(32),
}


@pytest.mark.parametrize("kind", TOKENS)
@pytest.mark.parametrize(
    "around", ["x = '{}'", "run({});", "- {}", '{{"a": "{}"}}', "see {} there"]
)
def test_tokens_are_known_by_their_form_wherever_they_stand(kind: str, around: str) -> None:
    assert lines_of("notes/deploy.txt", "one", around.format(TOKENS[kind]), "three") == [2]


def test_each_row_of_the_table_is_of_use() -> None:
    table = resources.files("penstock_agent_sdk.credentials").joinpath("forms.toml").read_text()
    for row in tomllib.loads(table)["form"]:
        assert row["hints"], row
        # A hint that its own form does not need would keep the form from being tried.
        assert any(
            hint.strip("\\").replace("\\", "") in row["form"].replace("\\", "")
            or hint[:3] in row["form"]
            or "|" in row["form"]
            or "(?:" in row["form"]
            or "[" in row["form"]
            for hint in row["hints"]
        ), row


def key(kind: str) -> list[str]:
    head, tail = (f"-----{word} {kind}PRIVATE" + " KEY-----" for word in ("BEGIN", "END"))
    return [head, made(64), made(64, seed=8), tail]


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_private_keys_are_found_where_they_begin(kind: str) -> None:
    assert lines_of("a.py", "KEY = '''", *key(kind), "'''") == [2]


def test_code_that_looks_for_keys_has_none() -> None:
    head = key("RSA ")[0]
    assert lines_of("a.py", f"if text.startswith('{head}'):", "    raise ValueError") == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (".env", f"DB_PASSWORD={WORTH}"),
        (".env", "DB_PASSWORD=hunter22"),
        ("settings.py", f'PASSWORD = "{WORTH}"'),
        ("settings.py", f"    api_key: str = '{WORTH}'"),
        ("settings.py", f'os.getenv("DB_PASSWORD", "{WORTH}")'),
        ("settings.py", 'os.getenv("DB_PASSWORD", "postgres")'),
        ("compose.yaml", "  SHOP_PASSWORD: shop"),
        ("compose.yaml", f"  DB_PASSWORD: ${{DB_PASSWORD:-{WORTH}}}"),
        ("run.sh", f"connect ${{DB_PASSWORD-{WORTH}}}"),
        ("run.sh", "password=hunter22"),
        ("app.js", f"const secret = process.env.SESSION_SECRET || '{WORTH}';"),
        ("app.js", f'  clientSecret: "{WORTH}",'),
        ("Main.java", f'private static final String API_KEY = "{WORTH}";'),
        ("main.go", f'apiToken := "{WORTH}"'),
        ("values.yaml", "  password: hunter22"),
        ("values.yaml", f"  - --admin-password={WORTH}"),
        ("compose.yaml", f"      - POSTGRES_PASSWORD={WORTH}"),
        ("config.json", '  "password": "mongopass",'),
        ("app.properties", f"spring.datasource.password={WORTH}"),
        ("main.tf", f'  master_password = "{WORTH}"'),
        ("web.config", f'<add key="ApiSecret" value="{WORTH}" />'),
        ("web.config", f'connectionString="Server=db;User Id=a;Password={WORTH};"'),
        ("pom.xml", f"<password>{WORTH}</password>"),
        ("Dockerfile", f"ENV API_TOKEN={WORTH}"),
        ("Dockerfile", f"ARG API_TOKEN {WORTH}"),
        ("run.sh", f"export API_TOKEN={WORTH}"),
        ("run.sh", f"curl -u admin:{WORTH} https://example.org"),
        ("run.sh", f"mysql --password={WORTH} shop"),
        ("run.sh", f'curl -H "X-Api-Key: {WORTH}" https://example.org'),
        ("wp-config.php", f"define('DB_PASSWORD', '{WORTH}');"),
        ("login.js", "conn.login('a@example.org', 'Tr0ub4dor&3')"),
        (".netrc", "machine example.org login a password pass123"),
        (".pgpass", "db:5432:shop:a:hunter22"),
        (".htpasswd", "a:" + "$apr1$" + "Zr2x81Ab$" + made(22)),
        ("etc/shadow", "root:$6$" + "saltsalt$" + made(86) + ":17431:0:99999:7:::"),
        (".docker/config.json", '"auth": "' + made(24) + '"'),
        (".npmrc", "//npm.example.org/:_authToken=" + made(30)),
        ("config/master.key", made(32, HEX)),
        ("any.txt", "postgres" + f"ql://shop:{WORTH}@db.example.org/shop"),
        ("setup.sql", f"CREATE USER 'shop'@'%' IDENTIFIED BY '{WORTH}';"),
        ("setup.sql", f"ALTER ROLE shop WITH LOGIN PASSWORD '{WORTH}';"),
        ("setup.py", f"execute(\"CREATE USER shop IDENTIFIED BY '{WORTH}'\")"),
        (".git-credentials", "https://a@example.org:" + WORTH + "@github.com"),
    ],
)
def test_credentials_are_read_as_their_file_is_read(name: str, line: str) -> None:
    assert lines_of(name, line) == [1]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (".env", "DB_PASSWORD="),
        (".env", "DB_PASSWORD=${VAULT_PASSWORD}"),
        (".env", "DB_PASSWORD=changeme"),
        (".env.example", "DB_PASSWORD=hunter22"),
        (".env", "PASSWORD_MIN_LENGTH=12"),
        (".env", "DB_PASSWORD=password"),
        ("compose.yaml", "  DB_PASSWORD: ${DB_PASSWORD:?is needed}"),
        ("compose.yaml", "  DB_PASSWORD: ${DB_PASSWORD:?needed}"),
        ("client.py", "    auth=user,"),
        ("forms.toml", "form = 'AccountKey=[0-9A-Za-z+/]{86}=='"),
        ("settings.py", 'PASSWORD = os.environ["PASSWORD"]'),
        ("settings.py", 'PASSWORD_FIELD = "password"'),
        ("settings.py", 'password = "password"'),
        ("settings.py", 'if password == "Tr0ub4dor&3x":'),
        ("settings.py", f'token = "{WORTH}" + suffix'),
        ("settings.py", 'secret_path = "/run/secrets/db"'),
        ("settings.py", 'api_key = config["api_key"]'),
        ("settings.py", 'token_url = "https://example.org/token9"'),
        ("settings.py", 'cache_key = "user:profile:v2x"'),
        ("settings.py", 'primary_key = "order_id1"'),
        ("settings.py", 'public_key = "' + made(40) + '"'),
        ("forms.py", '"new_password": "New password",'),
        ("values.yaml", "  password: vault:secret/data/shop#password"),
        ("values.yaml", "  passwordFrom: {secretName: mail, key: password}"),
        ("values.yaml", "  secretName: shop-tls-2026"),
        ("values.yaml", "  token: !secret home_token1"),
        ("values.yaml", "  api_key: ENC[AES256_GCM,data:" + made(20) + "]"),
        ("release.yml", "GH_TOKEN: ${{ secrets.RELEASE_TOKEN }}"),
        ("package-lock.json", '"integrity": "sha512-' + made(86) + '=="'),
        ("requirements.txt", "    --hash=sha256:" + made(64, HEX)),
        ("compose.yaml", "image: registry.example.org/web@sha256:" + made(64, HEX)),
        ("a.json", '"id": "0b8f7a52-6f11-4a1e-9d8a-1f60c2a4e911"'),
        ("README.md", "Set `API_KEY` to your key: `API_KEY=your-key-here`."),
        ("README.md", "password = hunter22"),
        ("main.tf", "  password = var.db_password"),
        ("main.tf", "  password = random_password.db.result"),
        ("app.js", "const password = document.getElementById('password1').value"),
        ("app.js", "password: 'Please enter your password'"),
        ("Main.java", 'String TOKEN_HEADER = "X-Auth-Token";'),
        ("tests/test_a.py", 'password = "hunter2"'),
        ("any.txt", "postgres" + "ql://user:password@localhost/db".replace("password", "${PW}")),
        ("setup.sql", "CREATE USER shop IDENTIFIED BY '${PASSWORD}';"),
        ("setup.py", "f\"ALTER ROLE {role} PASSWORD '{verifiers[name_of(role)]}'\""),
        ("setup.sql", "ALTER ROLE shop PASSWORD ':password1';"),
        ("setup.sql", "INSERT INTO roles (user, password) VALUES ('a', 'b');"),
        ("any.txt", "AK" + "IAIOSFODNN7" + "EXAMPLE"),
        ("docs/a.txt", "gh" + "p_" + "x" * 36),
    ],
)
def test_placeholders_references_labels_and_digests_stay_silent(name: str, line: str) -> None:
    assert found(name, line) == []


@pytest.mark.parametrize(
    ("value", "configured", "literal"),
    [
        ("Tr0ub4dor&3x", "sure", "sure"),
        (WORTH, "sure", "sure"),
        ("hunter22", "weak", "weak"),
        ("letmein", "weak", None),
        ("correct horse battery", None, None),
        ("${PASSWORD}", None, None),
        ("<password>", None, None),
        ("changeme123", None, None),
        ("abc", None, None),
        ("{{ secret }}", None, None),
        ("********", None, None),
        ("1.2.3", None, None),
        ("settings.db.password", None, None),
    ],
)
def test_values_are_graded(value: str, configured: str | None, literal: str | None) -> None:
    assert grade(value) == configured
    assert grade(value, quoted_in_code=True) == literal


@pytest.mark.parametrize(
    ("name", "speaks"),
    [
        ("password", True), ("dbPassword", True), ("DB_PASS", True), ("api-key", True),
        ("clientSecret", True), ("aws_secret_access_key", True), ("redis_cache_password", True),
        ("s3_secret_key", True), ("slack_webhook_url", True), ("jwtSecret", True),
        ("password_field", False), ("passwordLength", False), ("token_type", False),
        ("secretName", False), ("cache_key", False), ("publicKey", False), ("csrf_token", False),
        ("has_password", False), ("compass", False), ("monkey", False), ("keyboard", False),
        ("author", False),
    ],
)  # fmt: skip
def test_names_speak_of_credentials_or_only_about_them(name: str, speaks: bool) -> None:
    assert is_credential_name(name) is speaks


def test_a_line_is_told_once_and_by_the_surest() -> None:
    (one,) = found("a.py", f'token = "{TOKENS["github"]}"  # {TOKENS["gitlab"]}')
    assert (one.line, one.grade, one.how) == (1, "sure", "form")


def test_no_value_is_in_what_is_told() -> None:
    told = found("a.py", *(f'password = "{value}"' for value in TOKENS.values()))
    assert len(told) == len(TOKENS)
    assert not [one for one in told for value in TOKENS.values() if value in repr(one)]


def test_a_secret_in_a_very_long_line_is_found_in_its_line() -> None:
    lines = ["x", "y" * 970 + " " + TOKENS["github"] + "z z" * 3_000, "end"]
    assert all(len(part) <= 1_000 for _, part in pieces(lines))
    assert lines_of("a.js", *lines) == [2]


HOSTILE = [
    "password" + " " * 100_000 + "x",
    "password=" * 10_000,
    "a:b@" * 20_000,
    "https://" + "a:" * 50_000,
    ("<password " + "a=b " * 40 + ">") * 500,
    "'" * 100_000 + "key",
    "eyJ" * 30_000,
    "--secret-" + "-a" * 50_000,
    "\n".join(["token " + "\t " * 900] * 50),
    "\n".join(['"key": "' + "\\" * 1_000] * 50),
    "\n".join(["if in if in = token" * 30] * 50),
    "\n".join(["password : " + "a " * 900] * 50),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
@pytest.mark.parametrize(
    "name", ["a.py", "a.yaml", ".env", "a.json", "a.xml", "thing", "Dockerfile"]
)
def test_hostile_text_costs_no_more_than_other_text(number: int, name: str) -> None:
    began = time.process_time()
    found(name, *HOSTILE[number].split("\n"))
    # A bound against runaway patterns, two orders above what is usual; no measure of speed.
    assert time.process_time() - began < 10
