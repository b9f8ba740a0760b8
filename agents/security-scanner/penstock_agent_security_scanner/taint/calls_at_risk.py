"""Files, stored objects, logs and patterns."""

import re
from typing import Final

from penstock_agent_security_scanner import catalogue
from penstock_agent_security_scanner.taint.machine import Machine
from penstock_agent_security_scanner.taint.patterns import is_slow
from penstock_agent_security_scanner.taint.sites import Site
from penstock_agent_security_scanner.taint.values import HOLE, Reach, Value
from penstock_agent_security_scanner.taint.weighing import Levels, harmless, weigh

_REMOTE: Final[Levels] = {Reach.REMOTE: "high"}
# Calls that touch the file named by their first argument (some by their second too).
_FILE_CALLS: Final = frozenset(
    {
        "aiofiles.open", "bz2.open", "codecs.open", "fileinput.input", "file", "gzip.open",
        "io.open", "io.FileIO", "linecache.getline", "lzma.open", "open", "os.access",
        "os.chmod", "os.chown", "os.link", "os.listdir", "os.lstat", "os.makedirs",
        "os.mkdir", "os.open", "os.path.exists", "os.path.getsize", "os.path.isdir",
        "os.path.isfile", "os.remove", "os.removedirs", "os.rename", "os.replace",
        "os.rmdir", "os.scandir", "os.stat", "os.symlink", "os.truncate", "os.unlink",
        "os.walk", "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copytree",
        "shutil.move", "shutil.rmtree", "shutil.unpack_archive", "shutil.make_archive",
        "tarfile.open", "zipfile.ZipFile", "glob.glob", "PIL.Image.open", "numpy.load",
        "numpy.save", "flask.send_file", "send_file", "quart.send_file", "FileResponse",
        "django.http.FileResponse", "starlette.responses.FileResponse",
        "fastapi.responses.FileResponse", "aiohttp.web.FileResponse", "builtins.open",
        "xml.etree.ElementTree.parse", "lxml.etree.parse", "flask.send_from_directory",
        "send_from_directory", "configparser.ConfigParser().read", "sqlite3.connect",
        "os.chdir", "os.utime", "anyio.open_file", "cv2.imread", "cv2.imwrite",
    }
)  # fmt: skip
_TWO: Final = frozenset(
    {
        "os.link", "os.rename", "os.replace", "os.symlink", "shutil.copy", "shutil.copy2",
        "shutil.copyfile", "shutil.copytree", "shutil.move", "shutil.unpack_archive",
    }
)  # fmt: skip
_FILE_METHODS: Final = frozenset(
    {
        "chmod", "exists", "glob", "is_dir", "is_file", "iterdir", "lstat", "mkdir", "open",
        "read_bytes", "read_text", "rename", "rglob", "rmdir", "samefile", "stat",
        "symlink_to", "touch", "unlink", "write_bytes", "write_text",
    }
)  # fmt: skip
_SAVERS: Final = frozenset(
    {
        "save", "saveas", "savefig", "to_csv", "to_excel", "extract", "extractall",
    }
)  # fmt: skip
_LOADERS: Final = frozenset(
    {
        "cloudpickle.load", "cloudpickle.loads", "joblib.load", "yaml.unsafe_load",
        "yaml.unsafe_load_all", "yaml.full_load", "jsonpickle.decode", "jsonpickle.loads",
        "jsonpickle.unpickler.decode", "dill.load", "dill.loads", "pickle.load",
        "pickle.loads", "pickle.Unpickler", "cPickle.load", "cPickle.loads",
        "_pickle.loads", "_pickle.load", "marshal.load", "marshal.loads", "shelve.open",
        "pandas.read_pickle", "torch.load", "klepto.archives.file_archive",
        "pickle.Unpickler().load", "sklearn.externals.joblib.load",
        "kombu.serialization.loads", "ruamel.yaml.load", "rpyc.core.brine.load",
        "srsly.pickle_loads",
    }
)  # fmt: skip
# Their argument is the name of a file: that it is constant says nothing of its content.
_LOADED_BY_NAME: Final = frozenset(
    {
        "joblib.load", "numpy.load", "pandas.read_pickle", "shelve.open", "torch.load",
        "sklearn.externals.joblib.load",
    }
)  # fmt: skip
_SAFE_LOADERS: Final = ("SafeLoader", "CSafeLoader", "BaseLoader", "CBaseLoader")
_LOG_METHODS: Final = frozenset(
    {
        "critical", "debug", "error", "exception", "info", "log", "warn", "warning",
    }
)  # fmt: skip
_LOGGERS: Final = re.compile(r"log(?:ger|ging)?$|^_?log|\.logger$")
_PATTERN_CALLS: Final = frozenset(
    {
        "re.compile", "re.findall", "re.finditer", "re.fullmatch", "re.match", "re.search",
        "re.split", "re.sub", "re.subn",
    }
)  # fmt: skip


