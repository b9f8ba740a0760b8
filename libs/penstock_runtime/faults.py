"""Operating faults. What the domain refuses is a value (`Rejection`), never an exception."""


class PenstockFault(Exception):
    """Root of all operating faults."""


class TransientFault(PenstockFault):
    """Something outside does not answer; trying again later may help.

    Attributes:
        retry_after_s: seconds after which another try makes sense.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class VersionConflict(PenstockFault):
    """An event with that aggregate and version is stored already: a stale owner or a defect."""


class Fenced(PenstockFault):
    """Another owner has taken over; step down."""


class StoreRolledBack(PenstockFault):
    """The published events are ahead of the store: the store was put back to an earlier state."""
