"""What strangers hand in to be read, changed at random: only our own errors may come out, and nothing grows."""

from __future__ import annotations

import os
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from audit.certificate import Certificate
from audit.genguard_verify import Failure, verify_bundle
from guard.errors import GenguardError, SignatureError
from guard.marks.xmp import get, put
from policies.load import loads
from tests.security.parsers import CERTIFICATE, KEY, READERS, TITLE, zipped


def changed(good: bytes) -> st.SearchStrategy[bytes]:
    """The good file with pieces cut, doubled, replaced; or bytes of any kind."""
    piece = st.tuples(st.integers(0, len(good)), st.integers(0, 40), st.one_of(st.binary(max_size=12), st.sampled_from(NASTY)))

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        data = good
        for at, length, new in changes:
            data = data[:at] + new + data[at + length :]
        return data

    return st.one_of(st.lists(piece, min_size=1, max_size=4).map(apply), st.binary(max_size=200))


NASTY = [
    *(b"\n", b"\n\n", b"\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"9" * 30),
    *(b"&a", b"*a", b"<!DOCTYPE a>", b"{" * 60, b"[" * 3000),
]


def fuzz(name: str, examples: int) -> None:
    read, good = READERS[name]

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(changed(good))
    def run(data: bytes) -> None:
        with suppress(GenguardError):
            read(data)

    run()


@pytest.mark.parametrize("name", READERS)
def test_only_our_errors_come_out(name: str) -> None:
    """Of some hundred changed files each."""
    fuzz(name, 120)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", READERS)
def test_only_our_errors_come_out_for_long(name: str) -> None:
    """Of many thousand: each reader takes a quarter to half a minute of computing."""
    fuzz(name, 8000)


@pytest.mark.parametrize("value", ["[" * 100_000, '{"a":' * 100_000])
def test_a_certificate_with_values_that_are_nested_without_end_is_none(value: str) -> None:
    """As found by changing one at random."""
    with pytest.raises(SignatureError):
        Certificate.parse(CERTIFICATE.text.replace('subject "s"', f"subject {value}"))


@pytest.mark.parametrize("seed", range(60))
def test_a_changed_bundle_is_a_failure_of_its_own_kind(tmp_path: Path, seed: int) -> None:
    """The verifier that stands alone has one error."""
    data = bytearray(zipped())
    for step in range(3):
        data[(seed * 7919 + step * 104_729) % len(data)] ^= 1 + (seed + step) % 255
    (tmp_path / "b.zip").write_bytes(bytes(data))
    with pytest.raises((Failure, zipfile.BadZipFile)):
        verify_bundle(tmp_path / "b.zip", [])


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "entries/../../x", "C:\\x", "a\0b"])
def test_a_bundle_with_a_path_out_of_it_is_none(tmp_path: Path, name: str) -> None:
    """Names are looked at before anything is read, and nothing is ever unpacked."""
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(Failure):
        verify_bundle(tmp_path / "b.zip", [])


ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine to the ninth values."""


@pytest.mark.parametrize(
    "bomb",
    [
        ALIASES,
        "policy: " + "[" * 10_000,
        "policy: " + "{a: " * 10_000,
        "- " * 20_000,
        "a: &a [*a]",
        "? " * 20_000,
        "policy: !!python/object/apply:os.system [id]",
        "policy: x\n" * 20_000,
    ],
    ids=["aliases", "lists", "mappings", "dashes", "itself", "keys", "tag", "repeated"],
)  # fmt: skip
def test_yaml_that_grows_is_refused(bomb: str) -> None:
    """By our own error."""
    with pytest.raises(GenguardError):
        loads(bomb)


@pytest.mark.parametrize(
    "entities",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd">',
    ],
)
def test_xmp_with_a_document_type_is_not_read(entities: str) -> None:
    """So no entity is ever put in, from here or elsewhere; it is begun anew when something is written."""
    packet = entities.encode() + put(None, TITLE, "a").replace(b"<?xpacket begin", b"<?other begin")
    assert get(packet, TITLE) == []
    assert b"ENTITY" not in put(packet, TITLE, "b")


def test_a_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask is."""
    before = os.umask(0)
    try:
        KEY.write(tmp_path / "key.pem")
    finally:
        os.umask(before)
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
