"""What can go wrong between here and an engine."""


class EngineAway(Exception):
    """The engine or the way to it is away; the message says what was tried."""


class Refused(Exception):
    """The engine answered, and does not do what it was asked for; the message is its own."""
