"""A stand-in for a service: serves its health and its environment, and ends on SIGTERM.

`python embedded_service.py [--fail]`; with `--fail` it exits at once with a message.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(dict(os.environ)).encode()
        self.send_response(200 if self.path in ("/health/ready", "/environment") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


def main() -> None:
    if "--fail" in sys.argv:
        sys.exit("cannot work like this")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ["PENSTOCK_OPS_PORT"])
    with HTTPServer(("127.0.0.1", port), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
