"""An OTLP receiver in a process of its own: takes what services export, and only counts it.

    python -m penstock_testkit.receiver

writes its address as the first line, and when its standard input ends a line of JSON with the
requests, bytes and spans it was sent. Spans are counted at the end, so that taking them costs
next to nothing beside what is measured.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
ENDS_S: Final = 30.0
_EMPTY: Final = b""  # the answer of a collector that took everything


@dataclass
class _Kept:
    requests: list[bytes] = field(default_factory=list[bytes])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: bytes, context: object) -> bytes:
        del context
        with self.lock:
            self.requests.append(request)
        return _EMPTY

    def told(self) -> dict[str, int]:
        spans = 0
        for request in self.requests:
            read: Any = ExportTraceServiceRequest.FromString(request)
            spans += sum(len(scope.spans) for group in read.resource_spans
                         for scope in group.scope_spans)  # fmt: skip
        size = sum(map(len, self.requests))
        return {"requests": len(self.requests), "bytes": size, "spans": spans}


class Receiver:
    """A running receiver; `url` is what services are told, `pid` its process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Read the address that `process` writes first."""
        assert process.stdout is not None
        self._process = process
        self.url = process.stdout.readline().strip()
        self.pid = process.pid

    @classmethod
    @contextmanager
    def started(cls) -> Generator["Receiver"]:
        """Give a receiver; it is ended at the end."""
        command = [sys.executable, "-m", "penstock_testkit.receiver"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            try:
                yield cls(process)
            finally:
                process.kill()

    def counts(self) -> dict[str, int]:
        """End it; gives how many requests, bytes and spans it was sent."""
        told, _ = self._process.communicate(timeout=ENDS_S)
        counts: dict[str, int] = json.loads(told)
        return counts


def main() -> None:
    """Receive until standard input ends."""
    kept = _Kept()
    handler = grpc.method_handlers_generic_handler(
        SERVICE, {"Export": grpc.unary_unary_rpc_method_handler(kept.take)}
    )
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    _ = sys.stdin.read()
    server.stop(grace=0).wait(ENDS_S)
    sys.stdout.write(json.dumps(kept.told()) + "\n")


if __name__ == "__main__":
    main()
