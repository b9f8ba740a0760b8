"""OWASP Benchmark, for Java and Python: one test a file, its category and truth in a CSV."""

from collections.abc import Sequence
from pathlib import Path

from penstock_testkit.quality.cases import Case, Label, Suite
from penstock_testkit.quality.families import family_of, number_of
from penstock_testkit.quality.suites.folder import files_of, is_true, language_of, rows_of

MAX_CONTEXT_FILES = 100


def read(root: Path) -> Sequence[Suite]:
    """One suite for each table of expected results."""
    tables = sorted(root.glob("expectedresults-*.csv"))
    if not tables:
        return []
    sources: dict[str, str] = {}
    for name in files_of(root):
        if language_of(name) in {"java", "python"}:
            sources[Path(name).stem] = name
    suites: list[Suite] = []
    for table in tables:
        cases: list[Case] = []
        for row in rows_of(table):
            name = row.get("test name", "")
            source = sources.get(name)
            number = number_of(row.get("cwe", ""))
            if source is None or number is None:
                continue
            family = family_of(number)
            label = Label(source, 0, family, frozenset({number}))
            cases.append(
                Case(
                    id=name,
                    klass=family,
                    language=language_of(source),
                    labels=(label,) if is_true(row.get("real vulnerability", "")) else (),
                    source=source,
                    also=frozenset({number}),
                )
            )
        asked = {case.source for case in cases}
        context = [name for name in sources.values() if name not in asked]
        suites.append(
            Suite(
                name=root.name,
                kind="OWASP Benchmark",
                part="scanner",
                cases=tuple(cases),
                complete=False,
                root=str(root),
                lines=False,
                context=tuple(context[:MAX_CONTEXT_FILES]),
            )
        )
    return suites
