"""Settings of the approval service."""

from pydantic import Field, SecretStr, field_validator

from penstock_runtime.grants import read_seed
from penstock_runtime.settings import PostgresSettings, ServiceSettings, StreamOwnerSettings


class ApprovalSettings(ServiceSettings, StreamOwnerSettings, PostgresSettings):
    """What an approval service needs to know."""

    grant_key: SecretStr = Field(
        description="Ed25519 private key that grants are signed with: a 32-byte seed in base64, "
        "or PEM; best in a file that only the service may read, named by `PENSTOCK_GRANT_KEY_FILE`"
    )

    @field_validator("grant_key", mode="after")
    @classmethod
    def _is_a_key(cls, value: SecretStr) -> SecretStr:
        read_seed(value.get_secret_value())
        return value
