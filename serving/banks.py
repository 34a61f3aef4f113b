"""Routes of banks of works. Any key may look works up and match; only keys that see all tenants may change or export a bank."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import date
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from audit.ledger import SqlLedger
from guard.errors import InputError
from guard.matching import bank as banks
from guard.matching import exchange
from guard.matching.bank import NAME, Bank
from guard.matching.catalogue import Registered
from guard.matching.imports import Options, import_items
from guard.matching.records import RIGHTS, facts, header_from, work_from
from guard.matching.works import Work
from serving import works as shared
from serving.identity.needs import needs
from serving.identity.roles import Permission
from serving.schemas import decode_base64
from serving.wiring import Wired

_MEDIA = {"jsonl": "application/x-ndjson", "csv": "text/csv", "threatexchange": "text/csv"}
_PIECE = 1 << 16
_NEEDED = ("id", "title")
_FACTS = (*_NEEDED, *RIGHTS)

router = APIRouter(prefix="/v1/banks", tags=["banks"])
_LOOKS, _CHANGES = needs(Permission.BANKS), needs(Permission.BANKS_WRITE, whole=True)


class WorkRequest(BaseModel):
    """A work with what shows it: a picture, a text, or fingerprints that were taken elsewhere."""

    model_config = ConfigDict(extra="forbid")

    id: str
    title: str
    owner: str = ""
    licence: str = ""
    terms: str = ""
    contact: str = ""
    valid_from: date | None = None
    valid_until: date | None = None
    territory: list[str] = Field(default_factory=list, description="ISO 3166-1 codes of two letters; empty: everywhere.")
    image: str | None = Field(None, description="The picture's file in base64: PNG, JPEG or WebP.")
    text: str | None = None
    fingerprints: list[dict[str, str]] | None = Field(None, description="`method`, `view`, `data` in base64.")
    modality: Literal["image", "text"] = Field("image", description="Of what the fingerprints are.")
    thumbnail: bool = Field(False, description="Keep a small picture, to be shown beside a match.")
    keep_text: bool = Field(False, description="Keep the text, so that a match can be followed letter by letter.")
    kind: Literal["protected", "cleared"] | None = Field(None, description="Of the bank, where this work begins it.")

    @model_validator(mode="after")
    def _exactly_one(self) -> WorkRequest:
        if sum(one is not None for one in (self.image, self.text, self.fingerprints)) != 1:
            raise ValueError("expected exactly one of `image`, `text` and `fingerprints`")
        return self

    def work(self) -> Work:
        """The work. Raises InputError."""
        given = self.model_dump(mode="json", include=set(_FACTS))
        known = {name: value for name, value in given.items() if value or name in _NEEDED}
        if self.fingerprints is not None:
            return work_from({**known, "modality": self.modality, "fingerprints": self.fingerprints})
        days = {"valid_from": self.valid_from, "valid_until": self.valid_until}
        bare = Work(**{**known, **days, "territory": tuple(self.territory)})
        data = decode_base64(self.image) if self.image is not None else (self.text or "").encode("utf-8", "surrogatepass")
        return shared.shown_by(bare, data, thumbnail=self.thumbnail, keep_text=self.keep_text)


class MatchRequest(BaseModel):
    """One text, or one picture as base64."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = None
    image: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> MatchRequest:
        if (self.text is None) == (self.image is None):
            raise ValueError("expected exactly one of `text` and `image`")
        return self


def _bank(bank: str) -> Bank:
    """A bank by its name alone: no path leads out of the banks folder."""
    if not NAME.fullmatch(bank) or bank not in banks.names():
        raise HTTPException(404, "no bank of this name")
    return banks.load(bank, empty=True)


def _work(bank: Bank, work: str, at: str = "") -> Registered:
    found = bank.find(work, at=at)
    if found is None:
        raise HTTPException(404, f"bank {bank.name!r} has no work {work[:200]!r}")
    return found


@router.get("", response_model=None, dependencies=[_LOOKS])
def list_banks() -> dict[str, Any]:
    """Every bank, live or bundled."""
    return {"banks": shared.all_banks()}


@router.get("/{bank}", response_model=None, dependencies=[_LOOKS])
def show_bank(bank: str, at: str = Query("", max_length=200, description="A digest, or its beginning.")) -> dict[str, Any]:
    """A bank with its digest and latest changes; as it was, with `at`."""
    return shared.bank_fields(_bank(bank), at=at)


@router.get("/{bank}/works", response_model=None, dependencies=[_LOOKS])
def list_works(
    bank: str,
    q: str = Query("", max_length=200, description="What id, title or owner contains."),
    at: str = Query("", max_length=200),
    limit: int = Query(50, ge=1, le=1000),
    after: int = Query(0, ge=0, description="Only works past this number: the cursor of the next page."),
) -> dict[str, Any]:
    """Works in the order in which they were registered."""
    works, more = shared.page(_bank(bank), at=at, after=after, limit=limit, query=q)
    return {"works": [shared.work_fields(one) for one in works], "next": more}


