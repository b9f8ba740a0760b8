"""Rules about calls and settings that are wrong whoever decides the values."""

from penstock_agent_security_scanner.rule import Rule

WEAK_HASH = Rule(
    "weak-hash",
    "medium",
    "CWE-328",
    "MD5 and SHA-1 are broken for signatures and passwords.",
    "Use SHA-256 or better; for passwords a password hash such as Argon2 or scrypt.",
)
WEAK_PASSWORD_HASH = Rule(
    "weak-password-hash",
    "medium",
    "CWE-916",
    "A password is hashed with too little work, or without a salt.",
    "Use Argon2, scrypt, or PBKDF2 with at least 600,000 rounds.",
)
WEAK_CIPHER = Rule(
    "weak-cipher",
    "high",
    "CWE-327",
    "The cipher or its mode is broken (DES, RC4, Blowfish, ECB).",
    "Use AES-GCM or ChaCha20-Poly1305.",
)
WEAK_KEY = Rule(
    "weak-key",
    "medium",
    "CWE-326",
    "The key is too short.",
    "Use at least 2048 bits for RSA and DSA, 224 for elliptic curves.",
)
FIXED_IV = Rule(
    "fixed-initialisation-vector",
    "medium",
    "CWE-329",
    "The initialisation vector is constant.",
    "Use a fresh random one for every message.",
)
FIXED_KEY = Rule(
    "hard-coded-key",
    "high",
    "CWE-321",
    "A cryptographic key is written in the code.",
    "Take it from the environment or a secret store, and replace it.",
)
WEAK_RANDOM = Rule(
    "guessable-secret",
    "medium",
    "CWE-330",
    "A secret is made with a random generator that can be predicted.",
    "Use the operating system's generator (in Python the secrets module).",
)
RANDOM = Rule(
    "predictable-random",
    "low",
    "CWE-330",
    "The random generator can be predicted.",
    "Use the operating system's generator where the value must not be guessed.",
)
DESERIALISATION = Rule(
    "unsafe-deserialisation",
    "high",
    "CWE-502",
    "Loading this format runs code chosen by whoever wrote the data.",
    "Use a data-only format such as JSON, or load only what was signed by yourself.",
)
UNCHECKED_TLS = Rule(
    "tls-not-verified",
    "high",
    "CWE-295",
    "The server's certificate is not checked.",
    "Leave verification on; add a private authority to the trusted ones instead.",
)
OLD_TLS = Rule(
    "old-tls",
    "medium",
    "CWE-327",
    "An outdated version of TLS is allowed.",
    "Allow TLS 1.2 and newer only.",
)
CLEARTEXT = Rule(
    "cleartext-protocol",
    "medium",
    "CWE-319",
    "Data travels unencrypted.",
    "Use the encrypted variant of the protocol.",
)
JWT = Rule(
    "token-not-verified",
    "high",
    "CWE-347",
    "A signed token is read without checking its signature.",
    "Verify the signature with a fixed list of algorithms.",
)
INSECURE_COOKIE = Rule(
    "insecure-cookie",
    "medium",
    "CWE-614",
    "A cookie is sent over unencrypted connections too.",
    "Set secure=True, httponly=True and samesite.",
)
SCRIPT_COOKIE = Rule(
    "cookie-open-to-scripts",
    "low",
    "CWE-1004",
    "A cookie can be read by scripts.",
    "Set httponly=True.",
)
DEBUG = Rule(
    "debug-mode",
    "medium",
    "CWE-489",
    "Debug mode is on: its console runs code for anybody.",
    "Switch it off, or by a setting of the environment.",
)
BIND_ALL = Rule(
    "bound-to-all-interfaces",
    "medium",
    "CWE-605",
    "The service listens on every interface.",
    "Listen on the interface that is meant.",
)
TEMP_FILE = Rule(
    "insecure-temporary-file",
    "medium",
    "CWE-377",
    "The name of a temporary file can be guessed and taken first.",
    "Use tempfile.NamedTemporaryFile or mkstemp.",
)
PERMISSIONS = Rule(
    "open-permissions",
    "medium",
    "CWE-732",
    "A file is open to every user of the machine.",
    "Give files the least permissions they need.",
)
CSRF = Rule(
    "request-not-checked",
    "medium",
    "CWE-352",
    "Protection against forged requests is switched off.",
    "Leave it on; give clients without cookies an own address.",
)
CORS = Rule(
    "any-origin",
    "medium",
    "CWE-942",
    "Scripts of any site may read the answers.",
    "List the origins that may.",
)
HOST_HEADER = Rule(
    "any-host",
    "low",
    "CWE-644",
    "Any host name is accepted.",
    "List the names this service has.",
)
CREDENTIAL = Rule(
    "hard-coded-credential",
    "medium",
    "CWE-798",
    "A credential is written in the code.",
    "Take it from the environment or a secret store, and replace it.",
)
ASSERTION = Rule(
    "assert-as-check",
    "low",
    "CWE-703",
    "An assert is not there when Python runs with -O.",
    "Raise an exception.",
)
SWALLOWED = Rule(
    "swallowed-exception",
    "low",
    "CWE-703",
    "Every exception is dropped without a trace.",
    "Catch what is expected, and log the rest.",
)
NO_TIMEOUT = Rule(
    "no-timeout",
    "low",
    "CWE-400",
    "A request without a timeout can wait for ever.",
    "Give it a timeout.",
)
NO_AUTHENTICATION = Rule(
    "no-authentication",
    "medium",
    "CWE-306",
    "Nobody has to say who they are.",
    "Ask for credentials before the work is done.",
)
RACE = Rule(
    "check-then-use",
    "low",
    "CWE-367",
    "A file is checked first and used later; it may have changed.",
    "Use it, and handle the failure.",
)
