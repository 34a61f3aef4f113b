"""Settings of the service and the terminal, from `GENGUARD_…` environment variables; command line options come first."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from guard.errors import SettingsError
from guard.types import Operator

DEFAULT_LEDGER = "sqlite:///genguard.db"
DEFAULT_POLICY = "enterprise"


def _split(value: object) -> object:
    """Environment variables hold lists separated by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """What an operator can set. Each field is the environment variable `GENGUARD_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="GENGUARD_", extra="ignore")

    policies: Names = Field(default=(DEFAULT_POLICY,), description="Policy files or names of bundled packs.")
    policy_keys: Names = Field(
        default=(), description="Files with public keys: policies need a signature of one. Packs are exempt."
    )
    policy_signatures: int = Field(default=1, description="How many of these keys have to have signed a policy.", ge=1)
    policy_approvals: bool = Field(
        default=False, description="Whether `policy activate` and `promote` wait for somebody else's `policy approve`."
    )
    ledger: str = Field(default=DEFAULT_LEDGER, description="Where decisions are kept: an SQLAlchemy URL.")
    key_file: Path | None = Field(default=None, description="Master key of the payloads; beside the ledger when left out.")
    redaction_key_file: Path | None = Field(
        default=None, description="Key of hashes, stand-ins and encrypted values; beside the ledger when left out."
    )
    watermark_key_file: Path | None = Field(
        default=None, description="Key of the watermark `tile`; beside the ledger when left out."
    )
    anchors: Names = Field(
        default=(),
        description="Where signed checkpoints of the ledger go: files on another volume, https://…, syslog+tls://….",
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="What is posted to web hooks is signed with it: `whsec_` and base64 of 24 to 64 bytes.",
    )
    witnesses: Names = Field(
        default=(),
        description="Who cosigns checkpoints: https://HOST/PATH+NAME+ID+KEY, the public key of each after its address.",
    )
    witness_quorum: int | None = Field(default=None, description="How many of them have to; all when left out.", ge=1)
    witness_policy: Literal["warn", "require"] = Field(
        default="warn", description="What becomes of a checkpoint that fewer cosigned: told by `/readyz`, or not handed out."
    )
    log_key_file: Path | None = Field(
        default=None, description="Key that checkpoints are signed with; beside the ledger when left out."
    )
    revealers: Names = Field(
        default=(), description="Names of API keys that may reveal stored content; others only by breaking the glass."
    )
    retention_days: int | None = Field(
        default=None,
        description="Age in days at which `audit prune` drops decisions; 183 or more, never when left out.",
        ge=183,
    )
    generators: Names = Field(
        default=("language", "diffusion", "gan", "echo"),
        description="Generators that the service offers: registered names, `python:module:function`, and files that name more.",
    )
    resident_models: int | None = Field(
        default=None,
        description="Models of generators that stay in memory; the ones used last. Without a limit when left out.",
        ge=1,
    )
    content_producer: str = Field(
        default="", max_length=200, description="Name or 27-character code of the provider, for the mark `aigc`. Never made up."
    )
    c2pa_certificate: Path | None = Field(default=None, description="PEM chain, leaf first, that outputs are signed with.")
    c2pa_key: Path | None = Field(default=None, description="PEM file with the key of that certificate.")
    c2pa_anchors: Path | None = Field(default=None, description="PEM file with certificates whose C2PA signers are trusted.")
    fingerprints: bool = Field(
        default=True, description="Keep a sealed fingerprint of each released image, so that changed copies are found."
    )
    public_verify: bool = Field(default=False, description="Open `/verify` and `/v1/verify` to callers without a key.")
    public_verify_per_minute: int = Field(
        default=10, description="Verifications that one address without a key may ask for in a minute.", ge=1
    )
    review_sla_minutes: int = Field(default=240, description="Minutes after which what waits for a person is overdue.", ge=1)
    review_webhook: str = Field(
        default="", description="https://… that is told what became of reviews, signed with GENGUARD_WEBHOOK_SECRET."
    )
    second_review: Names = Field(
        default=(), description="Rules and categories whose held outputs take two persons to be released."
    )
    reviewers: Names = Field(
        default=(), description="Names of the API keys that may review; without any, each key may, but never what it asked for."
    )
    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: SecretStr = Field(default=SecretStr(""), description="`name:key` or `name@tenant:key`, separated by commas.")
    max_body: int = Field(default=8_000_000, description="Bytes of one HTTP request body.", ge=1)
    max_text: int = Field(default=50_000, description="Code points of one text.", ge=1)
    max_image: int = Field(default=5_000_000, description="Bytes of one image file.", ge=1)
    max_audio: int = Field(default=20_000_000, description="Bytes of one audio file.", ge=1)
    max_audio_seconds: float = Field(default=600.0, description="Seconds that one audio may play.", gt=0)

    @classmethod
    def read(cls, **given: Any) -> Settings:
        """Settings from the environment, with `given` before it. Raises SettingsError; no value is quoted."""
        try:
            return cls(**given)
        except ValidationError as error:
            told = "; ".join(
                f"GENGUARD_{'_'.join(str(step) for step in problem['loc']).upper()}: {problem['msg']}"
                for problem in error.errors()
            )
            raise SettingsError(f"found settings that cannot be used: {told}") from None

    def operator(self) -> Operator:
        """Whom marks name and sign for. Raises SettingsError for a content producer with control characters."""
        producer = self.content_producer.strip()
        if not producer.isprintable():
            raise SettingsError("GENGUARD_CONTENT_PRODUCER: found a character that cannot be printed, expected a name or code")
        return Operator(producer, self.c2pa_certificate, self.c2pa_key)

    def callers(self) -> tuple[Caller, ...]:
        """Parse `api_keys`. Raises SettingsError for an entry without a name or with a key under 16 characters."""
        entries = [entry.strip() for entry in self.api_keys.get_secret_value().split(",") if entry.strip()]
        return tuple(Caller.parse(entry, number) for number, entry in enumerate(entries, 1))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who an API key belongs to. Only the key's digest is kept in memory."""

    name: str
    tenant: str
    digest: bytes
    sees: str
    """The tenant whose decisions it may look up: its own, where one is named. Empty: all of them."""

    @classmethod
    def parse(cls, entry: str, number: int) -> Caller:
        """Read `name:key` or `name@tenant:key`; `number` stands for the entry in messages, so that no key is shown."""
        who, _, key = entry.partition(":")
        name, _, tenant = who.partition("@")
        if not name or len(key) < 16:
            raise SettingsError(
                f"API key {number} cannot be used: expected name:key or name@tenant:key with at least 16 characters of key",
                advice="Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        return cls(name, tenant or "default", hashlib.sha256(key.encode()).digest(), tenant)


def caller_of(key: str, callers: tuple[Caller, ...]) -> Caller | None:
    """Whose key it is, compared in constant time over all of them."""
    digest = hashlib.sha256(key.encode()).digest()
    found = None
    for caller in callers:
        if hmac.compare_digest(digest, caller.digest):
            found = caller
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
