"""Commands, code and templates that are run."""

import re
from dataclasses import replace
from typing import Final

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.taint.machine import Machine
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import (
    CLEAN,
    HOLE,
    Reach,
    Value,
    joined,
    merged,
)
from penstock_agent_security_scanner.taint.weighing import Levels, harmless, weigh

_SHELL_CALLS: Final = frozenset(
    {
        "os.system", "os.popen", "os.popen2", "os.popen3", "os.popen4", "popen2.popen2",
        "popen2.popen3", "popen2.Popen3", "commands.getoutput", "commands.getstatusoutput",
        "subprocess.getoutput", "subprocess.getstatusoutput",
        "asyncio.create_subprocess_shell", "asyncio.subprocess.create_subprocess_shell",
        "pexpect.run", "pexpect.spawn", "posix.system", "invoke.run", "fabric.api.run",
        "fabric.api.local", "fabric.api.sudo",
    }
)  # fmt: skip
_PROCESS_CALLS: Final = frozenset(
    {
        "subprocess.run", "subprocess.call", "subprocess.check_call",
        "subprocess.check_output", "subprocess.Popen", "asyncio.create_subprocess_exec",
        "os.execl", "os.execle", "os.execlp", "os.execv", "os.execve", "os.execvp",
        "os.spawnl", "os.spawnv", "os.spawnlp", "os.spawnvp", "os.startfile",
        "os.posix_spawn", "pty.spawn", "sh.Command",
    }
)  # fmt: skip
_REMOTE_SHELLS: Final = frozenset(
    {
        "exec_command", "send_command", "sudo", "getoutput", "run_command",
    }
)  # fmt: skip
_SHELLS: Final = re.compile(
    r"(?:^|/|\0)(?:sh|bash|zsh|dash|ksh|cmd|cmd\.exe|powershell|powershell\.exe|pwsh)$"
)
_SHELL_FLAGS: Final = frozenset({"-c", "/c", "/C", "-lc", "-Command", "-command"})
_EVALUATORS: Final[dict[str, tuple[int, str]]] = {
    "eval": (0, "source"), "exec": (0, "source"), "compile": (0, "source"), "execfile": (0, "f"),
    "builtins.eval": (0, "source"), "builtins.exec": (0, "source"), "__builtin__.eval": (0, "x"),
    "code.interact": (9, "local"), "timeit.timeit": (0, "stmt"), "timeit.repeat": (0, "stmt"),
    "numexpr.evaluate": (0, "ex"), "pandas.eval": (0, "expr"), "cProfile.run": (0, "statement"),
    "js2py.eval_js": (0, "js"), "sympy.sympify": (0, "a"),
    "sympy.parsing.sympy_parser.parse_expr": (0, "s"),
    "exec_": (0, "code"), "six.exec_": (0, "code"), "types.CodeType": (5, "code"),
    "trace.Trace().run": (0, "cmd"), "bdb.Bdb().run": (0, "cmd"), "pdb.run": (0, "statement"),
}  # fmt: skip
_IMPORTERS: Final = frozenset(
    {
        "__import__", "importlib.import_module", "importlib.__import__", "imp.load_source",
        "runpy.run_path", "runpy.run_module", "importlib.util.spec_from_file_location",
        "pydoc.locate",
    }
)  # fmt: skip
_TEMPLATES: Final = frozenset(
    {
        "flask.render_template_string", "render_template_string", "jinja2.Template",
        "mako.template.Template", "django.template.Template", "tornado.template.Template",
        "jinja2.Environment().from_string",
        "jinja2.sandbox.SandboxedEnvironment().from_string", "Cheetah.Template.Template",
        "bottle.template", "bottle.SimpleTemplate", "chameleon.PageTemplate",
        "genshi.template.MarkupTemplate", "string.Template", "sanic_ext.render_string",
        "django.template.engines[].from_string",
    }
)  # fmt: skip
_ANY: Final[Levels] = {Reach.REMOTE: "high", Reach.LOCAL: "medium", Reach.CALLER: "medium"}
_PROGRAM: Final[Levels] = {Reach.REMOTE: "high", Reach.LOCAL: "medium"}
_REMOTE: Final[Levels] = {Reach.REMOTE: "high"}


