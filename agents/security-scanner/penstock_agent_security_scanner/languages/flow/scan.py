"""One file through reader, machine and judge."""

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.flow.calling import Caller
from penstock_agent_security_scanner.languages.flow.judge import Judge
from penstock_agent_security_scanner.languages.flow.read_go import GoReader
from penstock_agent_security_scanner.languages.flow.read_java import JavaReader
from penstock_agent_security_scanner.languages.flow.read_javascript import (
    JavaScriptReader,
    TsxReader,
    TypeScriptReader,
)
from penstock_agent_security_scanner.languages.flow.reader import Reader
from penstock_agent_security_scanner.languages.flow.reading_tables import table_of

_READERS: dict[str, tuple[type[Reader], str]] = {
    "go": (GoReader, "go"),
    "java": (JavaReader, "java"),
    "javascript": (JavaScriptReader, "javascript"),
    "typescript": (TypeScriptReader, "javascript"),
    "tsx": (TsxReader, "javascript"),
}


def scan_program(language: str, text: str, lines: list[str]) -> list[tuple[Rule, int]]:
    """Rule and line of every weakness."""
    reader, table = _READERS[language]
    program = reader(text).run()
    judge = Judge(table_of(table), lines)
    Caller(program, judge).run()
    return [(rule, line) for (_, line), rule in judge.found.items()]
