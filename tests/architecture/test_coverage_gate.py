"""The coverage gate: targets, marks, and that a mark never falls."""

from __future__ import annotations

import pytest

from penstock_testkit.coverage_gate import Tally, judge, part_of, raised, tally


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("libs/penstock_core/run/decide.py", "core"),
        ("services/webhook-gateway/penstock_webhook_gateway/app.py", "webhook-gateway"),
        ("setup.py", "other"),
    ],
)
def test_a_file_belongs_to_its_package(path: str, part: str):
    assert part_of(path) == part


def test_lines_and_branches_count_alike():
    parts = tally(
        {
            "libs/penstock_core/a.py": {
                "covered_lines": 8,
                "num_statements": 10,
                "covered_branches": 1,
                "num_branches": 2,
            }
        }
    )
    assert parts["core"].percent == pytest.approx(75.0)


def test_a_part_at_its_target_passes_without_a_mark():
    assert judge({"core": Tally(95, 100), "cli": Tally(85, 100)}, {}) == []


def test_a_part_below_its_target_passes_only_at_its_mark():
    parts = {"core": Tally(80, 100)}
    assert judge(parts, {"core": 80.0}) == []
    assert judge(parts, {"core": 82.0}) == ["core: 80.0 % is below 82.0 %"]
    assert judge(parts, {}) == ["core: 80.0 % is below 95.0 %"]


def test_marks_only_rise():
    parts = {"core": Tally(90, 100), "cli": Tally(50, 100)}
    assert raised(parts, {"core": 88.0, "cli": 60.0}) == {"cli": 60.0, "core": 90.0}