def judge(machine: Machine, site: Site) -> None:
    """Whether text of somebody else's choice is run."""
    path = site.path
    first = site.argument(0, "args", "cmd", "command", "executable")
    if path in _SHELL_CALLS and first is not None:
        weigh(machine, site, catalogue.COMMAND, "shell", _line(first), _ANY)
    elif path in _PROCESS_CALLS and first is not None:
        _process(machine, site, first)
    elif site.method in _REMOTE_SHELLS and first is not None:
        weigh(machine, site, catalogue.COMMAND, "shell", _line(first), _PROGRAM)
    elif path in _EVALUATORS:
        _code(machine, site)
    elif path in _IMPORTERS and first is not None:
        weigh(machine, site, catalogue.CODE, "code", first, _REMOTE)
    elif path in _TEMPLATES or site.method in ("from_string", "render_template_string"):
        _template(machine, site)
    elif site.method in ("format", "format_map") and _is_foreign_format(site):
        machine.report(catalogue.FORMAT, site.line)


def _is_foreign_format(site: Site) -> bool:
    """`template.format(thing)` with a template that reaches for the thing's attributes."""
    if site.receiver.reach("code") is not Reach.REMOTE:
        return False
    return any(not value.fixed for value in site.all() if value != Value())


def _line(value: Value) -> Value:
    """A command line given as a text or as a list."""
    if value.items is None:
        return value
    return Value(taint=value.whole(), fixed=all(item.fixed for item in value.items), text=HOLE)


def _process(machine: Machine, site: Site, first: Value) -> None:
    shell = site.argument(8, "shell")
    if shell is not None and not (shell.known and not shell.const):
        weigh(machine, site, catalogue.COMMAND, "shell", _line(first), _ANY)
        return
    items = first.items
    if items is None and site.path.startswith(("os.", "asyncio.")):
        items = tuple(site.arguments)
    if items:
        script = _script(items)
        if script is not None:
            weigh(machine, site, catalogue.COMMAND, "shell", script, _ANY)
            return
        weigh(machine, site, catalogue.COMMAND, "shell", items[0], _PROGRAM)
        return
    if first.rest is not None and first.taint == CLEAN:
        # Elements in no known order: the program is chosen only if all of them are.
        machine.doubt(catalogue.COMMAND, site.lines)
        return
    weigh(machine, site, catalogue.COMMAND, "shell", first, _PROGRAM)


def _script(items: tuple[Value, ...]) -> Value | None:
    """The script of `sh -c script`, if it is that."""
    for index, item in enumerate(items[:-1]):
        flag = items[index + 1]
        is_flag = isinstance(flag.const, str) and flag.const in _SHELL_FLAGS
        if not is_flag and flag.text.rpartition(HOLE)[2] not in _SHELL_FLAGS:
            continue
        if _SHELLS.search(item.text) and len(items) > index + 2:
            rest = items[index + 2 :]
            return replace(joined(rest), taint=merged(value.whole() for value in rest))
    return None


def _code(machine: Machine, site: Site) -> None:
    index, name = _EVALUATORS[site.path]
    given = site.argument(index, name)
    if given is None or given.kind.startswith("compile"):
        return
    if site.path == "compile" and given.kind.startswith(("re.", "ast.")):
        return
    levels: Levels = _ANY if site.path in ("eval", "exec", "compile", "execfile") else _REMOTE
    weigh(machine, site, catalogue.CODE, "code", given, levels)


def _template(machine: Machine, site: Site) -> None:
    given = site.argument(0, "source", "text", "template_string", "template")
    if given is None:
        return
    if site.path in ("string.Template", "bottle.template") and not given.built:
        return
    if weigh(machine, site, catalogue.TEMPLATE, "template", given, _REMOTE):
        return
    if harmless(given, "template"):
        machine.clear(catalogue.TEMPLATE, site.lines)
