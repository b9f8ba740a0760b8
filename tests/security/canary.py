"""Agents that are given secrets and spread them, and everything that must not be found then."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

from penstock_testkit.collector import Collector
from penstock_testkit.stack import Json, RunningStack
from tests.e2e.bundles import LIMITS, PROGRAM, write_agent

SECRET = 'Canary"7f\\3b/2c+grün&?=~x9Q'
FILED = "canary-of-a-file-5d41402abc4b2a76b9719d911017c592"
LINED = "Canary-Of-An-Env-File-0cc175b9c0f1b6a831c399e269772661"
NAMES = ("canary-variable", "canary-file", "canary-line")

# What agents do with what they were given; `forms` are all of it, written in every way.
SPREAD = """\
import base64, os, signal
from urllib.parse import quote, quote_plus
secrets = [value for name, value in sorted(os.environ.items()) if name.startswith("CANARY")]
assert len(secrets) == 3, sorted(os.environ)
forms = []
for secret in secrets:
    raw = secret.encode()
    forms += [secret, secret.lower(), json.dumps(secret), json.dumps(secret, ensure_ascii=False),
              json.dumps(json.dumps(secret)), repr(secret), raw.hex(), raw.hex().upper(),
              quote(secret, safe=""), quote(secret), quote_plus(secret)]
    for pad in (b"", b"a", b"ab"):
        forms += [base64.b64encode(pad + raw + b"!").decode(),
                  base64.urlsafe_b64encode(pad + raw + b"!").decode()]
def spread():
    for form in forms:
        print("see", form)
        print("see", form, file=sys.stderr)
    for at, secret in zip((8180, 8160, 8191), secrets):
        print("x" * at + secret)
    sys.stdout.flush()
spread()
"""
# Each way of ending, behind which the run fails unless `WELL` has it.
ENDS: dict[str, str] = {
    "well": "answer({'said': 1, 'more': forms, **{form: form for form in forms}})",
    "declared": "answer({'error': {'code': forms[0], 'message': ' '.join(forms[:4]),"
    " 'retryable': False}}); sys.exit(10)",
    "crash": "raise RuntimeError(secrets[1] + forms[13] + secrets[0])",
    "misfit": "answer({'said': forms[0], 'more': forms})",
    "no_object": "pathlib.Path('/penstock/output.json').write_text(' '.join(forms))",
    "killed": "os.kill(os.getpid(), 9)",
    "timeout": "sys.stdout.flush(); time.sleep(60)",
    "last_words": "signal.signal(15, lambda *_: (spread(), os._exit(1))); time.sleep(60)",
    "memory": "held = [bytearray(1 << 20) for _ in range(1 << 12)]",
    "flood": "while True: os.write(1, (forms[0] + 'x' * 60_000).encode())",
    "large": "answer({'said': 1, 'more': forms * 400})",
    "beyond": "answer({'said': 1, 'more': forms * 60})",
    "left": "folder = pathlib.Path(os.environ['PENSTOCK_ARTIFACTS'])\n"
    "(folder / 'log.txt').write_text('\\n'.join(forms * 400))\n"
    "(folder / 'long.txt').write_text(('x' * 1_048_570).join(secrets))\nanswer({'said': 1})",
    "packed": "folder = pathlib.Path(os.environ['PENSTOCK_ARTIFACTS'])\n"
    "(folder / 'fine.txt').write_text('fine')\n"
    "(folder / 'x.bin').write_bytes(b'\\0' + secrets[0].encode())\nanswer({'said': 1})",
    "named": "folder = pathlib.Path(os.environ['PENSTOCK_ARTIFACTS'])\n"
    "(folder / secrets[1]).write_text('x')\nanswer({'said': 1})",
    "partial": "print('::penstock-progress ' + json.dumps({'fraction': 0.5, 'text': forms[0]}))\n"
    "print('::penstock-partial ' + json.dumps({'found': forms, **{one: 1 for one in forms}}))\n"
    "sys.stdout.flush(); os.kill(os.getpid(), 9)",
    "files": "import tempfile\nfor n, form in enumerate(forms):\n"
    " for top in ('/tmp', '/penstock/work'):\n"
    "  pathlib.Path(top, form.replace('/', '_')[:200]).mkdir(exist_ok=True)\n"
    "  pathlib.Path(top, str(n)).write_text(form)\nanswer({'said': 1})",
}
OF_OTHERS: dict[str, tuple[str, str]] = {
    "proposed": ("planner", "answer({'plan': {'effect': {'files': forms}, 'summary': forms[0]}})"),
    "egress": (
        "caller",
        "import socket\nfor form in forms:\n"
        " for head in (f'CONNECT {form}.example.org:443', f'CONNECT {form}:443',\n"
        "   f'GET http://allowed.invalid:443/{form}?{form}', f'{form} / HTTP'):\n"
        "  there = socket.socket(socket.AF_UNIX)\n"
        "  there.connect(os.environ['PENSTOCK_EGRESS_SOCKET'])\n"
        "  there.sendall(f'{head} HTTP/1.1\\r\\nX-Key: {form}\\r\\n\\r\\n'.encode())\n"
        "  print(there.recv(4096).decode('utf-8', 'replace'))\nanswer({'said': 1})",
    ),
    "absent": ("absent", ""),
    "refused": ("ungranted", ""),
}
APPLIED = (
    "if os.environ['PENSTOCK_PHASE'] == 'plan': answer({'plan': {'effect': {'do': 'it'},"
    " 'summary': 'do it'}})\nelse: answer({'said': 1, 'more': forms})"
)
WELL = ("well", "files", "egress", "applied", "beyond", "left")
SILENT = ("absent", "refused")
"""Whose program never ran."""


def forms(secret: str) -> Iterator[bytes]:
    """Everything that must not be found."""
    raw = secret.encode()
    for text in (
        secret, secret.lower(), json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret))[3:-3], repr(secret)[1:-1], raw.hex(), raw.hex().upper(),
        quote(secret, safe=""), quote(secret), quote_plus(secret),
    ):  # fmt: skip
        yield text.encode()
    for pad, skip in ((b"", 0), (b"a", 2), (b"ab", 3)):
        whole = base64.b64encode(pad + raw)
        inside = whole[skip : (len(pad) + len(raw)) * 8 // 6]
        yield from (inside, inside.translate(bytes.maketrans(b"+/", b"-_")))


NEEDLES = {needle for secret in (SECRET, FILED, LINED) for needle in forms(secret)}


def found_in(told: bytes) -> list[str]:
    """Give the forms that are in it; none, if all is well."""
    return [needle.decode() for needle in NEEDLES if needle in told]


def texts(told: object) -> Iterator[str]:
    """Give every text in a JSON value, keys included."""
    match told:
        case str():
            yield told
        case dict():
            for name, value in told.items():
                yield from (str(name), *texts(value))
        case list():
            for value in told:
                yield from texts(value)
        case _:
            pass


@dataclass
class Spread:
    """A stack whose agents have spread their secrets, and everything that it told."""

    stack: RunningStack
    collector: Collector
    scratch: Path
    runs: dict[str, str] = field(default_factory=dict[str, str])

    async def lines(self, run: str) -> AsyncGenerator[str]:
        """Give what the API shows of a run's lines."""
        async for frame in self.stack.frames(f"/api/runs/{run}/logs"):
            yield json.dumps(frame, ensure_ascii=False)


