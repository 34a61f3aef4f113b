"""Certificates and pictures that several tests of marks share."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image, ImageFilter

from guard.marks.certificate import _USAGES, make_development
from guard.types import Operator


def picture(width: int = 300, height: int = 260) -> Image.Image:
    """Smooth colours with grain, the same each time."""
    rng = np.random.default_rng(12)
    rough = Image.fromarray(rng.integers(0, 256, (9, 11, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    grain = np.asarray(rough, dtype=float) + rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.5))


def file(form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture().save(buffer, form, **options)
    return buffer.getvalue()


WATERMARK_KEY = b"w" * 32
FORMS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@pytest.fixture(scope="session")
def development(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Who signs with a chain that `genguard marks dev-cert` makes."""
    certificate, key, _ = make_development(tmp_path_factory.mktemp("dev"))
    return Operator("Test provider", certificate, key, WATERMARK_KEY)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Operator, bytes]]:
    """Makes an operator's certificate, good or with a fault; gives the root's PEM too."""

    def make(
        *,
        key: Any = None,
        days: int = 30,
        begun: int = -1,
        usages: tuple[str, ...] = ("digital_signature",),
        extended: tuple[Any, ...] | None = (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
        authority: bool = True,
        reverse: bool = False,
        form: forms.PrivateFormat = forms.PrivateFormat.PKCS8,
        password: bytes = b"",
    ) -> tuple[Operator, bytes]:
        folder = tmp_path_factory.mktemp("chain")
        now, root_key, key = (
            datetime.now(UTC),
            ec.generate_private_key(ec.SECP256R1()),
            key or ec.generate_private_key(ec.SECP256R1()),
        )
        names = [x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)]) for name in ("Root Ltd", "Signer Ltd")]

        def builder(subject: x509.Name, public: Any) -> x509.CertificateBuilder:
            made = x509.CertificateBuilder().subject_name(subject).issuer_name(names[0]).public_key(public)
            made = made.serial_number(x509.random_serial_number())
            return made.not_valid_before(now + timedelta(days=begun)).not_valid_after(now + timedelta(days=days))

        root = builder(names[0], root_key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        root = root.add_extension(x509.KeyUsage(**(dict.fromkeys(_USAGES, False) | {"key_cert_sign": True})), critical=True)
        root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False)
        leaf = builder(names[1], key.public_key())
        leaf = leaf.add_extension(x509.KeyUsage(**(dict.fromkeys(_USAGES, False) | dict.fromkeys(usages, True))), critical=True)
        if extended:
            leaf = leaf.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        if authority:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
            leaf = leaf.add_extension(identifier, critical=False)
        made = [one.sign(root_key, hashes.SHA256()).public_bytes(forms.Encoding.PEM) for one in (leaf, root)]
        lock = forms.BestAvailableEncryption(password) if password else forms.NoEncryption()
        (folder / "chain.pem").write_bytes(b"".join(reversed(made) if reverse else made))
        (folder / "key.pem").write_bytes(key.private_bytes(forms.Encoding.PEM, form, lock))
        return Operator("Test provider", folder / "chain.pem", folder / "key.pem", WATERMARK_KEY), made[1]

    return make


def ed25519_key() -> Any:
    return ed25519.Ed25519PrivateKey.generate()


def folder_of(operator: Operator) -> Path:
    assert operator.certificate is not None
    return operator.certificate.parent
