"""SPDX-License-Identifier lines, and the texts REUSE wants beside them."""

from pathlib import Path

import pytest

from penstock_agent_compliance_checker.models import CheckInput
from penstock_agent_compliance_checker.scan import check

TAG = "SPDX-License-" + "Identifier"
MIT = {"LICENSE": "Released under the MIT license.\n"}


def told(folder: Path, files: dict[str, str], **fields: object) -> set[tuple[str, str, str]]:
    """Rule, severity and file of each violation but those of the project itself."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    asked = {"repository_path": str(folder), "rules": "licenses", **fields}
    output = check(CheckInput.model_validate(asked))
    return {(one.rule, one.severity, one.file) for one in output.violations}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"# {TAG}: MIT", set[tuple[str, str, str]]()),
        (f"# {TAG}: GPL-3.0-only", {("license-conflict", "critical", "a.py")}),
        (f"# {TAG}: LGPL-3.0-only", {("license-review", "warning", "a.py")}),
        (f"# {TAG}: GPL-3.0", {("license-id-withdrawn", "info", "a.py"),
                               ("license-conflict", "critical", "a.py")}),
        (f"# {TAG}: No Such Terms", {("license-header-invalid", "warning", "a.py")}),
        (f"RULE = '{TAG}: <expression>'", set[tuple[str, str, str]]()),
    ],
)  # fmt: skip
def test_a_line_is_held_against_the_licence_of_the_project(
    tmp_path: Path, line: str, expected: set[tuple[str, str, str]]
) -> None:
    assert told(tmp_path, {**MIT, "a.py": f"{line}\nx = 1\n"}) == expected


def test_documents_that_show_such_lines_are_under_none_of_them(tmp_path: Path) -> None:
    shown = f"# How to\n\n    {TAG}: GPL-3.0-only\n"
    own = f"<!-- {TAG}: GPL-3.0-only -->\n# Title\n"
    found = told(tmp_path, {**MIT, "shown.md": shown, "own.md": own})
    assert found == {("license-conflict", "critical", "own.md")}


def test_a_missing_line_is_told_where_lines_are_required(tmp_path: Path) -> None:
    files = {"a.py": f"# {TAG}: MIT\n", "b.py": "x = 1\n", "empty.py": "", "c.json": "{}"}
    assert told(tmp_path, {**MIT, **files}) == set()
    assert told(tmp_path, {}, require_license_headers=True) == {
        ("license-header-missing", "warning", "b.py")
    }


def test_a_missing_line_is_told_where_nearly_every_file_has_one(tmp_path: Path) -> None:
    files = {f"a{number}.py": f"# {TAG}: MIT\nx = 1\n" for number in range(5)}
    missing = ("license-header-missing", "info", "b.py")
    assert told(tmp_path, {**MIT, **files, "b.py": "x = 1\n"}) == {missing}
    # REUSE.toml may say it for all of them.
    assert told(tmp_path, {"REUSE.toml": "version = 1\n"}) == set()
    (tmp_path / "REUSE.toml").unlink()
    others = {f"c{number}.py": "x = 1\n" for number in range(3)}
    assert told(tmp_path, others) == set()


def test_each_named_licence_has_its_text(tmp_path: Path) -> None:
    files = {
        **MIT,
        "LICENSES/MIT.txt": "MIT License\n",
        "LICENSES/BSD-3-Clause.txt": "BSD 3-Clause License\n",
        "a.py": f"# {TAG}: MIT\n",
        "b.py": f"# {TAG}: BSD-3-Clause OR ISC\n",
        "c.py": f"# {TAG}: ISC\n",
        "d.py": f"# {TAG}: Apache-2.0 WITH LLVM-exception\n",
    }
    missing = {file for rule, _, file in told(tmp_path, files) if rule == "license-text-missing"}
    assert missing == {"b.py", "d.py"}
    also = {"LICENSES/ISC.txt": "ISC\n", "LICENSES/Apache-2.0.txt": "Apache License 2.0\n",
            "LICENSES/LLVM-exception.txt": "LLVM exception\n"}  # fmt: skip
    assert told(tmp_path, also) == set()
