"""File content as text and back, byte for byte where nothing was changed."""

import unicodedata
from dataclasses import dataclass

from penstock_agent_patcher.conflicts import Unfit

BOM = b"\xef\xbb\xbf"
MAX_FILE_BYTES = 4 * 1024 * 1024
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_HIDDEN = frozenset({"Cc", "Cf", "Cs"})


def showable(name: str) -> bool:
    """Whether a person sees all of a name: no control, formatting or undecodable characters."""
    return not any(unicodedata.category(char) in _HIDDEN for char in name)


@dataclass(frozen=True, slots=True)
class Form:
    """How a text is stored.

    Attributes:
        bom: It begins with a UTF-8 byte order mark.
        crlf: Every line ends with CR LF. A file with mixed ends is edited as it is instead.
    """

    bom: bool
    crlf: bool

    def fitted(self, text: str) -> str:
        """Foreign text (a replacement, a value) with the line ends that editing uses."""
        return text.replace("\r\n", "\n") if self.crlf else text


def decoded(data: bytes) -> tuple[str, Form]:
    r"""Text with `\n` line ends (unless they are mixed) and the form to put it back into.

    Bytes that are not UTF-8 become surrogates, which `encoded` turns into the same bytes.

    Raises:
        Unfit: The content is binary, UTF-16 or over `MAX_FILE_BYTES`.
    """
    if len(data) > MAX_FILE_BYTES:
        raise Unfit(f"the file is over {MAX_FILE_BYTES} bytes")
    if b"\x00" in data or data.startswith(_WIDE_BOMS):
        raise Unfit("the file is not text in UTF-8 or a single-byte encoding")
    bom = data.startswith(BOM)
    body = data.removeprefix(BOM)
    ends = body.count(b"\n")
    crlf = ends > 0 and body.count(b"\r\n") == ends
    text = body.decode("utf-8", "surrogateescape")
    return (text.replace("\r\n", "\n") if crlf else text), Form(bom=bom, crlf=crlf)


def encoded(text: str, form: Form) -> bytes:
    """The inverse of `decoded`."""
    stored = text.replace("\n", "\r\n") if form.crlf else text
    return (BOM if form.bom else b"") + stored.encode("utf-8", "surrogateescape")
