"""requirements.txt and its like: the version of one package, and nothing else, is rewritten."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.specifiers import python_specifier

_REQUIREMENT = re.compile(
    r"^(?P<head>\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\]\s*)?)"
    r"(?P<open>\(?)(?P<spec>[^;#@()\\\n]*?)(?P<close>\)?)"
    r"(?P<tail>\s*(?:;.*|@.*|#.*|--.*|\\\n.*)?)$",
    re.DOTALL,
)
_HASH = re.compile(r"--hash[= ]\S+")


@dataclass(frozen=True, slots=True)
class Edited:
    """A text after an update.

    Attributes:
        text: The whole of it.
        found: How many declarations name the package, changed or not.
    """

    text: str
    found: int


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def updated_requirement(
    text: str,
    name: str,
    wanted: str,
    specifier: Callable[[str, str], str] = python_specifier,
) -> str | None:
    """One requirement with its new version; None when it names another package.

    Raises:
        Unfit: It is declared by an address, or its versions exclude the wanted one.
    """
    match = _REQUIREMENT.match(text)
    if match is None or canonical(match["name"]) != canonical(name):
        return None
    if match["tail"].lstrip().startswith("@"):
        raise Unfit(f"{match['name']} is declared by an address, not by version")
    spec = match["spec"]
    # Blanks before a marker or a comment belong to the line, not to the version.
    body = spec.rstrip()
    trailing = spec[len(body) :]
    changed = specifier(body, wanted)
    head = match["head"]
    if not body and not match["open"]:
        name_end = len(head.rstrip())
        return head[:name_end] + changed + head[name_end:] + trailing + match["tail"]
    return head + match["open"] + changed + trailing + match["close"] + match["tail"]


def update_requirements(text: str, name: str, wanted: str, hashes: Sequence[str] = ()) -> Edited:
    """A requirements file with every declaration of the package updated.

    Raises:
        Unfit: A declaration cannot be updated; or it is pinned with hashes and none are given.
    """
    out: list[str] = []
    found = 0
    for logical in _logical_lines(text):
        body = logical.rstrip("\n")
        end = logical[len(body) :]
        if body.lstrip().startswith(("#", "-")):
            out.append(logical)
            continue
        changed = updated_requirement(body, name, wanted)
        if changed is None:
            out.append(logical)
            continue
        found += 1
        if changed != body and _HASH.search(body):
            changed = _rehashed(changed, hashes)
        _demand_valid(changed)
        out.append(changed + end)
    return Edited("".join(out), found)


def _logical_lines(text: str) -> list[str]:
    """Lines with their continuations."""
    found: list[str] = []
    going = False
    for line in re.findall(r"[^\n]*\n|[^\n]+$", text):
        if going:
            found[-1] += line
        else:
            found.append(line)
        going = line.rstrip("\n").endswith("\\") and not line.lstrip().startswith("#")
    return found


def _rehashed(text: str, hashes: Sequence[str]) -> str:
    if not hashes:
        raise Unfit(
            "pinned with hashes, and those of the new version cannot be known without network: "
            "give them as `hashes`"
        )
    places = list(_HASH.finditer(text))
    blanks = re.search(r"[\s\\]*$", text[: places[0].start()])
    between = blanks[0] if blanks else " "
    pins = between.join(f"--hash={pin}" for pin in hashes)
    return text[: places[0].start()] + pins + text[places[-1].end() :]


def _demand_valid(text: str) -> None:
    plain = re.sub(r"\s#.*", "", _HASH.sub("", text).replace("\\\n", " "), flags=re.DOTALL)
    try:
        Requirement(plain.strip(" \\"))
    except InvalidRequirement as error:
        raise Unfit("the requirement could not be rewritten safely") from error
