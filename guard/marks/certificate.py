"""The certificate that C2PA manifests are signed with: the operator's, read and checked, or a chain for development.

What the checks ask is what C2PA's certificate profile and its library ask of a signer (C2PA 2.1, section 14.5), so that a
certificate which could only make invalid manifests is refused at the start and not at the first output.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.errors import SettingsError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateBuilder

DEVELOPMENT = "genguard development, not to be trusted"
"""Organisation of the chains that `make_development` makes. Whoever reads it in a signature must not trust it."""
FILES = ("genguard-dev-cert.pem", "genguard-dev-key.pem", "genguard-dev-root.pem")
DAYS = 365
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_ADVICE = (
    "GENGUARD_C2PA_CERTIFICATE and GENGUARD_C2PA_KEY name two PEM files: the chain, leaf first, and its key. "
    "For development: genguard marks dev-cert."
)


@dataclass(frozen=True, slots=True)
class Signer:
    """A chain with its key, ready to sign."""

    chain: bytes = field(repr=False)
    """PEM, leaf first."""
    key: bytes = field(repr=False)
    """PEM, PKCS #8."""
    algorithm: str
    """As C2PA names it: `es256`, `ps256`, …"""
    until: datetime
    """End of the leaf's validity."""
    development: bool


def read_signer(certificate: Path | None, key: Path | None) -> Signer:
    """The signer in two files. Raises SettingsError for one that is missing, cannot be read, or that C2PA would refuse."""
    if certificate is None or key is None:
        missing = "certificate and key" if certificate is key else "certificate" if certificate is None else "key"
        raise SettingsError(f"found no {missing} for C2PA, expected both: the policy's `c2pa` signs outputs", advice=_ADVICE)
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as forms

    try:
        chain = x509.load_pem_x509_certificates(_read(certificate))
    except ValueError:
        raise _problem(certificate, "found no certificate, expected a PEM chain, leaf first") from None
    try:
        secret = forms.load_pem_private_key(_read(key), None)
    except (ValueError, TypeError):
        raise _problem(key, "found no private key that can be read, expected PEM (PKCS #8) without a password") from None
    leaf = chain[0]
    if secret.public_key() != leaf.public_key():
        raise _problem(key, f"found the key of another certificate, expected that of the first in {certificate}")
    _require_usable(certificate, chain)
    own = secret.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    pem = b"".join(one.public_bytes(forms.Encoding.PEM) for one in chain)
    return Signer(pem, own, _algorithm(certificate, secret), leaf.not_valid_after_utc, DEVELOPMENT in _organisations(leaf))


def make_development(folder: Path) -> tuple[Path, Path, Path]:
    """Write a chain for development (certificates, key, root) into a folder; the root's key is thrown away.

    Raises SettingsError when a file is there already, or when the folder cannot be written.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509 import AuthorityKeyIdentifier, ExtendedKeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _builder("root", "root", root_key, signs=False).sign(root_key, hashes.SHA256())
    leaf = (
        _builder("signer", "root", key, signs=True)
        .add_extension(ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    pem = [one.public_bytes(forms.Encoding.PEM) for one in (leaf, root)]
    secret = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    paths = tuple(folder / name for name in FILES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, data, mode in zip(paths, (pem[0] + pem[1], secret, pem[1]), (0o644, 0o600, 0o644), strict=True):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)
    except FileExistsError as error:
        raise SettingsError(
            f"found {error.filename} already, expected a folder without it", advice="Name another: --out DIR."
        ) from None
    except OSError as error:
        raise SettingsError(f"cannot write into {folder}: {error.strerror or type(error).__name__}") from None
    return paths[0], paths[1], paths[2]


def _builder(subject: str, issuer: str, key: Any, *, signs: bool) -> CertificateBuilder:
    from cryptography import x509

    now, usage = datetime.now(UTC), dict.fromkeys(_USAGES, False)
    usage |= {"digital_signature": True} if signs else {"key_cert_sign": True, "crl_sign": True}
    builder = x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name(issuer)).public_key(key.public_key())
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=not signs, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
    "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def _name(common: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    pairs = ((NameOID.ORGANIZATION_NAME, DEVELOPMENT), (NameOID.COMMON_NAME, f"genguard development {common}"))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def _organisations(certificate: Certificate) -> set[str]:
    from cryptography.x509.oid import NameOID

    return {str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}


def _require_usable(file: Path, chain: list[Certificate]) -> None:
    """Order, time and usages, as the library asks them of a signer."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    leaf = chain[0]
    if any(one.issuer != other.subject for one, other in pairwise(chain)):
        raise _problem(file, "found certificates in another order, expected each to be signed by the next")
    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        days = f"{leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
        raise _problem(file, f"found a certificate that is valid from {days}, expected one that is valid today")
    found = {type(one.value): one.value for one in leaf.extensions}
    usage, extended = found.get(x509.KeyUsage), found.get(x509.ExtendedKeyUsage)
    if not isinstance(usage, x509.KeyUsage) or not usage.digital_signature:
        raise _problem(file, "found a certificate without the key usage digitalSignature, expected it")
    if not isinstance(extended, x509.ExtendedKeyUsage) or ExtendedKeyUsageOID.EMAIL_PROTECTION not in extended:
        raise _problem(file, "found a certificate without the extended key usage emailProtection, expected it")
    if leaf.issuer != leaf.subject and x509.AuthorityKeyIdentifier not in found:
        raise _problem(file, "found a certificate without an authority key identifier, expected one")


def _algorithm(file: Path, key: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    raise _problem(file, "found a key of another kind, expected P-256, P-384, P-521, Ed25519, or RSA of 2048 bits or more")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _problem(path, f"cannot be read: {error.strerror or type(error).__name__}") from None


def _problem(file: Path, what: str) -> SettingsError:
    return SettingsError(f"{file}: {what}", advice=_ADVICE)
