"""`integrations.langchain` in real chains of LangChain."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate

from guard.errors import InputError, WithheldError
from guard.types import Stage
from integrations.langchain import GuardedLLM, GuardStep
from tests.core.test_pipeline import guarded
from tests.fakes import EchoGenerator


def test_a_generator_of_ours_is_a_model_of_a_chain():
    """Synchronous and asynchronous, with the chain's metadata recorded."""
    guard, ledger = guarded()
    chain = (
        PromptTemplate.from_template("hello {name}") | GuardedLLM(guard=guard, generator=EchoGenerator()) | StrOutputParser()
    )
    config = {"metadata": {"subject": "s-1", "purpose": "support", "other": "left alone"}}
    assert "[NAME]" in chain.invoke({"name": "anna"}, config)
    assert "[NAME]" in asyncio.run(chain.ainvoke({"name": "anna"}, config))
    assert {(one.request.subject, one.request.purpose) for one in ledger.decisions} == {("s-1", "support")}
    with pytest.raises(WithheldError, match="insults"):
        chain.invoke({"name": "bad"})


def test_a_step_judges_what_a_model_said():
    """A message stays one, whole or in pieces: no piece leaves before all was judged."""
    guard, ledger = guarded()
    said = AIMessage("hello anna", additional_kwargs={"reasoning": "anna asked"}, id="m1")
    judged = GuardStep(guard).invoke(said)
    assert (judged.content, judged.id, judged.additional_kwargs) == ("hello [NAME]", "m1", {})
    chain = FakeListChatModel(responses=["hello anna"]) | GuardStep(guard, name="chatter") | StrOutputParser()
    assert "".join(chain.stream("hi")) == "hello [NAME]"
    assert ledger.decisions[-1].context.generator == "chatter"

    async def streamed() -> str:
        return "".join([piece async for piece in chain.astream("hi")])

    assert asyncio.run(streamed()) == "hello [NAME]"
    with pytest.raises(WithheldError):
        GuardStep(guard, stage=Stage.PROMPT).invoke("bad words")


def test_what_a_step_cannot_judge_does_not_pass():
    """Arguments of tool calls, pictures in messages, other values."""
    guard, ledger = guarded()
    call = AIMessage("", tool_calls=[{"name": "send", "args": {"to": "anna"}, "id": "c"}])
    picture = AIMessage([{"type": "image_url", "image_url": {"url": "data:,"}}])
    for given in (call, picture, {"text": "anna"}):
        with pytest.raises(InputError):
            GuardStep(guard).invoke(given)
    assert not ledger.decisions
