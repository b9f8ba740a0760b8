"""Problems of a document as people read them: place, message, line with a caret, way out."""

from collections.abc import Sequence

from penstock_adapters.yaml.document import Document, Position
from penstock_contracts.workflow.v1 import Problem
from penstock_core.workflow.problems import AT_KEY

MAX_LINE_CHARS = 200  # of a source line that is shown


def render_problems(document: Document, problems: Sequence[Problem]) -> str:
    """Give every problem in the order of the text, as one block each.

    A block is `file:line:column: message`, the source line with a caret under the place, and
    the suggestion where there is one.
    """
    placed = [(_place(document, problem), problem) for problem in problems]
    placed.sort(key=lambda item: item[0])
    return "\n".join(_block(document, place, problem) for place, problem in placed)


def _place(document: Document, problem: Problem) -> Position:
    return document.locate(problem.pointer, at_key=problem.code in AT_KEY)


def _block(document: Document, place: Position, problem: Problem) -> str:
    lines = [f"{document.name}:{place.line}:{place.column}: {problem.message}"]
    if place.line <= len(document.lines):
        source = document.lines[place.line - 1][:MAX_LINE_CHARS]
        before = source[: place.column - 1]
        # A tab stays a tab, so that the caret stands where the eye expects it.
        lead = "".join("\t" if char == "\t" else " " for char in before)
        lines += [f"  {source}", f"  {lead}^"]
    if problem.suggestion:
        lines.append(f"  suggestion: {problem.suggestion}")
    return "\n".join(lines)
