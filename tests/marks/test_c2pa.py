"""C2PA: signed last, read back, judged honestly, and every changed byte noticed."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import c2pa
import pytest
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from PIL import Image

from guard.errors import InputError, SettingsError
from guard.marks import order, xmp
from guard.marks.aigc import PROPERTY
from guard.marks.certificate import FILES, make_development, read_signer
from guard.marks.containers import read_xmp, write_xmp
from guard.marks.manifest import ASSERTION, State, read_credential
from guard.types import CALLER, Content, Mark, Modality, Operator, Origin, Receipt, Request, Stage
from tests.fakes import marking
from tests.marks.conftest import FORMS, ed25519_key, file, folder_of

DECISION = UUID("01900000-0000-7000-8000-0000a5c3f00f")
PROMPT = Receipt(UUID(int=4), 17, b"\x01" * 32, 18)
MADE = Origin("diffusion", "bundled/diffusion-marks", "cd" * 32)


def content(data: bytes, form: str = "PNG", origin: Origin = MADE) -> Content:
    return Content(Modality.IMAGE, data, FORMS[form], Stage.OUTPUT, origin, Request("r", tenant="acme", subject="s-1"))


def sign(operator: Operator, given: Content, **told: Any) -> tuple[Content, Mark]:
    told = {"source": given, "prompt": PROMPT, **told}
    source = told.pop("source")
    return order.make("c2pa", {}, Modality.IMAGE, operator)(given, marking(DECISION, source, **told))


def signed(operator: Operator, form: str = "PNG", **told: Any) -> bytes:
    marked, mark = sign(operator, content(file(form), form), **told)
    assert mark.verified, mark.error
    return marked.file


@pytest.mark.parametrize("form", FORMS)
def test_a_signed_file_says_how_it_came_to_be(form: str, chain: Callable[..., Any]) -> None:
    """Actions, generator, and our assertion with policy, ledger and the prompt's receipt; nobody who asked is in it."""
    operator, root = chain()
    data = signed(operator, form)
    found = read_credential(data, root)
    assert (found.state, found.signer, found.generator, found.reasons) == (State.TRUSTED, "Signer Ltd", "genguard", ())
    assert found.decision == {
        "decision": str(DECISION),
        "time": "2026-11-27T08:30:00.000000Z",
        "policy": "house",
        "policy_version": 3,
        "revision": "ab" * 32,
        "ledger": "memory",
        "generator": "diffusion",
        "model": "bundled/diffusion-marks",
        "model_digest": "cd" * 32,
        "provider": "Test provider",
        "prompt": {"decision": str(PROMPT.decision), "index": 17, "leaf_hash": "01" * 32, "tree_size": 18},
    }
    assert b"acme" not in data
    assert b"s-1" not in data
    assert Image.open(io.BytesIO(data)).tobytes() == Image.open(io.BytesIO(file(form))).tobytes()


