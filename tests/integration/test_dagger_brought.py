"""What is brought to an engine from this machine, and whom the channel's socket listens to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_adapters.dagger.channel import FRAME_BYTES, Exchange, Line
from penstock_adapters.dagger.host_root import listed, plan_root
from penstock_adapters.dagger.interpreter import INSIDE, gather, trial_command
from penstock_adapters.dagger.libraries import CannotCollect, libraries

pytestmark = pytest.mark.real

WAIT_S = 30.0


# --- files --------------------------------------------------------------------------------------


def test_the_interpreter_that_is_brought_runs_by_itself(tmp_path: Path):
    command = gather(tmp_path)
    assert command[: len(trial_command()) - 1] == trial_command()[:-1]
    *start, _ = (word.replace(INSIDE, str(tmp_path)) for word in command)
    code = "import penstock_inside.main, os, sys; print(sys.flags.isolated, os.__file__)"
    said = subprocess.run(
        [*start, code], capture_output=True, check=False, text=True, timeout=WAIT_S, env={}
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith(f"1 {tmp_path}/lib/")


def test_what_agents_need_of_this_machine_is_planned(tmp_path: Path):
    (tmp_path / "sdk").mkdir()
    (tmp_path / "sdk/module.py").touch()
    places = [f"/{place}" for place, _ in listed(plan_root([tmp_path / "sdk"]))]
    assert str(Path(sys.executable).resolve()) in places
    assert f"{tmp_path}/sdk/module.py" in places
    assert any(place.endswith("/json/decoder.py") for place in places)
    assert any("/ld-linux" in place or "/ld-musl" in place for place in places)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert not any(f"/{version}/test/" in place for place in places)
    assert not any("/site-packages/pytest/" in place for place in places)


def test_a_program_without_libraries_has_none(tmp_path: Path):
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert libraries([tmp_path / "script"]) == {}


def test_an_ldd_that_is_missing_or_broken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotCollect, match="not on PATH"):
        libraries([Path(sys.executable)])
    (tmp_path / "ldd").write_bytes(b"neither a script nor a program")
    (tmp_path / "ldd").chmod(0o755)
    with pytest.raises(CannotCollect, match="does not answer"):
        libraries([Path(sys.executable)])


# --- the socket ---------------------------------------------------------------------------------


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


@asynccontextmanager
async def expecting(folder: Path) -> AsyncIterator[tuple[Exchange, Line, list[bytes]]]:
    printed: list[bytes] = []
    exchange = Exchange(folder / "channel.sock")
    await exchange.open()
    line = Line(1000, lambda _, data: printed.append(data))
    exchange.expect(line)
    try:
        async with asyncio.timeout(WAIT_S):
            yield exchange, line, printed
    finally:
        await exchange.close()


async def said(exchange: Exchange, data: bytes, *, end: bool = False) -> bytes:
    """Say something; gives what is said until the other side closes."""
    reader, writer = await asyncio.open_unix_connection(exchange.path)
    writer.write(data)
    if end:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_stranger_is_not_listened_to(tmp_path: Path):
    async with expecting(tmp_path) as (exchange, line, _):
        token = line.token.encode()
        for hello in (frame(b"H", b"?" * len(token)), frame(b"G", token), frame(b"?", token)):
            assert await said(exchange, hello) == b""
        assert await said(exchange, b"H", end=True) == b""
        assert not line.opened.done()
        assert await said(exchange, frame(b"H", token), end=True) == frame(b"B")
        assert await said(exchange, frame(b"H", token)) == b""


@pytest.mark.parametrize("end", [b"O" + (FRAME_BYTES + 1).to_bytes(4, "big"), frame(b"X", b"-")])
async def test_a_line_ends_with_nonsense(tmp_path: Path, end: bytes):
    async with expecting(tmp_path) as (exchange, line, printed):
        hello = frame(b"H", line.token.encode())
        assert await said(exchange, hello + frame(b"O", b"some") + end) == frame(b"B")
        assert (line.ended.result(), printed) == (None, [b"some"])
        exchange.forget(line)
        assert await said(exchange, hello) == b""


async def test_both_ends_of_a_carried_connection_are_told(tmp_path: Path):
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    async with expecting(tmp_path) as (exchange, line, _):
        call = frame(b"G", line.token.encode())
        line.egress = tmp_path / "proxy.sock"
        assert await said(exchange, call) == b""  # nobody listens there
        async with await asyncio.start_unix_server(echo, line.egress):
            data = frame(b"D", b"there ") + frame(b"D", b"and back") + frame(b"F")
            assert await said(exchange, call + data) == frame(b"D", b"there and back") + frame(b"F")
            assert await said(exchange, call + b"D", end=True) in (b"", frame(b"F"))
