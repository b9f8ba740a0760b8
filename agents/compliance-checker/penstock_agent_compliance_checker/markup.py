"""XML read without an XML parser: no entities, no DTD, no depth to exhaust."""

import html
import re
from collections.abc import Iterator

MAX_ELEMENTS = 50_000
MAX_DEPTH = 60
_TOKEN = re.compile(
    r"<!--.*?-->|<!\[CDATA\[(.*?)\]\]>|<\?.*?\?>|<![^>]*>|<(/?)([A-Za-z_][\w.:-]*)([^<>]*?)(/?)>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([A-Za-z_][\w.:-]*)\s*=\s*(?:\"([^\"<]*)\"|'([^'<]*)')")


def element_texts(text: str) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """Texts of elements that hold no others: path of names without prefixes, text, line."""
    for path, _, content, line in elements(text):
        if content:
            yield path, content, line


def elements(
    text: str,
) -> Iterator[tuple[tuple[str, ...], dict[str, str], str, int]]:
    """Elements in the order of their ends: path, attributes, own text, line of the start."""
    open_ones: list[tuple[str, dict[str, str], int, int]] = []
    line, seen_to = 1, 0
    for count, token in enumerate(_TOKEN.finditer(text)):
        if count > MAX_ELEMENTS:
            return
        line += text.count("\n", seen_to, token.start())
        seen_to = token.start()
        name = token[3]
        if name is None:
            continue
        local = name.rpartition(":")[2]
        if not token[2]:
            attributes = {
                key: html.unescape(first or second)
                for key, first, second in _ATTRIBUTE.findall(token[4])
            }
            if token[5]:
                path = tuple(one[0] for one in open_ones)
                yield (*path, local), attributes, "", line
            elif len(open_ones) < MAX_DEPTH:
                open_ones.append((local, attributes, token.end(), line))
            continue
        while open_ones and open_ones[-1][0] != local:
            open_ones.pop()
        if not open_ones:
            continue
        path = tuple(one[0] for one in open_ones)
        _, attributes, start, begun = open_ones.pop()
        inner = text[start : token.start()]
        content = "" if "<" in inner and "<![CDATA[" not in inner else inner
        content = re.sub(r"<!\[CDATA\[(.*?)\]\]>", r"\1", content, flags=re.DOTALL)
        yield path, attributes, html.unescape(content).strip(), begun
