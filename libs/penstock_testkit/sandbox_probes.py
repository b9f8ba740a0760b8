"""Small agents that probe a sandbox, and the means to watch them from outside."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from penstock_runtime.ports.sandbox import Limits, LogLine

MIB = 1024 * 1024
WAIT_S = 20.0
"""Longest wait of one test step."""

LIMITS = Limits(
    memory_bytes=192 * MIB,
    processes=32,
    cpu_s=15,
    wall_s=15,
    output_bytes=64 * 1024,
    log_bytes=64 * 1024,
    disk_bytes=8 * MIB,
)

PRELUDE = (
    "import json, os, signal, sys, time; "
    "given = lambda: json.load(open(os.environ['PENSTOCK_INPUT'])); "
    "give = lambda value: open(os.environ['PENSTOCK_OUTPUT'], 'w').write(json.dumps(value));\n"
)


class Log:
    """Collects log lines, and lets a test wait for one."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self._awaited: list[tuple[str, asyncio.Event]] = []

    def __call__(self, line: LogLine) -> None:
        """Take in a line."""
        self.lines.append(line)
        for text, seen in self._awaited:
            if text in line.text:
                seen.set()

    def text(self, stream: str) -> str:
        """All that was printed to one stream."""
        return "\n".join(line.text for line in self.lines if line.stream == stream)

    async def saw(self, text: str) -> None:
        """Wait until a line contains `text`."""
        seen = asyncio.Event()
        if any(text in line.text for line in self.lines):
            return
        self._awaited.append((text, seen))
        await asyncio.wait_for(seen.wait(), WAIT_S)


def processes_marked(mark: str) -> list[int]:
    """Host processes whose command line contains a mark."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in line:
                found.append(int(folder.name))
    return found


ASK_PROXY = """
import socket
form, host, port = sys.argv[1:]
there = socket.socket(socket.AF_UNIX)
there.settimeout(10)
there.connect(os.environ['PENSTOCK_EGRESS_SOCKET'])
name = f'[{host}]:{port}' if ':' in host else f'{host}:{port}'
def said():
    data = b''
    while piece := there.recv(65536):
        data += piece
        if form == 'connect' and data.endswith(b'established' + b'\\r\\n' * 2):
            break
    return data.decode()
if form == 'connect':
    there.sendall(f'CONNECT {name} HTTP/1.1\\r\\n\\r\\n'.encode())
    answer = said()
    if ' 200 ' in answer:
        form = 'through'
        there.sendall(f'GET / HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n'.encode())
        answer = said()
else:
    there.sendall(f'GET http://{name}/x?y HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n'.encode())
    answer = said()
give(answer)
"""
