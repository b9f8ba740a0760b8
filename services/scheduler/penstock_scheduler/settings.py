"""Settings of the scheduler."""

from pydantic import Field, SecretStr

from penstock_runtime.settings import NatsSettings, PostgresSettings, ServiceSettings


class SchedulerSettings(ServiceSettings, NatsSettings, PostgresSettings):
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
    ack_wait_s: float = Field(
        default=5.0, ge=5, le=3_600, description="silence after which a task is delivered again"
    )
