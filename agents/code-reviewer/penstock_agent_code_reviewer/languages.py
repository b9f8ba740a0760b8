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
WEB = frozenset({"javascript", "typescript"})


def language_of(name: str) -> str:
    """The language by extension; empty for what is not reviewed."""
    base = name.rsplit("/", 1)[-1]
    if base.endswith((".min.js", ".bundle.js", ".d.ts", ".pb.go", "_pb2.py", "_pb2_grpc.py")):
        return ""
    dot = base.rfind(".")
    return _SUFFIXES.get(base[dot:].lower(), "") if dot > 0 else ""
