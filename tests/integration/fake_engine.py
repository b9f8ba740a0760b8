"""Stands in for `dagger session`: what the host's side of the adapter needs of an engine.

Containers are played by processes of this machine, with every place inside replaced by its own.
Files in the state folder switch faults; see `FAULTS`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import graphql
from aiohttp import web
from graphql.language import ast

from tests.integration.fake_container import Container, Faults, called, order_of, remembered

FAULTS = {
    "no-session": "the CLI ends at once, and says why",
    "garbled": "the CLI says something else",
    "mute": "the CLI says nothing",
    "stubborn": "the CLI does not end",
    "away": "every request gets a 502",
    "hang": "no request gets an answer",
    "refuse-image": "no image can be had",
    "refuse-once": "no image can be had, once",
    "refuse-exec": "no container can be started",
    "refuse-socket": "no socket can be made known",
    "refuse-export": "nothing can be brought back",
    "garbled-record": "what is remembered cannot be read",
    "short-record": "what is remembered has no end",
    "bad-hello": "a container calls with a word of its own",
    "silent": "a container does not call",
    "dies": "a container goes once it has its order",
    "deaf": "a container does not do what it is told",
    "letter": "why a container says that it ended its agent",
}

# What the SDK builds documents of; those that the adapter writes itself are not checked.
_SCHEMA = graphql.build_schema("""
    interface Node { id: ID! }
    type Query { container: Container!, host: Host!, node(id: ID!): Node!, version: String! }
    type Host {
        directory(path: String!, exclude: [String!], noCache: Boolean): Directory!
        file(path: String!, noCache: Boolean): File!
    }
    type Directory implements Node { id: ID! }
    type File implements Node { id: ID! }
    type Container implements Node {
        id: ID!
        sync: ID!
        from(address: String!): Container!
        import(source: ID!, tag: String): Container!
        withRootfs(directory: ID!): Container!
        withMountedDirectory(path: String!, source: ID!, readOnly: Boolean): Container!
        withUser(name: String!): Container!
        withWorkdir(path: String!): Container!
    }
