"""The unified diff: applied by git to the index, without fuzz; every part that fails is named."""

import re

from penstock_agent_patcher.clone import Clone, GitFailed
from penstock_agent_patcher.conflicts import Obstacle, Refused
from penstock_agent_patcher.patch_text import BadPatch, PatchText, read_patch
from penstock_agent_sdk import AgentError

# git's words (with LC_ALL=C) to ours; the first group is the file.
_REASONS = (
    (r"(.+): does not exist in index", "there is no such file"),
    (r"(.+): already exists in index", "the file exists already"),
    (r"(.+): already exists in working directory", "the file exists already"),
    (r"(.+): wrong type", "it is another kind of file than the patch says"),
    (r"invalid path '(.+)'", "the path is not allowed in a repository"),
    (r"affected file '(.+)' is beyond a symbolic link", "the path leads through a symbolic link"),
    (
        r"cannot apply binary patch to '(.+)' without full index line",
        "a binary change needs full blob ids (git diff --binary --full-index)",
    ),
    (
        r"the patch applies to '(.+)' \([0-9a-f]+\), which does not match the current contents\.",
        "a binary change was made to another content than this file has",
    ),
    (r"(.+): patch does not apply", "the patch does not match this file"),
)
_FAILED = re.compile(r"^error: patch failed: (.+):(\d+)$", re.MULTILINE)


def apply_patch(clone: Clone, text: str) -> list[str]:
    """Apply a patch given as text; the notes say when there was nothing left to do.

    Raises:
        AgentError: `invalid_patch`: the text is no patch that could be applied anywhere.
        Refused: It does not fit; each file is named, and nothing was changed.
    """
    try:
        patch = read_patch(text)
    except BadPatch as error:
        raise AgentError("invalid_patch", f"patch_content: {error}") from error
    try:
        clone.apply(patch.content, patch.strip)
    except GitFailed as failure:
        if clone.reverses(patch.content, patch.strip):
            return ["the patch has been applied already"]
        raise Refused(*_obstacles(clone, patch, failure.text)) from failure
    return []


def _obstacles(clone: Clone, patch: PatchText, said: str) -> list[Obstacle]:
    found: dict[str, Obstacle] = {}
    for name, line in _FAILED.findall(said):
        found[name] = Obstacle(name, _mismatch(clone, patch, name, int(line)))
    for line in said.splitlines():
        for pattern, reason in _REASONS:
            match = re.fullmatch(rf"error: {pattern}", line)
            if match is not None:
                found.setdefault(match[1], Obstacle(match[1], reason))
    if not found:
        first = said.strip().splitlines()[:1] or ["git gave no reason"]
        return [Obstacle("", f"git apply: {first[0].removeprefix('error: ')[:300]}")]
    return [found[name] for name in sorted(found)]


def _mismatch(clone: Clone, patch: PatchText, name: str, line: int) -> str:
    hunk = patch.hunk_at(name, line)
    what = "a hunk" if hunk is None else f"hunk {hunk.number} ({hunk.header})"
    reason = f"{what} does not match the file around line {line}"
    if hunk is None or name not in clone.files:
        return reason
    stored = b"\r\n" in clone.read(name)
    if stored != hunk.crlf:
        ends = ("LF", "CR LF") if stored else ("CR LF", "LF")
        reason += f": the patch has {ends[0]} line ends, the file {ends[1]}"
    return reason
