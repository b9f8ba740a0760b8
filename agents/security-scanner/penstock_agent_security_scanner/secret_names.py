"""Names that speak of a credential, and names that only look like it."""

import re
from typing import Final

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PASSWORD: Final = re.compile(
    r"(?:^|_)(?:\w*(?:password|passwd|passwort|passphrase|passcode)|pwd|pass|pw|psw|pswd|mysql_pwd|pgpassword|"
    r"requirepass|userpass|dbpass|db_?pass|rootpw|bindpw|adminpw|credentials?)\d*$"
)
_KEY: Final = re.compile(
    r"(?:^|_)(?:\w*secret|\w*token|\w*api_?key|api_?secret|\w*apikey|app_?key|auth_?key|access_?key|"
    r"account_?key|master_?key|private_?key|privatekey|secret_?key|secretkey|signing_?key|encryption_?key|"
    r"crypt_?key|client_?secret|consumer_?secret|license_?key|service_?key|shared_?key|salt|"
    r"session_?key|storage_?key|admin_?key|server_?key|write_?key|security_?key|cipher_?key|aes_?key|"
    r"hmac_?key|jwt_?key|auth|authorization|bearer|secret_access_key|secret_key_base|nonce_?salt|"
    r"(?:secure_auth|logged_in|nonce|auth)_(?:key|salt)|webhook_secret|pat)\d*$"
)
# What follows says that the name is of something about the credential.
_ABOUT: Final = re.compile(
    r"_(?:file|path|name|url|uri|id|field|label|header|type|length|len|size|min|max|hash|hashed|policy|regex|"
    r"pattern|prompt|placeholder|hint|ttl|expiry|expires?|expiration|timeout|count|limit|enabled|required|env|"
    r"var|ref|arn|provider|column|format|algorithm|alg|digest|method|class|handler|view|form|page|message|"
    r"error|title|text|description|desc|endpoint|location|source|store|manager|version|prefix|suffix|index|"
    r"list|map|input|button|link|template|validator|strength|score|attempts|age|days|change|changed|reset|"
    r"iv|input|box|mask|char|kind|scope|audience|issuer|from|key_ref|secret_ref|parameter|param|dir|folder)$|"
    r"^(?:is|has|use|show|hide|forgot|reset|change|no|min|max|num|public|enable|allow|require|confirm_new|"
    r"validate|check|old|invalid|wrong|missing|empty|fake|dummy|example|encrypted|hashed)_|"
    r"(?:^|_)(?:public|csrf|xsrf|next_page|page|continuation|cancellation|syntax|lexer|parser|foreign|primary|"
    r"partition|sort|cache|eos|bos|pad|unk|mask|sep|cls|special|keyword)_?(?:key|token|pass|secret)$|"
    r"(?:^|_)(?:bypass|compass|by_?pass|trespass|encompass|overpass|first_pass|second_pass|two_pass)$"
)


def words_of(name: str) -> str:
    """A name in lower case with its words separated."""
    plain = _CAMEL.sub("_", name.strip("\"'`$@ ")).lower()
    return re.sub(r"[\W_]+", "_", plain).strip("_")


def kind_of(name: str) -> str | None:
    """`password` or `key` for a name that speaks of a credential; None for any other."""
    words = words_of(name)
    if not words or len(words) > 80 or _ABOUT.search(words):
        return None
    if _PASSWORD.search(words):
        return "password"
    return "key" if _KEY.search(words) else None
