"""The CVSS 3.0 and 3.1 base score of a vector (FIRST, CVSS v3.1 specification, section 7.1)."""

import math

_WEIGHTS: dict[str, dict[str, float]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES = {
    "U": {"N": 0.85, "L": 0.62, "H": 0.27},
    "C": {"N": 0.85, "L": 0.68, "H": 0.5},
}


def base_score(vector: str) -> float | None:
    """Score from 0 to 10, or None when the text is not a complete CVSS 3 base vector."""
    prefix, *parts = vector.split("/")
    if prefix not in ("CVSS:3.0", "CVSS:3.1"):
        return None
    given = dict(part.split(":", 1) for part in parts if ":" in part)
    try:
        weight = {metric: values[given[metric]] for metric, values in _WEIGHTS.items()}
        changed = given["S"] == "C"
        privileges = _PRIVILEGES[given["S"]][given["PR"]]
    except KeyError:
        return None
    impact_base = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = (
        7.52 * (impact_base - 0.029) - 3.25 * (impact_base - 0.02) ** 15
        if changed
        else 6.42 * impact_base
    )
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weight["AV"] * weight["AC"] * privileges * weight["UI"]
    total = (impact + exploitability) * (1.08 if changed else 1.0)
    return math.ceil(round(min(total, 10.0) * 100_000) / 10_000) / 10
