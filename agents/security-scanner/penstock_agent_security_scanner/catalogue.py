"""Every rule of this scanner's own, in one table."""

from dataclasses import dataclass

from penstock_agent_security_scanner.models import Severity


@dataclass(frozen=True)
class Rule:
    """What a finding of this rule says."""

    name: str
    severity: Severity
    cwe: str
    message: str
    suggestion: str


SQL = Rule(
    "sql-injection",
    "high",
    "CWE-89",
    "A database statement is put together from text that is not constant.",
    "Pass values as parameters of the statement; choose identifiers from a fixed list.",
)
COMMAND = Rule(
    "command-injection",
    "high",
    "CWE-78",
    "A shell command line is put together from text that is not constant.",
    "Start the program with a list of arguments and without a shell.",
)
CODE = Rule(
    "code-injection",
    "high",
    "CWE-95",
    "Text is run as program code.",
    "Parse the data instead of evaluating it.",
)
PATH = Rule(
    "path-traversal",
    "high",
    "CWE-22",
    "A file path holds text from an HTTP request.",
    "Resolve the path and refuse it unless it lies below the intended folder.",
)
XXE = Rule(
    "xml-external-entities",
    "high",
    "CWE-611",
    "An XML parser is allowed to resolve entities or load a DTD.",
    "Switch off entity resolution, DTD loading and network access, or use defusedxml.",
)
WEAK_HASH = Rule(
    "weak-hash",
    "medium",
    "CWE-327",
    "MD5 and SHA-1 are broken for signatures and passwords.",
    "Use SHA-256 or better; for passwords a password hash such as Argon2 or scrypt.",
)
WEAK_CIPHER = Rule(
    "weak-cipher",
    "high",
    "CWE-327",
    "The cipher or its mode is broken (DES, RC4, Blowfish, ECB).",
    "Use AES-GCM or ChaCha20-Poly1305.",
)
WEAK_RANDOM = Rule(
    "guessable-secret",
    "medium",
    "CWE-330",
    "A secret is made with a random generator that can be predicted.",
    "Use the operating system's generator (in Python the secrets module).",
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

RULES = {
    rule.name: rule
    for rule in (
        SQL,
        COMMAND,
        CODE,
        PATH,
        XXE,
        WEAK_HASH,
        WEAK_CIPHER,
        WEAK_RANDOM,
        DESERIALISATION,
        UNCHECKED_TLS,
    )
}
