"""Named SQL statements, kept in `.sql` files beside this package.

A file is a sequence of `-- name: <name>` lines, each followed by one statement. Statements are
handed to the driver as bytes: they are the program's own text, never put together from input.
"""

import re
from collections.abc import Mapping
from importlib.resources import files

_PACKAGE = "penstock_adapters.postgres"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_statements(file_name: str) -> Mapping[str, bytes]:
    """Read the statements of `sql/<file_name>`, by name.

    Raises:
        ValueError: two statements have one name.
    """
    text = files(_PACKAGE).joinpath("sql", file_name).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{file_name} names a statement twice")
    # What follows a statement's semicolon is the comment of the next one.
    return {
        name: body[: body.rindex(";")].strip().encode()
        for name, body in zip(names, bodies, strict=True)
    }


def load_migrations(schema: str) -> Mapping[int, tuple[str, bytes]]:
    """Read the files of `migrations/<schema>/`: number -> (file name, script), ascending."""
    folder = files(_PACKAGE).joinpath("migrations", schema)
    scripts = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return {int(f.name.split("_")[0]): (f.name, f.read_bytes()) for f in scripts}
