"""Readers of what strangers hand in, each with a good file to begin from: what is fuzzed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

from audit import merkle
from audit.certificate import Certificate
from audit.checkpoint import Checkpoint
from audit.grammar import parse
from audit.proof import Proof
from audit.witness import Request
from guard import imaging
from guard.marks import aigc
from guard.marks.containers import read_xmp, write_xmp
from guard.marks.xmp import Property, get, put
from guard.matching import exchange
from guard.note import Note, PublicKey, SigningKey
from policies.load import loads

KEY = SigningKey.make("log.example")
LEAVES = [merkle.leaf_hash(b"%d" % number) for number in range(5)]
HEAD = Checkpoint("log.example", 5, merkle.tree_root(LEAVES))
CERTIFICATE = Certificate("log.example", 2, LEAVES[2], "s", "t", "2026-01-01T00:00:00.000000Z", 1, 2, 0, True)
POLICY = """policy: desk
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
rules:
  - {id: key, when: {secrets: AWS_ACCESS_KEY}, action: block, category: privacy, basis: House rules 1}
"""
TITLE = Property("https://example.org/ns/", "e", "Title")


def drawn(kind: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (9, 7), (10, 200, 30)).save(file, kind)
    return write_xmp(file.getvalue(), put(None, TITLE, "a"))


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("checkpoint", HEAD.signed(KEY))
        archive.writestr("entries.jsonl", b'{"index":0}\n')
    return file.getvalue()


def text(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """For what takes texts: bytes as a lenient program hands them on."""
    return lambda data: read(data.decode("utf-8", "replace"))


def picture(data: bytes) -> None:
    imaging.identify(data)
    imaging.open_picture(data)


PROOF = str(Proof(2, tuple(merkle.inclusion_proof(LEAVES, 2)), HEAD.signed(KEY), b"2"))
HASHES = f"hash,quality,file\n{'ab' * 32},90,a.png\n"
READERS: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "note": (text(Note.parse), HEAD.signed(KEY).encode()),
    "public key": (text(PublicKey.parse), str(KEY.public).encode()),
    "checkpoint": (text(Checkpoint.parse), HEAD.text.encode()),
    "signed checkpoint": (text(lambda note: Checkpoint.verified(note, [KEY.public])), HEAD.signed(KEY).encode()),
    "proof": (text(lambda file: Proof.parse(file).verify([KEY.public])), PROOF.encode()),
    "certificate": (text(Certificate.parse), CERTIFICATE.text.encode()),
    "request to a witness": (Request.parse, b"old 0\n\n" + HEAD.signed(KEY).encode()),
    "policy": (loads, POLICY.encode()),
    "query": (text(parse), b'action:block -rule:own since:7d "some words" idx:1..9'),
    "bank in JSON Lines": (text(lambda file: list(exchange.read_jsonl(file.splitlines()))), b'{"id": "a", "title": "A"}\n'),
    "bank in CSV": (text(lambda file: list(exchange.read_csv(io.StringIO(file)))), HASHES.encode()),
    "AIGC label": (text(aigc.parse), json.dumps({"Label": "1", "ContentProducer": "p", "ProduceID": "1"}).encode()),
    "XMP": (lambda data: get(data, TITLE), put(None, TITLE, "a")),
    "XMP in PNG": (read_xmp, drawn("PNG")),
    "XMP in JPEG": (read_xmp, drawn("JPEG")),
    "XMP in WebP": (read_xmp, drawn("WEBP")),
    "PNG": (picture, drawn("PNG")),
    "JPEG": (picture, drawn("JPEG")),
    "WebP": (picture, drawn("WEBP")),
}
