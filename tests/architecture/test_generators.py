"""What the generators of documentation make of small, known inputs."""

from __future__ import annotations

import inspect
from enum import StrEnum
from types import ModuleType

import pytest

from penstock_contracts.codes import Code
from penstock_runtime.settings import Settings
from penstock_testkit.generate.error_codes import page
from penstock_testkit.generate.settings_tables import BEGIN, END, model_of, with_table
from penstock_testkit.generate.state_machines import diagram, tables


class Door(StrEnum):
    ABSENT = "absent"
    OPEN = "open"
    SHUT = "shut"
    GONE = "gone"


class Opened:
    pass


class Shut:
    pass


class Slammed:
    pass


class Removed:
    pass


def test_a_diagram_has_every_arrow_its_start_and_its_ends():
    table = {
        Opened: {Door.ABSENT: Door.OPEN, Door.SHUT: Door.OPEN},
        Shut: {Door.OPEN: Door.SHUT},
        Slammed: {Door.OPEN: Door.SHUT},
        Removed: {Door.OPEN: Door.GONE},
    }
    assert diagram(table).splitlines() == [
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> open: Opened",
        "    shut --> open: Opened",
        "    open --> shut: Shut, Slammed",
        "    open --> gone: Removed",
        "    gone --> [*]",
        "```",
    ]


def test_a_table_without_an_absent_status_starts_where_nothing_leads():
    assert "    [*] --> shut" in diagram({Opened: {Door.SHUT: Door.OPEN}}).splitlines()


def test_tables_are_found_by_their_name():
    module = ModuleType("transitions")
    vars(module).update(NODE_TRANSITIONS={}, _OLD_TRANSITIONS={}, OTHER=1)
    assert [name for name, _ in tables(module)] == ["node"]


def test_a_settings_module_defines_one_model():
    module = ModuleType("settings")
    vars(module)["Settings"] = Settings  # imported, not defined there
    with pytest.raises(LookupError, match="0 settings models"):
        model_of(module)

    class Own(Settings):
        """The service's own."""

    Own.__module__ = "settings"
    vars(module)["Own"] = Own
    assert model_of(module) is Own


def test_a_table_is_added_to_a_readme_once_and_then_replaced():
    first = with_table("# Service\n", "| old |\n")
    assert first == f"# Service\n\n## Settings\n\n{BEGIN}\n| old |\n{END}\n"
    assert with_table(first, "| new |\n") == first.replace("old", "new")


def test_every_code_stands_on_its_page():
    text = page(inspect.getsource(Code))
    assert [code for code in Code if f"| `{code.value}` | " not in text] == []
