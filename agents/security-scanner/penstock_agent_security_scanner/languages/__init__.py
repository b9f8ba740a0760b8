"""What is wrong in files of languages other than Python.

`scan_file` reads one file and names rules and lines. JavaScript, TypeScript, Go and Java are parsed
and followed by `flow`; Dockerfiles, YAML and Terraform are read by `config`; a few others have line
patterns only (`line_patterns`). What is parsed is parsed by a child process (`aside`), which
imports a parser when the first file needs it.
"""

from penstock_agent_security_scanner.languages.dispatch import (
    handles,
    is_left_out,
    not_read,
    scan_file,
)

__all__ = ["handles", "is_left_out", "not_read", "scan_file"]
