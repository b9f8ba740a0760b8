"""Version updates: which text follows from which, and what around it stays as it is."""

import json
import tomllib

import pytest

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.dependencies import manifest_kind
from penstock_agent_patcher.package_json import update_package_json
from penstock_agent_patcher.pyproject import update_pyproject
from penstock_agent_patcher.requirements import update_requirements, updated_requirement
from penstock_agent_patcher.specifiers import npm_range, poetry_constraint, python_specifier

PIN = "sha256:" + "a" * 64
OTHER_PIN = "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("current", "wanted", "after"),
    [
        ("==2.31.0", "2.32.1", "==2.32.1"),
        ("== 2.31.0", "2.32.1", "== 2.32.1"),
        ("===2.31.0", "2.32.1", "===2.32.1"),
        (">=2.28", "2.32.1", ">=2.32.1"),
        (">=2.28, <3", "2.32.1", ">=2.32.1, <3"),
        ("<3,>=2.28,!=2.30.0", "2.32.1", "<3,>=2.32.1,!=2.30.0"),
        (">2.28", "2.32.1", ">=2.32.1"),
        ("~=2.31.0", "2.31.5", "~=2.31.5"),
        ("~=2.31", "2.32.1", "~=2.32,>=2.32.1"),
        ("~=2.31", "2.32", "~=2.32"),
        ("~=2.31", "2.32.0", "~=2.32"),
        ("==2.31.*", "2.32.1", "==2.32.*"),
        ("", "2.32.1", ">=2.32.1"),
        ("<3", "2.32.1", ">=2.32.1,<3"),
        ("!=2.0", "2.32.1", ">=2.32.1,!=2.0"),
        ("==2.31.0", ">=2.32,<4", ">=2.32,<4"),
        (">=1!2.0", "1!2.1", ">=1!2.1"),
        (">=2.0a1", "2.0rc2", ">=2.0rc2"),
        ("==2.31.0", "2.30.0", "==2.30.0"),
    ],
)
def test_python_specifiers(current: str, wanted: str, after: str):
    assert python_specifier(current, wanted) == after


@pytest.mark.parametrize(
    ("current", "wanted", "reason"),
    [
        (">=2,<2.32", "2.32.1", "outside of '>=2,<2.32'"),
        ("<2", "2.32.1", "outside"),
        ("==1.0,==1.1", "1.2", "outside"),
        ("!=2.32.1", "2.32.1", "outside"),
        ("==1.0", "latest", "no version"),
        ("==1.0", ">=", "no version specifier"),
        ("==1.0", "1.0; rm -rf /", "no version"),
        ("==1.0", "^1.2", "no version specifier"),
    ],
)
def test_python_specifiers_that_cannot_be(current: str, wanted: str, reason: str):
    with pytest.raises(Unfit) as caught:
        python_specifier(current, wanted)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("current", "wanted", "after"),
    [
        ("^2.31", "2.32.1", "^2.32.1"),
        ("~2.31", "2.32.1", "~2.32.1"),
        ("2.31.0", "2.32.1", "2.32.1"),
        ("*", "2.32.1", ">=2.32.1"),
        (">=2.31,<3", "2.32.1", ">=2.32.1,<3"),
        ("~=2.31", "2.32", "~=2.32"),
        ("^2.31", "^3", "^3"),
        ("^2.31", ">=2.32,<4", ">=2.32,<4"),
    ],
)
def test_poetry_constraints(current: str, wanted: str, after: str):
    assert poetry_constraint(current, wanted) == after


@pytest.mark.parametrize(
    ("current", "wanted", "after"),
    [
        ("^4.17.20", "4.17.21", "^4.17.21"),
        ("~4.17.20", "4.17.21", "~4.17.21"),
        ("4.17.20", "4.17.21", "4.17.21"),
        ("=4.17.20", "4.17.21", "=4.17.21"),
        (">=4.17.20", "4.17.21", ">=4.17.21"),
        (">=4.17.20 <5", "4.17.21", ">=4.17.21 <5"),
        (">= 4.17.20 < 5.0.0", "4.17.21", ">= 4.17.21 < 5.0.0"),
        ("*", "4.17.21", ">=4.17.21"),
        ("^4", "4.17.21", "^4.17.21"),
        ("^4.0.0-beta.1", "4.0.0-rc.2", "^4.0.0-rc.2"),
        ("1.x || 2.x", "^4.17.21 || ^5.0.0", "^4.17.21 || ^5.0.0"),
        ("latest", "^4.17.21", "^4.17.21"),
    ],
)
def test_npm_ranges(current: str, wanted: str, after: str):
    assert npm_range(current, wanted) == after


