"""Parts of the Dagger adapter that need neither an engine nor a process."""

from __future__ import annotations

import binascii
import hashlib
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from graphql import parse

from penstock_adapters.dagger.archive import write_archive
from penstock_adapters.dagger.channel import Exchange, Line, frames, stop_of
from penstock_adapters.dagger.documents import Word, chained, innermost
from penstock_adapters.dagger.host_root import HostRoot, Part, listed
from penstock_adapters.dagger.images import Archive, Tree, default_image, image_of
from penstock_adapters.dagger.inside import agent, tree
from penstock_adapters.dagger.inside.speech import Tape
from penstock_adapters.dagger.libraries import CannotCollect, loader_of
from penstock_adapters.dagger.orders import order_of, patience, uid_of, with_artifacts
from penstock_adapters.dagger.shipping import SIGNED_ENTRIES, signature
from penstock_adapters.dagger.surroundings import cli_program, engine_host
from penstock_adapters.process.output import OutputState
from penstock_contracts.images import ImageFault, RegistryImage
from penstock_runtime.ports.sandbox import (
    ARTIFACT_ENTRIES_MAX,
    ExitReason,
    Limits,
    Mount,
    SandboxSpec,
)

LIMITS = Limits(
    memory_bytes=64 * 2**20,
    processes=8,
    cpu_s=2,
    wall_s=3,
    output_bytes=1000,
    log_bytes=10,
    disk_bytes=2000,
)
SPEC = SandboxSpec("task", Path("/bundle"), ("run", "it"), b"in", LIMITS)


