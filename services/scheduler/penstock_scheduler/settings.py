"""Settings of the scheduler."""

from pydantic import Field, SecretStr

from penstock_runtime.settings import PostgresSettings, ServiceSettings, StreamOwnerSettings


class SchedulerSettings(ServiceSettings, StreamOwnerSettings, PostgresSettings):
    """What a scheduler needs to know."""

    task_secret: SecretStr = Field(
        min_length=32,
        description="secret from which each task's code is derived; the same for all schedulers",
    )
    run_partitions: int = Field(
        default=1,
        ge=1,
        le=256,
        description="partitions that new runs are "
        "spread over; the store remembers them, so that the number grows and never shrinks",
    )
    pools: str = Field(
        default="default", description="pools whose work queues exist, separated by commas"
    )
    artifact_cache_mb: int = Field(
        default=4_096,
        ge=16,
        le=67_108_864,
        description="size of the bus's object store, through which artifacts travel; no single "
        "task may leave more than half of it",
    )
    artifact_days: float = Field(
        default=90.0,
        gt=0,
        le=36_500,
        description="days after which an artifact that no result has named again is pruned; "
        "its name, size and digest stay in the events",
    )
    ack_wait_s: float = Field(
        default=5.0, ge=5, le=3_600, description="silence after which a task is delivered again"
    )