""")
_IMAGES = ("from", "import", "withRootfs")
_LOADERS = ("node", "loadContainerFromID")

Step = tuple[str, dict[str, Any]]


class Refusal(Exception):
    """The engine says no."""


@dataclass
class Engine:
    """Answers documents; what an id stands for is the chain of fields that led to it."""

    faults: Faults
    known: dict[str, list[Step]] = field(default_factory=dict[str, list[Step]])
    memory: dict[str, str] = field(default_factory=dict[str, str])

    async def query(self, request: web.Request) -> web.Response:
        """Answer one request."""
        document = str((await request.json())["query"])
        if self.faults.on("away"):
            return web.Response(status=502, text="Bad Gateway")
        if self.faults.on("hang"):
            await asyncio.Event().wait()
        if "__schema" in document:
            found = graphql.graphql_sync(_SCHEMA, document)
            return web.json_response({"data": found.data})
        with (self.faults.folder / "requests").open("a") as file:
            file.write(" ".join(document.split()) + "\n")
        try:
            parsed = graphql.parse(document).definitions[0]
            assert isinstance(parsed, ast.OperationDefinitionNode)
            return web.json_response({"data": await self.answer(parsed.selection_set, [])})
        except Refusal as refusal:
            return web.json_response({"errors": [{"message": str(refusal)}]})

    async def answer(
        self, selected: ast.SelectionSetNode, before: list[Step], made: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Answer what is selected, along its nesting."""
        found: dict[str, Any] = {}
        for node in selected.selections:
            if isinstance(node, ast.InlineFragmentNode):
                found |= await self.answer(node.selection_set, before, made)
                continue
            assert isinstance(node, ast.FieldNode)
            name = node.name.value
            given = {each.name.value: _value(each.value) for each in node.arguments or ()}
            if node.selection_set is None:
                found[name] = self.leaf(name, given, before, made or {})
                continue
            steps = [*before, (name, given)]
            if name in _LOADERS:
                steps = list(self.known[given["id"]])
            inside = await self.evaluated(name, steps) if name not in _LOADERS else None
            found[name] = await self.answer(node.selection_set, steps, inside or made)
        return found

    def leaf(
        self, name: str, given: dict[str, Any], steps: list[Step], made: dict[str, Any]
    ) -> Any:
        """Answer a field without fields."""
        match name:
            case "id" | "sync":
                key = f"id-{len(self.known)}"
                self.known[key] = steps
                return key
            case "version":
                return "v0.21.0"
            case "export":
                if self.faults.on("refuse-export"):
                    raise Refusal("no space left on device")
                return given["path"]
            case _:
                return made[name]

    async def evaluated(self, name: str, steps: list[Step]) -> dict[str, Any] | None:
        """Do what a step asks for; gives what it made."""
        given = steps[-1][1]
        if name in _IMAGES:
            self.image(name, given)
        if name == "unixSocket" and self.faults.on("refuse-socket"):
            raise Refusal("no sockets here")
        if (name, len(steps)) in {("directory", 2), ("file", 2)} and steps[0][0] == "host":
            self.seen(given["path"])
        if name != "withExec":
            return None
        if self.faults.on("refuse-exec"):
            raise Refusal("failed to start the container\nwith a second line")
        container = self.container(steps)
        if container.order is None:
            return {"exitCode": await called(container, self.faults)}
        return {"contents": await self.recalled(container)}

    def seen(self, path: str) -> None:
        """Refuse what is not there."""
        # penstock: ignore[path-traversal] -- plays an engine for the test's own folders
        if not Path(path).exists():
            raise Refusal(f"lstat {path}: no such file or directory")

    def image(self, name: str, given: dict[str, Any]) -> None:
        """Take an image, or refuse it."""
        once = self.faults.folder / "refuse-once"
        if once.exists():
            once.unlink()
            raise Refusal("not found: a lease")
        if self.faults.on("refuse-image"):
            raise Refusal("no such image")
        if name == "import":
            try:
                tarfile.open(self.place(given["source"])).close()
            except tarfile.TarError as error:
                raise Refusal(f"failed to read the archive: {error}") from error

    def container(self, steps: list[Step]) -> Container:
        """Say what a chain of fields makes of a container."""
        container = Container()
        for name, given in steps:
            match name:
                case "withMountedDirectory" | "withMountedFile":
                    container.places[given["path"]] = self.place(given["source"])
                case "withUnixSocket":
                    container.channel = self.place(given["source"])
                case "withSecretVariable":
                    value = self.known[given["secret"]][0][1]["plaintext"]
                    container.secrets[given["name"]] = value
                case "withNewFile":
                    container.order = order_of(base64.b64decode(given["contents"]))
                    container.text = given["contents"]
                case "withExec":
                    container.words = given["args"]
                case _:
                    pass
        return container

    def place(self, key: str) -> str:
        """Give where a thing of the host's is."""
        return self.known[key][1][1]["path"]

    async def recalled(self, container: Container) -> str:
        """Answer from memory, or run it; a failure is not remembered."""
        key = f"{container.text} {sorted(container.places.items())}"
        if key not in self.memory:
            code, record = await remembered(container, self.faults)
            if code != 0:
                raise Refusal(f"exit code: {code}")
            self.memory[key] = base64.b64encode(record).decode()
        if self.faults.on("garbled-record"):
            return "?"
        return "" if self.faults.on("short-record") else self.memory[key]


def _value(node: ast.ValueNode) -> Any:
    match node:
        case ast.ListValueNode():
            return [_value(each) for each in node.values]
        case ast.IntValueNode() | ast.StringValueNode() | ast.BooleanValueNode():
            return node.value
        case _:
            return None


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def session(faults: Faults) -> int:
    """Serve until nobody is there any more."""
    if faults.on("no-session"):
        sys.stderr.write("first\nno engine could be started here\n")
        return 1
    if faults.on("garbled"):
        _say("hello")
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/query", Engine(faults).query)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (faults.folder / "pid").write_text(str(os.getpid()))
    if not faults.on("mute"):
        port = runner.addresses[0][1]
        _say(json.dumps({"port": port, "session_token": "a word"}))
    await stdin.read()
    if faults.on("stubborn"):
        await asyncio.Event().wait()
    await runner.cleanup()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(session(Faults(Path(sys.argv[1])))))