def test_the_librarys_own_reader_agrees(chain: Callable[..., Any], tmp_path: Path) -> None:
    """From disk, with the library's defaults and none of our code."""
    operator, _ = chain()
    path = tmp_path / "x.png"
    path.write_bytes(signed(operator))
    reader = c2pa.Reader(str(path))
    assert reader.get_validation_state() == "Valid"
    assert reader.get_active_manifest()["claim_generator_info"][0]["version"]
    actions = reader.get_active_manifest()["assertions"][0]["data"]["actions"]
    assert actions[0]["action"] == "c2pa.created"
    assert actions[0]["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert ASSERTION in reader.json()


@pytest.mark.parametrize(("anchors", "expected"), [("none", State.VALID), ("own", State.TRUSTED), ("other", State.UNTRUSTED)])
def test_trust_is_what_the_anchors_say(anchors: str, expected: State, chain: Callable[..., Any]) -> None:
    """Without anchors nobody can say by whom."""
    operator, own = chain()
    _, other = chain()
    found = read_credential(signed(operator), {"none": b"", "own": own, "other": other}[anchors])
    assert found.state is expected
    assert (found.reasons == ()) == (expected is State.TRUSTED)
    assert found.decision["decision"] == str(DECISION)


def test_a_development_chain_is_never_trusted(development: Operator) -> None:
    """Not even by who takes its root for an anchor."""
    data = signed(development)
    root = (folder_of(development) / FILES[2]).read_bytes()
    for anchors in (b"", root):
        found = read_credential(data, anchors)
        assert (found.state, found.reasons) == (State.UNTRUSTED, ("signed with a certificate for development",))


def test_a_file_without_a_manifest_has_none(development: Operator) -> None:
    """Also one that lost it, as by saving it anew."""
    assert read_credential(file("PNG")).state is State.ABSENT
    buffer = io.BytesIO()
    Image.open(io.BytesIO(signed(development))).save(buffer, "PNG")
    assert read_credential(buffer.getvalue()).state is State.ABSENT
    with pytest.raises(InputError):
        read_credential(b"no image")


@pytest.mark.parametrize("form", FORMS)
def test_one_byte_changed_anywhere_is_noticed(form: str, development: Operator) -> None:
    """Header, metadata, pixels, the end; in the manifest itself wherever the claim or its signature covers it."""
    given = content(file(form), form)
    for kind in ("aigc", "iptc"):
        given, _ = order.make(kind, {}, Modality.IMAGE, development)(given, marking(DECISION, given))
    data = sign(development, given)[0].file
    spots = {
        "AIGC": data.index(b"ProduceID"),
        "IPTC": data.index(b'trainedAlgorithmicMedia"'),
        "pixels": data.rindex({"PNG": b"IDAT", "JPEG": b"\xff\xda", "WEBP": b"VP8 "}[form]) + 900,
        "assertion": data.index(str(DECISION).encode(), data.index(b"jumb")),
        "end": len(data) - 3,
    }
    rng = random.Random(2)
    for name, at in {**spots, **{f"random {n}": rng.randrange(40, len(data)) for n in range(40)}}.items():
        changed = bytearray(data)
        changed[at] ^= 0x01
        found = read_credential(bytes(changed))
        manifest = data.index(b"jumb") - 24, data.index(b"jumb") + len(data) - len(given.file)
        if name.startswith("random") and manifest[0] <= at <= manifest[1]:
            assert found.state in {State.TAMPERED, State.ABSENT, State.UNTRUSTED}  # padding of the signature is not covered
        else:
            assert found.state in {State.TAMPERED, State.ABSENT}, (name, at)
            assert found.decision == {}
    assert read_credential(data).state is State.UNTRUSTED


def test_whatever_is_written_after_the_signature_breaks_it(development: Operator) -> None:
    """That is why it is last."""
    data = signed(development)
    packet = xmp.put(read_xmp(data), PROPERTY, "{}")
    chunk = data.index(b"IDAT") - 4
    body = b"tEXta\x00b"
    late = data[:chunk] + struct.pack(">I", 3) + body + struct.pack(">I", zlib.crc32(body)) + data[chunk:]
    assert read_credential(late).state is State.TAMPERED
    assert "assertion.dataHash.mismatch" in read_credential(late).reasons
    assert read_credential(write_xmp(data, packet)).state is State.ABSENT  # our own writer takes the manifest out


def test_a_manifest_that_came_stays_as_an_ingredient(chain: Callable[..., Any], development: Operator) -> None:
    """Ours is opened from it; also when pixels were written anew in between, and a tampered one shows as such."""
    operator, _ = chain()
    came = content(signed(operator), origin=CALLER)
    for given in (came, content(file("PNG"), origin=CALLER)):
        marked, mark = sign(development, given, source=came)
        assert mark.verified, mark.error
        found = read_credential(marked.file)
        assert (found.state, found.ingredients) == (State.UNTRUSTED, ("what came",))
        manifests = json.loads(c2pa.Reader("image/png", io.BytesIO(marked.file)).json())["manifests"]
        assert {one["signature_info"]["issuer"] for one in manifests.values()} >= {"Signer Ltd"}
    broken = bytearray(came.file)
    broken[broken.rindex(b"IDAT") + 500] ^= 1
    marked, mark = sign(development, content(bytes(broken), origin=CALLER))
    assert mark.verified, mark.error


def test_what_was_cut_out_does_not_come_back_as_an_ingredient(chain: Callable[..., Any], development: Operator) -> None:
    """A manifest may hold a thumbnail of the whole image."""
    came = content(signed(chain()[0]), origin=CALLER)
    marked, _ = sign(development, content(file("PNG"), origin=CALLER), source=came, edited=True)
    assert read_credential(marked.file).ingredients == ()
    assert b"Signer Ltd" not in marked.file


@pytest.mark.parametrize("kind", ["P-384", "P-521", "Ed25519", "RSA", "SEC1"])
def test_keys_of_every_usual_kind_sign(kind: str, chain: Callable[..., Any]) -> None:
    """An older key file is written anew in memory."""
    keys = {"P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
    if kind in keys:
        operator, root = chain(key=ec.generate_private_key(keys[kind]()))
    elif kind == "RSA":
        operator, root = chain(key=rsa.generate_private_key(65537, 2048))
    elif kind == "Ed25519":
        operator, root = chain(key=ed25519_key())
    else:
        operator, root = chain(form=forms.PrivateFormat.TraditionalOpenSSL)
    assert read_credential(signed(operator), root).state is State.TRUSTED


@pytest.mark.parametrize(
    ("fault", "fragment"),
    [
        ({"days": -1, "begun": -9}, "expected one that is valid today"),
        ({"begun": 3}, "expected one that is valid today"),
        ({"usages": ("content_commitment",)}, "key usage digitalSignature"),
        ({"extended": None}, "extended key usage emailProtection"),
        ({"extended": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "extended key usage emailProtection"),
        ({"authority": False}, "authority key identifier"),
        ({"reverse": True}, "the key of another certificate"),
        ({"password": b"secret-word"}, "without a password"),
        ({"key": rsa.generate_private_key(65537, 1024)}, "a key of another kind"),
    ],
)
def test_a_certificate_that_cannot_sign_is_refused_at_the_start(
    fault: dict[str, Any], fragment: str, chain: Callable[..., Any]
) -> None:
    """With the file and what is wrong with it, and nothing of the key."""
    operator, _ = chain(**fault)
    with pytest.raises(SettingsError, match=fragment) as raised:
        order.make("c2pa", {}, Modality.IMAGE, operator)
    assert str(operator.certificate) in str(raised.value) or str(operator.key) in str(raised.value)
    assert "dev-cert" in raised.value.diagnostics()


def test_missing_files_are_named(chain: Callable[..., Any], tmp_path: Path) -> None:
    """One of two is not enough; a policy that is only compiled needs none."""
    operator, _ = chain()
    assert order.make("c2pa", {}, Modality.IMAGE).kind == "c2pa"
    for given, fragment in (
        (Operator(), "found no certificate and key for C2PA"),
        (replace(operator, key=None), "found no key for C2PA"),
        (replace(operator, certificate=tmp_path / "no"), "cannot be read"),
        (replace(operator, certificate=operator.key), "found no certificate"),
        (replace(operator, key=operator.certificate), "found no private key"),
        (replace(operator, key=chain()[0].key), "the key of another certificate"),
    ):
        with pytest.raises(SettingsError, match=fragment):
            order.make("c2pa", {}, Modality.IMAGE, given)


def test_a_development_chain_is_made_once(tmp_path: Path) -> None:
    """The key is its owner's alone, and no file is written over."""
    certificate, key, root = make_development(tmp_path / "new")
    assert key.stat().st_mode & 0o777 == 0o600
    assert read_signer(certificate, key).development
    assert "PRIVATE" not in root.read_text("ascii") + certificate.read_text("ascii")
    assert "PRIVATE" not in repr(read_signer(certificate, key))
    with pytest.raises(SettingsError, match=r"found .*genguard-dev-cert.pem already"):
        make_development(tmp_path / "new")
    if os.geteuid() != 0:
        with pytest.raises(SettingsError, match="cannot write"):
            make_development(Path("/proc/x"))


@pytest.mark.parametrize("form", FORMS)
def test_damaged_files_raise_the_named_error(form: str, development: Operator) -> None:
    """Whatever is wrong with them: an error of ours, or a file that reads back."""
    whole, rng = file(form), random.Random(5)
    signed_file = signed(development, form)
    for _ in range(40):
        broken = bytearray(whole if rng.random() < 0.5 else signed_file)
        for _ in range(rng.randint(1, 5)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        data = bytes(broken[: rng.choice([len(broken), rng.randrange(len(broken))])])
        try:
            sign(development, content(data, form))
            read_credential(data)
        except InputError:
            continue
