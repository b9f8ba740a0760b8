"""What a way out is, and what every attempt in Python can use."""

from __future__ import annotations

from dataclasses import dataclass, field

PRELUDE = """
import ctypes, errno, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *[ctypes.c_long(value) for value in arguments])
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(action):
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno]
def give(value):
    open(os.environ['PENSTOCK_OUTPUT'], 'w').write(json.dumps(value))
def works(action):
    try:
        return action() is not False
    except OSError:
        return False
def reads(path):
    return works(lambda: open(path, 'rb').read(1) is not None)
def holds(path, word):
    return works(lambda: word in open(path, 'rb').read())
def writes(path):
    return works(lambda: open(path, 'wb').close())
def opens(path):
    return works(lambda: os.open(path, os.O_WRONLY))
def allowed(number, *arguments):
    return call(number, *arguments) not in ('EPERM', 'ENOSYS', 'EACCES')
def fills(folder):
    for number in range(32):
        with open(f'{folder}/{number}', 'wb') as file: file.write(b'x' * (1 << 20))
def survives(act):
    child = os.fork()
    if child == 0:
        os._exit(0 if act() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
def machine_code(code):
    import mmap
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
"""`sys.argv[1]` is a file of the host, `[2]` a port of its loopback, `[3]` the executor's home
folder, `[4]` the name of an abstract Unix socket of the host, `[5]` the executor's own number."""

OWN_FIRST = (
    "where an ordinary user runs the executor: it is the sandbox's own, under the same user, call "
    "filter and namespaces as the agent"
)


@dataclass(frozen=True, slots=True)
class Escape:
    """One way out; `hostile.c` tries what has the same name.

    Attributes:
        name: short, and a test's name.
        aim: what the agent tries, as the table says it.
        code: an expression of Python that is true if it got through.
        open_in: adapters that do not deny it, each with what that means.
        maybe_in: adapters that deny it on some machines only, each with where not.
    """

    name: str
    aim: str
    code: str
    open_in: dict[str, str] = field(default_factory=dict[str, str])
    maybe_in: dict[str, str] = field(default_factory=dict[str, str])

    def told(self, adapter: str, *, through: bool) -> bool:
        """Whether what was seen in an adapter is what is declared."""
        return adapter in self.maybe_in or through == (adapter in self.open_in)


def program(escape: Escape) -> str:
    """The agent in Python that tries one."""
    # Its answer is opened first: an attempt may take the place of the file.
    return (
        f"{PRELUDE}answer = open(os.environ['PENSTOCK_OUTPUT'], 'w')\n"
        f"answer.write(json.dumps(bool({escape.code})))\nanswer.close()\n"
    )
