"""What the patcher reads before it changes anything: diffs, definitions, scopes, words."""

import pytest

from penstock_agent_patcher.conflicts import Unfit
from penstock_agent_patcher.definitions import definition_of
from penstock_agent_patcher.patch_text import BadPatch, read_patch
from penstock_agent_patcher.references import changed_words, replaced_words, words_of
from penstock_agent_patcher.scopes import scope_fault

HUNK = "@@ -1 +1 @@\n-a\n+b\n"
QUOTED = '"a/caf\\303\\251\\tx"'


@pytest.mark.parametrize(
    ("patch", "names", "strip"),
    [
        (f"--- a/x\n+++ b/x\n{HUNK}", (b"a/x", b"b/x"), 1),
        (f"--- x/y\n+++ x/y\n{HUNK}", (b"x/y", b"x/y"), 0),
        (f"--- x/y\t2026-01-01\n+++ x/y\t2026-01-01\n{HUNK}", (b"x/y", b"x/y"), 0),
        (f'--- {QUOTED}\n+++ {QUOTED.replace("a/", "b/")}\n{HUNK}',
         ("a/caf\u00e9\tx".encode(), "b/caf\u00e9\tx".encode()), 1),
        (f'diff --git {QUOTED} {QUOTED.replace("a/", "b/")}\nold mode 100644\nnew mode 100755\n',
         ("a/caf\u00e9\tx".encode(), "b/caf\u00e9\tx".encode()), 1),
        ("diff --git a/x y b/x y\nold mode 100644\nnew mode 100755\n", (b"a/x y", b"b/x y"), 1),
        ("diff --git x x\nold mode 100644\nnew mode 100755\n", (b"x", b"x"), 0),
        (f"--- /dev/null\n+++ b/x\n{HUNK}", (b"/dev/null", b"b/x"), 1),
        (f"--- a/x\n+++ /dev/null\n{HUNK}", (b"a/x", b"/dev/null"), 1),
        (f"--- /dev/null\n+++ x/y\n{HUNK}", (b"/dev/null", b"x/y"), 0),
        ("diff --git a/x b/y\nsimilarity index 100%\ncopy from x\ncopy to y\n",
         (b"a/x", b"b/y"), 1),
        ("diff --git a/x b/x\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZ\n\n",
         (b"a/x", b"b/x"), 1),
    ],
)  # fmt: skip
def test_names_and_prefixes(patch: str, names: tuple[bytes, bytes], strip: int):
    made = read_patch(patch)
    assert [(part.old, part.new) for part in made.parts] == [names]
    assert made.strip == strip


@pytest.mark.parametrize(
    ("patch", "line"),
    [
        ("GIT binary patch\nliteral 1\n", 1),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1 @@\n-a\ndiff --git a/y b/y\n", 3),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1 @@\n-a\n", 3),
        ("--- a/x\n+++ b/x\nno hunk\n", 3),
    ],
)
def test_lines_of_bad_patches(patch: str, line: int):
    with pytest.raises(BadPatch, match=f"line {line}: "):
        read_patch(patch)


CODE = """\
x, y = 1, 2


class Cart:
    size: int = 0

    async def total(self, price, *items, rate=1, **more):
        self.sum = price
        for item in items:
            pass
        with open(price) as file:
            pass
        return lambda price: price

    class Inner:
        def deep(self): self.z = 1


\u00e9 = 1; after = 2
if True:
    def late(): pass
"""


@pytest.mark.parametrize(
    ("symbol", "line", "member"),
    [
        ("x", "x, y = 1, 2", False),
        ("y", "y = 1, 2", False),
        ("Cart", "Cart:", False),
        ("Cart.size", "size: int = 0", True),
        ("Cart.total", "total(self, price, *items, rate=1, **more):", True),
        ("Cart.total.price", "price, *items, rate=1, **more):", False),
        ("Cart.total.items", "items, rate=1, **more):", False),
        ("Cart.total.rate", "rate=1, **more):", False),
        ("Cart.total.more", "more):", False),
        ("Cart.total.item", "item in items:", False),
        ("Cart.total.file", "file:", False),
        ("Cart.sum", "sum = price", True),
        ("Cart.Inner.deep", "deep(self): self.z = 1", True),
        ("Cart.Inner.z", "z = 1", True),
        ("after", "after = 2", False),
        ("late", "late(): pass", False),
    ],
)
def test_definitions(symbol: str, line: str, member: bool):
    found = definition_of(CODE, symbol)
    assert CODE[found.offset :].split("\n", maxsplit=1)[0] == line
    assert found.member is member


@pytest.mark.parametrize("symbol", ["price", "Cart.total.self.x", "Cart.rate", "open", "late.x"])
def test_definitions_that_are_not_there(symbol: str):
    with pytest.raises(Unfit, match="not defined"):
        definition_of(CODE, symbol)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("a = 1\na", "b = 1\nb", None),
        ("a = 1\ndef f(): return a", "b = 1\ndef f(): return b", None),
        ("a = 1\ndef f(): return a", "b = 1\ndef f(): return a", "would be missed"),
        ("a = 1\ndef f(a): return a", "b = 1\ndef f(a): return a", None),
        ("a = 1\ndef f(a): return a", "b = 1\ndef f(b): return b", None),
        ("a = 1\ndef f(a): return a", "b = 1\ndef f(b): return a", "split"),
        ("a = 1\ndef f(b): return a", "b = 1\ndef f(b): return b", "means something there"),
        ("def f(a):\n def g(): return a", "def f(b):\n def g(): return a", "split"),
        ("def f(a):\n def g(): nonlocal a; a = 1", "def f(b):\n def g(): nonlocal b; b = 1", None),
        ("a = 1\nclass C:\n a = a", "b = 1\nclass C:\n a = b", None),
        ("class C:\n def __a(self): self.__a()", "class C:\n def b(self): self.b()", None),
        ("a = 1\nc = 2", "b = 1\nd = 2", "other names"),
        ("a = 1", "b = (", "readable"),
        ("a = (", "b = (", None),
    ],
)
def test_scopes(before: str, after: str, reason: str | None):
    old = "__a" if "__a" in before else "a"
    found = scope_fault(before, after, old, "b")
    assert (found is None) if reason is None else (found is not None and reason in found)


def test_words_are_the_common_measure():
    text = "a = b.a(\u00e9a, 'a')\r\n"
    assert [word.text for word in words_of(text)] == ["a", "b", "a", "\u00e9a", "a"]
    assert replaced_words(text, {0, 2}, "long") == "long = b.long(\u00e9a, 'a')\r\n"
    assert changed_words("a\r\nb a", "c\nb c", "c") == {0, 2}
    for other in ("c", "c d c"):
        with pytest.raises(Unfit):
            changed_words("a b a", other, "c")
