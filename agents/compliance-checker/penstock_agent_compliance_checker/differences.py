"""Whether a difference between a text and a licence changes what the licence says."""

import re
from collections import Counter
from difflib import SequenceMatcher

from penstock_agent_compliance_checker.templates import Gap

MAX_RUN_WORDS = 6
ALIKE = 0.8
COPYRIGHT_WORDS = 40
_YEAR = re.compile(r"(?:19|20)\d\d")
MIN_TYPO_CHARS = 5

# What such a word says cannot be added to, or taken from, a licence without making it another.
TELLING = frozenset(
    {
        "not", "no", "with", "disclaimed", "disclaims", "disclaim", "liable", "warranty",
        "warranties", "sublicense", "non", "never", "nor", "neither", "except", "exception",
        "excepting", "exclude", "excluded", "excluding", "exclusively", "only", "unless",
        "until", "without", "prohibited", "prohibit", "prohibits", "forbidden", "forbid",
        "banned", "ban", "refuse", "commercial", "commercially", "noncommercial", "profit",
        "fee", "fees", "pay", "paid", "payment", "payments", "royalty", "royalties",
        "charge", "charges", "charged", "price", "sell", "sold", "selling", "sale",
        "resell", "rent", "lease", "restrict", "restricted", "restricts", "restriction",
        "restrictions", "limited", "limitation", "must", "shall", "require", "required",
        "requires", "obliged", "consent", "approval", "permission", "evil", "military",
        "weapons", "weapon", "nuclear", "government", "educational", "academic", "research",
        "evaluation", "internal", "personal", "private", "nonprofit", "trial", "expires",
        "expire", "terminate", "terminates", "terminated", "revoke", "revoked", "revocable",
        "irrevocable", "may", "cannot", "obligation", "condition", "conditions",
        "advertise", "advertising", "notify", "disclose", "publish", "source", "network",
        "users", "employees", "employer", "competing", "compete", "competitor", "hosted",
        "saas", "service", "patent", "patents", "trademark", "indemnify", "indemnification",
        "jurisdiction",
    }
)  # fmt: skip
_LIGHT = frozenset(
    {
        "a", "an", "the", "of", "to", "in", "on", "at", "by", "this", "that", "these",
        "those", "and", "is", "are", "be", "its", "it", "their", "his", "her", "as", "such",
        "any", "all", "for", "copyright", "c", "software", "library", "program", "package",
        "work", "works", "code", "file", "files", "product", "materials", "module",
    }
)  # fmt: skip
_EMPTY = re.compile(r"\d{1,2}(?:\.\d{1,2}){0,2}|[a-z]|[ivx]{1,5}")
_HARMLESS = ("but not limited to", "not limited to", "without limitation")
_NEGATIONS = ("un", "non", "in", "im", "dis", "ir")


def difference(lost: list[str], extra: list[str], gap: Gap | None) -> tuple[float, list[str]]:
    """How much a difference weighs, and a quotation of it if it changes the licence."""
    if "".join(lost) == "".join(extra):
        return 0.0, []
    if _typing_errors(lost, extra):
        return 0.5 * len(lost), []
    if gap is not None and len(extra) <= gap.most and not _telling(extra, gap.allowed):
        extra = []
    added, gone = _telling(extra), _telling(lost)
    weight = sum(_weight(word) for word in (*lost, *extra))
    if not added and not gone and _is_copyright([*lost, *extra]):
        return 0.0, []
    # Words that only changed their place within the stretch are not a change of meaning.
    moved = added & gone
    says: list[str] = []
    if added - moved:
        says.append("added: " + " ".join(extra[:12]))
    if gone - moved:
        says.append("missing: " + " ".join(lost[:12]))
    if len(extra) > 4 * MAX_RUN_WORDS and not says:
        says.append("added: " + " ".join(extra[:12]))
    return weight, says


def _is_copyright(words: list[str]) -> bool:
    """Whether a short difference is whose copyright it is, and since when."""
    return len(words) <= COPYRIGHT_WORDS and (
        "copyright" in words or any(_YEAR.fullmatch(word) for word in words)
    )


def _telling(words: list[str], allowed: frozenset[str] = frozenset()) -> Counter[str]:
    text = f" {' '.join(words)} "
    for phrase in _HARMLESS:
        text = text.replace(f" {phrase} ", " ")
    return Counter(word for word in text.split() if word in TELLING and word not in allowed)


def _weight(word: str) -> float:
    if _EMPTY.fullmatch(word):
        return 0.0
    return 0.25 if word in _LIGHT else 1.0


def _typing_errors(lost: list[str], extra: list[str]) -> bool:
    return 0 < len(lost) == len(extra) <= MAX_RUN_WORDS and all(
        _alike(ours, theirs) for ours, theirs in zip(lost, extra, strict=True)
    )


def _alike(ours: str, theirs: str) -> bool:
    if ours == theirs:
        return True
    short, long = sorted((ours, theirs), key=len)
    if len(short) < MIN_TYPO_CHARS or any(long == prefix + short for prefix in _NEGATIONS):
        return False
    if any(char.isdigit() for char in ours + theirs):
        return False
    return SequenceMatcher(None, short, long, autojunk=False).ratio() >= ALIKE