def frame(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


def ending(stop: bytes = b"-", state: bytes = b"P", data: bytes = b"", code: int = 0) -> bytes:
    return stop + state + b"".join(n.to_bytes(8, "big") for n in (code, 1_500_000, 4096)) + data


# --- documents ----------------------------------------------------------------------------------


def test_a_document_nests_its_fields_and_writes_its_literals():
    steps = [
        ("host", {}),
        ("directory", {"path": 'a "b"\n\\ü\u2028', "noCache": True, "exclude": ["x", "y"]}),
        ("withExec", {"expect": Word("ANY"), "size": 8}),
    ]
    text = chained(steps, "id", "exitCode")
    parse(text)
    assert 'exclude: ["x", "y"]' in text
    assert "expect: ANY, size: 8" in text
    assert text.endswith("{ id exitCode } } } }")


def test_the_innermost_answer_is_found():
    answer = {"host": {"directory": {"id": "1"}}}
    assert innermost(answer, [("host", {}), ("directory", {"path": "p"})]) == {"id": "1"}


# --- the channel --------------------------------------------------------------------------------


def test_a_record_is_cut_into_frames_and_an_unfinished_one_is_left_out():
    whole = frame(b"O", b"one") + frame(b"X", b"")
    assert list(frames(whole)) == [(b"O", b"one"), (b"X", b"")]
    assert list(frames(whole + frame(b"E", b"three")[:-1])) == list(frames(whole))
    assert list(frames(b"abc")) == []


@pytest.mark.parametrize(
    ("payload", "state", "data"),
    [
        (ending(data=b"out"), OutputState.PRESENT, b"out"),
        (ending(), OutputState.MISSING, None),
        (ending(state=b"L"), OutputState.TOO_LARGE, None),
    ],
)
async def test_an_end_is_read(payload: bytes, state: OutputState, data: bytes | None):
    line = Line(100, lambda _stream, _data: None)
    line.take(b"X", payload)
    line.take(b"X", ending(code=9))
    end = line.ended.result()
    assert end is not None
    assert (end.output.state, end.output.data, end.stop) == (state, data, "-")
    assert (end.exit.code, end.exit.cpu_s, end.exit.max_rss_bytes) == (0, 1.5, 4096)


async def test_an_end_that_is_too_short_is_none():
    line = Line(100, lambda _stream, _data: None)
    line.take(b"X", b"-P")
    assert line.ended.result() is None


async def test_an_end_with_a_strange_reason_is_read_all_the_same():
    line = Line(100, lambda _stream, _data: None)
    line.take(b"X", ending(stop=b"\xff", code=3))
    end = line.ended.result()
    assert end is not None
    assert stop_of(end.stop, LIMITS) is None


async def test_what_is_printed_is_passed_on_and_the_rest_is_not():
    seen: list[tuple[str, bytes]] = []
    line = Line(100, lambda stream, data: seen.append((stream, data)))
    for kind in (b"O", b"E", b"?"):
        line.take(kind, kind)
    line.say(b"T")  # nobody has called
    line.hang_up()
    line.hang_up()
    line.take(b"O", b"late")
    assert seen == [("stdout", b"O"), ("stderr", b"E")]
    assert line.ended.result() is None


async def test_an_exchange_that_was_not_opened_is_closed_with_its_lines():
    exchange, line = Exchange(Path("/nowhere")), Line(10, lambda _stream, _data: None)
    exchange.expect(line)
    await exchange.close()
    assert line.ended.done()


@pytest.mark.parametrize(
    ("letter", "reason"),
    [
        ("M", ExitReason.MEMORY),
        ("C", ExitReason.TIMEOUT),
        ("W", ExitReason.TIMEOUT),
        ("G", ExitReason.OUTPUT_TOO_LARGE),
        ("A", ExitReason.ARTIFACTS_TOO_LARGE),
        ("K", None),
        ("-", None),
    ],
)
def test_why_an_agent_was_ended(letter: str, reason: ExitReason | None):
    stop = stop_of(letter, LIMITS)
    assert (stop.reason if stop else None) == reason


# --- images -------------------------------------------------------------------------------------


def test_the_default_image_is_read():
    assert default_image("host") is None
    assert default_image("rootfs:/srv/root") == Tree(Path("/srv/root"))
    assert default_image("oci-archive:/a.tar") == Archive(Path("/a.tar"), None)
    assert default_image("oci-archive:/a.tar:v1") == Archive(Path("/a.tar"), "v1")
    found = default_image("docker.io/library/python:3.12")
    assert isinstance(found, RegistryImage)
    assert found.tag == "3.12"


@pytest.mark.parametrize("text", ["rootfs:relative", "oci-archive:a.tar", "", "UPPER/case"])
def test_a_bad_default_image_is_refused(text: str):
    with pytest.raises(ImageFault):
        default_image(text)


def test_an_agents_image_is_inside_its_folder(tmp_path: Path):
    assert image_of("rootfs:root", tmp_path) == Tree(tmp_path / "root")
    assert image_of("oci-archive:a.tar:v1", tmp_path) == Archive(tmp_path / "a.tar", "v1")
    assert isinstance(image_of("docker.io/library/python:3.12", tmp_path), RegistryImage)
    (tmp_path / "out").symlink_to("/etc")
    with pytest.raises(ImageFault, match="leads out"):
        image_of("rootfs:out", tmp_path)


# --- orders -------------------------------------------------------------------------------------


def test_a_remembered_task_always_has_the_same_uid():
    assert uid_of("memo") == uid_of("memo") != uid_of("other")
    drawn = {uid_of(None) for _ in range(50)}
    assert len(drawn) > 40
    assert all(100_000 <= uid < 2**31 for uid in (*drawn, uid_of("memo")))


def test_an_order_says_all_that_a_task_needs():
    mounts = (Mount(Path("/a"), "/penstock/a", writable=True), Mount(Path("/b"), "/penstock/b"))
    spec = replace(SPEC, mounts=mounts, env={"LANG": "C", "OWN": "1"}, secrets={"KEY": "hush"})
    order = order_of(spec, 7, program=b"code", own=True, wall_s=4.0, egress="token")
    assert order["argv"] == [b"run", b"it"]
    assert (order["uid"], order["input"], order["filter"]) == (7, b"in", b"code")
    assert order["file_bytes"] == LIMITS.disk_bytes
    assert order["growing"] == [("/penstock/a", LIMITS.disk_bytes, 0)]
    assert order["egress"] == b"token"
    env = order["env"]
    assert (env[b"LANG"], env[b"OWN"]) == (b"C", b"1")
    assert env[b"PENSTOCK_EGRESS_SOCKET"] == b"/penstock/egress.sock"
    assert b"hush" not in repr(order).encode()


def test_an_image_brings_its_own_path():
    order = order_of(SPEC, 7, program=b"", own=False, wall_s=4.0)
    assert b"PATH" not in order["env"]
    assert b"PENSTOCK_EGRESS_SOCKET" not in order["env"]
    assert patience(LIMITS, 2.0) == 15.0


def test_the_folder_for_artifacts_is_a_workspace_of_its_own_size():
    limits = replace(LIMITS, artifacts_bytes=2**30)
    spec = with_artifacts(replace(SPEC, artifacts=Path("/left"), limits=limits))
    order = order_of(spec, 7, program=b"", own=False, wall_s=4.0)
    assert [(one.source, one.target, one.writable) for one in spec.mounts][-1] == (
        Path("/left"), "/penstock/artifacts", True,
    )  # fmt: skip
    assert order["growing"][-1] == ("/penstock/artifacts", 2**30, ARTIFACT_ENTRIES_MAX)
    assert order["file_bytes"] == 2**30
    assert order["env"][b"PENSTOCK_ARTIFACTS"] == b"/penstock/artifacts"
    assert with_artifacts(SPEC) is SPEC
    assert b"PENSTOCK_ARTIFACTS" not in order_of(SPEC, 7, program=b"", own=False, wall_s=1)["env"]


def test_variables_of_the_sdk_stand_in_for_settings():
    environ = {
        "_EXPERIMENTAL_DAGGER_RUNNER_HOST": "tcp://there",
        "_EXPERIMENTAL_DAGGER_CLI_BIN": "/cli",
    }
    assert engine_host(None, environ) == "tcp://there"
    assert engine_host("unix:///own", environ) == "unix:///own"
    assert engine_host(None, {}) is None
    assert cli_program(None, environ) == Path("/cli")
    assert cli_program("/own", environ) == Path("/own")
    assert cli_program(None, {}) is None


# --- folders ------------------------------------------------------------------------------------


def test_a_changed_folder_has_another_signature(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/file").write_text("1")
    first = signature(tmp_path)
    assert first == signature(tmp_path)
    (tmp_path / "deep/file").write_text("22")
    assert signature(tmp_path) != first
    for number in range(SIGNED_ENTRIES):
        (tmp_path / f"{number}").touch()
    assert signature(tmp_path) is None


def planned(folder: Path) -> HostRoot:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/tool").write_text("tool")
    (folder / "bin/tool").chmod(0o700)
    os.link(folder / "bin/tool", folder / "bin/twin")
    (folder / "bin/link").symlink_to("tool")
    (folder / "bin/gone.pyc").touch()
    (folder / "lib/deep").mkdir(parents=True)
    (folder / "lib/deep/one").write_text("one")
    (folder / "lib/other").touch()
    parts = (
        Part(folder / "bin", exclude=("*.pyc",)),
        Part(folder / "lib", {"deep", "missing"}),
        Part(folder / "lib/deep", {"one"}),
    )
    return HostRoot(parts, {"/lib64": "usr/lib64"})


def test_what_is_planned_is_listed_in_order(tmp_path: Path):
    below = str(tmp_path).removeprefix("/")
    names = [place.removeprefix(f"{below}/") for place, _ in listed(planned(tmp_path))]
    assert names == ["bin/link", "bin/tool", "bin/twin", "lib/deep", "lib/deep/one", "lib/deep/one"]


def test_an_archive_is_a_layout_whose_digests_are_right(tmp_path: Path):
    root = planned(tmp_path / "root")
    write_archive(root, tmp_path / "a.tar")
    write_archive(root, tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        files = {entry.name: _read(tar, entry) for entry in tar.getmembers()}
    for name, data in files.items():
        if name.startswith("blobs/sha256/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    told = json.loads(files["index.json"])["manifests"][0]
    manifest = json.loads(_blob(files, told))
    config = json.loads(_blob(files, manifest["config"]))
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    (tmp_path / "layer.tar").write_bytes(_blob(files, layer))
    below = str(tmp_path / "root").removeprefix("/")
    with tarfile.open(tmp_path / "layer.tar") as tar:
        entries = {entry.name: entry for entry in tar.getmembers()}
        assert entries["lib64"].linkname == "usr/lib64"
        assert f"{below}/bin/gone.pyc" not in entries
        tool = entries[f"{below}/bin/tool"]
        assert (tool.uid, tool.gid, tool.uname, tool.mode) == (0, 0, "", 0o744)
        assert entries[f"{below}/bin/twin"].islnk()
        assert entries["etc/passwd"].mtime == 0
        assert len(entries) == len(tar.getmembers()), "nothing is in it twice"


def _read(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    assert file is not None
    return file.read()


def _blob(files: dict[str, bytes], told: dict[str, str]) -> bytes:
    data = files[f"blobs/{told['digest'].replace(':', '/')}"]
    assert len(data) == int(told["size"])
    return data


def test_a_loader_is_told_from_other_libraries():
    libraries = {"libc.so.6": Path("/c"), "ld-linux-x86-64.so.2": Path("/ld")}
    assert loader_of(libraries) == Path("/ld")
    with pytest.raises(CannotCollect, match="no loader"):
        loader_of({"libc.so.6": Path("/c")})


# --- inside a container -------------------------------------------------------------------------


def test_the_files_of_a_workspace_are_measured(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a").write_bytes(bytes(100))
    (tmp_path / "b").write_bytes(bytes(20))
    (tmp_path / "deep/up").symlink_to(tmp_path)
    assert tree.measured(str(tmp_path)) == (120 + len(str(tmp_path)), 4)
    assert tree.measured(str(tmp_path / "none")) == (0, 0)
    assert tree.held(str(tmp_path / "none")) == 0


def test_a_tape_is_read_as_frames_and_drops_lines_past_their_bound(tmp_path: Path):
    tape = Tape(log_bytes=6)
    for kind, payload in ((b"O", b"four"), (b"E", b"three"), (b"O", b"x"), (b"X", ending())):
        tape.say(kind, payload)
    tape.keep(str(tmp_path / "record"))
    record = (tmp_path / "record").read_bytes()
    assert list(frames(binascii.a2b_base64(record, strict_mode=True))) == [
        (b"O", b"four"),
        (b"E", b"th"),
        (b"X", ending()),
    ]


def test_the_engines_variables_are_not_the_agents(monkeypatch: pytest.MonkeyPatch):
    for name in ("OTEL_X", "DAGGER_SESSION_TOKEN", "TRACEPARENT", "BAGGAGE", "OF_THE_IMAGE"):
        monkeypatch.setenv(name, "image")
    found = agent.environment({b"OWN": b"1", b"OF_THE_IMAGE": b"task"})
    assert found[b"OWN"] == b"1"
    assert found[b"OF_THE_IMAGE"] == b"task"
    assert not {b"OTEL_X", b"DAGGER_SESSION_TOKEN", b"TRACEPARENT", b"BAGGAGE"} & set(found)
