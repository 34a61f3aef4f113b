"""Reads C2PA manifests: whether a file is as it was signed, by whom, and what our own assertion says of its decision."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from guard.errors import ModelError
from guard.marks.certificate import DEVELOPMENT
from guard.marks.containers import media_type
from guard.sound import MEDIA_TYPE, is_wav

ASSERTION = "org.genguard.decision"
"""Label of our assertion: decision, policy and ledger of an output, and the receipt of its prompt."""

_LABEL = b"c2pa"
"""Stands in every manifest store, in some case."""


class State(StrEnum):
    """What a file's C2PA manifest is worth."""

    ABSENT = "absent"
    TAMPERED = "tampered"
    """File or manifest is not as it was signed."""
    UNTRUSTED = "untrusted"
    """As it was signed, by someone whom the trust anchors do not vouch for, or with a certificate for development."""
    VALID = "valid"
    """As it was signed; no trust anchors were given that could say by whom."""
    TRUSTED = "trusted"
    """As it was signed, by someone whom the trust anchors vouch for."""

    @property
    def sound(self) -> bool:
        """Whether the file is as it was signed."""
        return self in {State.UNTRUSTED, State.VALID, State.TRUSTED}


@dataclass(frozen=True, slots=True)
class Credential:
    """The C2PA manifest of a file."""

    state: State
    reasons: tuple[str, ...] = ()
    """Why the state is not a better one: C2PA's own codes, or words."""
    signer: str = ""
    """Organisation of the signing certificate, as it calls itself."""
    generator: str = ""
    """Program that made the manifest, as it calls itself."""
    decision: Mapping[str, Any] = field(default_factory=dict)
    """Our assertion; empty when there is none, or when the file is not as it was signed."""
    ingredients: tuple[str, ...] = ()
    """Titles of what the file was made of, each with its own manifest or without."""


def read_credential(data: bytes, anchors: bytes = b"") -> Credential:
    """Read and judge the manifest of an image or WAV file, without a network.

    `anchors`: PEM certificates whose signers are trusted. Raises InputError for bytes that begin as neither, ModelError when
    C2PA's library is not installed. A file that no viewer can open any more still has its state.
    """
    c2pa = library()
    kind = MEDIA_TYPE if is_wav(data) else media_type(data)
    try:
        reader = c2pa.Reader.try_create(kind, io.BytesIO(data), context=context(anchors))
        if reader is None:
            return Credential(State.ABSENT)
        with reader:
            store, results = json.loads(reader.json()), reader.get_validation_results() or {}
            state = reader.get_validation_state()
    except (c2pa.C2paError, ValueError) as error:
        if _LABEL not in data.lower():
            return Credential(State.ABSENT, ("the file is damaged, and there is no trace of a manifest in it",))
        return Credential(State.TAMPERED, (f"the manifest cannot be read ({type(error).__name__.strip('_')})",))
    active = store.get("manifests", {}).get(store.get("active_manifest"), {})
    return _credential(active, str(state), _failures(results), judged=bool(anchors))


def _credential(active: Mapping[str, Any], state: str, failures: tuple[str, ...], *, judged: bool) -> Credential:
    signer = str(active.get("signature_info", {}).get("issuer", ""))
    generators = [one.get("name", "") for one in active.get("claim_generator_info", [])]
    reasons, broken = failures, [code for code in failures if not code.startswith("signingCredential.")]
    if broken or state not in {"Valid", "Trusted", "Invalid"}:
        found, reasons = State.TAMPERED, tuple(broken) or (f"validation state {state}",)
    elif DEVELOPMENT in signer:
        found, reasons = State.UNTRUSTED, ("signed with a certificate for development",)
    elif state == "Trusted":
        found = State.TRUSTED
    else:
        found = State.UNTRUSTED if judged or state == "Invalid" else State.VALID
    return Credential(
        found,
        reasons if found is not State.TRUSTED else (),
        signer,
        str(generators[0]) if generators else "",
        _decision(active) if found.sound else {},
        tuple(str(one.get("title", "")) for one in active.get("ingredients", [])),
    )


def _failures(results: Mapping[str, Any]) -> tuple[str, ...]:
    """Codes of what failed on the file's own manifest. What failed on an ingredient's was so when it came, and is recorded."""
    found = results.get("activeManifest", {}).get("failure", [])
    return tuple(dict.fromkeys(str(one.get("code", "")) for one in found))


def _decision(active: Mapping[str, Any]) -> Mapping[str, Any]:
    found = [one.get("data") for one in active.get("assertions", []) if one.get("label") == ASSERTION]
    return found[0] if len(found) == 1 and isinstance(found[0], dict) else {}


def library() -> Any:
    """C2PA's library. Raises ModelError when it is not installed."""
    try:
        import c2pa
    except ImportError as error:
        raise ModelError(
            f"C2PA needs c2pa-python, which cannot be imported ({error.name})", advice="Install genguard again."
        ) from error
    return c2pa


def context(anchors: bytes = b"") -> Any:
    """Settings of the library: nothing is fetched, no thumbnails are made, `anchors` alone are trusted."""
    c2pa = library()
    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True, "verify_after_sign": False},
        "builder": {"thumbnail": {"enabled": False}},
    }
    if anchors:
        settings["trust"] = {"trust_anchors": anchors.decode("ascii", "replace")}
    return c2pa.Context(settings=c2pa.Settings.from_dict(settings))
