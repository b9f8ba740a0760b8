"""Settings of the webhook gateway."""

from pathlib import Path

from pydantic import Field

from penstock_contracts.values import DEFAULT_TENANT
from penstock_runtime.settings import NatsSettings, PostgresSettings, ServiceSettings


class GatewaySettings(ServiceSettings, NatsSettings, PostgresSettings):
    """What a gateway needs to know."""

    http_host: str = Field(default="127.0.0.1", description="address of the API")
    http_port: int = Field(default=8080, ge=0, le=65_535, description="its port; 0: a free one")
    tenant: str = Field(default=DEFAULT_TENANT, description="tenant of the bootstrap token")
    admin_token_file: Path | None = Field(
        default=None,
        description="file with a token that is issued with the role admin at the start",
    )
    rate_per_minute: int = Field(
        default=100, ge=1, le=1_000_000, description="requests a minute and address"
    )
    trust_forwarded_for: bool = Field(
        default=False, description="take the client's address from the proxy's X-Forwarded-For"
    )
