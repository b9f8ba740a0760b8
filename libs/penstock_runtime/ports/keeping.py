"""Who carries artifacts between the object store and what is durable, for an owner of runs."""

from typing import Protocol

from penstock_core.effects import BringBack, StoreArtifacts


class Keeper(Protocol):
    """Takes questions about artifacts; answers come as commands, or as objects that appear."""

    def ask(self, question: StoreArtifacts | BringBack) -> bool:
        """Take a question, without waiting; False: there is no room, it has to come again."""
        ...


class NoKeeper:
    """Where there are no artifacts: takes nothing."""

    def ask(self, question: StoreArtifacts | BringBack) -> bool:
        """Refuse."""
        del question
        return False