def judge(machine: Machine, site: Site) -> None:
    """What a call does with a name, an object or a pattern of somebody else's choice."""
    _file(machine, site)
    _stored(machine, site)
    is_log = site.method in _LOG_METHODS and _is_log(site)
    if is_log and any(value.reach("log") is Reach.REMOTE for value in site.arguments):
        machine.report(catalogue.LOG, site.line)
    if site.path in _PATTERN_CALLS or site.path.startswith("re.compile()."):
        _pattern(machine, site)


def _is_log(site: Site) -> bool:
    return site.path.startswith("logging.") or bool(_LOGGERS.search(site.hint))


def _file(machine: Machine, site: Site) -> None:
    receiver = site.receiver
    if site.path in _FILE_CALLS:
        values = site.arguments[: 2 if site.path in _TWO else 1]
        named = [
            site.keywords[name]
            for name in ("file", "path", "filename", "path_or_file", "src", "directory")
            if name in site.keywords
        ]
        for value in [*values, *named]:
            weigh(machine, site, catalogue.PATH, "path", value, _REMOTE)
    elif site.path in ("bottle.static_file", "static_file"):
        root = site.argument(1, "root")
        if root is not None:
            weigh(machine, site, catalogue.PATH, "path", root, _REMOTE)
    elif site.method in _FILE_METHODS and "Path" in receiver.kind:
        weigh(machine, site, catalogue.PATH, "path", receiver, _REMOTE)
    elif site.method in _SAVERS and site.arguments:
        _saved(machine, site)


def _saved(machine: Machine, site: Site) -> None:
    """An uploaded file stored under a name of the client's choice."""
    target = site.argument(0, "dst", "path", "fname")
    if target is None or (
        target.kind.endswith("()") and "Path" not in target.kind and not target.text
    ):
        return
    if target.reach("path") is Reach.REMOTE:
        machine.report(catalogue.PATH, site.line, "high", target.built)
        return
    if not site.method.startswith("extract") and harmless(target, "path"):
        machine.clear(catalogue.PATH, site.lines)
    is_upload = site.receiver.reach("upload") is Reach.REMOTE and site.method == "save"
    if is_upload and target.reach("upload") is Reach.REMOTE:
        machine.report(catalogue.UPLOAD, site.line)


def _stored(machine: Machine, site: Site) -> None:
    path = site.path
    given = site.argument(0, "stream", "data", "f", "file", "string", "filename", "fp")
    if given is None:
        return
    if path in ("yaml.load", "yaml.load_all", "ruamel.yaml.load"):
        loader = site.argument(1, "Loader")
        if loader is not None and loader.kind.endswith(_SAFE_LOADERS):
            machine.clear(catalogue.DESERIALISATION, site.lines)
            return
    elif path == "numpy.load":
        if not site.is_set("allow_pickle", True):
            return
    elif path == "torch.load" and site.is_set("weights_only", True):
        machine.clear(catalogue.DESERIALISATION, site.lines)
        return
    elif path not in _LOADERS:
        return
    if path == "shelve.open" and given.reach("path") is not Reach.REMOTE:
        return
    if (given.fixed or given.known) and path not in _LOADED_BY_NAME:
        machine.clear(catalogue.DESERIALISATION, site.lines)
    elif path == "yaml.full_load" and given.reach("") is not Reach.REMOTE:
        return
    else:
        machine.report(catalogue.DESERIALISATION, site.line)


def _pattern(machine: Machine, site: Site) -> None:
    compiled = site.path.startswith("re.compile().")
    pattern = site.receiver if compiled else site.argument(0, "pattern")
    if pattern is None:
        return
    if not compiled and pattern.reach("regex") is Reach.REMOTE and _is_source(pattern):
        machine.report(catalogue.REGEX, site.line)
        return
    index = 1 if site.method in ("sub", "subn") else 0
    subject = site.argument(index if compiled else index + 1, "string")
    if subject is None or subject.reach("regex") is not Reach.REMOTE:
        return
    if isinstance(pattern.text, str) and HOLE not in pattern.text and is_slow(pattern.text):
        machine.report(catalogue.SLOW_REGEX, site.line)


def _is_source(value: Value) -> bool:
    return bool(value.text)
