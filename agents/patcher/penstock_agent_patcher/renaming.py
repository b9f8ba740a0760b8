"""Renames of what Python code defines, with every use that can be seen."""

import builtins
import io
import keyword
import re
import tempfile
import tokenize
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from penstock_agent_patcher.clone import Clone
from penstock_agent_patcher.conflicts import Obstacle, Refused, Unfit
from penstock_agent_patcher.definitions import Definition, definition_of
from penstock_agent_patcher.models import Rename
from penstock_agent_patcher.references import Uses, find_uses, replaced_words, words_of
from penstock_agent_patcher.scopes import scope_fault
from penstock_agent_patcher.text import Form, decoded, encoded, showable

MAX_FILES = 5_000
MAX_SHOWN_PLACES = 20
# What jedi does by itself: it looks into so many files, and for no shorter names.
JEDI_FILES = 30
JEDI_SHORTEST = 3
LENGTHENED = "made_longer"
SUFFIXES = (".py", ".pyi")


def rename_symbol(clone: Clone, task: Rename) -> list[str]:
    """Rename, or refuse; the notes name what was left alone.

    Raises:
        Refused: The name is not defined there, not usable, its uses cannot be told, or the
            result would mean something else.
    """
    sources, skipped = _sources(clone, task)
    texts = {path: text for path, (text, _) in sources.items()}
    try:
        uses = _uses(texts, task)
    except Unfit as error:
        raise Refused(Obstacle(task.file, f"{task.symbol}: {error}")) from error
    old = task.symbol.rpartition(".")[2]
    changed: dict[str, bytes] = {}
    obstacles: list[Obstacle] = []
    for path, indices in sorted(uses.words.items()):
        text, form = sources[path]
        after = replaced_words(text, indices, task.new_name)
        fault = scope_fault(text, after, old, task.new_name)
        if fault is not None:
            obstacles.append(Obstacle(path, fault))
        changed[path] = encoded(after, form)
    if obstacles:
        raise Refused(*obstacles)
    for path, after in changed.items():
        clone.write(path, after)
    return [*uses.notes, *skipped, *_left_alone(texts, uses, old)]


def _sources(clone: Clone, task: Rename) -> tuple[dict[str, tuple[str, Form]], list[str]]:
    """Python files as text, and notes about those that cannot be read as UTF-8."""
    entry = clone.files.get(task.file)
    if entry is None or not entry.regular or not task.file.endswith(SUFFIXES):
        raise Refused(Obstacle(task.file, "there is no such Python file"))
    paths = [
        path
        for path, each in clone.files.items()
        if each.regular and path.endswith(SUFFIXES) and showable(path)
    ]
    if len(paths) > MAX_FILES:
        raise Refused(Obstacle("", f"more than {MAX_FILES} Python files"))
    found: dict[str, tuple[str, Form]] = {}
    notes: list[str] = []
    old = task.symbol.rpartition(".")[2].encode()
    for path, content in clone.read_all(paths):
        try:
            text, form = decoded(content or b"\0")
            text.encode("utf-8")
        except ValueError:
            if path == task.file:
                raise Refused(Obstacle(path, "the file is too large or not UTF-8")) from None
            if content is None or old in content:
                notes.append(f"{path} is too large or not UTF-8 and was left alone")
            continue
        found[path] = (text, form)
    return found, notes


def _uses(texts: Mapping[str, str], task: Rename) -> Uses:
    new = task.new_name
    if not new.isidentifier() or keyword.iskeyword(new) or new in dir(builtins):
        raise Unfit(f"{new!r} cannot be a name here (keyword, builtin or no identifier)")
    text = texts[task.file]
    place = definition_of(_plain_ends(text), task.symbol)
    if task.symbol.rpartition(".")[2] == new:
        raise Unfit("that is its name already")
    _demand_free_member(text, place, new)
    with tempfile.TemporaryDirectory(prefix="patcher-") as scratch:
        root = Path(scratch).resolve() / "sources"
        plain = {path: _plain_ends(each) for path, each in texts.items()}
        analysed = _lengthened(plain, task.symbol.rpartition(".")[2])
        for path, each in analysed.items():
            target = root / PurePosixPath(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(each, encoding="utf-8", newline="")
        start = next(
            word.index for word in words_of(plain[task.file]) if word.start == place.offset
        )
        offset = words_of(analysed[task.file])[start].start
        uses = find_uses(root, analysed, task.file, offset, new)
    _demand_one_name(plain, uses, task)
    holding = sum(task.symbol.rpartition(".")[2] in text for text in plain.values())
    if holding > JEDI_FILES:
        uses.notes.append(
            f"{holding} files hold the word; uses told by annotations only were looked for in "
            f"{JEDI_FILES} of them"
        )
    return uses


def _lengthened(texts: dict[str, str], old: str) -> dict[str, str]:
    """The same code with a name of one or two letters made longer: jedi follows no shorter one.

    Words keep their places. A module of that name could not be imported any more, so that nothing
    is changed then.
    """
    if len(old) >= JEDI_SHORTEST or any(PurePosixPath(path).stem == old for path in texts):
        return texts
    return {
        path: re.sub(rf"\b{re.escape(old)}\b", f"{old}_{LENGTHENED}", text)
        for path, text in texts.items()
    }


def _plain_ends(text: str) -> str:
    """All line ends as the analysers read them; words keep their order."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _demand_free_member(text: str, place: Definition, new: str) -> None:
    if place.member and re.search(rf"\bself\s*\.\s*{re.escape(new)}\b", text):
        raise Unfit(f"self.{new} is used in this file already")


def _demand_one_name(texts: Mapping[str, str], uses: Uses, task: Rename) -> None:
    """An analyser that names another word is wrong, or follows an alias."""
    old = task.symbol.rpartition(".")[2]
    for path, indices in uses.words.items():
        strays = {word.text for word in words_of(texts[path]) if word.index in indices} - {old}
        if strays:
            raise Unfit(f"{min(strays)} in {path} would be renamed too")


def _left_alone(texts: Mapping[str, str], uses: Uses, old: str) -> list[str]:
    """Where the word still stands: in code (perhaps the same thing) and elsewhere."""
    code: list[str] = []
    other: list[str] = []
    for path, stored in sorted(texts.items()):
        if old not in stored:
            continue
        text = _plain_ends(stored)
        names = _name_offsets(text)
        for word in words_of(text):
            if word.text == old and word.index not in uses.words.get(path, set()):
                line = text.count("\n", 0, word.start) + 1
                (code if word.start in names else other).append(f"{path}:{line}")
    notes: list[str] = []
    if code:
        notes.append(f"{old} also stands, as something else or not told apart, in {_shown(code)}")
    if other:
        notes.append(f"{old} was left alone in strings and comments: {_shown(other)}")
    return notes


def _shown(places: list[str]) -> str:
    unique = list(dict.fromkeys(places))
    more = len(unique) - MAX_SHOWN_PLACES
    return ", ".join(unique[:MAX_SHOWN_PLACES]) + (f" and {more} more" if more > 0 else "")


def _name_offsets(plain: str) -> frozenset[int]:
    """Where names stand in code, as offsets into a text with plain line ends."""
    starts = [0]
    for line in plain.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    found: set[int] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(plain).readline):
            if token.type == tokenize.NAME:
                found.add(starts[token.start[0] - 1] + token.start[1])
    except (tokenize.TokenError, SyntaxError):
        return frozenset(found)
    return frozenset(found)
