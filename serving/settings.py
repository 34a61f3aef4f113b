"""Settings of the service and the terminal: the command line, then `GENGUARD_…` variables, `genguard.toml`, and defaults."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from guard.errors import SettingsError
from guard.types import Operator
from serving.cluster.section import Cluster
from serving.config.file import FileSource
from serving.config.sources import mistake, origins
from serving.identity.principals import SettledKey, settled_key

DEFAULT_LEDGER = "sqlite:///genguard.db"
DEFAULT_POLICY = "enterprise"
GRACE_S = 30
"""Seconds that requests may take to end when the service is stopped, unless the settings say otherwise."""


def _split(value: object) -> object:
    """Environment variables hold lists separated by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _networks(given: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses as networks of one. Raises ValueError for what is neither."""
    return tuple(str(ipaddress.ip_network(one, strict=False)) for one in given)


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """What an operator can set. Each field is the environment variable `GENGUARD_<NAME>`, and a key of `genguard.toml`."""

    model_config = SettingsConfigDict(env_prefix="GENGUARD_", extra="ignore")

    policies: Names = Field(default=(DEFAULT_POLICY,), description="Policy files or names of bundled packs.")
    policy_keys: Names = Field(
        default=(), description="Files with public keys: policies need a signature of one. Packs are exempt."
    )
    policy_signatures: int = Field(default=1, description="How many of these keys have to have signed a policy.", ge=1)
    policy_approvals: bool = Field(
        default=False, description="Whether activating, canaries and promoting wait for somebody else's approval."
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
    key_folder: Path | None = Field(
        default=None, description="For a ledger in PostgreSQL: the folder of all files that lie beside the ledger."
    )
    log_key_file: Path | None = Field(
        default=None, description="Key that checkpoints are signed with; beside the ledger when left out."
    )
    revealers: Names = Field(
        default=(), description="Names of keys in `api_keys` that may reveal stored content, besides officers and reviewers."
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
    engine: Literal["process", "ray"] = Field(
        default="process", description="Where checks and generators run: in this process, or on a Ray cluster."
    )
    ray: Cluster = Field(
        default=Cluster(), description="What runs on it, as a section of the file, [ray]; see ray.md. In the environment: JSON."
    )
    resident_models: int | None = Field(
        default=None,
        description="Models of generators that stay in memory; the ones used last. Without a limit when left out.",
        ge=1,
    )
    resident_bytes: ByteSize | None = Field(
        default=None,
        description="Bytes of generators' weights that stay in memory on each device, such as `8GiB`; those used last. Without "
        "a limit when left out.",
    )
    models: str = Field(
        default="", description="Folders of model folders, separated by `:`; policies and generators name models by digest."
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
        default=(),
        description="Names of keys in `api_keys` that have the role `reviewer`, besides those that say so themselves.",
    )
    banks: Path = Field(default=Path("banks"), description="Folder of the banks of works.")
    host: str = Field(default="127.0.0.1", description="Address to listen on; beyond loopback it takes keys or a login.")
    port: int = Field(default=8000, description="Port to listen on.", ge=1, le=65535)
    workers: int = Field(default=1, description="Processes that serve; see scale.md. For `genguard serve` alone.", ge=1, le=256)
    hosts: Names = Field(
        default=(), description="Names by which the service is asked; others get 421. Whichever name is asked when left out."
    )
    https: bool = Field(default=False, description="Whether browsers reach it by https alone: they are told to (HSTS).")
    cors_origins: Names = Field(
        default=(),
        description="Pages of which origins may ask from a browser, such as https://app.example; none when left out.",
    )
    api_keys: SecretStr = Field(
        default=SecretStr(""),
        description="Keys besides those of `genguard key`: `name@tenant+role+role:key`, separated by commas. Tenant and roles "
        "may be left out; the role is `caller` then.",
    )
    wrong_keys_per_minute: int = Field(
        default=20, description="Wrong keys and tokens that one address may show in a minute; more get 429.", ge=1
    )
    proxies: Annotated[Names, AfterValidator(_networks)] = Field(
        default=(),
        description="Addresses and networks of proxies in front, whose `X-Forwarded-For` is believed; none when left out.",
    )
    public_url: str = Field(
        default="",
        description="How browsers reach the service, such as https://guard.example; needed for a login by OpenID Connect.",
    )
    session_idle_minutes: int = Field(default=30, description="Minutes after which a session that is not used ends.", ge=1)
    session_hours: int = Field(default=12, description="Hours after which every session ends.", ge=1, le=168)
    oidc_issuer: str = Field(
        default="", description="https://… of an OpenID Connect issuer, whose tokens and logins count then."
    )
    oidc_audience: str = Field(default="", description="What `aud` of access tokens has to be; without it none is taken.")
    oidc_client_id: str = Field(default="", description="Id of this service at the issuer, for logins.")
    oidc_client_secret: SecretStr = Field(default=SecretStr(""), description="Its secret there; empty for a public client.")
    oidc_name_claim: str = Field(default="sub", description="Claim that says who somebody is; recorded as the actor.")
    oidc_roles_claim: str = Field(default="roles", description="Claim that lists somebody's roles.")
    oidc_roles: Names = Field(
        default=(),
        description="What the issuer calls roles: `NAME=ROLE`, separated by commas. By their own names when left out.",
    )
    oidc_tenant_claim: str = Field(
        default="", description="Claim that says the tenant; who has none is refused then. Without it nobody has one."
    )
    oidc_hosts: Names = Field(default=(), description="Other hosts than the issuer's own that its addresses may be on.")
    max_body: int = Field(default=8_000_000, description="Bytes of one HTTP request body.", ge=1)
    max_text: int = Field(default=50_000, description="Code points of one text.", ge=1)
    max_image: int = Field(default=5_000_000, description="Bytes of one image file.", ge=1)
    max_pixels: int = Field(
        default=16_777_216,
        description="Pixels of one image, by its header; it is decoded to four bytes each.",
        ge=1,
        le=40_000_000,
    )
    max_audio: int = Field(default=20_000_000, description="Bytes of one audio file.", ge=1)
    max_audio_seconds: float = Field(default=600.0, description="Seconds that one audio may play.", gt=0)
    max_tokens: int = Field(default=32_768, description="Tokens that a request may ask a generator for.", ge=1)
    max_messages: int = Field(default=2000, description="Messages of one conversation.", ge=1, le=2000)
    max_inputs: int = Field(default=256, description="Prompts, or inputs to judge, of one request.", ge=1, le=256)
    max_outputs: int = Field(default=256, description="Outputs that a request may ask for: prompts times `n`.", ge=1)
    concurrency: int = Field(default=512, description="Requests in work at once; more get 503. Health is always told.", ge=1)
    concurrency_per_key: int = Field(default=384, description="Requests of one key in work at once; more get 429.", ge=1)
    rate_per_minute: int | None = Field(
        default=None, description="Requests that a key may send in a minute; without a limit when left out.", ge=1
    )
    tokens_per_minute: int | None = Field(
        default=None,
        description="Tokens that may be judged for a key in a minute, four characters one where nobody counts; see limits.md.",
        ge=1,
    )
    rate_overrides: Names = Field(
        default=(),
        description="Other rates of keys and roles: NAME=REQUESTS/TOKENS, +ROLE=REQUESTS/TOKENS; `-` is no limit.",
    )
    request_s: float = Field(
        default=600.0, description="Seconds for a whole request; callers may ask for less by `x-genguard-deadline-ms`.", gt=0
    )
    connections: int = Field(
        default=900, description="Connections at once; more take the places of those that wait, else they get 503.", ge=1
    )
    head_s: float = Field(default=20.0, description="Seconds in which the head of a request has to arrive.", gt=0)
    head_bytes: int = Field(default=65_536, description="Bytes of the head of a request.", ge=1024)
    keep_alive_s: int = Field(default=5, description="Seconds for which an idle connection is kept.", ge=1)
    send_s: float = Field(default=60.0, description="Seconds for which a reader may take nothing before it is cut off.", gt=0)
    lame_duck_s: float = Field(
        default=1.0, description="Seconds between SIGTERM, when `/readyz` turns 503, and the end of listening.", ge=0
    )
    grace_s: int = Field(default=GRACE_S, description="Seconds that requests may take to end after that.", ge=1)
    metrics_token: SecretStr = Field(
        default=SecretStr(""),
        description="Who shows it as a bearer token may read `/metrics`, and nobody else; else auditors, admins of no tenant.",
    )
    metrics_tenants: bool = Field(default=False, description="Count verdicts by tenant, too: their names are in the metrics.")
    log_format: Literal["json", "text"] = Field(default="text", description="How `genguard serve` writes its log on stderr.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="From which level on.")
    otlp_endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^\s?#@]+)?$",
        description="Where traces go: OTLP over HTTP, such as http://collector:4318/v1/traces. Without it there are none.",
    )
    otlp_headers: SecretStr = Field(
        default=SecretStr(""), description="Headers for it: `name=value`, separated by commas; they may hold a key."
    )
    trace_ratio: float = Field(
        default=1.0, description="Share of requests that are traced, where the caller did not decide.", ge=0, le=1
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What was given, the environment, the file: the first that says something counts. Raises SettingsError."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, FileSource(settings_cls)

    @classmethod
    def read(cls, **given: Any) -> Settings:
        """Settings from environment and file, with `given` before them. Raises SettingsError; no secret is quoted."""
        try:
            return cls(**given)
        except ValidationError as error:
            origin = origins(cls, given)
            told = "; ".join(mistake(problem, origin, cls) for problem in error.errors())
            raise SettingsError(
                f"found settings that cannot be used: {told}", advice="`genguard config example` says what each one may be."
            ) from None

    def operator(self) -> Operator:
        """Whom marks name and sign for. Raises SettingsError for a content producer with control characters."""
        producer = self.content_producer.strip()
        if not producer.isprintable():
            raise SettingsError("GENGUARD_CONTENT_PRODUCER: found a character that cannot be printed, expected a name or code")
        return Operator(producer, self.c2pa_certificate, self.c2pa_key)

    def callers(self) -> tuple[SettledKey, ...]:
        """Parse `api_keys`. Raises SettingsError for an entry without a name, an unknown role, a key under 16 characters."""
        entries = [entry.strip() for entry in self.api_keys.get_secret_value().split(",") if entry.strip()]
        lists = {"reviewers": self.reviewers, "revealers": self.revealers}
        return tuple(settled_key(entry, number, **lists) for number, entry in enumerate(entries, 1))
