"""Marks that go into an output while it is made: which generator gets which, and what becomes of those that cannot be there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from guard.chain import Chain
from guard.marks import order
from guard.pipeline import Guard
from guard.protocols import TokenGenerator, TokenMark
from guard.registry import Registry
from guard.rules import MarkSpec, Policy
from guard.types import CALLER, Action, Content, Mark, Marking, Modality, Operator, Request, Stage
from tests.fakes import FakeCheck, ListGenerator, MemoryLedger, policy, spec, word_policy


class Shout:
    """Instead of a shift, it names itself to the generator."""

    width = 1

    def __init__(self, method: str) -> None:
        self.method = method

    def shift(self, probabilities: Any, _contexts: Any, /) -> Any:
        return probabilities


class Caller:
    """A sampling marker that finds its mark when the text ends with its method."""

    kind = "text_watermark"
    modality = Modality.TEXT

    def __init__(self, method: str = "loud") -> None:
        self.mark = Shout(method)

    def load(self) -> None:
        pass

    def sampling(self, _generator: TokenGenerator, /) -> TokenMark:
        return self.mark

    def __call__(self, content: Content, _marking: Marking, /) -> tuple[Content, Mark]:
        why = self.reread(content, Mark(self.kind, "", "", verified=True))
        return content, Mark(self.kind, self.mark.method, "", verified=not why, error=why)

    def reread(self, content: Content, _mark: Mark, /) -> str:
        return "" if self.mark.method in content.text else "not there"


class Drawing(ListGenerator):
    """Draws here: says after each output which mark it was given."""

    def __init__(self) -> None:
        super().__init__("")
        self.marks: list[str] = []

    async def marked(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None], /
    ) -> AsyncIterator[tuple[int, Content]]:
        self.marks += [mark.method if mark else "" for mark in marks]
        for index, (prompt, mark) in enumerate(zip(prompts, marks, strict=True)):
            yield index, self.content(f"{prompt.text} {mark.method if mark else ''}", prompt)

    def tokens(self, text: str, /) -> Sequence[int]:
        return list(text.encode())


@pytest.fixture(autouse=True)
def _callers(monkeypatch: pytest.MonkeyPatch) -> None:
    registry: Registry[Any] = Registry("marker", {})
    registry.register("text_watermark")(lambda *, method="loud": Caller(method))
    monkeypatch.setattr(order, "markers", registry)


def house(name: str = "house", follows: Action = Action.ALLOW, tenants: tuple[str, ...] = ("*",), **parameters: Any) -> Policy:
    marks = [MarkSpec("text_watermark", Modality.TEXT, parameters, follows)]
    return policy([spec("a", FakeCheck())], marks=marks, id=name, tenants=tenants)


def guard(*policies: Policy) -> Guard:
    chains = {one.id: Chain(one, {"a": FakeCheck()}) for one in policies}
    return Guard(policies, MemoryLedger(), chains=chains, operator=Operator())


def test_a_generator_that_draws_here_is_given_the_policys_mark() -> None:
    """It is in the text, and the ledger says that it was read there."""
    drawing = Drawing()
    release = guard(house()).release_sync(drawing, "x")
    assert release.content is not None
    assert (release.content.text, drawing.marks) == ("x loud", ["loud"])
    assert release.decision.marks == (Mark("text_watermark", "loud", "", verified=True),)


def test_each_tenant_has_the_mark_of_its_policy() -> None:
    """Also where their prompts come in one call; one whose policy marks nothing gets nothing."""
    bare = policy([spec("a", FakeCheck())], id="bare", tenants=("c",))
    drawing = Drawing()
    requests = [Request(f"r-{tenant}", tenant=tenant) for tenant in "abc"]
    prompts = [Content(Modality.TEXT, "x", "text/plain", Stage.PROMPT, CALLER, request) for request in requests]
    several = guard(house("one", tenants=("a",)), house("two", tenants=("b",), method="quiet"), bare)
    releases = several.release_many_sync(drawing, prompts)
    assert sorted(drawing.marks) == ["", "loud", "quiet"]
    texts = {release.decision.request.tenant: release.content and release.content.text for _, release in releases}
    assert texts == {"a": "x loud", "b": "x quiet", "c": "x "}


@pytest.mark.parametrize(("follows", "released"), [(Action.ALLOW, True), (Action.REVIEW, False), (Action.BLOCK, False)])
def test_one_that_does_not_draw_here_is_called_as_always(follows: Action, released: bool) -> None:
    """Nothing is handed over, the mark is not there, and the policy says what follows."""
    remote = ListGenerator("far away")
    release = guard(house(follows=follows)).release_sync(remote, "x")
    assert not isinstance(remote, TokenGenerator)
    assert remote.parameters == [{"n": 1}]
    assert [(mark.verified, mark.error) for mark in release.decision.marks] == [(False, "not there")]
    assert (release.content is not None) is released
    assert release.verdict.action is follows


def test_without_a_mark_in_the_policy_it_is_called_as_always() -> None:
    """`marked` is not used at all."""
    drawing = Drawing()
    release = guard(replace(house(), marks=())).release_sync(drawing, "x")
    assert release.content is not None
    assert (drawing.marks, drawing.prompts) == ([], ["x"])


def test_what_redaction_cuts_out_is_not_there_any_more() -> None:
    """The mark is read from the text that leaves, not from the one that came."""
    one, checks = word_policy("loud", action=Action.REDACT, marks=[MarkSpec("text_watermark", Modality.TEXT, {}, Action.ALLOW)])
    release = Guard(one, MemoryLedger(), chains={one.id: Chain(one, checks)}).release_sync(Drawing(), "x")
    assert release.content is not None
    assert release.content.text == "x ****"
    assert [mark.verified for mark in release.decision.marks] == [False]
