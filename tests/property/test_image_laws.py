"""Laws of image references that hold for whatever is written."""

from __future__ import annotations

import string
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from penstock_contracts.images import (
    ImageFault,
    ImagePolicy,
    ImageReference,
    OciArchive,
    RegistryImage,
    RootFileSystem,
    read_image,
    read_registry,
)

WORDS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=6)
SEPARATORS = st.sampled_from([".", "_", "__", "-", "---"])


@st.composite
def components(draw: st.DrawFn) -> str:
    made = draw(WORDS)
    for _ in range(draw(st.integers(0, 2))):
        made += draw(SEPARATORS) + draw(WORDS)
    return made


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True)
HOSTS = (
    st.lists(LABELS, min_size=2, max_size=3).map(".".join)
    | st.just("localhost")
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(lambda address: f"[{address.compressed}]")
)
PORTS = st.none() | st.integers(1, 65_535)
REGISTRIES = st.builds(lambda host, port: f"{host}:{port}" if port else host, HOSTS, PORTS)
PATHS = st.lists(components(), min_size=1, max_size=3).map("/".join)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True)
DIGESTS = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda raw: f"sha256:{raw.hex()}"),
    st.binary(min_size=64, max_size=64).map(lambda raw: f"sha512:{raw.hex()}"),
)
REMOTE = st.builds(
    RegistryImage, REGISTRIES, PATHS, st.none() | TAGS, st.none() | DIGESTS
) | st.builds(
    RegistryImage,
    st.just("docker.io"),
    st.lists(components(), min_size=2, max_size=3).map("/".join),
    st.none() | TAGS,
    st.none() | DIGESTS,
)
FILES = st.lists(
    st.text(string.ascii_letters + string.digits + "._-+@", min_size=1, max_size=8).filter(
        lambda part: part not in (".", "..")
    ),
    min_size=1,
    max_size=3,
).map("/".join)
LOCAL = st.builds(OciArchive, FILES, st.none() | TAGS) | st.builds(RootFileSystem, FILES)
TEXTS = st.text(max_size=60) | st.text(string.printable, max_size=60)


@given(REMOTE | LOCAL)
def test_a_reference_survives_its_text(reference: ImageReference) -> None:
    assert read_image(str(reference)) == reference


@given(REMOTE)
def test_the_prefix_docker_says_nothing_new(reference: RegistryImage) -> None:
    assert read_image(f"docker://{reference}") == reference


@given(TEXTS | st.builds("{}{}".format, REMOTE | LOCAL, TEXTS))
def test_what_is_read_reads_alike_once_complete_and_all_else_is_a_fault(text: str) -> None:
    with suppress(ImageFault):
        reference = read_image(text)
        assert read_image(str(reference)) == reference
        if not isinstance(reference, RegistryImage):
            assert ".." not in reference.path.split("/")
            assert not reference.path.startswith("/")


@given(REMOTE, REGISTRIES)
def test_only_the_registry_itself_lets_an_image_in(reference: RegistryImage, other: str) -> None:
    policy = ImagePolicy((read_registry(other),), require_digest=False)
    refused = policy.refusal(reference) is not None
    versioned = reference.digest is not None or reference.tag not in (None, "latest")

    assert refused is not (reference.registry == read_registry(other) and versioned)


@given(REMOTE)
def test_each_prefix_of_a_name_lets_it_in_and_part_of_a_word_does_not(
    reference: RegistryImage,
) -> None:
    parts = reference.name.split("/")
    for count in range(1, len(parts) + 1):
        allowed = "/".join(parts[:count])
        assert ImagePolicy((allowed,)).refusal(reference) is None or reference.digest is None
        shorter = ImagePolicy((allowed[:-1],), require_digest=False)
        assert shorter.refusal(reference) is not None
