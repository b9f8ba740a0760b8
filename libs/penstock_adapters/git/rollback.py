"""The way back: a script that anybody can read and run, with nothing but git and a POSIX sh."""

from __future__ import annotations

import shlex
from pathlib import Path

_SCRIPT = """\
#!/bin/sh
# Takes back commit {commit}:
# the branch goes back to the tip before it, and so do the files of every worktree that has the
# branch checked out. It refuses, and changes nothing, if the branch has moved on or if one of
# these files was changed since. Other files are not looked at.
set -eu
repository={repository}
branch={branch}
landed={commit}
previous={previous}

unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR

# Nothing that the repository could have executed is.
count=0
override() {{
    eval "GIT_CONFIG_KEY_$count=\\$1 GIT_CONFIG_VALUE_$count=\\$2"
    export "GIT_CONFIG_KEY_$count" "GIT_CONFIG_VALUE_$count"
    count=$((count + 1))
    export GIT_CONFIG_COUNT="$count"
}}
override safe.directory '*'
override core.hooksPath /dev/null
override core.fsmonitor false
override submodule.recurse false
export GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=none
filters=$(git --git-dir="$repository" config --name-only --get-regexp '^filter[.]') || filters=
while IFS= read -r name; do
    case $name in
        *.required) override "$name" false ;;
        filter.*) override "$name" '' ;;
    esac
done <<FILTERS
$filters
FILTERS

each_worktree() {{
    place=
    while IFS= read -r line; do
        case $line in
            "worktree "*) place=${{line#worktree }} ;;
            "branch $branch") if [ -d "$place" ]; then "$@" "$place"; fi ;;
        esac
    done <<WORKTREES
$worktrees
WORKTREES
}}
try() {{
    git -C "$1" read-tree -m -u --dry-run "$landed" "$previous" || {{
        echo "nothing was taken back: files were changed in $1" >&2
        exit 1
    }}
}}
restore() {{
    git -C "$1" read-tree -m -u "$landed" "$previous"
}}

worktrees=$(git --git-dir="$repository" worktree list --porcelain)
if [ "$(git --git-dir="$repository" rev-parse --verify "$branch")" != "$landed" ]; then
    echo "nothing was taken back: $branch is no longer at $landed" >&2
    exit 1
fi
each_worktree try
git --git-dir="$repository" update-ref -m "penstock: take back" \\
    "$branch" "$previous" "$landed"
each_worktree restore
echo "$branch is back at $previous"
"""


def script(repository: Path, branch: str, commit: str, previous: str) -> str:
    """Write the script that takes a landed commit back."""
    return _SCRIPT.format(
        repository=shlex.quote(str(repository)),
        branch=shlex.quote(branch),
        commit=commit,
        previous=previous,
    )
