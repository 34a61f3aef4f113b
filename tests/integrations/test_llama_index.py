"""`integrations.llama_index` where LlamaIndex expects a model."""

from __future__ import annotations

import asyncio

import pytest
from llama_index.core.llms import ChatMessage

from guard.errors import WithheldError
from guard.types import Release
from integrations.llama_index import GuardedLLM
from tests.core.test_pipeline import guarded
from tests.fakes import EchoGenerator


def test_completions_and_conversations_pass_the_policy():
    """The release stands beside the text."""
    guard, ledger = guarded()
    model = GuardedLLM(guard=guard, generator=EchoGenerator())
    answer = model.complete("hello anna")
    assert "[NAME]" in answer.text
    assert isinstance(answer.raw, Release)
    assert "[NAME]" in asyncio.run(model.acomplete("hello anna")).text
    turns = [ChatMessage(role="system", content="Be kind to anna."), ChatMessage(role="user", content="hello")]
    assert "[NAME]" in model.chat(turns).message.content
    assert "[NAME]" in asyncio.run(model.achat(turns)).message.content
    assert [piece.delta for piece in model.stream_complete("hello anna")] == [answer.text]
    assert len(ledger.decisions) == 10
    with pytest.raises(WithheldError):
        model.complete("bad words")
    assert model.metadata.model_name == EchoGenerator().name
