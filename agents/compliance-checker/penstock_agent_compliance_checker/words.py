"""Licence texts as words, so that layout, comment marks and typography make no difference.

After the SPDX licence list's matching guidelines: case, white space, punctuation, quotes, bullets
and the listed spellings are not what a licence says.
"""

import html
import re
import unicodedata
from dataclasses import dataclass

# Longer than any licence text with all its appendices; what is beyond is not looked at.
MAX_CHARS = 400_000
MAX_WORDS = 60_000

_ADDRESS = re.compile(r"(?:https?|ftp)://[^\s<>()\[\]\"']+|\bwww\.[^\s<>()\[\]\"']+")
_ADDRESS_WORDS = " normalized/url "
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,300}>|<!--|-->")
_MARKDOWN_LINK = re.compile(r"\[([^\]\n]{1,300})\]\([^)\n]{1,500}\)")
# Comment marks at the start of a line, also several (` * # `), and at its end.
_LEAD = re.compile(
    r"^[ \t]*(?:(?://+!?|/\*+!?|\*+/?|#+!?|;+|--+|%+|>+|\|+|'{3}|\"{3}|<!--|(?:dnl|rem|REM)\b|"
    r"\.\\\"|=+|~+)[ \t]*)+"
)
_TRAIL = re.compile(r"(?:\*+/|-->|\|)[ \t]*$")
_BULLET = re.compile(
    r"^[ \t]*(?:[-*\u2022o\u00b7\u25cf][ \t]+|\(?(?:\d{1,2}(?:\.\d{1,2})*|[a-zA-Z]|[ivxIVX]{1,5})"
    r"[.)]{1,2}[ \t]+|\(?(?:\d{1,2}|[a-z]|[ivx]{1,5})\)[ \t]*)"
)
_BROKEN_WORD = re.compile(r"([a-z])-[ \t]*\n[^\na-zA-Z]{0,12}([a-z])")
_WORD = re.compile(r"[a-z0-9]+(?:[.'][a-z0-9]+)*")
_CONTRACTION = re.compile(r"\b(do|does|is|are|would|should|has|have|did)n't\b")
_QUOTES: dict[int, str | None] = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u201c": '"', "\u201d": '"',
        "\u201e": '"', "\u201f": '"', "\u00ab": '"', "\u00bb": '"', "\u2039": "'",
        "\u203a": "'", "\u00b4": "'", "`": "'", "\u2013": "-", "\u2014": "-", "\u2010": "-",
        "\u2011": "-", "\u00ad": None, "\u200b": None, "\ufeff": None, "\u00a0": " ",
    }
)  # fmt: skip
# The list's equivalent words, and the spellings that texts in the wild add.
_SAME: dict[str, str] = {
    "acknowledgement": "acknowledgment", "analogue": "analog", "analyse": "analyze",
    "artefact": "artifact", "authorisation": "authorization", "authorised": "authorized",
    "calibre": "caliber", "cancelled": "canceled", "capitalisations": "capitalizations",
    "catalogue": "catalog", "categorise": "categorize", "centre": "center",
    "emphasised": "emphasized", "favour": "favor", "favourite": "favorite", "fulfil": "fulfill",
    "fulfilment": "fulfillment", "initialise": "initialize", "judgement": "judgment",
    "labelling": "labeling", "labour": "labor", "licence": "license", "licences": "licenses",
    "licenced": "licensed", "maximise": "maximize", "modelled": "modeled",
    "modelling": "modeling", "offence": "offense", "optimise": "optimize",
    "organisation": "organization", "organise": "organize", "practise": "practice",
    "programme": "program", "realise": "realize", "recognise": "recognize",
    "signalling": "signaling", "utilisation": "utilization", "whilst": "while",
    "wilful": "willful", "sublicence": "sublicense", "noninfringment": "noninfringement",
    "owner": "holder", "owners": "holders", "owner's": "holder's", "ownership": "holdership", "organisations": "organizations", "unauthorised": "unauthorized",  # noqa: E501
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Words:
    """A text's words and the line each is on, from 1."""

    words: tuple[str, ...]
    lines: tuple[int, ...]


def words_of(text: str) -> Words:
    """Read a file: marks of comments, Markdown and HTML are left out."""
    plain = _unmarked(text[:MAX_CHARS])
    words: list[str] = []
    lines: list[int] = []
    for number, line in enumerate(plain.split("\n"), 1):
        if len(words) >= MAX_WORDS:
            break
        bare = _TRAIL.sub("", _LEAD.sub("", line))
        bare = _BULLET.sub("", bare, count=1)
        for word in _split(bare):
            words.append(word)
            lines.append(number)
    return Words(tuple(words), tuple(lines))


def plain_words(text: str) -> list[str]:
    """Read text that has no layout."""
    return _split(text.lower().translate(_QUOTES))


def _unmarked(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text.translate(_QUOTES)).lower()
    if "&" in folded:
        folded = html.unescape(folded).translate(_QUOTES)
    folded = folded.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    folded = _MARKDOWN_LINK.sub(r"\1", folded)
    folded = _ADDRESS.sub(_ADDRESS_WORDS, folded)
    folded = _TAG.sub(" ", folded)
    return _BROKEN_WORD.sub(r"\1\2 \n", folded)


def _split(line: str) -> list[str]:
    if "n't" in line:
        line = _CONTRACTION.sub(r"\1 not", line.replace("can't", "cannot"))
    found: list[str] = _WORD.findall(line)
    return [_SAME.get(word, word) for word in found]
