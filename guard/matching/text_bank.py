"""Reads a bank of texts from its JSON Lines file: a bundled one by name, or any by its path."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

from guard.errors import ModelError
from guard.matching.snapshot import Snapshot, snapshot_of
from guard.matching.works import Fingerprint, Work
from guard.types import Modality

BUNDLED = Path(__file__).parent / "banks"
FORMAT = {"format": "genguard-bank", "version": 2}
_TEXTS = ("id", "title", "owner", "licence", "terms", "contact")


def load(name: str) -> Snapshot:
    """The bank as it is in its file. Raises ModelError for one that is not there, is malformed or holds no works."""
    path = BUNDLED / f"{name}.jsonl" if name.replace("-", "").replace("_", "").isalnum() else Path(name)
    if not path.is_file():
        raise ModelError(f"no bank {name!r}", advice="Name a bundled bank, or give a file's path.")
    data = path.read_bytes()
    works = []
    for number, line in enumerate(data.decode("utf-8").split("\n"), 1):
        try:
            record = json.loads(line) if line.strip() else None
            if number == 1 and (record is None or record | FORMAT != record):
                raise ModelError(f"{path.name}:1: found another format, expected {json.dumps(FORMAT)}")
            if number > 1 and record is not None:
                works.append(_work(record))
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{path.name}:{number}: found a line that is no work: {error!r}") from None
    if not works:
        raise ModelError(
            f"bank {name!r} holds no works, so nothing would ever match it", advice="Add works, or drop the check."
        )
    return snapshot_of(path.stem, works, digest=hashlib.sha256(data).hexdigest())


def record(work: Work) -> dict[str, Any]:
    """A work as its line."""
    found: dict[str, Any] = {name: value for name in _TEXTS if (value := getattr(work, name))}
    found["modality"] = work.modality.value
    found |= {name: day.isoformat() for name in ("valid_from", "valid_until") if (day := getattr(work, name))}
    found |= {"territory": list(work.territory)} if work.territory else {}
    prints = [
        {"method": one.method, **({"view": one.view} if one.view else {}), "data": base64.b64encode(one.data).decode()}
        for one in work.fingerprints
    ]
    return found | {"fingerprints": prints}


def _work(line: dict[str, Any]) -> Work:
    prints = [Fingerprint(one["method"], base64.b64decode(one["data"]), one.get("view", "")) for one in line["fingerprints"]]
    begins, ends = (date.fromisoformat(line[name]) if line.get(name) else None for name in ("valid_from", "valid_until"))
    return Work(
        **{name: line.get(name, "") for name in _TEXTS},
        modality=Modality(line["modality"]),
        territory=tuple(line.get("territory", ())),
        valid_from=begins,
        valid_until=ends,
        fingerprints=tuple(prints),
    )