@pytest.mark.parametrize(
    ("current", "wanted", "reason"),
    [
        ("workspace:*", "1.2.3", "'workspace'"),
        ("git+https://example.org/x.git", "1.2.3", "not by version"),
        ("user/repo", "1.2.3", "not by version"),
        ("npm:other@^1", "1.2.3", "'npm'"),
        ("latest", "1.2.3", "no single version"),
        ("1.x", "1.2.3", "begins so"),
        ("1.2", "1.2.3", "begins so"),
        ("~1", "1.2.3", "no single version"),
        ("1 - 2", "1.2.3", "no single version"),
        (">=1 <1.2", "1.2.3", "outside"),
        ("^1.0.0", "next", "no version range"),
        ("^1.0.0", '1.0.0", "x": "y', "no version range"),
    ],
)
def test_npm_ranges_that_cannot_be(current: str, wanted: str, reason: str):
    with pytest.raises(Unfit) as caught:
        npm_range(current, wanted)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("requests==2.31.0", "requests==2.32.1"),
        ("  requests == 2.31.0  # why", "  requests == 2.32.1  # why"),
        ("Requests[socks, security]>=2.28 ; python_version < '3.12'",
         "Requests[socks, security]>=2.32.1 ; python_version < '3.12'"),
        ("requests", "requests>=2.32.1"),
        ("requests ; sys_platform == 'linux'", "requests>=2.32.1 ; sys_platform == 'linux'"),
        ("requests  # any", "requests>=2.32.1  # any"),
        ("requests (>=2.28)", "requests (>=2.32.1)"),
        ("requests>=2.28,<3;extra=='x'", "requests>=2.32.1,<3;extra=='x'"),
        ("requests-oauthlib==1.0", None),
        ("myrequests==1.0", None),
        ("# requests==2.31.0", None),
        ("", None),
    ],
)  # fmt: skip
def test_one_requirement(before: str, after: str | None):
    assert updated_requirement(before, "requests", "2.32.1") == after


def test_names_are_compared_as_indexes_do():
    assert updated_requirement("Zope.Interface_X==1", "zope-interface-x", "2") == (
        "Zope.Interface_X==2"
    )


def test_a_requirements_file_changes_in_one_place_only():
    before = (
        "-r base.txt\n--prefer-binary\n# requests==1\n\n"
        "flask==3.0.0\nrequests[socks]==2.31.0 \\\n    ; python_version < '4'  # pinned\n"
        "-e ./local\nrequests==2.30.0 ; python_version < '3.8'"
    )
    edited = update_requirements(before, "requests", "2.32.1")
    assert edited.found == 2
    assert edited.text == before.replace("2.31.0", "2.32.1").replace("2.30.0", "2.32.1")


def test_hashes_have_to_be_given():
    before = (
        f"requests==2.31.0 \\\n    --hash={PIN} \\\n    --hash={OTHER_PIN}\n"
        f"flask==3.0.0 --hash={PIN}\n"
    )
    with pytest.raises(Unfit, match="cannot be known without network"):
        update_requirements(before, "requests", "2.32.1")
    after = update_requirements(before, "requests", "2.32.1", ["sha256:" + "c" * 64]).text
    assert after == (
        f"requests==2.32.1 \\\n    --hash=sha256:{'c' * 64}\nflask==3.0.0 --hash={PIN}\n"
    )
    both = update_requirements(before, "requests", "2.32.1", [OTHER_PIN, PIN]).text
    assert f"--hash={OTHER_PIN} \\\n    --hash={PIN}\n" in both


