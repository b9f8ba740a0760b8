"""Settings of the approval service."""

from penstock_runtime.settings import NatsSettings, PostgresSettings, ServiceSettings


class ApprovalSettings(ServiceSettings, NatsSettings, PostgresSettings):
    """What an approval service needs to know."""
