"""package.json: the range of one package, rewritten in place."""

import json

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.json_text import Node, parse_json
from penstock_agent_patcher.requirements import Edited
from penstock_agent_patcher.specifiers import npm_range

SECTIONS = (
    "dependencies",
    "devDependencies",
    "peerDependencies",
    "optionalDependencies",
    "resolutions",
    "overrides",
)


def update_package_json(text: str, name: str, wanted: str) -> Edited:
    """The file with the package's range updated in every section.

    Raises:
        Unfit: Not JSON, a range that cannot be raised, or a nested override.
    """
    root = parse_json(text)
    places: list[Node] = []
    for section in SECTIONS:
        member = root.child(section) if root.kind == "object" else None
        entry = member.value.child(name) if member and member.value.kind == "object" else None
        if entry is None:
            continue
        if not isinstance(entry.value.scalar, str):
            raise Unfit(f"{section}: {name} is declared by an object, which is left to a person")
        places.append(entry.value)
    for place in sorted(places, key=lambda each: each.start, reverse=True):
        current = str(place.scalar)
        changed = npm_range(current, wanted)
        if changed != current:
            written = json.dumps(changed, ensure_ascii=False)
            text = text[: place.start] + written + text[place.end :]
    return Edited(text, len(places))
