"""Typed input and output of the patcher."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from penstock_agent_sdk.models import AgentModel

MAX_PATCH_CHARS = 1024 * 1024
MAX_OPERATIONS = 50
MAX_GLOBS = 50
MAX_HASHES = 64
MAX_TEXT_CHARS = 64 * 1024

PathText = Annotated[str, Field(min_length=1, max_length=4_096)]
Globs = Annotated[tuple[PathText, ...], Field(max_length=MAX_GLOBS)]
BranchName = Annotated[
    str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/@+-]*$")
]


class DependencyUpdate(AgentModel):
    """Set the version of a package where it is declared already.

    Attributes:
        version: A version (each declaration keeps its own operator) or a whole specifier, which
            replaces what is there.
        ecosystem: Default: both.
        files: Where to look; default: every manifest this agent knows.
        hashes: For requirements pinned with `--hash`: what to pin the new version with.
    """

    type: Literal["dependency_update"]
    name: Annotated[str, Field(min_length=1, max_length=214)]
    version: Annotated[str, Field(min_length=1, max_length=200)]
    ecosystem: Literal["python", "npm"] | None = None
    files: Globs = ()
    hashes: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(sha256|sha384|sha512):[0-9a-f]{64,128}$")], ...],
        Field(max_length=MAX_HASHES),
    ] = ()


class FindReplace(AgentModel):
    r"""Replace text in every file that matches.

    Attributes:
        find: Text, or a regular expression of Python's `re` with MULTILINE.
        replace: Text; in a regular expression `\1` and `\g<name>` are groups.
        files: Where; a pattern without `/` names files in every folder. Default: everywhere.
        expected: How many replacements there must be in all; another number is a conflict.
    """

    type: Literal["find_replace"]
    find: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
    replace: Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
    regex: bool = False
    ignore_case: bool = False
    files: Annotated[Globs, Field(min_length=1)] = ("**",)
    expected: Annotated[int, Field(ge=0, le=100_000)] | None = None


class Rename(AgentModel):
    """Rename something defined in Python, and every use of it that can be seen.

    Attributes:
        file: The module that defines it.
        symbol: Its dotted path within the module: `load`, `Cart.total`, `load.path` (a
            parameter or local variable).
        new_name: A plain name.
    """

    type: Literal["rename"]
    file: PathText
    symbol: Annotated[str, Field(min_length=1, max_length=500)]
    new_name: Annotated[str, Field(min_length=1, max_length=200)]


class ConfigChange(AgentModel):
    """Set or delete one key of a YAML, TOML or JSON file; the rest stays as it is.

    Attributes:
        key: Path of names and list positions: `["services", "web", "ports", 0]`, or the same
            with dots when no name holds one: `services.web.ports.0`.
        action: `set` creates or changes, `create` refuses what is there, `delete` removes.
        value: What to set; None is the null of the format (TOML has none).
    """

    type: Literal["config"]
    file: PathText
    key: (
        Annotated[str, Field(min_length=1, max_length=1_000)]
        | Annotated[tuple[str | int, ...], Field(min_length=1, max_length=50)]
    )
    action: Literal["create", "set", "delete"] = "set"
    value: JsonValue = None

    @property
    def steps(self) -> tuple[str | int, ...]:
        """The key as a path; digits of a dotted key may be a position or a name."""
        return tuple(self.key.split(".")) if isinstance(self.key, str) else self.key

    @property
    def label(self) -> str:
        """The key as one word."""
        return ".".join(str(step) for step in self.steps)


Operation = Annotated[
    DependencyUpdate | FindReplace | Rename | ConfigChange, Field(discriminator="type")
]


class PatcherInput(AgentModel):
    """What to change: a unified diff, or operations applied in order, all or none.

    Attributes:
        repository_path: The private bare clone inside the sandbox.
        target_branch: Branch to change; default: the one HEAD names.
        create_backup: Kept for callers that set it: the executor keeps the old tip under a
            backup ref in every case.
        dry_run: Show the diff, propose nothing.
        message: Of the commit; default says what was asked for.
    """

    repository_path: PathText
    patch_content: Annotated[str, Field(min_length=1, max_length=MAX_PATCH_CHARS)] | None = None
    operations: (
        Annotated[tuple[Operation, ...], Field(min_length=1, max_length=MAX_OPERATIONS)] | None
    ) = None
    target_branch: BranchName | None = None
    create_backup: bool = True
    dry_run: bool = False
    message: Annotated[str, Field(min_length=1, max_length=4_000)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.patch_content is None) == (self.operations is None):
            raise ValueError("give either patch_content or operations")
        return self


class Conflict(AgentModel):
    """Why one file stands against the change."""

    file: str
    reason: str


class PatcherOutput(AgentModel):
    """What came of it.

    Attributes:
        applied: The change is a commit on the branch.
        files_modified: What was, or without conflicts would be, changed.
        backup_path: The backup ref; the executor fills it in when the commit has landed.
        conflicts: Empty unless the change was given up; then nothing was changed.
        diff: What would be changed, of a dry run.
        commit: The executor fills it in.
        rollback: A shell script that takes the commit back; the executor fills it in.
        notes: What the agent saw and could not, or would not, act on.
    """

    applied: bool
    files_modified: tuple[str, ...] = ()
    backup_path: str = ""
    conflicts: tuple[Conflict, ...] = ()
    diff: str = ""
    commit: str = ""
    rollback: str = ""
    notes: tuple[str, ...] = ()


class FileChange(AgentModel):
    """One file of a plan; `blob` None removes it. `mode` of a removed file is the one it had."""

    path: str
    mode: str
    blob: str | None


class Proposal(AgentModel):
    """A plan: what a person is asked to allow.

    Attributes:
        effect: For the executor: files with their blobs, the commit message, the branch's ref.
        summary: A few lines for the person.
    """

    files: tuple[FileChange, ...]
    message: str
    ref: str | None
    summary: str

    def effect(self) -> dict[str, Any]:
        """As the executor reads it."""
        plain: dict[str, Any] = {
            "files": [each.model_dump() for each in self.files],
            "message": self.message,
        }
        return plain if self.ref is None else {**plain, "ref": self.ref}