def write_secrets(folder: Path) -> dict[str, str]:
    """Put one secret at each place, and give the settings that name these."""
    files, lines = folder / "files", folder / "lines.env"
    files.mkdir()
    (files / "canary-file").write_text(FILED + "\n")
    lines.write_text(f"CANARY_LINE='{LINED}'\n")
    lines.chmod(0o600)
    agents = ("doer", "planner", "caller", "absent")
    return {
        "PENSTOCK_SECRET_CANARY_VARIABLE": SECRET,
        "PENSTOCK_SECRETS_DIR": str(files),
        "PENSTOCK_SECRETS_ENV_FILE": str(lines),
        "PENSTOCK_AGENT_GRANTS": ",".join(f"{agent}:{name}" for agent in agents for name in NAMES),
        "PENSTOCK_EGRESS_ALLOW": "allowed.invalid:443",
    }


def write_agents(agents: Path) -> list[Path]:
    """Write the agents that spread what they are given."""
    limits = {**LIMITS, "wall_s": 4}
    given: Json = {"secrets": list(NAMES), "limits": limits}
    # What is applied is told beside its input.
    program = PROGRAM.replace('given["do"]', 'given.get("input", given)["do"]')
    risky: Json = {"effect": "once", "risk": "APPROVAL_REQUIRED", "phases": ["plan", "apply"]}
    planner = write_agent(agents, "planner", **given, **risky)
    (planner / "agent.py").write_text(program)
    return [
        planner,
        write_agent(agents, "doer", **given),
        write_agent(agents, "caller", **given, network="egress"),
        write_agent(agents, "absent", **{**given, "command": ["no-such-program"]}),
        write_agent(agents, "ungranted", **given),
    ]


@asynccontextmanager
async def spreading(folder: Path, agents: Path) -> AsyncGenerator[Spread]:
    """Start a stack, and let agents spread their secrets along every path."""
    scratch = folder / "scratch"
    with Collector.listening() as collector:
        bundles = write_agents(agents)
        async with RunningStack.started(
            folder / "state",
            **write_secrets(folder),
            PENSTOCK_AGENT_ROOTS=str(agents),
            PENSTOCK_SCRATCH=str(scratch),
            PENSTOCK_OTLP_ENDPOINT=collector.url,
            PENSTOCK_OTLP_LOGS="true",
            PENSTOCK_LOG_LEVEL="debug",
        ) as stack:
            for bundle in bundles:
                await stack.register_bundle(bundle)
            whole = Spread(stack, collector, scratch)
            await _spread(whole)
            yield whole


async def _spread(whole: Spread) -> None:
    stack = whole.stack
    every = {name: ("doer", code) for name, code in ENDS.items()} | OF_OTHERS
    for name, (agent, code) in {**every, "applied": ("planner", APPLIED)}.items():
        workflow = f"leak-{name.replace('_', '-')}"
        do = f"{SPREAD}\n{code}"
        await stack.apply(workflow, {"only": {"agent": agent, "with": {"do": do}}})
        whole.runs[name] = await stack.trigger(workflow)
    await stack.respond(await stack.pending_approval(whole.runs["applied"]), "approve", "go on")
    for name, run in whole.runs.items():
        shown = await stack.ended(run)
        expected = "succeeded" if name in WELL else "failed"
        assert shown["run"]["status"] == expected, (name, shown)

    async def exported() -> bool:
        told = {one.attributes["penstock.run_id"] for one in whole.collector.spans
                if one.name == "run"}  # fmt: skip
        return told >= set(whole.runs.values())

    await stack.until(exported)
