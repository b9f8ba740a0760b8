"""Uses of a Python name, as two static analysers see them.

rope follows class hierarchies and keyword arguments, jedi follows annotations and inferred types;
each sees what the other does not, so that their answers are put together. Neither runs the code it
reads: rope is given no project folder (whose configuration is a program) and jedi no environment
but this interpreter's.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock_agent_patcher.conflicts import Unfit

MAX_DEFINITIONS = 40
MAX_IMPORT_ROOTS = 50
_WORD = re.compile(r"\w+")
_DEFINES = re.compile(r"(?:def|class)\s+\Z")
Finder = Callable[[Path, str, int, str], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text: its place among the words, and its first character."""

    index: int
    start: int
    text: str


@dataclass(slots=True)
class Uses:
    """Which words of which files are the name.

    Attributes:
        words: Indices into `words_of` by path.
        notes: Analysers that gave up, and why.
    """

    words: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    notes: list[str] = field(default_factory=list[str])


def words_of(text: str) -> list[Word]:
    """All words; line ends and blanks do not count, so that both sides of a change compare."""
    return [Word(n, match.start(), match[0]) for n, match in enumerate(_WORD.finditer(text))]


def find_uses(root: Path, texts: Mapping[str, str], file: str, offset: int, new: str) -> Uses:
    """The uses of what is defined at an offset.

    Args:
        root: Folder that holds the texts as files.
        texts: Content by path below it.
        file: The defining module.
        offset: Where its name begins there.
        new: A name, needed by the analysers to make the change that is read back.

    Raises:
        Unfit: Neither analyser can tell.
    """
    uses = Uses()
    waiting = [(file, offset)]
    done: set[tuple[str, int]] = set()
    while waiting and len(done) < MAX_DEFINITIONS:
        path, at = waiting.pop()
        done.add((path, at))
        for found, indices in _seen(root, texts, path, at, new, uses.notes).items():
            uses.words[found] = uses.words.get(found, set()) | indices
        # An overriding method is found as a definition; its own callers need another look.
        waiting = [place for place in _definitions(texts, uses.words) if place not in done]
    if not uses.words:
        raise Unfit(f"its uses cannot be told: {'; '.join(uses.notes) or 'none found'}")
    return uses


def _seen(
    root: Path, texts: Mapping[str, str], file: str, offset: int, new: str, notes: list[str]
) -> dict[str, set[int]]:
    together: dict[str, set[int]] = {}
    for name, finder in (("rope", _ask_rope), ("jedi", _ask_jedi)):
        try:
            with warnings.catch_warnings():
                # About their own and the analysed code; neither is for the reader of the plan.
                warnings.simplefilter("ignore")
                changed = finder(root, file, offset, new)
        except Exception as error:  # noqa: BLE001 - foreign analysis of arbitrary code
            reason = " ".join(str(error).split())[:120]
            note = f"{name} gave up on {file}: {type(error).__name__} {reason}".rstrip()
            if note not in notes:
                notes.append(note)
            continue
        for path, after in changed.items():
            if path in texts:
                indices = changed_words(texts[path], after, new)
                together[path] = together.get(path, set()) | indices
    return together


def changed_words(before: str, after: str, new: str) -> set[int]:
    """Indices of the words that became `new`.

    Raises:
        Unfit: The texts differ in something else.
    """
    old_words, new_words = words_of(before), words_of(after)
    if len(old_words) != len(new_words):
        raise Unfit("an analyser changed more than names")
    indices = {
        mine.index
        for mine, other in zip(old_words, new_words, strict=True)
        if mine.text != other.text
    }
    if any(new_words[index].text != new for index in indices):
        raise Unfit("an analyser changed more than one name")
    return indices


def replaced_words(text: str, indices: set[int], new: str) -> str:
    """The text with these words replaced, and nothing else."""
    parts: list[str] = []
    at = 0
    for word in words_of(text):
        if word.index in indices:
            parts += [text[at : word.start], new]
            at = word.start + len(word.text)
    return "".join([*parts, text[at:]])


def _definitions(
    texts: Mapping[str, str], found: Mapping[str, set[int]]
) -> Sequence[tuple[str, int]]:
    return [
        (path, word.start)
        for path, indices in found.items()
        for word in words_of(texts[path])
        if word.index in indices
        and _DEFINES.search(texts[path], max(0, word.start - 40), word.start)
    ]


def _ask_rope(root: Path, file: str, offset: int, new: str) -> dict[str, str]:
    # Half a second to import, for renames only.
    from rope.base.project import Project  # noqa: PLC0415
    from rope.refactor.rename import Rename  # noqa: PLC0415

    project = Project(
        str(root),
        ropefolder=None,  # pyright: ignore[reportArgumentType] - documented, not annotated
        save_objectdb=False,
        save_history=False,
        automatic_soa=False,
        ignore_syntax_errors=True,
    )
    try:
        rename = Rename(project, project.get_resource(file), offset)
        changes = rename.get_changes(new, docs=False, in_hierarchy=True)
        return {change.resource.path: change.new_contents for change in changes.changes}
    finally:
        project.close()


def _ask_jedi(root: Path, file: str, offset: int, new: str) -> dict[str, str]:
    import jedi  # noqa: PLC0415
    from jedi.api.environment import InterpreterEnvironment  # noqa: PLC0415

    # Beside the folder of sources, which is in a temporary one.
    jedi.settings.cache_directory = str(root.parent / "cache")
    text = (root / file).read_text(encoding="utf-8")
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1)
    project = jedi.Project(str(root), sys_path=_import_roots(root), load_unsafe_extensions=False)
    script = jedi.Script(
        text, path=root / file, project=project, environment=InterpreterEnvironment()
    )
    changed = script.rename(line, column, new_name=new).get_changed_files()
    return {
        path.resolve().relative_to(root).as_posix(): change.get_new_code()
        for path, change in changed.items()
    }


def _import_roots(root: Path) -> list[str]:
    """Folders that imports start from: those that hold packages, and the top."""
    found = {root, root / "src"}
    for file in root.rglob("__init__.py"):
        folder = file.parent
        while folder != root and (folder / "__init__.py").is_file():
            folder = folder.parent
        found.add(folder)
    ordered = sorted(found, key=lambda folder: (len(folder.parts), folder))
    return [str(folder) for folder in ordered[:MAX_IMPORT_ROOTS]]
