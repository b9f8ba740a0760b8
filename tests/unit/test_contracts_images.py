"""Images as manifests name them: what is read, what is refused and why, what a policy accepts."""

import pytest

from penstock_contracts.images import (
    ImageFault,
    ImagePolicy,
    OciArchive,
    RegistryImage,
    RootFileSystem,
    read_image,
    read_registry,
)

HEX = "0123456789abcdef" * 4
SHA256 = f"sha256:{HEX}"
SHA512 = f"sha512:{HEX}{HEX}"
PASSWORD = "hunter2"  # must not come back in a message
LONG = "a" * 245  # with `docker.io/` as long as a name may be


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("alpine", "docker.io/library/alpine"),
        ("alpine:3.22", "docker.io/library/alpine:3.22"),
        (f"alpine@{SHA256}", f"docker.io/library/alpine@{SHA256}"),
        (f"alpine:3.22@{SHA256}", f"docker.io/library/alpine:3.22@{SHA256}"),
        (f"alpine@{SHA512}", f"docker.io/library/alpine@{SHA512}"),
        ("acme/scanner", "docker.io/acme/scanner"),
        ("acme/team/scanner:V1", "docker.io/acme/team/scanner:V1"),
        ("docker.io/alpine", "docker.io/library/alpine"),
        ("docker.io/library/alpine", "docker.io/library/alpine"),
        ("index.docker.io/alpine", "docker.io/library/alpine"),
        ("index.docker.io/acme/x", "docker.io/acme/x"),
        ("DOCKER.IO/alpine", "docker.io/library/alpine"),
        ("docker://ghcr.io/acme/x:1", "ghcr.io/acme/x:1"),
        ("docker://alpine", "docker.io/library/alpine"),
        ("GHCR.io/acme/x", "ghcr.io/acme/x"),
        ("ghcr.io/x", "ghcr.io/x"),
        ("localhost/x", "localhost/x"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("registry:5000/x", "registry:5000/x"),
        ("Registry:05000/x", "registry:5000/x"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x"),
        ("[::1]:5000/x", "[::1]:5000/x"),
        ("[0:0::1]/x", "[::1]/x"),
        ("a.b/c.d/e_f/g__h/i---j", "a.b/c.d/e_f/g__h/i---j"),
        ("a.b/x:_", "a.b/x:_"),
        (f"a.b/x:{'t' * 128}", f"a.b/x:{'t' * 128}"),
        ("dir:5000/x", "dir:5000/x"),
        ("docker://dir:v1", "docker.io/library/dir:v1"),
        (HEX[:63], f"docker.io/library/{HEX[:63]}"),
        (f"docker.io/{LONG[:122]}/{LONG[:122]}", f"docker.io/{LONG[:122]}/{LONG[:122]}"),
        ("oci-archive:image.tar", "oci-archive:image.tar"),
        ("oci-archive:images/a.tar:v1", "oci-archive:images/a.tar:v1"),
        ("rootfs:root", "rootfs:root"),
        ("rootfs:images/a..b/...", "rootfs:images/a..b/..."),
    ],
)
def test_a_reference_is_read_and_made_complete(text: str, read: str) -> None:
    reference = read_image(text)

    assert str(reference) == read
    assert read_image(read) == reference


def test_the_parts_of_a_reference() -> None:
    assert read_image(f"alpine:3@{SHA256}") == RegistryImage(
        "docker.io", "library/alpine", "3", SHA256
    )
    assert read_image("oci-archive:a/b.tar:v1") == OciArchive("a/b.tar", "v1")
    assert read_image("rootfs:a/b") == RootFileSystem("a/b")


# --- what is refused ----------------------------------------------------------------------------

