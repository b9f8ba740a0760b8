"""Which CWE numbers name the same weakness.

Rules of different origin file one fault under a number, its parent or its neighbour; such findings
at one line are one finding.
"""

from typing import Final

_FAMILIES: Final[tuple[tuple[int, ...], ...]] = (
    (77, 78, 88),  # a command line or its arguments
    (79, 80, 83, 87, 116),
    (89, 564),
    (91, 643, 652),
    (93, 113, 644),
    (94, 95, 96, 470, 1336),  # text becomes program
    (22, 23, 35, 36, 73),
    (256, 257, 259, 260, 321, 522, 547, 798),  # the same credential, as password or as key
    (325, 326, 327, 328, 329, 759, 760, 780, 916, 1204),
    (330, 331, 335, 337, 338, 340),
    (295, 297, 299, 322),
    (311, 319),
    (377, 378, 379),
    (276, 732),
    (345, 347),
    (400, 770),
    (185, 1333),
    (209, 200, 532),
    (390, 391, 703),
    (489, 215, 11),
    (611, 776, 827, 20),  # bandit files XML parsers under 20
    (614, 1004, 315),
)
_BY_NUMBER: Final = {number: group[0] for group in _FAMILIES for number in group}


def family(cwe: str) -> str:
    """A name for all numbers of one weakness; the number itself where it stands alone."""
    digits = cwe.rpartition("-")[2]
    number = int(digits) if digits.isdigit() else 0
    return f"CWE-{_BY_NUMBER.get(number, number)}"