def test_an_address_is_no_version():
    with pytest.raises(Unfit, match="declared by an address"):
        update_requirements("requests @ https://example.org/r.whl\n", "requests", "2.32.1")


PYPROJECT = """\
# head
[build-system]
requires = ["hatchling>=1.27"]

[project]   # the project
name = 'shop'
dependencies = [ # first
  'requests>=2.31', # why
    "click >= 8" ,

  # last
]

[project.optional-dependencies]
web = ["flask", "requests[socks]>=2 ; python_version<'4'"]

[dependency-groups]
test = ["pytest", {include-group = "lint"}, "requests==2.31.0"]

[tool.poetry.dependencies]
python = "^3.11"
requests = "^2.31"   # caret
[tool.poetry.group.dev.dependencies]
requests = {version = '~2.31.0' , extras = ["socks"]}
[tool.poetry.dev-dependencies.requests]
version = "2.31.0"

[tool.uv]
dev-dependencies = ["requests~=2.31.0"]
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_all_tables_of_a_pyproject(end: str):
    before = PYPROJECT.replace("\n", end)
    edited = update_pyproject(before, "requests", "2.32.1")
    after = PYPROJECT
    for old, new in (
        ("'requests>=2.31'", "'requests>=2.32.1'"),
        ("requests[socks]>=2 ", "requests[socks]>=2.32.1 "),
        ('"requests==2.31.0"', '"requests==2.32.1"'),
        ('"^2.31"', '"^2.32.1"'),
        ("'~2.31.0'", "'~2.32.1'"),
        ('version = "2.31.0"', 'version = "2.32.1"'),
        ("~=2.31.0", "~=2.32.1"),
    ):
        after = after.replace(old, new)
    assert edited.text == after.replace("\n", end)
    assert edited.found == 7
    tomllib.loads(edited.text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[tool.poetry.dependencies]\nrequests = {git = "https://example.org/r.git"}\n', "git"),
        ('[tool.poetry.dependencies]\nrequests = "^1 || ^2"\n', "no single version"),
        ('[project]\ndependencies = ["requests<2"]\n', "outside"),
        ("[project\n", "not TOML"),
    ],
)
def test_a_pyproject_that_cannot_be_updated(text: str, reason: str):
    with pytest.raises(Unfit) as caught:
        update_pyproject(text, "requests", "2.32.1")
    assert reason in str(caught.value)


PACKAGE = """{
\t"name": "shop", "version": "1.0.0",
\t"dependencies": { "lodash": "^4.17.20", "lodash.get" : "^4.4.2",
\t\t"react":"18.2.0" },
\t"devDependencies": {
\t\t"lodash" :  "~4.17.20"
\t},
\t"scripts": {"lodash": "echo lodash ^4.17.20"},
\t"caf\\u00e9": "\\/"
}"""


def test_package_json_keeps_everything_else():
    edited = update_package_json(PACKAGE, "lodash", "4.17.21")
    assert edited.found == 2
    assert edited.text == PACKAGE.replace('": "^4.17.20"', '": "^4.17.21"').replace(
        "~4.17.20", "~4.17.21"
    )
    assert json.loads(edited.text)["scripts"]["lodash"] == "echo lodash ^4.17.20"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"dependencies": {"lodash": "workspace:*"}}', "workspace"),
        ('{"overrides": {"lodash": {".": "1.0.0"}}}', "left to a person"),
        ('{"dependencies": {"lodash": "1.0.0", "lodash": "1.0.1"}}', "twice"),
        ('{"dependencies": ', "not JSON"),
    ],
)
def test_a_package_json_that_cannot_be_updated(text: str, reason: str):
    with pytest.raises(Unfit) as caught:
        update_package_json(text, "lodash", "4.17.21")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("pyproject.toml", "pyproject"),
        ("a/b/requirements-dev.txt", "requirements"),
        ("requirements/base.in", "requirements"),
        ("dev-requirements.txt", "requirements"),
        ("constraints.txt", "requirements"),
        ("web/package.json", "npm"),
        ("package-lock.json", None),
        ("requirements.md", None),
        ("setup.py", None),
    ],
)
def test_which_files_are_manifests(path: str, kind: str | None):
    assert manifest_kind(path) == kind
