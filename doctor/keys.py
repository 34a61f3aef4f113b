"""The keys of an installation: are they there, are they the right ones, who else could read them. No key is ever shown."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit.api_keys import all_keys
from audit.keyring import key_in_force
from audit.keys import ENVIRONMENT, find_master_key, key_file_of
from audit.log_key import read_log_key
from audit.query import identity, reading
from audit.stores import Store, open_store
from audit.vault import Vault
from doctor.finding import Finding, bad, ok, warning
from guard.errors import GenguardError
from serving import redaction, watermarking
from serving.identity.authenticate import Authenticator
from serving.keyhome import KeyHome
from serving.settings import Settings

PART = "keys"
_LATER = "none yet; it is made when it is first needed"


def look(settings: Settings) -> Iterator[Finding]:
    """Master key, log key, those of redactions and watermarks, API keys, the certificate's."""
    store = open_store(settings.ledger)
    there = store.exists() and _begun(settings)
    yield from _master(settings, store, there)
    yield from _log(settings, store, there)
    for home, file in (
        (redaction.HOME, settings.redaction_key_file),
        (watermarking.HOME, settings.watermark_key_file),
    ):
        yield from _kept(home, file, store)
    if settings.c2pa_key is not None:
        yield from _private("key of the C2PA certificate", settings.c2pa_key)
    yield _callers(settings, there=there)


def _begun(settings: Settings) -> bool:
    store = open_store(settings.ledger)
    with reading(settings.ledger) as connection:
        return "entry" in store.tables(connection)


def _master(settings: Settings, store: Store, there: bool) -> Iterator[Finding]:
    file = key_file_of(store, settings.key_file)
    if not there:
        yield ok(PART, "master key", _LATER)
        return
    with reading(settings.ledger) as connection:
        wanted = key_in_force(connection).key_id
    key = find_master_key(store, settings.key_file, wanted)
    where = f"in {file}" if file is not None else f"in {ENVIRONMENT}"
    if key is None:
        lost = "Put it back from its backup: without it no stored content can be read, and the service does not start."
        yield bad(PART, "master key", f"not found {where}", lost)
    elif Vault(key).key_id != wanted:
        yield bad(PART, "master key", f"another one than the ledger's {where}", "Put the ledger's own key there.")
    else:
        yield ok(PART, "master key", f"the ledger's, {where}")
        if file is not None:
            yield from _private("master key", file)


def _log(settings: Settings, store: Store, there: bool) -> Iterator[Finding]:
    file = settings.log_key_file or store.beside(".log.key")
    if file is None or not there or not file.exists():
        yield ok(PART, "log key", "none yet; it is made when the first checkpoint is signed")
        return
    try:
        read_log_key(file, identity(settings.ledger))
    except GenguardError as error:
        yield bad(PART, "log key", str(error), error.advice)
        return
    yield ok(PART, "log key", f"in {file}")
    yield from _private("log key", file)


def _kept(home: KeyHome[Any], file: Path | None, store: Store) -> Iterator[Finding]:
    if file is None and home.environment in os.environ:
        try:
            home.parse(os.environ[home.environment], f"the environment variable {home.environment}")
        except GenguardError as error:
            yield bad(PART, home.name, str(error), error.advice)
            return
        yield ok(PART, home.name, f"in {home.environment}")
        return
    place = file or store.beside(home.suffix)
    if place is None or (file is None and not place.exists()):
        yield ok(PART, home.name, _LATER)
        return
    try:
        home.read(place)
    except GenguardError as error:
        yield bad(PART, home.name, str(error), error.advice)
        return
    yield ok(PART, home.name, f"in {place}")
    yield from _private(home.name, place)


def _private(name: str, file: Path) -> Iterator[Finding]:
    """Whether others than its owner may read a file."""
    try:
        found = file.stat()
    except OSError as error:
        yield bad(PART, name, f"cannot look at {file}: {error.strerror or type(error).__name__}", "Name a file that is there.")
        return
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(found.st_mode)
        yield warning(PART, f"{name} file", f"{file} has mode {mode:04o}: others may use it", f"chmod 600 {file}")
    elif found.st_uid not in {os.geteuid(), 0}:
        yield warning(
            PART, f"{name} file", f"{file} belongs to user {found.st_uid}, not to this one", "Let the service own it."
        )


def _callers(settings: Settings, *, there: bool) -> Finding:
    try:
        known = Authenticator(settings)
        known.need_some()
    except GenguardError as error:
        return bad(PART, "API keys", str(error), error.advice)
    now = datetime.now(UTC)
    stored = [key for key in all_keys(settings.ledger) if key.state(now) == "live"] if there else []
    count = len(known.settled) + len(stored)
    found = f"{len(stored)} in the ledger's database, {len(known.settled)} in the settings"
    return ok(PART, "API keys", found if count else "none: whoever is on this machine may ask", keys=count)
