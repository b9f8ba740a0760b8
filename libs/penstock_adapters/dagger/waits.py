"""How long each step on the way to an engine may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waits:
    """Time limits, all of them in seconds.

    Attributes:
        hello_s: Until a started CLI has to have reached its engine.
        schema_s: For a connection to the engine's API.
        image_s: In which an image has to be there: fetched, or uploaded to the engine.
        upload_s: For a workspace to be uploaded or taken back.
        secret_s: For a secret or a socket to be made known to an engine.
        start_s: Until a container's first process has to have called.
        ping_every_s: Between two looks whether the engine of a running task is alive.
        ping_s: For an engine to show that it is.
        kill_s: Until a first process has to have killed an agent and said so.
        late_s: For what a container said just before its request ended.
        cancel_s: A cancelled container may take to end by itself, before its request is cancelled.
        finish_s: An engine may take to clear a container away whose agent has ended.
        end_s: A CLI may take to end once it is told to.
    """

    hello_s: float = 60.0
    schema_s: float = 30.0
    image_s: float = 600.0
    upload_s: float = 120.0
    secret_s: float = 20.0
    start_s: float = 60.0
    ping_every_s: float = 15.0
    ping_s: float = 10.0
    kill_s: float = 5.0
    late_s: float = 0.5
    cancel_s: float = 1.0
    finish_s: float = 30.0
    end_s: float = 2.0


DEFAULT_WAITS = Waits()
"""For engines on machines that are busy."""
