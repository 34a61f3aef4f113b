"""Builds a guard from settings: the one place where policies, ledger and generators meet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from audit.ledger import SqlLedger, open_ledger
from generators.batched import batched
from generators.residency import RESIDENCY
from guard.admission import Limits
from guard.chain import Chain
from guard.errors import GenguardError, ModelError, describe
from guard.instrument import Instrument
from guard.marks.watermark import keyed
from guard.matching.outbox import record_all
from guard.pipeline import Guard
from guard.protocols import Generator
from guard.redact import keyed_rules
from guard.redaction_key import RedactionKey
from guard.rules import CheckSpec, Policy
from guard.types import Operator
from policies import load
from policies.signing import Trust
from serving.bank_watch import START_S, BankWatcher
from serving.cluster.engine import RayEngine
from serving.followed_banks import follow_all
from serving.offered import offered
from serving.redaction import need_redaction_key
from serving.rollout import Watcher
from serving.settings import Settings
from serving.shared_banks import shared_banks
from serving.watermarking import need_watermark_key

Opening = Callable[..., SqlLedger]
"""Opens a ledger by its URL, with `key_file` as `open_ledger` takes it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wired:
    """A guard with its ledger, the generators on offer, and who lets it follow the ledger."""

    guard: Guard
    ledger: SqlLedger
    ledger_url: str
    generators: Mapping[str, Generator]
    watcher: Watcher
    engine: RayEngine | None = None
    """Where checks and generators run, when not here."""
    banks: BankWatcher = field(default_factory=partial(BankWatcher, None))
    """Follows the ledger for the banks of works."""

    def ledger_trouble(self) -> str:
        """Why the ledger takes no decisions; empty when it does."""
        health = self.ledger.health()
        return "" if health.ok else health.detail

    def cluster_trouble(self) -> str:
        """Why checks cannot be asked on the cluster; empty when they can, or run here."""
        return "" if self.engine is None else self.engine.trouble()

    def close(self) -> None:
        """Commit what waits, close the ledger and leave the cluster."""
        self.ledger.close()
        if self.engine is not None:
            self.engine.close()


def wire(settings: Settings, opening: Opening = open_ledger) -> Wired:
    """Open the ledger, load the policies, and build the generators. Models load later, when first used.

    `opening`: opens the ledger.
    Raises PolicyError, SignatureError, LedgerError, SettingsError or RegistryError: nothing half-built stays behind.
    """
    if settings.engine == "process":
        return _wire(settings, None, opening)
    engine = RayEngine.start(settings.ray)
    try:
        return _wire(settings, engine, opening)
    except BaseException:
        engine.close()
        raise


def _wire(settings: Settings, engine: RayEngine | None, opening: Opening) -> Wired:
    trust = Trust.read(settings.policy_keys, settings.policy_signatures)
    given = [_signed(one, trust) for one in settings.policies]
    guard, ledger = open_guard(
        given,
        settings.ledger,
        key_file=settings.key_file,
        redaction_key_file=settings.redaction_key_file,
        limits=Limits(
            text=settings.max_text,
            image=settings.max_image,
            pixels=settings.max_pixels,
            audio=settings.max_audio,
            audio_seconds=settings.max_audio_seconds,
        ),
        operator=settings.operator(),
        watermark_key_file=settings.watermark_key_file,
        fingerprints=settings.fingerprints,
        opening=opening,
        make=engine.instrument if engine else Instrument,
        banks_s=START_S,
    )
    try:
        shared = shared_banks(ledger)
        if shared is None:
            _record_banks(ledger)
        trusted = replace(trust, known=frozenset(one.revision for one in given))
        watcher = Watcher(guard, settings.ledger, given, trust=trusted, keys=partial(_keys, settings=settings, guard=guard))
        generators = engine.offered(settings.generators) if engine else _here(settings)
        RESIDENCY.limit(settings.resident_models, settings.resident_bytes)
        return Wired(guard, ledger, settings.ledger, generators, watcher, engine, BankWatcher(shared))
    except BaseException:
        ledger.close()
        raise


def _here(settings: Settings) -> dict[str, Generator]:
    return {name: batched(made) for name, made in offered(settings.generators).items()}


def _signed(named: str, trust: Trust) -> Policy:
    """A policy whose signature is that of a trusted key, where one is needed."""
    policy = load(named)
    trust.check_file(policy, named)
    return policy


def _keys(policy: Policy, *, settings: Settings, guard: Guard) -> tuple[RedactionKey | None, Operator | None]:
    """What a policy that comes later needs and the others did not."""
    key = need_redaction_key(settings.ledger, settings.redaction_key_file) if keyed_rules(policy) else None
    if guard.operator.watermark_key or not keyed(policy.marks):
        return key, None
    return key, replace(guard.operator, watermark_key=need_watermark_key(settings.ledger, settings.watermark_key_file))


def _record_banks(ledger: SqlLedger) -> None:
    """Record what was changed in banks and is not in the ledger yet. Raises LedgerError."""
    try:
        record_all(ledger.register_sync)
    except ModelError as error:  # a check that needs the bank says so again, and fails closed
        _log.warning("changes of banks could not be recorded: %s", error)


def _bring_banks(ledger: SqlLedger, seconds: float) -> None:
    """Bring banks that several machines have to where the ledger has them, as far as that goes."""
    shared = shared_banks(ledger)
    if shared is None:
        return
    try:
        behind, troubles = follow_all(shared, seconds=seconds)
    except GenguardError as error:
        behind, troubles = {}, {"(ledger)": describe(error)}
    for name, why in {**behind, **troubles}.items():
        _log.warning("bank %s is not as the ledger has it: %s", name, why)


def open_guard(
    policies: Iterable[str | Policy],
    ledger_url: str,
    *,
    key_file: Path | None = None,
    redaction_key_file: Path | None = None,
    limits: Limits | None = None,
    operator: Operator | None = None,
    watermark_key_file: Path | None = None,
    fingerprints: bool | None = None,
    opening: Opening = open_ledger,
    chains: Mapping[str, Chain] | None = None,
    make: Callable[[CheckSpec], Instrument] = Instrument,
    banks_s: float = float("inf"),
) -> tuple[Guard, SqlLedger]:
    """A guard over policies, their files or pack names, and a ledger; the caller closes the ledger.

    `operator`: whom marks name and sign for; `fingerprints`: whether released images get one. Both from the environment when
    left out. `chains`: built ones by policy id. `make`: makes what asks a check. `banks_s`: seconds that banks which several
    machines have may take to be brought to where the ledger has them.

    The keys of redactions and of watermarks are looked for, and made beside a ledger that never had one, only when a policy
    needs them. Raises SettingsError when one is missing or cannot be used.
    """
    compiled = [load(one) if isinstance(one, str) else one for one in policies]
    around = Settings.read()
    whose = operator or around.operator()
    ledger = opening(ledger_url, key_file=key_file)
    try:
        _bring_banks(ledger, banks_s)
        key = need_redaction_key(ledger_url, redaction_key_file) if any(keyed_rules(one) for one in compiled) else None
        if not whose.watermark_key and any(keyed(one.marks) for one in compiled):
            whose = replace(whose, watermark_key=need_watermark_key(ledger_url, watermark_key_file))
        kept = around.fingerprints if fingerprints is None else fingerprints
        rest: dict[str, Any] = {"chains": chains, "limits": limits, "redaction_key": key, "operator": whose, "make": make}
        return Guard(compiled, ledger, fingerprints=kept, **rest), ledger
    except BaseException:
        ledger.close()
        raise
