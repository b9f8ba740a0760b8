"""What calls do to collections and texts, and what is assumed of the others."""

from penstock_agent_security_scanner.languages.flow import folding
from penstock_agent_security_scanner.languages.flow.machine import Machine
from penstock_agent_security_scanner.languages.flow.program import Call, Member, Name
from penstock_agent_security_scanner.languages.flow.values import (
    ABSENT,
    NOTHING,
    ORIGINS,
    OUTSIDE,
    UNKNOWN,
    Known,
    Value,
    mixed,
    total,
)

# Calls whose result is a text made of their parts.
_JOINING = frozenset(
    {"concat", "format", "formatted", "append", "insert", "join", "Sprintf", "Sprint", "Sprintln",
     "Join", "replace", "replaceAll", "Errorf", "WriteString", "Fprintf", "Appendf", "Replace",
     "ReplaceAll"}
)  # fmt: skip
_FORMATS = frozenset({"format", "Sprintf", "Fprintf", "Errorf"})
_GROWING = frozenset({"append", "insert", "WriteString", "WriteByte", "WriteRune", "Write"})
_ADDING = frozenset({"add", "push", "addElement", "addLast", "offer", "unshift"})
_PUTTING = frozenset({"put", "set", "setProperty", "Set", "putIfAbsent"})
_GETTING = frozenset({"get", "getProperty", "Get", "getOrDefault", "elementAt", "at"})
_FILLING = ("set", "add", "put", "append", "push", "write", "Set", "Add", "Write", "command")
_SAME_START = frozenset({"toString", "trim", "String", "getBytes", "toCharArray", "strip"})
# Callbacks of these get what the call's owner holds.
_MAP_TYPES = frozenset(
    {"HashMap", "Map", "LinkedHashMap", "TreeMap", "ConcurrentHashMap", "Hashtable", "ArrayList",
     "LinkedList", "List", "Vector", "HashSet", "Set", "Stack", "ArrayDeque", "Properties"}
)  # fmt: skip


class BuiltIns:
    """Calls that nobody in the file defines."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def on_collection(self, expr: Call, owner: Value, name: str, args: list[Value]) -> Value | None:
        """What a method of a collection, text or builder gives; None for any other."""
        if not isinstance(expr.callee, Member):
            return None
        if owner.text is not None:
            const = folding.of_text(name, owner.text, args)
            if const is not ABSENT:
                return Value(const=const, prefix=const if isinstance(const, str) else "")
        machine = self.machine
        if name in _GROWING and not owner.items:
            return self._grown(expr, owner, name, args)
        is_collection = owner.items is not None or owner.ref in _MAP_TYPES
        if name in _PUTTING and len(args) == 2 and is_collection:
            machine.put(owner, args[0].const, args[1])
            return NOTHING
        if name in _ADDING and args and is_collection:
            machine.put(owner, _next_key(owner, args), args[-1])
            return NOTHING
        if name == "remove" and owner.items and len(args) == 1:
            return _removed(owner, args[0].const)
        if name in _GETTING and owner.items and args:
            return machine.item(owner, args[0].const)
        return None

    def _grown(self, expr: Call, owner: Value, name: str, args: list[Value]) -> Value | None:
        """`builder.append(x)`: the variable at the root of the chain holds it from now on."""
        root = expr.callee
        while True:
            if isinstance(root, Member):
                root = root.of
            elif isinstance(root, Call):
                root = root.callee
            else:
                break
        if not (isinstance(root, Name) and owner.ref.split("(")[0].split(".")[0]):
            return None
        held = self.machine.frame.env.find(root.id)
        if held is None or name == "Write":
            return None
        parts = [held, *args] if name != "insert" else [*args[1:], held]
        grown = self.machine.joined(parts)
        grown.ref = held.ref
        grown.const = ABSENT
        self.machine.frame.env.assign(root.id, grown)
        return grown

    def by_default(
        self, expr: Call, owner: Value, name: str, args: list[Value], full: str
    ) -> Value:
        """An unknown call gives back something made of what went in."""
        if expr.new and name[4:] in _MAP_TYPES:
            first = args[0] if args and args[0].items is not None else None
            return Value(ref=name[4:], items=dict(first.items) if first and first.items else {})
        parts = [total(owner), *(total(arg) for arg in args if arg.run is None)]
        if name in _JOINING:
            result = self._text(name, owner, args)
        elif expr.new and args and name in ("new StringBuilder", "new StringBuffer", "new String"):
            result = Value(parts[1].marks, parts[1].clean, ABSENT, parts[1].prefix)
        else:
            result = mixed(parts)
            if owner.const is ABSENT or name not in _SAME_START:
                result.marks |= UNKNOWN
            result.prefix = owner.prefix if name in _SAME_START else ""
        result.ref = name[4:] if expr.new else f"{full}()"
        self._fill(expr, owner, name, args)
        return result

    def _text(self, name: str, owner: Value, args: list[Value]) -> Value:
        template = args[0] if name in _FORMATS and args else None
        if template is not None and template.ref in ("Locale.US", "Locale.ENGLISH"):
            template = args[1] if len(args) > 1 else None
        if name == "formatted":
            template = owner
        parts = [owner, *args]
        if template is not None and template.text is not None:
            parts = _holes(
                template.text, args[args.index(template) + 1 :] if template in args else args
            )
        result = mixed(
            [total(part) for part in parts], built=len(parts) > 1 or template is not None
        )
        if template is not None and template.text is not None:
            result.prefix = template.text.split("%", 1)[0]
        elif owner.marks & ORIGINS == 0 and name == "concat":
            result.prefix = owner.prefix
        elif args and name in ("join", "Join", "Sprint"):
            result.prefix = args[0].prefix
        return result

    def _fill(self, expr: Call, owner: Value, name: str, args: list[Value]) -> None:
        """`thing.setX(value)` makes the thing as dangerous as the value."""
        callee = expr.callee
        if not (isinstance(callee, Member) and isinstance(callee.of, Name)):
            return
        if not name.startswith(_FILLING) or owner.run is not None or callee.of.id == "this":
            return
        marks = 0
        for arg in args:
            marks |= total(arg).marks & OUTSIDE
        if not marks or owner.marks & OUTSIDE:
            return
        scope = self.machine.frame.env
        if callee.of.id in scope.vars:
            whole = mixed([total(arg) for arg in args])
            scope.vars[callee.of.id] = Value(
                owner.marks | marks, whole.clean, ABSENT, "", owner.ref, owner.items
            )


def _holes(template: str, args: list[Value]) -> list[Value]:
    """The arguments of a format that are text in the result."""
    pieces = template.replace("%%", "").split("%")[1:]
    verbs = [next((letter for letter in piece if letter.isalpha()), "") for piece in pieces]
    return [
        arg
        for index, arg in enumerate(args)
        if index >= len(verbs) or verbs[index] not in "dfxXbtoeg"
    ]


def _next_key(owner: Value, args: list[Value]) -> Known:
    items = owner.items or {}
    return ABSENT if ABSENT in items or len(args) > 1 else len(items)


def _removed(owner: Value, key: Known) -> Value:
    items = owner.items or {}
    taken = items.pop(key, NOTHING)
    if isinstance(key, int):
        after = sorted(k for k in items if isinstance(k, int) and k > key)
        for index in after:
            items[index - 1] = items.pop(index)
    return taken