@router.get("/{bank}/works/{work:path}/thumbnail", response_model=None, dependencies=[_LOOKS])
def thumbnail(bank: str, work: str) -> Response:
    """The small picture of a work, where its owner allowed one."""
    data = _work(_bank(bank), work).work.thumbnail
    if not data:
        raise HTTPException(404, f"work {work[:200]!r} has no thumbnail")
    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    return Response(data, media_type=kind, headers={"x-content-type-options": "nosniff"})


@router.get("/{bank}/works/{work:path}", response_model=None, dependencies=[_LOOKS])
def show_work(bank: str, work: str, at: str = Query("", max_length=200)) -> dict[str, Any]:
    """One work, retired or not; with `at`, whether it was registered then."""
    opened = _bank(bank)
    state = opened.state(at)
    found = _work(opened, work, at)
    fields = shared.work_fields(found, state=state)
    return {**fields, "registered": not fields["retired"], "thumbnail": bool(found.work.thumbnail), "digest": state.head.hex()}


@router.delete("/{bank}/works/{work:path}", response_model=None, dependencies=[_CHANGES])
def retire(bank: str, work: str, http: HttpRequest) -> dict[str, Any]:
    """Retire a work: it never matches again, and stays in the history."""
    opened = _bank(bank)
    if not opened.was_registered(work, ""):
        raise HTTPException(404, f"bank {bank!r} has no work {work[:200]!r}")
    with shared.changing(bank, _ledger(http)) as (changed, _):
        count = changed.retire([work], actor=http.state.request.actor)
    return {"bank": bank, "retired": count, "works": len(changed), "digest": changed.digest}


@router.post("/{bank}/works", response_model=None, dependencies=[_CHANGES])
def add(bank: str, body: WorkRequest, http: HttpRequest) -> JSONResponse:
    """Register a work, beginning the bank where there is none: 201, or 200 when it is there already, just so."""
    _check_name(bank)
    work = body.work()
    with shared.changing(bank, _ledger(http), kind=body.kind or "") as (opened, _):
        added = shared.add(opened, work, actor=http.state.request.actor, source="http")
    answer = {"bank": bank, "work": facts(work), "added": added, "works": len(opened), "digest": opened.digest}
    return JSONResponse(answer, status_code=201 if added else 200)


@router.post("/{bank}/import", response_model=None, dependencies=[_CHANGES])
async def import_works(
    bank: str, http: HttpRequest, source: str = Query("http", max_length=200, description="What to call it in the record.")
) -> dict[str, Any]:
    """Register works from a body of JSON Lines, as an export writes them; rows that cannot be used are told."""
    _check_name(bank)
    return await run_in_threadpool(_import, bank, await http.body(), source, http)


def _import(bank: str, data: bytes, source: str, http: HttpRequest) -> dict[str, Any]:
    kind = _kind(data)
    with shared.changing(bank, _ledger(http), kind=kind) as (opened, _):
        options = Options(actor=http.state.request.actor)
        summary = import_items(opened, source, exchange.read_jsonl(exchange.as_stream(data)), options)
    return {**summary.fields(), "bank": bank, "works": len(opened), "digest": opened.digest}


@router.get("/{bank}/export", response_model=None, dependencies=[_CHANGES])
def export(
    bank: str,
    format: Literal["jsonl", "csv", "threatexchange"] = "jsonl",  # noqa: A002
    at: str = Query("", max_length=200),
) -> StreamingResponse:
    """The bank as a file, fingerprints included."""
    opened = _bank(bank)
    opened.state(at)

    def pieces() -> Iterator[str]:
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as stream:
            exchange.write((one.work for one in opened.works(at=at, whole=True)), opened.kind, bank, format, stream)
            stream.seek(0)
            yield from iter(lambda: stream.read(_PIECE), "")

    return StreamingResponse(pieces(), media_type=_MEDIA[format])


@router.post("/{bank}/match", response_model=None, dependencies=[_LOOKS])
def match(bank: str, body: MatchRequest, http: HttpRequest) -> dict[str, Any]:
    """Compare a text or a picture with a bank, as a policy's check would. Nothing is recorded of it."""
    wired: Wired = http.app.state.wired
    opened = _bank(bank)
    data = body.text if body.text is not None else decode_base64(body.image or "")
    return shared.match_fields(shared.match(opened.name, data, limits=wired.guard.limits))


def _ledger(http: HttpRequest) -> SqlLedger:
    wired: Wired = http.app.state.wired
    return wired.ledger


def _check_name(bank: str) -> None:
    if not NAME.fullmatch(bank):
        raise InputError("found a bank name with other characters, expected letters, digits, - and _")


def _kind(data: bytes) -> str:
    """The kind that the first line of the body names; empty where it names none. Raises InputError for another format."""
    first = next((line for line in exchange.as_stream(data) if line.strip()), "")
    try:
        value = json.loads(first)
    except ValueError:
        value = None
    return "" if isinstance(value, dict) and "format" not in value else header_from(value)[1]
