"""Settings come from the environment, whole or not at all."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from penstock_runtime.settings import (
    NatsSettings,
    PostgresSettings,
    ServiceSettings,
    Settings,
    SettingsFault,
    is_secret,
    load_settings,
    settings_table,
)


class Sample(NatsSettings, PostgresSettings, ServiceSettings):
    capacity: int = Field(default=4, ge=1, description="tasks at once | per process")


GOOD = {
    "PENSTOCK_NATS_URL": "nats://127.0.0.1:4222",
    "PENSTOCK_POSTGRES_URL": "postgresql://u:hunter2@127.0.0.1/db",
    "PENSTOCK_NAME": "one",
    "OTHER": "ignored",
}


def test_reads_the_environment_and_defaults() -> None:
    settings = load_settings(Sample, {**GOOD, "PENSTOCK_CAPACITY": "9", "PENSTOCK_GRACE_S": "2.5"})

    assert (settings.name, settings.capacity, settings.grace_s) == ("one", 9, 2.5)
    assert settings.nats_inbox_prefix == "_INBOX"


def test_an_empty_variable_counts_as_absent() -> None:
    assert load_settings(Sample, {**GOOD, "PENSTOCK_CAPACITY": ""}).capacity == 4


def test_all_faults_are_reported_at_once_without_values() -> None:
    with pytest.raises(SettingsFault) as caught:
        load_settings(
            Sample,
            {
                "PENSTOCK_CAPACITY": "many-hunter2",
                "PENSTOCK_GRACE_S": "-1",
                "PENSTOCK_LOG_LEVEL": "loud",
            },
        )

    faults = caught.value.faults
    assert {fault.split(":")[0] for fault in faults} == {
        "PENSTOCK_LOG_LEVEL",
        "PENSTOCK_GRACE_S",
        "PENSTOCK_POSTGRES_URL",
        "PENSTOCK_NATS_URL",
        "PENSTOCK_CAPACITY",
    }
    assert any(fault.startswith("PENSTOCK_NATS_URL: is missing (server") for fault in faults)
    assert "hunter2" not in str(caught.value)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")

    settings = load_settings(Sample, {**GOOD, "PENSTOCK_NATS_PASSWORD_FILE": str(secret)})

    assert settings.nats_password is not None
    assert settings.nats_password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)


def test_an_unreadable_secret_file_is_a_fault_even_where_the_secret_is_optional() -> None:
    with pytest.raises(SettingsFault, match="PENSTOCK_NATS_PASSWORD_FILE: /nowhere cannot be"):
        load_settings(Sample, {**GOOD, "PENSTOCK_NATS_PASSWORD_FILE": "/nowhere"})


@pytest.mark.parametrize("model", [Sample, NatsSettings, PostgresSettings, ServiceSettings])
def test_no_secret_has_a_default(model: type[Settings]) -> None:
    secrets = [field for field in model.model_fields.values() if is_secret(field)]

    assert all(field.is_required() or field.default is None for field in secrets)


def test_the_table_shows_every_variable() -> None:
    table = settings_table(Sample)

    assert "| `PENSTOCK_CAPACITY` | integer | `4` | tasks at once \\| per process |" in table
    assert "| `PENSTOCK_POSTGRES_URL` | secret | required |" in table
    assert "| `PENSTOCK_NATS_PASSWORD` | secret | none |" in table
    assert len(table.splitlines()) == 2 + len(Sample.model_fields)


def test_a_required_secret_refuses_an_empty_value() -> None:
    class Needs(Settings):
        key: SecretStr = Field(description="key")

    with pytest.raises(SettingsFault, match=r"PENSTOCK_KEY: is missing \(key\)"):
        load_settings(Needs, {"PENSTOCK_KEY": ""})


def test_what_is_no_secret_may_be_a_file_too(tmp_path: Path):
    name = tmp_path / "name"
    name.write_text("worker-1\n")
    settings = load_settings(Sample, {**GOOD, "PENSTOCK_NAME": "", "PENSTOCK_NAME_FILE": str(name)})
    assert settings.name == "worker-1"
