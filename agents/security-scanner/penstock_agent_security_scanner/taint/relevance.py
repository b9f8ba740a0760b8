"""Whether following a file's values can tell anything, by the words in it.

Most files of most programs have nothing to do with strangers and call nothing dangerous; looking
for words is a hundred times cheaper than running their statements.
"""

import re
from typing import Final

_WORD: Final = re.compile(r"[A-Za-z_$]\w+")
_PRIVATE: Final = re.compile(r"\bdef (_[A-Za-z]\w*)")
# Where values of strangers come in.
_STRANGERS: Final = frozenset(
    {
        "APIView", "BaseHTTPRequestHandler", "FastAPI", "FieldStorage", "Flask",
        "HTTPEndpoint", "Markup", "MethodView", "RequestHandler",
        "SimpleHTTPRequestHandler", "aiohttp", "bottle", "cgi", "cherrypy", "django",
        "event", "falcon", "fastapi", "flask", "get_argument", "get_arguments",
        "lambda_handler", "match_info", "pyramid", "quart", "receive_bytes", "receive_json",
        "receive_text", "recv", "recv_json", "recv_multipart", "recv_string", "recvfrom",
        "req", "request", "requests", "rest_framework", "route", "sanic", "starlette",
        "tornado", "view_config", "web", "websocket", "websockets", "werkzeug",
    }
)  # fmt: skip
# What is worth a report whoever decides the value, or judges an issue of bandit.
_DANGERS: Final = frozenset(
    {
        "$where", "AES", "ALLOWED_HOSTS", "ARC2", "ARC4", "AutoAddPolicy", "Blowfish",
        "CAST", "CERT_NONE", "CORS", "CORS_ALLOW_ALL_ORIGINS", "CORS_ORIGIN_ALLOW_ALL",
        "CSRF_COOKIE_SECURE", "Cipher", "Crypto", "Cryptodome", "DEBUG",
        "DEBUG_PROPAGATE_EXCEPTIONS", "DELETE", "DES", "DES3", "DSA", "Delete", "ElGamal",
        "Environment", "FTP", "Fernet", "INSERT", "Insert", "MODE_ECB", "PBKDF2HMAC",
        "Popen", "Popen3", "RSA", "RawSQL", "SELECT", "SESSION_COOKIE_HTTPONLY",
        "SESSION_COOKIE_SECURE", "SSL", "SafeString", "SafeText", "Select", "Telnet",
        "UPDATE", "Unpickler", "Update", "WTF_CSRF_ENABLED", "XMLParser", "XPath",
        "__import__", "_create_default_https_context", "_create_unverified_context",
        "add_middleware", "algorithms", "allow_pickle", "autoescape", "bind_s", "cPickle",
        "check_hostname", "chmod", "choice", "cloudpickle", "compile",
        "create_subprocess_exec", "create_subprocess_shell", "cryptography", "csrf_exempt",
        "cursor", "debug", "delete", "dill", "etree", "eval", "exec", "exec_command",
        "exec_driver_sql", "execfile", "execute", "execute_sql", "executemany",
        "executescript", "exempt", "extra", "extract", "extractall", "fchmod", "format_exc",
        "from_string", "ftplib", "generate", "generate_private_key", "getoutput",
        "getstatusoutput", "hashlib", "hmac", "import_module", "insert", "iterparse",
        "joblib", "jose", "jsonpickle", "jws", "jwt", "ldap", "ldap3", "lxml",
        "make_parser", "makedirs", "mark_safe", "marshal", "md5", "minidom", "mkdir",
        "mktemp", "modes", "mogrify", "paramiko", "pbkdf2_hmac", "pexpect", "pickle",
        "popen", "popen2", "popen3", "pyDes", "randint", "random", "raw", "read_pickle",
        "read_sql", "read_sql_query", "render_template_string", "sax", "search_ext_s",
        "search_s", "select", "setFeature", "set_cookie", "set_missing_host_key_policy",
        "set_signed_cookie", "sha", "sha1", "shelve", "spawn", "ssl", "subprocess",
        "system", "telnetlib", "tempnam", "timeit", "tmpnam", "torch", "umask", "update",
        "verify", "verify_mode", "xml", "xpath", "yaml",
    }
)  # fmt: skip
_ANY: Final = _STRANGERS | _DANGERS


def has_strangers(text: str) -> bool:
    """Whether a value from outside of the program can come in."""
    return not _STRANGERS.isdisjoint(_WORD.findall(text))


def worthwhile_lines(text: str) -> list[int]:
    """Numbers of the lines with a word that could matter, in order.

    Without any, the analysis can neither report anything nor judge what bandit reports.
    """
    if _ANY.isdisjoint(_WORD.findall(text)):
        return []
    # Who calls a function that only this file can call decides what it is given.
    wanted = _ANY.union(_PRIVATE.findall(text))
    return [
        number
        for number, line in enumerate(text.split("\n"), 1)
        if not wanted.isdisjoint(_WORD.findall(line))
    ]
