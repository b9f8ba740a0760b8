"""What a service's process says and returns when its environment does not describe it."""

from __future__ import annotations

import os
import runpy
import sys

import pytest

from penstock_adapters.system.process import EXIT_SETTINGS

SHORT = "hunter2"
NATS = "nats://127.0.0.1:4222"
STORE = f"postgresql://service:{SHORT}@127.0.0.1/db"
MISSING = "is missing"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    for module in [name for name in sys.modules if name.endswith(".__main__")]:
        monkeypatch.delitem(sys.modules, module)  # imported for its entry point: run it anew


def faults(service: str, said: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Run the service's module as a program; give what it says by variable."""
    module = f"penstock_{service.replace('-', '_')}"
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__")
    assert ended.value.code == EXIT_SETTINGS
    lines = said.readouterr().err.splitlines()
    found = [line.removeprefix(f"penstock {service}: ").partition(": ") for line in lines]
    return {variable: text for variable, _, text in found}


@pytest.mark.parametrize(
    ("service", "needed"),
    [
        ("scheduler", {"PENSTOCK_NATS_URL", "PENSTOCK_POSTGRES_URL", "PENSTOCK_TASK_SECRET"}),
        ("approval", {"PENSTOCK_NATS_URL", "PENSTOCK_POSTGRES_URL"}),
        ("executor", {"PENSTOCK_NATS_URL"}),
        ("webhook-gateway", {"PENSTOCK_NATS_URL", "PENSTOCK_POSTGRES_URL"}),
    ],
)
def test_everything_that_is_missing_is_named_at_once(
    service: str, needed: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = faults(service, capsys)

    assert set(said) >= needed
    assert all(said[name].startswith(MISSING) for name in needed)


def test_the_scheduler_names_every_fault_and_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "NATS_URL": NATS,
        "POSTGRES_URL": STORE,
        "TASK_SECRET": SHORT,
        "RUN_PARTITIONS": "257",
        "ACK_WAIT_S": "1",
        "LOG_LEVEL": "loud",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"PENSTOCK_{name}", value)
    said = faults("scheduler", capsys)

    assert set(said) == {
        f"PENSTOCK_{name}" for name in ("TASK_SECRET", "RUN_PARTITIONS", "ACK_WAIT_S", "LOG_LEVEL")
    }
    assert "at least 32" in said["PENSTOCK_TASK_SECRET"]
    assert "less than or equal to 256" in said["PENSTOCK_RUN_PARTITIONS"]
    assert "greater than or equal to 5" in said["PENSTOCK_ACK_WAIT_S"]
    assert SHORT not in str(said)


def test_the_approval_service_names_every_fault_and_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"POSTGRES_URL": STORE, "NAME": "a name", "OPS_PORT": "x", "GRACE_S": "-1"}
    for name, value in given.items():
        monkeypatch.setenv(f"PENSTOCK_{name}", value)
    monkeypatch.setenv("PENSTOCK_NATS_PASSWORD_FILE", "/nowhere")
    said = faults("approval", capsys)

    assert set(said) == {
        "PENSTOCK_NATS_URL", "PENSTOCK_NATS_PASSWORD_FILE", "PENSTOCK_NAME", "PENSTOCK_OPS_PORT",
        "PENSTOCK_GRACE_S", "PENSTOCK_GRANT_KEY",
    }  # fmt: skip
    assert said["PENSTOCK_NATS_PASSWORD_FILE"].startswith("/nowhere cannot be read")
    assert SHORT not in str(said)
