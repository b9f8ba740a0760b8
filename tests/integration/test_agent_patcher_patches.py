"""The patcher's unified diffs: applied exactly, or refused with every file named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from penstock_agent_patcher.models import PatcherInput, PatcherOutput, Proposal
from penstock_agent_patcher.patch_text import BadPatch, read_patch
from penstock_agent_sdk import AgentError
from tests.integration.patcher_repository import Bare, Entry, bare

TEN = b"".join(b"line %d\n" % n for n in range(1, 11))
FIFTH = "@@ -4,3 +4,3 @@\n line 4\n-line 5\n+LINE 5\n line 6\n"
BINARY = bytes(range(256))


def headed(hunks: str, name: str = "a.txt", other: str | None = None) -> str:
    return f"--- a/{name}\n+++ b/{other or name}\n{hunks}"


@pytest.fixture
def repository(tmp_path: Path) -> Bare:
    files: dict[str, Entry] = {
        "a.txt": TEN,
        "crlf.txt": TEN.replace(b"\n", b"\r\n"),
        "bom.py": b"\xef\xbb\xbfx = 1\ny = 2\n",
        "bare.txt": b"one\ntwo",
        "latin.txt": b"caf\xe9\nthe\n",
        "run.sh": ("100755", b"#!/bin/sh\ntrue\n"),
        "link": ("120000", b"a.txt"),
        "folder/inner.json": b'{"a": 1}\n',
        "image.bin": BINARY,
        "module": ("160000", b"1" * 40),
        "caf\u00e9 noir.txt": b"one\n",
        "broken.py": b"def (:\n",
    }
    return bare(tmp_path / "c.git", files)


@pytest.mark.parametrize(
    "patch",
    [
        headed(FIFTH),
        f"diff --git a/a.txt b/a.txt\n{headed(FIFTH)}",
        "diff --git a/a.txt b/a.txt\nindex 1234567..89abcde 100644\n" + headed(FIFTH),
        f"--- a.txt\n+++ a.txt\n{FIFTH}",
        f"--- a.txt\t2026-01-01 10:00:00\n+++ a.txt\t2026-01-01 10:00:01\n{FIFTH}",
        f"--- old/a.txt\n+++ new/a.txt\n{FIFTH}",
        f"diff --git a.txt a.txt\n--- a.txt\n+++ a.txt\n{FIFTH}",
        f"--- i/a.txt\n+++ w/a.txt\n{FIFTH}",
        f"From 1234\nSubject: [PATCH] x\n\nwords - here\n---\n a.txt | 2 +-\n\n{headed(FIFTH)}"
        "-- \n2.39.5\n",
        headed(FIFTH).removesuffix("\n"),
        headed(FIFTH.replace("@@ -4,3 +4,3 @@", "@@ -4,3 +4,3 @@ def f():")),
        headed(FIFTH.replace("-4,3 +4,3", "-2,3 +2,3")),
        headed(FIFTH.replace("-4,3 +4,3", "-9,3 +9,3")),
    ],
    ids=[
        "plain", "git", "index line", "no prefix", "time stamps", "two folders", "git no prefix",
        "mnemonic", "mail", "no last line end", "function name", "later than said",
        "earlier than said",
    ],
)  # fmt: skip
def test_ways_to_write_one_change(repository: Bare, patch: str):
    wanted = TEN.replace(b"line 5\n", b"LINE 5\n")
    assert repository.changed(patch_content=patch) == {"a.txt": wanted}


def test_several_files_and_hunks(repository: Bare):
    second = "@@ -9,2 +9,3 @@\n line 9\n line 10\n+line 11\n"
    patch = headed(FIFTH + second) + headed('@@ -1 +1 @@\n-{"a": 1}\n+{"a": 2}\n',
                                            "folder/inner.json")  # fmt: skip
    assert repository.changed(patch_content=patch) == {
        "a.txt": TEN.replace(b"line 5\n", b"LINE 5\n") + b"line 11\n",
        "folder/inner.json": b'{"a": 2}\n',
    }


def test_create_delete_rename_and_mode(repository: Bare):
    patch = (
        "diff --git a/new.py b/new.py\nnew file mode 100755\n--- /dev/null\n+++ b/new.py\n"
        "@@ -0,0 +1 @@\n+x = 1\n"
        "diff --git a/folder/inner.json b/folder/inner.json\ndeleted file mode 100644\n"
        '--- a/folder/inner.json\n+++ /dev/null\n@@ -1 +0,0 @@\n-{"a": 1}\n'
        "diff --git a/bare.txt b/moved.txt\nsimilarity index 100%\n"
        "rename from bare.txt\nrename to moved.txt\n"
        "diff --git a/a.txt b/a.txt\nold mode 100644\nnew mode 100755\n"
    )
    made = repository.plan(patch_content=patch)
    assert isinstance(made, Proposal)
    assert {(each.path, each.mode, each.blob is None) for each in made.files} == {
        ("new.py", "100755", False),
        ("folder/inner.json", "100644", True),
        ("bare.txt", "100644", True),
        ("moved.txt", "100644", False),
        ("a.txt", "100755", False),
    }


def test_plain_creation_and_removal(repository: Bare):
    patch = "--- /dev/null\n+++ b/x/new.txt\n@@ -0,0 +1 @@\n+hello\n"
    patch += "--- a/bare.txt\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-one\n-two\n"
    patch += "\\ No newline at end of file\n"
    assert repository.changed(patch_content=patch) == {"x/new.txt": b"hello\n", "bare.txt": None}


def test_line_ends_marks_and_a_missing_last_end_are_kept(repository: Bare):
    crlf = headed(FIFTH.replace("\n", "\r\n").replace("@@\r\n", "@@\n"), "crlf.txt")
    patch = (
        crlf
        + headed("@@ -1,2 +1,2 @@\n \ufeffx = 1\n-y = 2\n+y = 3\n", "bom.py")
        + headed("@@ -1,2 +1,2 @@\n-one\n+ONE\n two\n\\ No newline at end of file\n", "bare.txt")
        + headed("@@ -1 +1 @@\n-one\n+two\n", "caf\u00e9 noir.txt")
    )
    assert repository.changed(patch_content=patch) == {
        "crlf.txt": TEN.replace(b"\n", b"\r\n").replace(b"line 5", b"LINE 5"),
        "bom.py": b"\xef\xbb\xbfx = 1\ny = 3\n",
        "bare.txt": b"ONE\ntwo",
        "caf\u00e9 noir.txt": b"two\n",
    }


def test_a_symbolic_link_may_point_elsewhere(repository: Bare):
    patch = (
        "diff --git a/link b/link\nindex 1234567..89abcde 120000\n--- a/link\n+++ b/link\n"
        "@@ -1 +1 @@\n-a.txt\n\\ No newline at end of file\n+bom.py\n"
        "\\ No newline at end of file\n"
    )
    assert repository.changed(patch_content=patch) == {"link": b"bom.py"}


def test_binary_content_goes_through_a_full_index_patch(repository: Bare, tmp_path: Path):
    other = bare(tmp_path / "other.git", {"image.bin": BINARY})
    other.commit({"image.bin": BINARY[::-1]}, "next")
    patch = other.git("diff", "--binary", "--full-index", "main", "next").decode()
    assert repository.changed(patch_content=patch) == {"image.bin": BINARY[::-1]}
    repository.commit({"image.bin": b"\0other"})
    [(file, reason)] = repository.refusal(patch_content=patch)
    assert (file, "another content" in reason) == ("image.bin", True)


@pytest.mark.parametrize(
    ("patch", "file", "reason"),
    [
        (headed(FIFTH.replace("line 4", "line four")), "a.txt", "hunk 1 (@@ -4,3 +4,3 @@)"),
        (headed(FIFTH.replace(" line 6", " line 6 ")), "a.txt", "does not match"),
        (headed(FIFTH, "crlf.txt"), "crlf.txt", "the patch has LF line ends, the file CR LF"),
        (
            headed(FIFTH.replace("\n", "\r\n").replace("@@\r\n", "@@\n")),
            "a.txt",
            "the patch has CR LF line ends, the file LF",
        ),
        (headed(FIFTH, "absent.txt"), "absent.txt", "no such file"),
        ("--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1 @@\n+x\n", "a.txt", "exists already"),
        ("--- /dev/null\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n", "../x", "not allowed"),
        (headed("@@ -0,0 +1 @@\n+x\n", ".git/config"), ".git/config", ""),
        (
            "--- /dev/null\n+++ b/.git/hooks/x\n@@ -0,0 +1 @@\n+x\n",
            ".git/hooks/x",
            "not allowed",
        ),
        ("--- /dev/null\n+++ b/link/x\n@@ -0,0 +1 @@\n+x\n", "link/x", ""),
        (
            "diff --git a/module b/module\n--- a/module\n+++ b/module\n@@ -1 +1 @@\n"
            f"-Subproject commit {'1' * 40}\n+Subproject commit {'2' * 40}\n",
            "module",
            "",
        ),
        (headed('@@ -1 +1 @@\n-{"a": 1}\n+{"a": }\n', "folder/inner.json"),
         "folder/inner.json", "no longer be readable"),
        (headed("@@ -1,2 +1,2 @@\n \ufeffx = 1\n-y = 2\n+y = (\n", "bom.py"),
         "bom.py", "no longer be readable: line 2"),
        ("--- /dev/null\n+++ b/new.yaml\n@@ -0,0 +1 @@\n+a: [\n", "new.yaml", "readable"),
        ("--- /dev/null\n+++ b/new.toml\n@@ -0,0 +1 @@\n+a = \n", "new.toml", "readable"),
        (headed("@@ -1 +1 @@\n-caf\ufffd\n+cafe\n", "latin.txt"), "latin.txt", "does not match"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(repository: Bare, patch: str, file: str, reason: str):
    found = repository.refusal(patch_content=patch)
    assert [each for each, _ in found] == [file]
    assert reason in found[0][1]


def test_every_file_that_conflicts_is_named_and_nothing_is_proposed(repository: Bare):
    patch = headed(FIFTH) + headed(FIFTH, "absent.txt") + headed(FIFTH, "crlf.txt")
    assert [file for file, _ in repository.refusal(patch_content=patch)] == [
        "absent.txt",
        "crlf.txt",
    ]


def test_a_file_that_was_broken_before_may_be_mended_or_left(repository: Bare):
    patch = headed("@@ -1 +1 @@\n-def (:\n+def [:\n", "broken.py")
    assert repository.changed(patch_content=patch) == {"broken.py": b"def [:\n"}


def test_a_patch_that_is_there_already_changes_nothing(repository: Bare):
    repository.commit({"a.txt": TEN.replace(b"line 5\n", b"LINE 5\n")})
    made = repository.plan(patch_content=headed(FIFTH))
    assert isinstance(made, PatcherOutput)
    assert (made.conflicts, made.files_modified) == ((), ())
    assert made.notes == ("the patch has been applied already",)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ("hello\n", "line 1: no file header"),
        (headed("@@ -4,3 +4,3 @@\n line 4\n-line 5\n+LINE 5\n"), "fewer lines"),
        (headed(FIFTH + "+one more\n"), "outside any hunk"),
        (headed(FIFTH.replace("@@ -4,3 +4,3 @@", "@@ line 4 @@")), "line 3: a hunk header"),
        (headed("@@ -4,1 +4,3 @@\n line 4\n-line 5\n+LINE 5\n line 6\n"), "count its lines"),
        (FIFTH, "a hunk before any file name"),
        ("--- a/a.txt\n+++ b/a.txt\n", "hunk header"),
        ("diff --git a/a.txt b/a.txt\n", "without anything to change"),
        ("diff --cc a.txt\n", "combined diff"),
        ("diff --git a/i.png b/i.png\nindex 1..2\nBinary files a/i.png and b/i.png differ\n",
         "--binary"),
        (headed(FIFTH) + f"--- x.txt\n+++ x.txt\n{FIFTH}", "prefixes"),
        (headed(FIFTH + "@ -7 +7 @\n-line 7\n+LINE 7\n"), "outside any hunk"),
    ],
)  # fmt: skip
def test_what_git_would_read_differently_is_no_patch(repository: Bare, patch: str, message: str):
    with pytest.raises(AgentError, match="invalid_patch") as caught:
        repository.plan(patch_content=patch)
    assert message in caught.value.message


def test_a_bad_patch_says_which_line():
    with pytest.raises(BadPatch, match="line 8"):
        read_patch(headed(FIFTH) + "+lost\n")


def test_a_dry_run_shows_the_diff_and_proposes_nothing(repository: Bare):
    made = repository.plan(patchContent=headed(FIFTH), dryRun=True)
    assert isinstance(made, PatcherOutput)
    assert (made.applied, made.files_modified, made.conflicts) == (False, ("a.txt",), ())
    assert "-line 5\n+LINE 5\n" in made.diff


def test_the_branch_is_the_one_asked_for(repository: Bare):
    repository.commit({"a.txt": TEN.replace(b"line 5", b"LINE 5")}, "side")
    made = repository.plan(patch_content=headed(FIFTH), target_branch="side")
    assert isinstance(made, PatcherOutput)
    made = repository.plan(patch_content=headed(FIFTH), target_branch="main", message="Raise it")
    assert isinstance(made, Proposal)
    assert made.effect()["ref"] == "refs/heads/main"
    assert made.effect()["message"] == "Raise it"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"patch_content": "x", "operations": [{"type": "find_replace", "find": "a",
                                               "replace": "b"}]},
        {"patch_content": ""},
        {"operations": []},
        {"patch_content": "x", "target_branch": "--upload-pack=x"},
        {"patch_content": "x", "unknown": 1},
        {"operations": [{"type": "shell", "command": "true"}]},
    ],
)  # fmt: skip
def test_inputs_that_are_refused(fields: dict[str, object]):
    with pytest.raises(ValidationError):
        PatcherInput.model_validate({"repository_path": "/r", **fields})


def test_no_repository_is_declared(tmp_path: Path):
    with pytest.raises(AgentError, match="no_repository"):
        Bare(tmp_path / "none").plan(patch_content=headed(FIFTH))
    with pytest.raises(AgentError, match="no_commit"):
        Bare(tmp_path).plan(patch_content=headed(FIFTH))


def test_nothing_of_the_repository_is_executed_or_changed(repository: Bare, tmp_path: Path):
    trace = tmp_path / "trace"
    evil = f"touch {trace}"
    for hook in ("post-index-change", "pre-commit", "reference-transaction", "fsmonitor"):
        file = repository.folder / "hooks" / hook
        file.write_text(f"#!/bin/sh\n{evil}\n")
        file.chmod(0o755)
    for key in ("core.fsmonitor", "filter.x.clean", "filter.x.smudge", "diff.external",
                "core.sshCommand", "diff.x.textconv", "diff.x.command"):  # fmt: skip
        repository.git("config", key, evil)
    (repository.folder / "info").mkdir(exist_ok=True)
    (repository.folder / "info/attributes").write_text("* filter=x diff=x text eol=crlf\n")
    head = repository.git("rev-parse", "main")
    made = repository.plan(patch_content=headed(FIFTH), dry_run=True)
    assert isinstance(made, PatcherOutput)
    assert "+LINE 5\n" in made.diff
    assert not trace.exists()
    assert repository.git("rev-parse", "main") == head
    assert not (repository.folder / "index.lock").exists()


def test_the_approved_diff_gives_the_approved_blobs(repository: Bare):
    patch = headed(FIFTH) + "--- /dev/null\n+++ b/new.bin.txt\n@@ -0,0 +1 @@\n+x\n"
    patch += '--- a/folder/inner.json\n+++ /dev/null\n@@ -1 +0,0 @@\n-{"a": 1}\n'
    made = repository.plan(patch_content=patch)
    assert isinstance(made, Proposal)
    done = repository.apply(repository.approved(made), patch_content=patch)
    assert (done.applied, done.conflicts) == (True, ())
    assert done.files_modified == ("a.txt", "folder/inner.json", "new.bin.txt")


def test_another_result_than_approved_is_refused(repository: Bare):
    made = repository.plan(patch_content=headed(FIFTH))
    assert isinstance(made, Proposal)
    effect = repository.approved(made)
    other = {**effect, "files": [{**effect["files"][0], "new": "0" * 40}]}
    with pytest.raises(AgentError, match="effect_differs") as caught:
        repository.apply(other, patch_content="x")
    assert "a.txt" in caught.value.message
    more = {**effect, "files": [*effect["files"], {"path": "b", "mode": None, "new": None}]}
    with pytest.raises(AgentError, match="effect_differs"):
        repository.apply(more, patch_content="x")
    with pytest.raises(AgentError, match="effect_differs"):
        repository.apply({**effect, "files": []}, patch_content="x")
    with pytest.raises(AgentError, match="invalid_plan"):
        repository.apply({}, patch_content="x")


def test_a_moved_base_is_refused(repository: Bare):
    made = repository.plan(patch_content=headed(FIFTH))
    assert isinstance(made, Proposal)
    effect = repository.approved(made)
    repository.commit({"a.txt": TEN.replace(b"line 6", b"line six")})
    with pytest.raises(AgentError, match="base_changed"):
        repository.apply(effect, patch_content="x")


def test_apply_takes_the_plan_and_not_the_input(repository: Bare):
    made = repository.plan(patch_content=headed(FIFTH))
    assert isinstance(made, Proposal)
    other = headed(FIFTH.replace("+LINE 5", "+something else"))
    assert repository.apply(repository.approved(made), patch_content=other).applied is True
