"""OpenAI's shapes: their client works with only its `base_url` changed."""

from __future__ import annotations

from fastapi import APIRouter

from serving.identity.needs import needs, opened
from serving.identity.roles import Permission
from serving.openai import chat, completions, downloads, images, models, moderations, speech

router = APIRouter(prefix="/v1", tags=["OpenAI"])
for _module in (models, chat, completions, images, speech, moderations):
    router.include_router(_module.router, dependencies=[needs(Permission.GENERATE)])
router.include_router(downloads.router, dependencies=[opened()])  # a tag in the address stands for a key
