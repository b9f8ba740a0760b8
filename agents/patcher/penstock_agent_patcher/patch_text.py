"""Reads a unified diff strictly: git skips lines it cannot place, and this must not."""

import re
from dataclasses import dataclass, field

_HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPE = re.compile(rb'\\([abfnrtv"\\]|[0-7]{3})')
_CONTROLS = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
}
_NOWHERE = b"/dev/null"
_PREFIXES = {(b"a/", b"b/"), (b"i/", b"w/"), (b"c/", b"i/"), (b"c/", b"w/"), (b"o/", b"w/")}


class BadPatch(ValueError):
    """The text is no unified diff; the message names the line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


@dataclass(frozen=True, slots=True)
class Hunk:
    """One `@@` section: its number within the file, its header, and where it should begin."""

    number: int
    header: str
    old_start: int
    crlf: bool


@dataclass(slots=True)
class FilePart:
    """What a patch holds about one file; names are as written, with their prefixes."""

    line: int
    git: bool
    old: bytes | None = None
    new: bytes | None = None
    declared: tuple[bytes, bytes] | None = None
    hunks: list[Hunk] = field(default_factory=list)
    binary: bool = False
    extended: bool = False


@dataclass(frozen=True, slots=True)
class PatchText:
    """A readable patch and how many leading folders to strip from its names."""

    parts: tuple[FilePart, ...]
    strip: int
    content: bytes

    def hunk_at(self, path: str, old_start: int) -> Hunk | None:
        """The hunk of a file that should begin at this line."""
        for part in self.parts:
            if path in {_stripped(name, self.strip) for name in (part.old, part.new)}:
                for hunk in part.hunks:
                    if hunk.old_start == old_start:
                        return hunk
        return None


def read_patch(text: str) -> PatchText:
    """Check a patch line by line.

    Raises:
        BadPatch: A line is in no place where git would read it, a hunk is shorter or longer than
            its header says, or names are not given in one way.
    """
    content = text.encode("utf-8", "surrogateescape")
    content += b"" if content.endswith(b"\n") else b"\n"
    parts = _Reader(content.split(b"\n")[:-1]).read()
    if not parts:
        raise BadPatch(1, "no file header (`diff --git` or `---`/`+++`) found")
    for part in parts:
        if not (part.hunks or part.binary or part.extended):
            raise BadPatch(part.line, "a file header without anything to change")
    return PatchText(tuple(parts), _strip_of(parts), content)


class _Reader:
    """One pass over the lines; `at` is the next one."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self._at = 0
        self._parts: list[FilePart] = []

    def read(self) -> list[FilePart]:
        signed = False
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.startswith((b"diff --cc ", b"diff --combined ")):
                raise BadPatch(self._at + 1, "a combined diff of a merge cannot be applied")
            if line.startswith(b"diff --git "):
                signed = False
                self._git_header(line)
            elif line.startswith(b"--- ") and self._peek(1).startswith(b"+++ "):
                signed = False
                self._names(line, self._peek(1))
            elif line.startswith(b"@@ "):
                self._hunk(line)
            elif line.rstrip() == b"GIT binary patch":
                self._binary()
            elif line.startswith(b"Binary files ") and self._parts:
                raise BadPatch(self._at + 1, "a binary file without its content (use --binary)")
            else:
                signed = signed or line.rstrip(b"\r") in (b"-- ", b"--")
                if not signed:
                    self._other(line)
                self._at += 1
        return self._parts

    def _peek(self, ahead: int) -> bytes:
        at = self._at + ahead
        return self._lines[at] if at < len(self._lines) else b""

    def _git_header(self, line: bytes) -> None:
        part = FilePart(self._at + 1, git=True)
        rest = line.removeprefix(b"diff --git ").rstrip(b"\r")
        part.declared = _declared(rest)
        if part.declared is not None:
            part.old, part.new = part.declared
        self._parts.append(part)
        self._at += 1

    def _names(self, old: bytes, new: bytes) -> None:
        current = self._parts[-1] if self._parts else None
        if current is None or not current.git or current.hunks:
            current = FilePart(self._at + 1, git=False)
            self._parts.append(current)
        current.old, current.new = _name(old[4:]), _name(new[4:])
        self._at += 2
        if not self._peek(0).startswith(b"@@ "):
            raise BadPatch(self._at + 1, "a hunk header (`@@ -1,2 +1,3 @@`) is missing here")

    def _hunk(self, line: bytes) -> None:
        at = self._at + 1
        if not self._parts or self._parts[-1].old is None:
            raise BadPatch(at, "a hunk before any file name")
        header = _HUNK.match(line)
        if header is None:
            raise BadPatch(at, "a hunk header is malformed (`@@ -1,2 +1,3 @@`)")
        start, old, _, new = (1 if n is None else int(n) for n in header.groups())
        self._at += 1
        crlf = self._hunk_lines(old, new, at)
        hunks = self._parts[-1].hunks
        hunks.append(Hunk(len(hunks) + 1, header[0].decode(), start, crlf))

    def _hunk_lines(self, old: int, new: int, header_at: int) -> bool:
        crlf = False
        while old > 0 or new > 0:
            if self._at >= len(self._lines):
                raise BadPatch(header_at, "the hunk has fewer lines than its header says")
            line = self._lines[self._at]
            kind = line[:1]
            if kind not in (b" ", b"+", b"-", b"\\", b"") and line != b"\r":
                raise BadPatch(header_at, "the hunk has fewer lines than its header says")
            old -= kind not in (b"+", b"\\")
            new -= kind not in (b"-", b"\\")
            if old < 0 or new < 0:
                raise BadPatch(header_at, "the hunk's header does not count its lines rightly")
            crlf = crlf or line.endswith(b"\r")
            self._at += 1
        if self._peek(0).startswith(b"\\"):
            self._at += 1
        return crlf

    def _binary(self) -> None:
        if not self._parts:
            raise BadPatch(self._at + 1, "binary content before any file name")
        self._parts[-1].binary = True
        self._at += 1
        while self._at < len(self._lines) and not self._lines[self._at].startswith(b"diff --"):
            self._at += 1

    def _other(self, line: bytes) -> None:
        """A header line of git's, or commentary; nothing that looks like a lost change."""
        current = self._parts[-1] if self._parts else None
        if current is None:
            return
        if current.git and not current.hunks:
            current.extended = current.extended or line.startswith(
                (b"old mode", b"new mode", b"new file mode", b"deleted file mode", b"rename ")
            )
            current.extended = current.extended or line.startswith(b"copy ")
        if current.hunks and line[:1] in (b"+", b"-", b" ", b"@") and line.strip():
            raise BadPatch(
                self._at + 1, "a change outside any hunk: the header above counts too few lines"
            )


