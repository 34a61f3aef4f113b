"""Which generators are on offer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse

from guard.protocols import Generator
from serving.gate import error_response
from serving.wiring import Wired

router = APIRouter()


@router.get("/models")
async def list_models(http: HttpRequest) -> dict[str, Any]:
    """The generators on offer, by the name that `model` takes."""
    wired: Wired = http.app.state.wired
    return {"object": "list", "data": [_fields(one) for one in wired.generators.values()]}


@router.get("/models/{name:path}", response_model=None)
async def one_model(name: str, http: HttpRequest) -> Any:
    """One of them."""
    wired: Wired = http.app.state.wired
    found = next((one for one in wired.generators.values() if one.name == name), None)
    if found is None:
        return error_response(404, "found no model of this name", "model_not_found", param="model")
    return JSONResponse(_fields(found))


def _fields(generator: Generator) -> dict[str, Any]:
    return {
        "id": generator.name,
        "object": "model",
        "created": 0,
        "owned_by": "genguard",
        "modality": generator.modality.value,
    }
