"""`penstock agent new`: the folder of an agent that works, to be changed into the one wanted."""

from __future__ import annotations

import keyword
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from penstock_cli.faults import CliFault, ExitCode
from penstock_contracts.values import NAME_PATTERN

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".tmpl"  # so that what is in a template is nobody's source before it is written
PROGRAM = "run"
PACKAGE = "@package@"


class Template(StrEnum):
    """What an agent is for."""

    ANALYSIS = "analysis"
    MODIFICATION = "modification"
    NOTIFICATION = "notification"


class Language(StrEnum):
    """What it is written in."""

    PYTHON = "python"
    ANY = "any"


ABOUT: Mapping[Template, tuple[str, str]] = {
    Template.ANALYSIS: (
        "Finds the lines of a repository that hold a word.",
        "penstock agent run . --repository /some/repository --input word=FIXME",
    ),
    Template.MODIFICATION: (
        "Sees to it that a file of a git repository holds a line; a person sees the diff first.",
        "penstock agent run . --repository /some/repository -i file=.gitignore -i line=dist/",
    ),
    Template.NOTIFICATION: (
        "Posts a message to a webhook, with retries.",
        "penstock agent run . -i url=https://chat.example/hook -i text=hello "
        "--allow-egress chat.example:443",
    ),
}


def make_agent(name: str, template: Template, language: Language, folder: Path) -> list[str]:
    """Write an agent's folder; gives the relative paths of its files.

    The folder appears as a whole or not at all, and nothing is ever overwritten.

    Raises:
        CliFault: the name is none, or the folder is there already or cannot be written.
    """
    check_name(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        mend = "nothing was written: choose another place with --folder"
        raise CliFault(f"{folder} is there already", mend)
    about, example = ABOUT[template]
    words = {"name": name, "package": package_of(name), "about": about, "example": example}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".penstock-new-") as scratch:
            made = Path(scratch) / "agent"
            made.mkdir()
            for source, place in _files(template, language):
                _write(source, made / filled(place, words), words)
            _ = made.rename(folder)
    except OSError as error:
        where = error.filename or folder
        raise CliFault(f"{where} cannot be written: {error.strerror}") from None
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def example_of(template: Template, place: str) -> str:
    """Give a command line that runs such an agent; `place` is its folder, quoted for a shell."""
    return ABOUT[template][1].replace("run .", f"run {place}", 1)


def check_name(name: str) -> None:
    """Refuse what no manifest could hold.

    Raises:
        CliFault: with a name that would do.
    """
    if re.fullmatch(NAME_PATTERN, name):
        return
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-_")[:63].strip("-_")
    what = "lower-case letters, digits, - and _, at most 63, as in todo-finder"
    mend = f"{what}; {near} would do" if near else what
    raise CliFault(f"{name!r} is no name for an agent", mend, ExitCode.USAGE)


def package_of(name: str) -> str:
    """Give the name of its Python package, which hides no other module."""
    package = name.replace("-", "_")
    taken = keyword.iskeyword(package) or package in sys.stdlib_module_names or package == "tests"
    if taken or not package.isidentifier() or find_spec(package) is not None:
        return f"agent_{package}"
    return package


def _files(template: Template, language: Language) -> Iterator[tuple[Path, str]]:
    roots = [TEMPLATES / f"{template}-{language}"]
    if language is Language.ANY:
        roots.append(TEMPLATES / Language.ANY)
    for root in roots:
        for source in sorted(root.rglob(f"*{SUFFIX}")):
            yield source, source.relative_to(root).as_posix().removesuffix(SUFFIX)


def filled(text: str, words: Mapping[str, str]) -> str:
    """Put the words in the places of their marks."""
    for mark, word in words.items():
        text = text.replace(f"@@{mark}@@", word)
    return text.replace(PACKAGE, words["package"])


def _write(source: Path, target: Path, words: Mapping[str, str]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(filled(source.read_text(encoding="utf-8"), words), encoding="utf-8")
    if target.name == PROGRAM:
        target.chmod(0o755)
