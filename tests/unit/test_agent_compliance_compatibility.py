"""What may be combined with what: pairs that the sources named in `classes.toml` settle."""

import pytest

from penstock_agent_compliance_checker.compatibility import verdict
from penstock_agent_compliance_checker.expressions import parse
from penstock_agent_compliance_checker.trees import Unknown
from penstock_agent_compliance_checker.verdicts import Linking

# project, dependency, how it becomes a part, outcome.
PAIRS: list[tuple[str, str, Linking, str]] = [
    # Each of what a project is under has to be kept; of alternatives, one is not enough.
    ("MIT AND Apache-2.0", "GPL-2.0-only", "dynamic", "incompatible"),
    ("MIT OR GPL-3.0-only", "GPL-3.0-only", "dynamic", "review"),
    ("MIT OR Apache-2.0", "GPL-3.0-only", "dynamic", "incompatible"),
    ("MIT OR Apache-2.0", "BSD-3-Clause", "dynamic", "compatible"),
    # An unclear name is each of its candidates; only BSD-4-Clause does not go with the GPL.
    ("BSD", "GPL-3.0-only", "dynamic", "incompatible"),
    ("GPL-3.0-only", "BSD", "dynamic", "review"),
    ("MIT", "BSD", "dynamic", "compatible"),
    # Of a dependency's alternatives the best is taken, of what it demands together the worst.
    ("GPL-2.0-only", "MIT OR GPL-3.0-only", "dynamic", "compatible"),
    ("GPL-2.0-only", "MIT AND GPL-3.0-only", "dynamic", "incompatible"),
    # A program of its own is not a part.
    ("MIT", "GPL-3.0-only", "separate", "compatible"),
    ("MIT", "Elastic-2.0", "separate", "conditional"),
    ("MIT", "LicenseRef-acme", "dynamic", "unknown"),
    ("MIT", "Penguin Public Terms", "dynamic", "unknown"),
    # Exceptions.
    ("GPL-2.0-only", "Apache-2.0", "dynamic", "incompatible"),
    ("GPL-2.0-only", "Apache-2.0 WITH LLVM-exception", "dynamic", "compatible"),
    ("MIT", "GPL-2.0-only WITH Classpath-exception-2.0", "dynamic", "conditional"),
    ("MIT", "GPL-2.0-only WITH Classpath-exception-2.0", "copied", "incompatible"),
    ("MIT", "GPL-3.0-or-later WITH Bison-exception-2.2", "dynamic", "conditional"),
    # Permissive ones beside the GPL.
    ("GPL-2.0-or-later", "Apache-2.0", "dynamic", "conditional"),
    ("GPL-3.0-only", "Apache-2.0", "dynamic", "compatible"),
    ("GPL-3.0-only", "BSD-4-Clause", "dynamic", "incompatible"),
    ("GPL-3.0-only", "CC-BY-3.0", "dynamic", "review"),
    ("GPL-3.0-only", "XSkat", "dynamic", "review"),
    # Copyleft of files.
    ("MIT", "MPL-2.0", "dynamic", "conditional"),
    ("GPL-2.0-only", "MPL-2.0", "dynamic", "conditional"),
    ("GPL-2.0-only", "EPL-2.0", "dynamic", "incompatible"),
    ("GPL-2.0-only WITH Classpath-exception-2.0", "EPL-2.0", "dynamic", "review"),
    ("GPL-2.0-only", "OSET-PL-2.1", "dynamic", "review"),
    # Copyleft of libraries.
    ("GPL-2.0-only", "LGPL-2.1-only", "dynamic", "compatible"),
    ("GPL-2.0-only", "LGPL-3.0-only", "dynamic", "incompatible"),
    ("GPL-2.0-or-later", "LGPL-3.0-only", "dynamic", "conditional"),
    ("MIT", "LGPL-3.0-only", "dynamic", "conditional"),
    ("MIT", "LGPL-3.0-only", "copied", "review"),
    ("LicenseRef-proprietary", "LGPL-3.0-only", "dynamic", "conditional"),
    ("LicenseRef-proprietary", "LGPL-3.0-only", "static", "review"),
    # Copyleft of the whole work.
    ("MIT", "AGPL-3.0-only", "dynamic", "incompatible"),
    ("AGPL-3.0-only", "GPL-3.0-only", "dynamic", "conditional"),
    ("GPL-3.0-only", "AGPL-3.0-only", "dynamic", "conditional"),
    ("GPL-2.0-or-later", "AGPL-3.0-only", "dynamic", "conditional"),
    ("GPL-2.0-only", "AGPL-3.0-only", "dynamic", "incompatible"),
    ("GPL-2.0-only", "GPL-3.0-only", "dynamic", "incompatible"),
    ("GPL-2.0-or-later", "GPL-3.0-only", "dynamic", "conditional"),
    ("AGPL-3.0-only", "AGPL-1.0-or-later", "dynamic", "compatible"),
    ("AGPL-3.0-only", "AGPL-1.0-only", "dynamic", "incompatible"),
    ("GPL-2.0-only", "EUPL-1.2", "dynamic", "conditional"),
    ("MIT", "EUPL-1.2", "dynamic", "review"),
    ("MIT", "EUPL-1.2", "copied", "incompatible"),
    ("CECILL-2.1", "GPL-3.0-only", "dynamic", "review"),
    # What is not made for programs, or not open source.
    ("GPL-3.0-only", "CC-BY-SA-4.0", "dynamic", "conditional"),
    ("GFDL-1.3-or-later", "GFDL-1.3-only", "copied", "compatible"),
    ("MIT", "CC-BY-SA-4.0", "dynamic", "review"),
    ("MIT", "JSON", "dynamic", "review"),
    ("GPL-3.0-only", "JSON", "dynamic", "incompatible"),
    ("MIT", "BUSL-1.1", "dynamic", "incompatible"),
    ("LicenseRef-proprietary", "BUSL-1.1", "dynamic", "review"),
]


@pytest.mark.parametrize(("project", "dependency", "linking", "outcome"), PAIRS)
def test_a_pair(project: str, dependency: str, linking: Linking, outcome: str) -> None:
    judged = verdict(parse(project), parse(dependency), linking)
    assert judged.outcome == outcome, judged.reason


@pytest.mark.parametrize(
    ("dependency", "outcome"),
    [("MIT", "compatible"), ("MPL-2.0", "conditional"), ("GPL-3.0-only", "unknown")],
)
def test_without_a_licence_of_its_own_only_what_goes_with_all_is_settled(
    dependency: str, outcome: str
) -> None:
    assert verdict(Unknown(""), parse(dependency)).outcome == outcome
