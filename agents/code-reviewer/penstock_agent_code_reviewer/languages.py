"""Which language a file is written in."""

_SUFFIXES = {
    ".py": "python",
    ".pyw": "python",
    ".js": "javascript",
    ".jsx": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".go": "go",
    ".java": "java",
    ".kt": "kotlin",
    ".kts": "kotlin",
    ".cs": "csharp",
    ".rs": "rust",
    ".swift": "swift",
    ".scala": "scala",
    ".rb": "ruby",
    ".php": "php",
    ".c": "c",
    ".h": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cxx": "cpp",
    ".hpp": "cpp",
}
# What a build makes, and what others wrote: nobody mends it here.
NOT_WRITTEN_HERE = frozenset(
    {
        "dist",
        "vendor",
        "vendored",
        "_vendor",
        "third_party",
        "bower_components",
        "generated",
        "wwwroot",
    }
)
_BY_HAND = frozenset({"bin", "scripts", "script", "tools", "ci", "build", "benchmarks", "examples"})
WEB = frozenset({"javascript", "typescript"})


def language_of(name: str) -> str:
    """The language by extension; empty for what is not reviewed."""
    *folders, base = name.split("/")
    if not NOT_WRITTEN_HERE.isdisjoint(folders):
        return ""
    if base.endswith((".min.js", ".bundle.js", ".d.ts", ".pb.go", "_pb2.py", "_pb2_grpc.py")):
        return ""
    dot = base.rfind(".")
    return _SUFFIXES.get(base[dot:].lower(), "") if dot > 0 else ""


def run_by_hand(name: str) -> bool:
    """Whether a file is a script that its authors run themselves."""
    *folders, base = name.lower().split("/")
    return not _BY_HAND.isdisjoint(folders) or base.startswith(
        ("gruntfile", "gulpfile", "setup.py", "noxfile", "tasks.py", "conf.py", "webpack.config")
    )
