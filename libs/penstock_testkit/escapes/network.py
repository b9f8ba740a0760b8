"""Ways out by a network or a socket."""

from __future__ import annotations

from penstock_testkit.escapes.ways import Escape

NETWORK = (
    Escape(
        "host-loopback",
        "reach a port of the host's loopback",
        "works(lambda: socket.create_connection(('127.0.0.1', int(sys.argv[2])), 2).close())",
    ),
    Escape(
        "metadata",
        "reach a cloud's metadata service",
        "works(lambda: socket.create_connection(('169.254.169.254', 80), 1).close())",
    ),
    Escape(
        "internet",
        "reach an address of the internet",
        "works(lambda: socket.create_connection(('192.0.2.1', 80), 1).close())",
    ),
    Escape(
        "names",
        "ask a name server",
        "works(lambda: socket.socket(2, 2).sendto(b'?', ('192.0.2.53', 53)))",
    ),
    Escape(
        "interfaces",
        "have a network interface besides its own loopback",
        "sorted(os.listdir('/sys/class/net')) != ['lo'] if os.path.isdir('/sys/class/net') "
        "else len(open('/proc/net/dev').readlines()) > 3",
        {"dagger": "it is there, and the call filter refuses every socket that could use it"},
    ),
    Escape(
        "packets",
        "open a raw socket",
        "works(lambda: socket.socket(17, 3).close()) or "
        "works(lambda: socket.socket(2, 3, 1).close())",
    ),
    Escape("vsock", "talk to the machine's own host", "works(lambda: socket.socket(40).close())"),
    Escape(
        "crypto-sockets",
        "use the kernel's cryptography by a socket",
        "works(lambda: socket.socket(38, 5).close())",
    ),
    Escape(
        "sockets",
        "connect to an engine's or a supervisor's socket",
        "any(works(lambda: socket.socket(socket.AF_UNIX).connect(path)) for path in ("
        "'/var/run/docker.sock', '/run/dagger/engine.sock', '/run/buildkit/buildkitd.sock', "
        "'/penstock/.channel'))",
    ),
    Escape(
        "abstract-sockets",
        "connect to an abstract socket of the host",
        "works(lambda: socket.socket(socket.AF_UNIX).connect('\\0' + sys.argv[4]))",
    ),
)