def _name(written: bytes) -> bytes:
    """A name of a `---` or `+++` line, without its time stamp."""
    plain = written.rstrip(b"\r")
    if plain.startswith(b'"'):
        return _unquoted(plain.rpartition(b'"')[0] + b'"')
    return plain.partition(b"\t")[0].rstrip(b" ")


def _declared(rest: bytes) -> tuple[bytes, bytes] | None:
    """Both names of a `diff --git` line; None when blanks make it ambiguous."""
    quoted = re.findall(rb'"(?:[^"\\]|\\.)*"|[^ ]+', rest)
    if len(quoted) == 2:
        old, new = (_unquoted(name) if name.startswith(b'"') else name for name in quoted)
        return old, new
    half = (len(rest) - 1) // 2
    old, new = rest[:half], rest[half + 1 :]
    return (old, new) if old.partition(b"/")[2] == new.partition(b"/")[2] else None


def _unquoted(name: bytes) -> bytes:
    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code, 8) & 0xFF]) if len(code) == 3 else _CONTROLS.get(code, code)

    return _ESCAPE.sub(plain, name[1:-1])


def _strip_of(parts: list[FilePart]) -> int:
    """1 where all names have a prefix such as `a/` and `b/`, 0 where none has."""
    found = {_prefixed(part) for part in parts} - {None}
    if len(found) > 1:
        raise BadPatch(1, "some file names have the prefixes a/ and b/, others have not")
    return 0 if found == {False} else 1


def _prefixed(part: FilePart) -> bool | None:
    old, new = part.old, part.new
    if old is None or new is None:
        return None
    if _NOWHERE in (old, new):
        name = new if old == _NOWHERE else old
        sides = {pair[old == _NOWHERE] for pair in _PREFIXES}
        return name[:2] in sides
    if (old[:2], new[:2]) in _PREFIXES or (new[:2], old[:2]) in _PREFIXES:
        return True
    first, second = old.partition(b"/"), new.partition(b"/")
    return first[0] != second[0] and bool(first[2]) and first[2] == second[2]


def _stripped(name: bytes | None, strip: int) -> str | None:
    if name is None or name == _NOWHERE:
        return None
    return (name.partition(b"/")[2] if strip else name).decode("utf-8", "surrogateescape")