REFUSED: list[tuple[str, str]] = [
    # nothing, too much, and characters that hide something
    ("", "nothing is named"),
    ("a" * 1_025, "over 1024 characters"),
    (" alpine", "white space"),
    ("alpine ", "white space"),
    ("alpine\n", "white space"),
    ("alpine\r\nevil", "white space"),
    ("al\tpine", "white space"),
    ("alpine\u00a0", "white space"),
    ("alpine\u2028", "white space"),
    ("rootfs:my root", "white space"),
    ("alpine\0", "control character"),
    ("rootfs:a\0b", "control character"),
    ("alpine\x1b[2J", "control character"),
    ("alpine\x7f", "control character"),
    ("\u0430lpine", "outside ASCII"),  # a Cyrillic a
    ("gh\u0441r.io/acme/x", "outside ASCII"),  # a Cyrillic es
    ("ghcr\u2024io/acme/x", "outside ASCII"),  # one dot leader
    ("ghcr.io\u2215acme/x", "outside ASCII"),  # division slash
    ("alpine:\uff11", "outside ASCII"),  # full-width one
    ("alp\u200bine", "outside ASCII"),  # zero-width space
    ("alpine\u202e", "outside ASCII"),  # right-to-left override
    ("ghcr.io\\acme\\x", "backslash"),
    ("rootfs:..\\..\\etc", "backslash"),
    # other schemes and kinds
    ("http://ghcr.io/acme/x", "scheme"),
    ("https://ghcr.io/acme/x", "scheme"),
    ("Docker://alpine", "scheme"),
    ("oci://ghcr.io/acme/x", "scheme"),
    ("file:///etc/passwd", "scheme"),
    ("docker://https://ghcr.io/x", "scheme"),
    ("docker://docker://alpine", "scheme"),
    ("docker-archive:image.tar", "kind of image"),
    ("docker-daemon:alpine:3", "kind of image"),
    ("containers-storage:alpine", "kind of image"),
    ("oci:layout:tag", "kind of image"),
    ("dir:/etc", "kind of image"),
    # credentials
    (f"user:{PASSWORD}@ghcr.io/acme/x", "credentials"),
    (f"docker://user:{PASSWORD}@ghcr.io/acme/x", "credentials"),
    (f"{PASSWORD}@ghcr.io/acme/x@{SHA256}", "more than one `@`"),
    (f"https://user:{PASSWORD}@ghcr.io/x", "scheme"),
    # registry
    ("Acme/scanner", "the path is lower case"),
    ("-a.b/x", "no host"),
    ("a-.b/x", "no host"),
    ("a..b/x", "no host"),
    ("ghcr.io./acme/x", "no host"),
    ("my_registry.io/x", "no host"),
    ("a.b%2f/x", "no host"),
    ("ghcr.io:/x", "port is a number"),
    ("ghcr.io:0/x", "port is a number"),
    ("ghcr.io:65536/x", "port is a number"),
    ("ghcr.io:99999999999/x", "port is a number"),
    ("ghcr.io:-1/x", "port is a number"),
    ("ghcr.io:80:80/x", "port is a number"),
    ("[::1]:x/y", "port is a number"),
    ("[::g]:5000/x", "no host"),
    ("[1:2]:5000/x", "no IPv6 address"),
    ("[fe80::1%25eth0]/x", "no host"),
    ("::1/x", "no host"),
    ("docker://rootfs:5000/x", "taken for a path"),
    ("docker://oci-archive:5000/x", "taken for a path"),
    # path
    ("/alpine", "empty part"),
    ("/etc/passwd", "empty part"),
    ("ghcr.io/", "empty part"),
    ("ghcr.io//x", "empty part"),
    ("ghcr.io/acme/", "empty part"),
    ("Alpine", "capitals"),
    ("ghcr.io/Acme/x", "capitals"),
    ("ghcr.io/acme/../x", "a part of the path"),
    ("../alpine", "no host"),
    ("./alpine", "no host"),
    ("acme/.x", "a part of the path"),
    ("acme/x-", "a part of the path"),
    ("acme/x_", "a part of the path"),
    ("acme/x..y", "a part of the path"),
    ("acme/x___y", "a part of the path"),
    ("acme/x._y", "a part of the path"),
    ("-alpine", "a part of the path"),
    ("--privileged", "a part of the path"),
    ("alpine;id", "a part of the path"),
    ("$(id)", "a part of the path"),
    ("`id`", "a part of the path"),
    ("alpine?x=1", "a part of the path"),
    ("alpine#x", "a part of the path"),
    ("al%70ine", "a part of the path"),
    (f"docker.io/{LONG[:123]}/{LONG[:122]}", "over 255 characters"),
    ("a" * 300, "over 255 characters"),
    # tag
    ("alpine:", "the tag after `:` is empty"),
    (f"alpine:@{SHA256}", "the tag after `:` is empty"),
    ("alpine:-1", "the tag is none"),
    ("alpine:.1", "the tag is none"),
    ("alpine:3:3", "the tag is none"),
    ("alpine:3+b", "the tag is none"),
    (f"alpine:{'t' * 129}", "the tag is none"),
    ("oci-archive:a.tar:", "the tag after `:` is empty"),
    ("oci-archive:a.tar:-x", "the tag is none"),
    # digest
    (HEX, "64 hexadecimal digits alone"),
    ("alpine@", "the digest after `@` is empty"),
    (f"alpine@{HEX}", "the digest's algorithm"),
    (f"alpine@md5:{HEX[:32]}", "the digest's algorithm"),
    (f"alpine@sha1:{HEX[:40]}", "the digest's algorithm"),
    (f"alpine@SHA256:{HEX}", "the digest's algorithm"),
    (f"alpine@sha256+b64:{HEX}", "the digest's algorithm"),
    ("alpine@sha256", "64 lower-case"),
    ("alpine@sha256:", "64 lower-case"),
    (f"alpine@{SHA256[:-1]}", "64 lower-case"),
    (f"alpine@{SHA256}0", "64 lower-case"),
    (f"alpine@sha256:{HEX.upper()}", "64 lower-case"),
    (f"alpine@sha256:{HEX[:-1]}g", "64 lower-case"),
    (f"alpine@sha512:{HEX}", "128 lower-case"),
    (f"alpine@{SHA256}:3", "64 lower-case"),
    (f"alpine@{SHA256}@{SHA256}", "more than one `@`"),
    # folders and tarballs
    ("oci-archive:", "names no path"),
    ("rootfs:", "names no path"),
    ("rootfs:/", "relative to the agent's folder"),
    ("rootfs:/etc", "relative to the agent's folder"),
    ("rootfs://etc", "scheme|relative"),
    ("oci-archive:/srv/image.tar", "relative to the agent's folder"),
    ("rootfs:..", "leads upwards"),
    ("rootfs:../other", "leads upwards"),
    ("rootfs:a/../../b", "leads upwards"),
    ("oci-archive:../image.tar", "leads upwards"),
    ("oci-archive:a/..", "leads upwards"),
    ("rootfs:.", "empty part or `.`"),
    ("rootfs:./root", "empty part or `.`"),
    ("rootfs:a//b", "empty part or `.`"),
    ("rootfs:a/", "empty part or `.`"),
    ("rootfs:a:b", "holds a colon"),
    ("rootfs:C:/x", "holds a colon"),
    ("rootfs:\u002e\u2024/x", "outside ASCII"),
    ("ROOTFS:root", "capitals"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_what_names_no_image_is_refused_with_a_reason(text: str, said: str) -> None:
    with pytest.raises(ImageFault, match=said.replace("(", "\\(")) as caught:
        _ = read_image(text)

    assert PASSWORD not in str(caught.value)


# --- what a policy accepts ----------------------------------------------------------------------

PINNED = f"ghcr.io/acme/scan/x:1@{SHA256}"


@pytest.mark.parametrize(
    ("registries", "text", "accepted"),
    [
        ((), PINNED, False),
        (("ghcr.io",), PINNED, True),
        (("GHCR.io",), PINNED, True),
        (("ghcr.io/acme",), PINNED, True),
        (("ghcr.io/acme/scan/x",), PINNED, True),
        (("other.io", "ghcr.io/acme/scan"), PINNED, True),
        (("ghcr.io/acm",), PINNED, False),
        (("ghcr.io/acme/scan/x/y",), PINNED, False),
        (("ghcr.io:443",), PINNED, False),
        (("hcr.io",), PINNED, False),
        (("ghcr.io",), f"ghcr.io.evil.example/acme/x@{SHA256}", False),
        (("ghcr.io",), f"evil.example/ghcr.io/acme/x@{SHA256}", False),
        (("ghcr.io",), f"ghcr.io:444/acme/x@{SHA256}", False),
        (("docker.io",), f"alpine@{SHA256}", True),
        (("index.docker.io",), f"alpine@{SHA256}", True),
        (("docker.io/library",), f"alpine@{SHA256}", True),
        (("docker.io/library",), f"acme/alpine@{SHA256}", False),
        (("docker.io/library",), f"library.evil.example/x@{SHA256}", False),
        (("localhost:5000",), f"localhost:05000/x@{SHA256}", True),
        (("[::1]:5000",), f"[0:0::1]:5000/x@{SHA256}", True),
    ],
)
def test_only_listed_registries_are_accepted(
    registries: tuple[str, ...], text: str, accepted: bool
) -> None:
    policy = ImagePolicy(tuple(read_registry(each) for each in registries))

    refusal = policy.refusal(read_image(text))

    assert (refusal is None) is accepted
    assert refusal is None or "PENSTOCK_IMAGE_REGISTRIES" in refusal


@pytest.mark.parametrize(
    ("text", "strict", "lax"),
    [
        (f"ghcr.io/x@{SHA256}", None, None),
        (f"ghcr.io/x:latest@{SHA256}", None, None),
        (f"ghcr.io/x@{SHA512}", None, None),
        ("ghcr.io/x:1.2", "names no digest", None),
        ("ghcr.io/x", "names no digest", "another image after each push"),
        ("ghcr.io/x:latest", "names no digest", "another image after each push"),
    ],
)
def test_a_digest_is_wanted_unless_tags_are_allowed(
    text: str, strict: str | None, lax: str | None
) -> None:
    for require, said in ((True, strict), (False, lax)):
        refusal = ImagePolicy(("ghcr.io",), require_digest=require).refusal(read_image(text))
        assert (refusal is None) is (said is None)
        if refusal is not None and said is not None:
            assert said in refusal
            assert "PENSTOCK_IMAGE_DIGESTS=allow-tags" in refusal


@pytest.mark.parametrize("text", ["rootfs:root", "oci-archive:image.tar"])
def test_images_of_the_agents_folder_need_no_registry(text: str) -> None:
    assert ImagePolicy().refusal(read_image(text)) is None
    refusal = ImagePolicy(local=False).refusal(read_image(text))
    assert refusal is not None
    assert "PENSTOCK_IMAGE_LOCAL=1" in refusal


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing is named"),
        ("*.example.com", "no wildcards"),
        ("ghcr.io/acme/*", "no wildcards"),
        ("https://ghcr.io", "without scheme"),
        (f"ghcr.io/x@{SHA256}", "without scheme, digest"),
        (f"user:{PASSWORD}@ghcr.io", "credentials"),
        ("acme", "names no host"),
        ("acme/x", "names no host"),
        ("ghcr.io/", "empty part"),
        ("ghcr.io/Acme", "capitals"),
        ("ghcr.io/x:1", "a part of the path"),
        ("ghcr.io:x", "port is a number"),
        ("gh cr.io", "white space"),
    ],
)
def test_what_is_no_registry_is_refused(text: str, said: str) -> None:
    with pytest.raises(ImageFault, match=said) as caught:
        _ = read_registry(text)

    assert PASSWORD not in str(caught.value)
