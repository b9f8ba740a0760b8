"""Names that credentials are kept under."""

import re

_SPEAKS = re.compile(
    r"(?i)(?:pass(?:w(?:or)?d|phrase|code|wd)|(?:^|[_.-])(?:pwd?|pw|psk|pass|auth|creds?"
    r"|pat)(?:$|[_.-]?\d*$)"
    r"|_pwd|pwd$|secret|token|credential"
    r"|(?:api|access|private|encryption|signing|auth|account|master|client|shared|service|storage"
    r"|license|app|application|consumer|admin|server|session|cookie|crypt|cipher|hmac|aes"
    r"|des|rsa|ssh|jwt"
    r"|subscription|write|integration|deploy|publish|bot|oauth)[-_. ]?key|apikey|passkey"
    r"|(?:^|[_.-])(?:dsn|key_?base|salt)$|webhook[-_.]?url"
    r"|conn(?:ection)?[-_.]?str(?:ing)?|secretkey"
    r"|(?:^|[_.-])_?auth(?:token)?$|bearer|otp[-_.]?seed|seed[-_.]?phrase|mnemonic)"
)
# Names that speak of something about a credential.
_ABOUT = re.compile(
    r"(?i)(?:(?:^|[_.-])(?:fields?|labels?|types?|names?|id|ids|ur[il]s?|path|paths|file"
    r"|files|filename|dir|headers?|prefix"
    r"|suffix|length|len|size|min|max|count|counts|limits?|policy|policies|regex"
    r"|patterns?|format|algorithm|alg|hash|hasher|hashers"
    r"|digest|checksum|hashed|rounds|expir\w*|ttl|timeout|age|lifetime|enabled?|disabled?"
    r"|required|valid\w*|placeholder"
    r"|hint|message|messages|error|errors|text|title|description|help|prompt|env|var"
    r"|params?|attr\w*|column|index"
    r"|state|status|endpoint|provider|class|scopes?|audience|issuer|method|mode|style"
    r"|position|budget|usage"
    r"|strength|reset|store|manager|ref|selector|mount|cookie|tokenizer|kind|pos|offset"
    r"|rotation|version"
    r"|arn|generator|generators|handler|service|account|from|source|mail|email|question"
    r"|for|of|to|in|on|is|set|get"
    r"|input|form|view|page|link|screen|button|dialog|test|char|chars|word|words|list|map"
    r"|dict|keys|tokens|secrets"
    r"|encryption|authentication|mechanism|backend|plugin|sync|changed|change|updated|created|at|date|time|location|region|alias|aliases"
    r"|lookup|callback|validator|checker)$"
    r"|^(?:no|is|has|use|show|hide|max|min|num|total|next|prev|page|require|without|with|label|remove"
    r"|enter|title|msg|error)[_.-]"
    r"|(?:^|[_.-])(?:csrf|xsrf|confirm|forgot|reset|change|missing|invalid|wrong|bad"
    r"|delete|continuation|cancellation)[_.-]"
    r"|(?:^|[_.-])(?:public|pub|primary|foreign|sort|partition|cache|object|row|map|group"
    r"|unique|index|i18n|translation"
    r"|locale|hot|short|hash|sync|design)[_.-]?(?:key|token)"
    r"|publishable|tokeniz|secretary|passport|bypass|compass|passive|passenger|authored?"
    r"|author|monkey|keyboard|keyword|turkey)"
)
_BOUNDARY = re.compile(r"([a-z0-9])([A-Z])")


def is_credential_name(name: str) -> bool:
    """Whether a name speaks of the credential itself, not of its length, path or type."""
    split = _BOUNDARY.sub(r"\1_\2", name)
    if re.search(r"(?i)webhook[-_.]?url$", split):
        return True
    return _SPEAKS.search(split) is not None and _ABOUT.search(split) is None


MAY_SPEAK = re.compile(
    r"(?i)pass|pwd|pw|psk|secret|token|key|cred|dsn|webhook|conn|auth|salt|bearer|seed"
    r"|mnemonic|pat|-u\s|--user|identified"
)
"""A line without any of these has no credential's name on it."""
