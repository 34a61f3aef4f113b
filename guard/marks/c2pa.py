"""C2PA manifests on images and WAV files, signed last: how they came to be, and our own assertion that leads to the decision.

The receipt in the assertion is the prompt's. The output's own cannot be in the file: it proves that these very bytes, manifest
included, were committed to, so it exists only after they do. Nothing is fetched: there are no time stamps of an authority.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from guard.errors import InputError
from guard.imaging import identify
from guard.marks.certificate import Signer, read_signer
from guard.marks.iptc import GENERATED
from guard.marks.manifest import ASSERTION, State, context, library, read_credential
from guard.protocols import Marker
from guard.registry import markers
from guard.sound import MEDIA_TYPE, is_wav
from guard.types import CALLER, Content, Mark, Marking, Modality, Operator

KIND = "c2pa"
GENERATOR = "genguard"
_SOURCE = "source"


class Manifest:
    """A `guard.protocols.Marker` for image and audio files. Keeps no state between calls."""

    kind = KIND

    def __init__(self, signer: Signer | None, provider: str = "", modality: Modality = Modality.IMAGE) -> None:
        """`signer`: None while a policy is only being compiled. `provider`: named in the assertion when it is set."""
        self.signer = signer
        self.provider = provider
        self.modality = modality

    def load(self) -> None:
        """Import the library. Raises ModelError when it is not installed."""
        library()

    def __call__(self, content: Content, marking: Marking, /) -> tuple[Content, Mark]:
        """Sign the file as it is and read the manifest back.

        A manifest that the output came with stays, as an ingredient, unless something was redacted: it may show what was cut
        out. Raises InputError for a file that cannot be signed.
        """
        file = self._sign(content, marking)
        signed = replace(content, data=file)
        mark = Mark(self.kind, self.signer.algorithm if self.signer else "", marking.decision.hex, verified=True)
        why = self.reread(signed, mark)
        return (content, replace(mark, verified=False, error=why)) if why else (signed, mark)

    def reread(self, content: Content, mark: Mark, /) -> str:
        """Read and judge the file's manifest."""
        found = read_credential(content.file)
        if not found.state.sound:
            return f"the manifest is {found.state.value}" + (f" ({', '.join(found.reasons)})" if found.reasons else "")
        same = str(found.decision.get("decision", "")).replace("-", "") == mark.payload
        return "" if same else "the manifest leads to another decision"

    def _sign(self, content: Content, marking: Marking) -> bytes:
        if self.signer is None:
            raise InputError("found no signer, expected one: this marker was made to compile a policy")
        c2pa, kind = library(), _media_type(content.file)
        known = _came_signed(marking)
        target = io.BytesIO()
        try:
            info = c2pa.C2paSignerInfo(self.signer.algorithm.encode(), self.signer.chain, self.signer.key, None)
            with c2pa.Signer.from_info(info) as signer, c2pa.Builder(self._json(marking, known=known), context()) as builder:
                if known:
                    source = marking.source
                    ingredient = {"title": "what came", "relationship": "parentOf", "label": _SOURCE}
                    builder.add_ingredient(ingredient, _media_type(source.file), io.BytesIO(source.file))
                builder.sign(signer, kind, io.BytesIO(content.file), target)
        except c2pa.C2paError as error:
            why = type(error).__name__.strip("_")
            raise InputError(f"found a file that cannot be signed ({why}), expected a whole PNG, JPEG, WebP or WAV") from None
        return target.getvalue()

    def _json(self, marking: Marking, *, known: bool) -> str:
        assertions = [
            {"label": "c2pa.actions.v2", "data": {"actions": _actions(marking, known=known)}},
            {"label": ASSERTION, "data": _assertion(marking, self.provider)},
        ]
        return json.dumps({"claim_generator_info": [{"name": GENERATOR, **_version()}], "assertions": assertions})


@markers.register(KIND)
def c2pa(*, _modality: Modality = Modality.IMAGE, _operator: Operator | None = None) -> Marker:
    """Sign outputs with C2PA. Raises SettingsError when the operator is known and has no certificate that can sign."""
    if _operator is None:
        return Manifest(None, modality=_modality)
    return Manifest(read_signer(_operator.certificate, _operator.key), _operator.content_producer, _modality)


def _media_type(data: bytes) -> str:
    return MEDIA_TYPE if is_wav(data) else identify(data)[0]


def _version() -> dict[str, str]:
    """Of this package; nothing when it runs without having been installed."""
    try:
        return {"version": version(GENERATOR)}
    except PackageNotFoundError:
        return {}


def _came_signed(marking: Marking) -> bool:
    """Whether the output came with a manifest that may go on."""
    return not marking.edited and read_credential(marking.source.file).state is not State.ABSENT


def _actions(marking: Marking, *, known: bool) -> list[dict[str, Any]]:
    origin, when = marking.source.origin, marking.time.isoformat(timespec="seconds")
    agent = {"softwareAgent": {"name": origin.generator}} if origin.generator != CALLER.generator else {}
    if known:
        first: dict[str, Any] = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_SOURCE]}}
    else:
        first = {"action": "c2pa.created", "digitalSourceType": GENERATED, "when": when, **agent}
    edited = {"action": "c2pa.edited", "when": when, "softwareAgent": {"name": GENERATOR}}
    return [first, edited] if known or marking.edited else [first]


def _assertion(marking: Marking, provider: str) -> dict[str, Any]:
    origin, receipt = marking.source.origin, marking.prompt
    said = {
        "decision": str(marking.decision),
        "time": marking.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "policy": marking.policy,
        "policy_version": marking.version,
        "revision": marking.revision,
        "ledger": marking.ledger,
        "generator": origin.generator,
        "model": origin.model,
        "model_digest": origin.digest,
        "provider": provider,
    }
    prompt = {
        "decision": str(receipt.decision),
        "index": receipt.index,
        "leaf_hash": receipt.leaf_hash.hex(),
        "tree_size": receipt.tree_size,
    } if receipt else {}  # fmt: skip
    return {name: value for name, value in {**said, "prompt": prompt}.items() if value}
