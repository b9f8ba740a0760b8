"""Agents that say when they began: native programs, so that little but the sandbox is measured."""

import shutil
import subprocess
from pathlib import Path

_PROBE_AGENT = """\
apiVersion: penstock/v1
kind: Agent
name: {name}
version: 1.0.0
command: [/penstock/agent/probe]
output: {{type: object}}
"""
_PLANNING = """\
risk: APPROVAL_REQUIRED
phases: [plan, apply]
"""
_PROGRAM = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
int main(void) {
    struct timeval now;
    char text[64];
    const char *phase = getenv("PENSTOCK_PHASE");
    const char *form = phase && !strcmp(phase, "plan")
        ? "{\"plan\": {\"effect\": {\"at\": \"%lld%06ld\"}}}" : "{\"at\": \"%lld%06ld\"}";
    gettimeofday(&now, 0);
    int length = snprintf(text, sizeof text, form, (long long)now.tv_sec, (long)now.tv_usec);
    int output = open("/penstock/output.json", O_WRONLY);
    return write(output, text, length) != length;
}
"""
# Without a compiler: the start of this shell is then part of the figure.
_SCRIPT = """\
#!/bin/bash
text='{"at": "%s"}'
if [ "$PENSTOCK_PHASE" = plan ]; then text='{"plan": {"effect": {"at": "%s"}}}'; fi
printf "$text" "${EPOCHREALTIME/./}" > /penstock/output.json
"""


def make_probe(folder: Path, *, plans: bool = False) -> str:
    """Write the probe agent, named as its folder, and say what it is made of.

    Args:
        folder: to be made.
        plans: it has the phases plan and apply, so that a person has to allow it.
    """
    folder.mkdir(parents=True)
    manifest = _PROBE_AGENT.format(name=folder.name) + (_PLANNING if plans else "")
    (folder / "agent.yaml").write_text(manifest)
    program, compiler = folder / "probe", shutil.which("cc")
    if compiler is None:
        program.write_text(_SCRIPT)
        program.chmod(0o755)
        return "bash script (no C compiler here)"
    command = [compiler, "-O2", "-static", "-x", "c", "-o", str(program), "-"]
    subprocess.run(command, input=_PROGRAM.encode(), check=True, timeout=60)
    return "native program"
