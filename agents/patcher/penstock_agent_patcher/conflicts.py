"""What stands against a change, named by file. One conflict is enough: nothing is changed."""

from dataclasses import dataclass

MAX_REASON_CHARS = 500


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why one file cannot be changed as asked.

    Attributes:
        file: Path in the repository; empty where no single file is meant.
        reason: One or two sentences for a person; holds no content of the file.
    """

    file: str
    reason: str


class Refused(Exception):
    """Ends an operation.

    Attributes:
        obstacles: At least one.
    """

    def __init__(self, *obstacles: Obstacle) -> None:
        super().__init__("; ".join(f"{each.file}: {each.reason}" for each in obstacles))
        self.obstacles = obstacles


class Unfit(ValueError):
    """One text cannot be changed as asked; its caller knows the file and makes it an obstacle."""
