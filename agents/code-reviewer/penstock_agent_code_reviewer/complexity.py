"""Functions that are hard to follow, in every language that can be measured."""

from collections.abc import Iterator, Sequence

from penstock_agent_code_reviewer.python_complexity import Shape
from penstock_agent_code_reviewer.rules import Found, rule

# (measure, minor above, major above): major is where most published guidelines say refuse.
CYCLOMATIC = (15, 30)
COGNITIVE = (15, 30)
DEPTH = (4, 6)
LINES = (60, 120)
PARAMETERS = (7, 12)


def judge(shape: Shape, before: Shape | None, line: int) -> Iterator[Found]:
    """What is too much in a function.

    Args:
        shape: The function now.
        before: The same function before the change: what was too much then and has not grown is
            nobody's change.
        line: Where to report it.
    """
    yield from _paths(shape, before, line)
    for name, value, old, bounds, text in (
        ("too-deep", shape.depth, before and before.depth, DEPTH, "nests {} blocks"),
        ("too-long", shape.lines, before and before.lines, LINES, "has {} lines of code"),
        (
            "too-many-parameters",
            shape.parameters,
            before and before.parameters,
            PARAMETERS,
            "takes {} parameters",
        ),
    ):
        if value > bounds[0] and value > (old or 0):
            yield Found(
                rule(name),
                line,
                message=f"`{shape.name}` {text.format(value)} (more than {bounds[0]}).",
                severity="major" if value > bounds[1] else None,
                detail=shape.name,
            )


def _paths(shape: Shape, before: Shape | None, line: int) -> Iterator[Found]:
    grown = before is None or (
        shape.cyclomatic > before.cyclomatic or shape.cognitive > before.cognitive
    )
    over = shape.cyclomatic > CYCLOMATIC[0] or shape.cognitive > COGNITIVE[0]
    if not (grown and over):
        return
    far = shape.cyclomatic > CYCLOMATIC[1] or shape.cognitive > COGNITIVE[1]
    reading = f", cognitive complexity {shape.cognitive}" if shape.cognitive else ""
    yield Found(
        rule("too-complex"),
        line,
        message=f"`{shape.name}` has cyclomatic complexity {shape.cyclomatic}{reading}.",
        severity="major" if far else None,
        detail=shape.name,
    )


def touched(shapes: Sequence[Shape], changed: frozenset[int] | None) -> list[tuple[Shape, int]]:
    """Functions with changed lines, each with the line to report at."""
    if changed is None:
        return [(shape, shape.start) for shape in shapes]
    found: list[tuple[Shape, int]] = []
    for shape in shapes:
        lines = [line for line in range(shape.start, shape.end + 1) if line in changed]
        if lines:
            found.append((shape, lines[0]))
    return found
