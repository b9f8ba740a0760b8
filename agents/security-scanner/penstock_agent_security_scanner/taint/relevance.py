"""Whether following a file's values can tell anything, by the words in it.

Most files of most programs have nothing to do with strangers and call nothing dangerous; looking for
words is a hundred times cheaper than running their statements.
"""

import re
from typing import Final

_WORD: Final = re.compile(r"[A-Za-z_$]\w+")
# Where values of strangers come in.
_STRANGERS: Final = frozenset(
    """request req requests flask Flask django fastapi FastAPI starlette aiohttp tornado bottle cherrypy
    sanic quart pyramid falcon werkzeug BaseHTTPRequestHandler SimpleHTTPRequestHandler RequestHandler
    recv recvfrom recv_json recv_string recv_multipart receive_text receive_json receive_bytes
    FieldStorage websocket websockets lambda_handler event get_argument get_arguments rest_framework cgi
    route match_info Markup web APIView MethodView HTTPEndpoint view_config""".split()
)
# What is worth a report whoever decides the value, or judges an issue of bandit.
_DANGERS: Final = frozenset(
    """execute executemany executescript execute_sql exec_driver_sql raw extra RawSQL read_sql
    read_sql_query mogrify cursor system popen popen2 popen3 Popen Popen3 subprocess getoutput
    getstatusoutput create_subprocess_shell create_subprocess_exec exec_command pexpect spawn eval exec
    compile execfile timeit import_module __import__ pickle cPickle Unpickler marshal shelve dill
    cloudpickle jsonpickle yaml joblib torch read_pickle allow_pickle random randint choice hashlib hmac
    Crypto Cryptodome cryptography md5 sha sha1 pyDes ssl SSL verify CERT_NONE paramiko jwt jws jose mktemp
    tempnam tmpnam chmod fchmod umask makedirs mkdir set_cookie set_signed_cookie debug DEBUG
    DEBUG_PROPAGATE_EXCEPTIONS SESSION_COOKIE_SECURE CSRF_COOKIE_SECURE SESSION_COOKIE_HTTPONLY
    WTF_CSRF_ENABLED CORS CORS_ORIGIN_ALLOW_ALL CORS_ALLOW_ALL_ORIGINS add_middleware csrf_exempt exempt
    ALLOWED_HOSTS etree xml sax lxml minidom xpath XPath ldap ldap3 mark_safe SafeString SafeText
    autoescape render_template_string from_string telnetlib ftplib extractall extract $where check_hostname
    verify_mode _create_unverified_context _create_default_https_context SELECT INSERT UPDATE DELETE
    select insert update delete Select Insert Update Delete setFeature make_parser XMLParser iterparse
    MODE_ECB AES DES DES3 ARC2 ARC4 Blowfish CAST modes algorithms Cipher Fernet pbkdf2_hmac PBKDF2HMAC
    generate generate_private_key RSA DSA ElGamal Telnet FTP search_s search_ext_s bind_s Environment
    set_missing_host_key_policy AutoAddPolicy format_exc""".split()
)
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
    return [
        number
        for number, line in enumerate(text.split("\n"), 1)
        if not _ANY.isdisjoint(_WORD.findall(line))
    ]
