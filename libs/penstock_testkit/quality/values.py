"""Values shaped like secrets, made when they are needed and stored nowhere."""

import hashlib
import random
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass

PLACE = re.compile(r"⟦(?P<shape>[a-z0-9_]+)(?::(?P<ordinal>\d+))?⟧")
_PART = re.compile(r"\{(?P<alphabet>\w+):(?P<count>\d+)\}")

ALPHABETS: Mapping[str, str] = {
    "upper": string.ascii_uppercase,
    "lower": string.ascii_lowercase,
    "digit": string.digits,
    "alnum": string.ascii_letters + string.digits,
    "upnum": string.ascii_uppercase + string.digits,
    "lownum": string.ascii_lowercase + string.digits,
    "hex": "0123456789abcdef",
    "b64": string.ascii_letters + string.digits + "+/",
    "url": string.ascii_letters + string.digits + "-_",
    "base32": string.ascii_uppercase + "234567",
    "secret": string.ascii_letters + string.digits + "!$%^*-_=",
}


class UnknownShapeError(ValueError):
    """A text names a shape that is in no list."""


@dataclass(frozen=True)
class Values:
    """Fills places in texts.

    Attributes:
        shapes: From a shape's name to its pattern: literal text, and `{alnum:36}` for characters
            that are drawn. A list of pieces is joined, so that no file holds a telling prefix.
    """

    shapes: Mapping[str, str]

    def filled(self, text: str, case: str) -> str:
        """Give the text with its places filled; equal places of a case are equal.

        Raises:
            UnknownShapeError: A place names no shape.
        """

        def value(place: re.Match[str]) -> str:
            return self.made(place["shape"], f"{case}:{place['ordinal'] or '1'}")

        return PLACE.sub(value, text)

    def made(self, shape: str, seed: str) -> str:
        """One value; the same for the same seed, on every machine.

        Raises:
            UnknownShapeError: There is no such shape.
        """
        pattern = self.shapes.get(shape)
        if pattern is None:
            raise UnknownShapeError(f"no shape is called {shape!r}")
        digest = hashlib.sha256(f"{shape}:{seed}".encode()).digest()
        # penstock: ignore[predictable-random] -- has to be predictable, and no secret is made
        source = random.Random(int.from_bytes(digest, "big"))  # noqa: S311

        def drawn(part: re.Match[str]) -> str:
            alphabet = ALPHABETS[part["alphabet"]]
            # penstock: ignore[predictable-random] -- the same
            return "".join(source.choice(alphabet) for _ in range(int(part["count"])))

        return _PART.sub(drawn, pattern)
