"""Digests, ciphers, keys and their parameters."""

import re
from typing import Final

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.taint.machine import Machine
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import Value

_WEAK_DIGESTS: Final = frozenset({"md2", "md4", "md5", "sha", "sha1", "sha-1", "ripemd160", "mdc2"})
_DIGEST_CALLS: Final = re.compile(
    r"^hashlib\.(?:md5|sha1)$|^(?:Crypto|Cryptodome)\.Hash\.(?:MD2|MD4|MD5|SHA|SHA1|RIPEMD(?:160)?)\.new$|"
    r"^cryptography\.hazmat\.primitives\.hashes\.(?:MD5|SHA1)$|^md5\.(?:new|md5)$|^sha\.new$"
)
_WEAK_CIPHERS: Final = re.compile(
    r"^(?:Crypto|Cryptodome)\.Cipher\.(?:ARC2|ARC4|Blowfish|CAST|DES|DES3|XOR)\.new$|"
    r"^cryptography\.hazmat\.primitives\.ciphers\.algorithms\.(?:ARC4|Blowfish|CAST5|IDEA|SEED|TripleDES)$|"
    r"^cryptography\.hazmat\.primitives\.ciphers\.modes\.ECB$|^pyDes\.(?:des|triple_des)$"
)
_AES: Final = re.compile(r"^(?:Crypto|Cryptodome)\.Cipher\.\w+\.new$")
_CHECKSUM: Final = re.compile(
    r"etag|checksum|cache|fingerprint|dedup|file_?hash|hash_?file|content_?hash|gravatar|digest_of|"
    r"short_?id|cache_?key|bucket|partition|color|avatar|md5sum|sha1sum|integrity",
    re.IGNORECASE,
)
MIN_ROUNDS: Final = 10_000


def judge(machine: Machine, site: Site) -> None:
    """Algorithms that are broken, and good ones used badly."""
    if site.path.startswith(
        ("hashlib.", "md5.", "sha.", "Crypto", "cryptography.", "hmac.", "pyDes.")
    ):
        _digest(machine, site)
        _cipher(machine, site)
        _key_length(machine, site)
        _rounds(machine, site)
    elif site.path.endswith(("jwt.encode", "jwt.decode")):
        _fixed_key(machine, site, site.argument(1, "key"))


def _digest(machine: Machine, site: Site) -> None:
    if site.is_set("usedforsecurity", False):
        machine.clear(catalogue.WEAK_HASH, site.lines)
        return
    level = "low" if _CHECKSUM.search(site.function) else "medium"
    if _DIGEST_CALLS.match(site.path):
        machine.report(catalogue.WEAK_HASH, site.line, level)
        return
    name: Value | None = None
    if site.path == "hashlib.new":
        name = site.argument(0, "name")
    elif site.path in ("hmac.new", "hmac.digest"):
        name = site.argument(2, "digestmod", "digest")
    elif site.path == "hashlib.pbkdf2_hmac":
        return
    if name is None:
        return
    if name.known and str(name.const).lower() in _WEAK_DIGESTS:
        machine.report(catalogue.WEAK_HASH, site.line, level)
    elif name.kind in ("hashlib.md5", "hashlib.sha1") and site.path == "hmac.new":
        machine.report(catalogue.WEAK_HASH, site.line, "low")
    elif name.known:
        machine.clear(catalogue.WEAK_HASH, site.lines)


def _cipher(machine: Machine, site: Site) -> None:
    if _WEAK_CIPHERS.match(site.path):
        machine.report(catalogue.WEAK_CIPHER, site.line)
        return
    if _AES.match(site.path) and "Cipher" in site.path:
        mode, vector = site.argument(1, "mode"), site.argument(2, "iv", "IV", "nonce")
        if (mode is None and site.path.endswith("AES.new")) or (
            mode is not None and mode.kind.endswith("MODE_ECB")
        ):
            machine.report(catalogue.WEAK_CIPHER, site.line)
        if vector is not None and vector.fixed and vector.kind != "int":
            machine.report(catalogue.FIXED_IV, site.line)
        _fixed_key(machine, site, site.argument(0, "key"))
    elif re.search(r"modes\.(?:CBC|CTR|GCM|CFB|OFB)$", site.path):
        vector = site.argument(0, "initialization_vector", "nonce")
        if vector is not None and vector.fixed and vector.text:
            machine.report(catalogue.FIXED_IV, site.line)
    elif site.path.endswith((".algorithms.AES", ".fernet.Fernet")):
        _fixed_key(machine, site, site.argument(0, "key"))


def _fixed_key(machine: Machine, site: Site, key: Value | None) -> None:
    if key is None or not key.known or not isinstance(key.const, str | bytes):
        return
    if len(key.const) >= 4 and str(site.keywords.get("verify", "")) == "":
        machine.report(catalogue.FIXED_KEY, site.line, "medium")


def _key_length(machine: Machine, site: Site) -> None:
    if not re.search(
        r"(?:RSA|DSA|ElGamal)\.generate$|(?:rsa|dsa)\.generate_private_key$", site.path
    ):
        return
    index = 1 if site.path.endswith("rsa.generate_private_key") else 0
    size = site.argument(index, "bits", "key_size")
    if size is not None and isinstance(size.const, int) and 0 < size.const < 2048:
        machine.report(catalogue.WEAK_KEY, site.line, "high" if size.const < 1024 else "medium")
    elif size is not None and isinstance(size.const, int):
        machine.clear(catalogue.WEAK_KEY, site.lines)


def _rounds(machine: Machine, site: Site) -> None:
    if site.path == "hashlib.pbkdf2_hmac":
        rounds, salt = site.argument(3, "iterations"), site.argument(2, "salt")
        weak = rounds is not None and isinstance(rounds.const, int) and rounds.const < MIN_ROUNDS
        if weak or (salt is not None and salt.known):
            machine.report(catalogue.WEAK_PASSWORD_HASH, site.line)
    elif site.path.endswith("PBKDF2HMAC"):
        rounds = site.argument(3, "iterations")
        if rounds is not None and isinstance(rounds.const, int) and rounds.const < MIN_ROUNDS:
            machine.report(catalogue.WEAK_PASSWORD_HASH, site.line)
