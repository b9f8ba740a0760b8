"""Agents in folders: discovery, digests, and the built-in ones."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic_core import from_json

from penstock_adapters.bundles import FolderBundles, default_roots, discover, read_bundle
from penstock_adapters.inline import InlineSandbox, builtin_manifests
from penstock_contracts.agent.v1 import AgentManifest
from penstock_core.workflow.plan import manifest_digest
from penstock_runtime.bundles import BundleFault, bundle_digest, bundle_stamp
from penstock_runtime.ports.sandbox import ExitReason, Limits, LogLine, SandboxSpec
from penstock_testkit.fakes.clock import ManualClock

LIMITS = Limits(2**28, 8, 10, 10, 2**16, 2**16, 2**20)


def read_json(text: str, _name: str) -> object:
    return json.loads(text)


def make_agent(root: Path, folder: str, **manifest: object) -> Path:
    path = root / folder
    (path / "pkg").mkdir(parents=True)
    body = {"name": folder, "command": ["python", "-m", "pkg"], **manifest}
    (path / "agent.yaml").write_text(json.dumps(body))
    (path / "pkg" / "__main__.py").write_text("print('hello')\n")
    return path


def test_a_bundle_has_its_digest_in_the_manifest_and_one_over_both(tmp_path: Path) -> None:
    folder = make_agent(tmp_path, "probe")

    bundle = read_bundle(folder, read_json)

    assert bundle.manifest.bundle == bundle_digest(folder)
    assert bundle.digest == manifest_digest(bundle.manifest)
    assert bundle.folder == folder


def test_the_same_files_elsewhere_have_the_same_digest(tmp_path: Path) -> None:
    one, two = make_agent(tmp_path / "a", "probe"), make_agent(tmp_path / "b", "probe")

    assert bundle_digest(one) == bundle_digest(two)


def test_caches_do_not_count(tmp_path: Path) -> None:
    folder = make_agent(tmp_path, "probe")
    before = bundle_digest(folder)
    (folder / "pkg" / "__pycache__").mkdir()
    (folder / "pkg" / "__pycache__" / "x.pyc").write_bytes(b"x")
    (folder / "stray.pyc").write_bytes(b"x")

    assert bundle_digest(folder) == before


def _append(folder: Path) -> None:
    with (folder / "pkg" / "__main__.py").open("a") as file:
        file.write("#")


def _add(folder: Path) -> None:
    (folder / "new").write_text("")


def _rename(folder: Path) -> None:
    (folder / "pkg" / "__main__.py").rename(folder / "pkg" / "main.py")


def _link(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")


def _executable(folder: Path) -> None:
    (folder / "pkg" / "__main__.py").chmod(0o755)


@pytest.mark.parametrize("change", [_append, _add, _rename, _link, _executable])
async def test_every_change_is_seen(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = make_agent(tmp_path, "probe")
    bundles = FolderBundles([tmp_path], read=read_json)
    first = await bundles.find("probe", "")
    assert first is not None
    assert await bundles.find("probe", first.digest) is first
    stamp = bundle_stamp(folder)

    change(folder)

    assert bundle_stamp(folder) != stamp
    second = await bundles.find("probe", first.digest)
    assert second is not None
    assert second.digest != first.digest


async def test_an_agent_that_arrives_later_is_found(tmp_path: Path) -> None:
    bundles = FolderBundles([tmp_path], read=read_json)
    assert await bundles.find("probe", "") is None

    make_agent(tmp_path, "probe")

    assert await bundles.find("probe", "") is not None


async def test_an_agent_that_goes_is_gone(tmp_path: Path) -> None:
    folder = make_agent(tmp_path, "probe")
    bundles = FolderBundles([tmp_path], read=read_json)
    assert await bundles.find("probe", "") is not None

    (folder / "agent.yaml").unlink()

    assert await bundles.find("probe", "") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting"),
        ('{"command": ["x"]}', "name: Field required"),
        ('{"name": "probe"}', "needs a command"),
        ('{"name": "Not A Name", "command": ["x"]}', "name: String should match pattern"),
    ],
)
def test_what_cannot_be_read_is_a_fault_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    good, bad = make_agent(tmp_path, "good"), make_agent(tmp_path, "bad")
    (bad / "agent.yaml").write_text(text)

    found = discover([tmp_path, tmp_path / "absent"], read_json)

    assert list(found.bundles) == [good.name]
    assert found.faults[0].startswith(f"{bad}/agent.yaml:")
    assert said in found.faults[0]
    assert found.faults[1] == f"{tmp_path}/absent: no such folder of agents"


@pytest.mark.parametrize(
    ("line", "column", "said"),
    [
        ("image: ghcr.io/Acme/x", 8, "image: the path has capitals"),
        ("memoise: maybe", 10, "memoise: Input should be a valid boolean"),
        ("memoise: true", 10, "memoise: what the network answers may change"),
        ("limits: {memory_mb: 1}", 21, "limits.memory_mb: Input should be greater"),
        ("workspaces: [{input: a}, {mode: ro}]", 26, "workspaces.1.input: Field required"),
    ],
)
def test_a_fault_of_a_manifest_has_its_line_and_column(
    tmp_path: Path, line: str, column: int, said: str
) -> None:
    text = f"name: bad\ncommand: [x]\nnetwork: egress\n{line}\n"
    (tmp_path / "agent.yaml").write_text(text)

    with pytest.raises(BundleFault) as caught:
        _ = read_bundle(tmp_path)

    assert str(caught.value).startswith(f"{tmp_path}/agent.yaml:4:{column}: {said}")


def test_another_image_is_another_agent(tmp_path: Path) -> None:
    folder = make_agent(tmp_path, "probe")
    digests = {read_bundle(folder).digest}
    for image in ("rootfs:root", "rootfs:other", "alpine", f"alpine@sha256:{'0' * 64}"):
        body = {"name": "probe", "command": ["python", "-m", "pkg"], "image": image}
        (folder / "agent.yaml").write_text(json.dumps(body))
        digests.add(read_bundle(folder).digest)

    assert len(digests) == 5


def test_what_lies_in_an_image_of_the_folder_counts(tmp_path: Path) -> None:
    folder = make_agent(tmp_path, "probe", image="rootfs:root")
    (folder / "root").mkdir()
    (folder / "root" / "tool").write_text("1")
    before = read_bundle(folder).digest

    (folder / "root" / "tool").write_text("2")

    assert read_bundle(folder).digest != before


def test_two_agents_of_one_name_are_a_fault(tmp_path: Path) -> None:
    make_agent(tmp_path, "one", name="probe")
    make_agent(tmp_path, "two", name="probe")

    found = discover([tmp_path], read_json)

    assert found.bundles["probe"].folder == tmp_path / "one"
    assert "is called probe already" in found.faults[0]


def test_a_device_is_no_part_of_a_bundle(tmp_path: Path) -> None:
    folder = make_agent(tmp_path, "probe")
    os.mkfifo(folder / "pipe")

    with pytest.raises(BundleFault, match="neither a file"):
        bundle_digest(folder)


def test_the_agents_of_this_checkout_are_found() -> None:
    (root,) = default_roots()

    assert (root / "notifier" / "agent.yaml").is_file()


# --- built-in agents ----------------------------------------------------------------------------


async def test_built_in_agents_are_found_by_name() -> None:
    bundles = FolderBundles([], builtin_manifests())

    noop = await bundles.find("noop", "")

    assert noop is not None
    assert noop.manifest.repeats
    assert noop.digest == manifest_digest(noop.manifest)
    assert set((await bundles.discover()).bundles) == {
        "noop",
        "noop-once",
        "noop-planner",
    }


def test_of_the_built_in_agents_one_repeats_and_one_plans() -> None:
    assert [manifest.repeats for manifest in builtin_manifests()] == [True, False, False]
    assert [manifest.plans for manifest in builtin_manifests()] == [False, False, True]
    assert all(isinstance(manifest, AgentManifest) for manifest in builtin_manifests())


def spec_of(given: object, attempt: int = 1, command: str = "noop") -> SandboxSpec:
    return SandboxSpec(
        "task",
        Path("/"),
        (command,),
        json.dumps(given).encode(),
        LIMITS,
        env={"PENSTOCK_ATTEMPT": str(attempt)},
    )


@pytest.mark.parametrize(
    ("given", "attempt", "exit_code", "output"),
    [
        ({}, 1, 0, {}),
        ({"other": 1}, 1, 0, {}),
        ({"payload": {"deep": [1]}}, 1, 0, {"payload": {"deep": [1]}}),
        ({"fail_times": 2, "payload": 1}, 3, 0, {"payload": 1}),
        ({"crash": 137}, 1, 137, None),
    ],
)
async def test_noop_does_as_its_input_says(
    given: object, attempt: int, exit_code: int, output: object
) -> None:
    result = await InlineSandbox(ManualClock()).run(spec_of(given, attempt), lambda _line: None)

    assert (result.reason, result.exit_code) == (ExitReason.EXITED, exit_code)
    assert (None if result.output is None else from_json(result.output)) == output


@pytest.mark.parametrize(
    ("given", "code", "retryable"),
    [({"fail_times": 2}, "told_to_fail", True), ({"sleep_ms": "x"}, "invalid_input", False)],
)
async def test_noop_fails_in_a_declared_way(given: object, code: str, retryable: bool) -> None:
    result = await InlineSandbox(ManualClock()).run(spec_of(given), lambda _line: None)

    assert result.exit_code == 10
    assert result.output is not None
    error = from_json(result.output)["error"]
    assert (error["code"], error["retryable"]) == (code, retryable)


def planner_of(given: object, phase: str, **told: str) -> SandboxSpec:
    spec = spec_of(given, command="noop-planner")
    return replace(spec, env={**spec.env, "PENSTOCK_PHASE": phase, **told})


def applying(task: object, effect: object) -> object:
    return {"input": task, "plan": {"effect": effect, "base": {}}}


@pytest.mark.parametrize(
    ("given", "phase", "exit_code", "output"),
    [
        ({"nothing": True}, "plan", 0, {"output": {}}),
        ({"nothing": True, "payload": 1}, "plan", 0, {"output": {"payload": 1}}),
        ({"crash": 3, "phase": "plan"}, "plan", 3, None),
        (applying({}, {}), "apply", 0, {}),
        (applying({"payload": 1}, {"payload": 2}), "apply", 0, {"payload": 2}),
        (applying({"crash": 3}, {}), "apply", 3, None),
        (applying({"crash": 3, "phase": "plan"}, {}), "apply", 0, {}),
    ],
)
async def test_the_planner_applies_what_was_approved(
    given: object, phase: str, exit_code: int, output: object
) -> None:
    sandbox = InlineSandbox(ManualClock())

    result = await sandbox.run(planner_of(given, phase), lambda _line: None)

    assert result.exit_code == exit_code
    assert (None if result.output is None else from_json(result.output)) == output


async def test_the_planner_plans_to_give_its_payload() -> None:
    spec = planner_of({"payload": 1, "crash": 3}, "plan", PENSTOCK_FEEDBACK="less, please")

    result = await InlineSandbox(ManualClock()).run(spec, lambda _line: None)

    assert result.output is not None
    assert from_json(result.output) == {
        "plan": {"effect": {"payload": 1}, "base": {"state": "any"}, "summary": "less, please"}
    }


async def test_noop_prints() -> None:
    lines: list[LogLine] = []

    await InlineSandbox(ManualClock()).run(spec_of({"lines": 3}), lines.append)

    assert [line.text for line in lines] == ["line 0", "line 1", "line 2"]


async def test_nothing_else_is_built_in() -> None:
    sandbox = InlineSandbox(ManualClock())

    result = await sandbox.run(spec_of({}, command="sh"), lambda _line: None)

    assert result.reason is ExitReason.START_FAILED
    assert (await sandbox.check()).available
    await sandbox.close()
