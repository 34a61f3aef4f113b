"""policies.rollout and guard.canary: what a ledger's steps come to, and whom a canary judges."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.canary import Canary, takes
from guard.types import Rollout, Step
from policies.rollout import State, advance, choose, fold

A, B, C, D = (letter * 64 for letter in "abcd")
TIME = datetime(2026, 11, 27, 9, tzinfo=UTC)


def step(kind: str, revision: str = B, **fields: object) -> Rollout:
    known: dict = {"policy": "house", "version": 1, "author": "ann", "reason": "", "time": TIME, **fields}
    return Rollout(revision=revision, step=Step(kind), **known)


def canary(revision: str = B, share: int = 10, by: str = "requests", kind: str = "canary", **fields: object) -> Rollout:
    return step(kind, revision, share=share, by=by, **fields)


def state(*steps: Rollout) -> State:
    return fold(enumerate(steps))["house"]


# --- one step each ---------------------------------------------------------------------------------------------------


def test_activations_follow_each_other_and_are_taken_back_one_by_one():
    """A rollback takes out what it goes back over: the next one goes further back."""
    taken = state(step("activate", A), step("activate", B), step("activate", C))
    assert (taken.revision, taken.history) == (C, (A, B))
    once = advance(taken, step("rollback", B))
    assert isinstance(once, State)
    assert (once.revision, once.history) == (B, (A,))
    assert "not in force before" in str(advance(once, step("rollback", C)))
    far = advance(taken, step("rollback", A))
    assert isinstance(far, State)
    assert (far.revision, far.history) == (A, ())


def test_what_judged_from_a_file_can_be_rolled_back_to():
    """The first step says what it was; later ones need not."""
    taken = state(step("activate", B, previous=A), step("activate", C, previous=B))
    assert (taken.revision, taken.history) == (C, (A, B))
    assert state(step("activate", B, previous=A), step("rollback", A)).revision == A


def test_a_canary_leaves_the_rest_to_what_is_in_force():
    """It is widened, promoted or stopped; activating anything ends it."""
    tried = state(step("activate", A), canary())
    assert (tried.revision, tried.canary) == (A, Canary(B, 10, "requests"))
    wider = advance(tried, canary(share=50, by="tenants"))
    assert isinstance(wider, State)
    assert wider.canary == Canary(B, 50, "tenants")
    assert "runs already" in str(advance(tried, canary()))
    for ended, revision in ((step("stop", B), A), (step("activate", B), B), (step("activate", C), C), (step("activate", A), A)):
        after = advance(tried, ended)
        assert isinstance(after, State)
        assert (after.canary, after.revision) == (None, revision)
    assert state(canary(previous=A)).revision == A


def test_shadows_stand_beside_and_are_stopped_by_name():
    """Several; one that is activated is none any more."""
    taken = state(step("activate", A), step("shadow", B), step("shadow", C))
    assert (taken.revision, taken.shadows, taken.revisions) == (A, (B, C), (A, B, C))
    assert "decides already" in str(advance(taken, step("shadow", A)))
    assert state(step("activate", A), step("shadow", B), step("stop", B)).shadows == ()
    assert state(step("activate", A), step("shadow", B), step("activate", B)).shadows == ()


def test_a_proposal_changes_nothing_until_it_is_approved_as_it_was_proposed():
    """The same revision, share and author; whatever else is void and said to be."""
    waiting = state(step("activate", A), step("propose", B))
    assert (waiting.revision, [one.revision for one in waiting.proposals]) == (A, [B])
    approved = advance(waiting, step("approve", B, approver="bob"))
    assert isinstance(approved, State)
    assert (approved.revision, approved.proposals, approved.history) == (B, (), (A,))
    for other in (
        step("approve", C, approver="bob"),
        step("approve", B, approver="bob", author="eve"),
        canary(kind="approve", approver="bob"),
    ):
        assert advance(waiting, other) == "nobody proposed this"
    tried = state(step("activate", A), canary(kind="propose"), canary(kind="approve", approver="bob"))
    assert (tried.revision, tried.canary, tried.proposals) == (A, Canary(B, 10, "requests"), ())
    assert state(step("propose", B), step("stop", B)).proposals == ()


def test_a_retired_policy_judges_no_more_until_it_is_brought_back():
    """By a rollback, or by an activation."""
    gone = state(step("activate", A), step("retire", A))
    assert (gone.revision, gone.retired, gone.history) == ("", True, (A,))
    for back in (step("rollback", A), step("activate", A)):
        after = advance(gone, back)
        assert isinstance(after, State)
        assert (after.revision, after.retired) == (A, False)
    assert advance(gone, step("retire", A)) == "it is not in force"


def test_policies_do_not_touch_each_other():
    """Each has its own state."""
    found = fold(enumerate([step("activate", A), step("activate", B, policy="other"), step("retire", A)]))
    assert (found["house"].revision, found["other"].revision) == ("", B)


# --- any steps -------------------------------------------------------------------------------------------------------

revisions = st.sampled_from([A, B, C, D])
anything = st.builds(
    Rollout,
    policy=st.sampled_from(["house", "other"]),
    version=st.just(1),
    revision=revisions,
    step=st.sampled_from(Step),
    author=st.sampled_from(["ann", "bob"]),
    reason=st.just(""),
    time=st.just(TIME),
    previous=st.one_of(st.just(""), revisions),
    approver=st.just("eve"),
    signature=st.sampled_from(["", "note"]),
).flatmap(
    lambda made: st.sampled_from([0, 10, 50]).map(
        lambda share: replace(made, share=share or 10 * (made.step is Step.CANARY), by="requests" if share else "")
    )
)


@given(st.lists(anything, max_size=30), st.integers(0, 30))
def test_a_fold_never_fails_and_can_be_gone_on_with(steps, cut):
    """In two parts as in one; every step is kept, taken or void."""
    numbered = list(enumerate(steps))
    whole = fold(numbered)
    assert whole == fold(numbered[cut:], fold(numbered[:cut]))
    assert sorted(index for one in whole.values() for index, _ in one.steps) == list(range(len(steps)))


@given(st.lists(anything, max_size=30))
def test_a_state_is_always_one_that_can_be(steps):
    """No revision decides twice; whatever decides or waits was the subject of a step, or judged before the first."""
    for found in fold(enumerate(steps)).values():
        assert len(found.revisions) == len(set(found.revisions))
        named = {rollout.revision for _, rollout in found.steps} | {rollout.previous for _, rollout in found.steps}
        assert set(found.revisions) | set(found.history) <= named
        assert len({one.revision for one in found.proposals}) == len(found.proposals)
        assert not found.retired or (not found.revision and not found.canary)
        assert {index for index, _ in found.void} <= {index for index, _ in found.steps}


@given(st.lists(anything, max_size=20), revisions)
def test_a_rollback_undoes_an_activation(steps, revision):
    """Whatever came before: in force and history are what they were."""
    before = fold(enumerate([step("activate", A), *(one for one in steps if one.policy == "house")]))["house"]
    after = advance(before, step("activate", revision))
    if isinstance(after, State) and before.revision and revision != before.revision:
        back = advance(after, step("rollback", before.revision))
        assert isinstance(back, State)
        assert (back.revision, back.history) == (before.revision, before.history)


# --- whom a canary judges --------------------------------------------------------------------------------------------


@given(st.text(max_size=40), st.text(max_size=20), st.integers(1, 99), st.sampled_from(["requests", "tenants"]))
def test_the_choice_depends_on_its_arguments_alone(request_id, tenant, share, by):
    """So a prompt and its output meet one revision; by tenants, all of a tenant's requests do. Wider holds narrower."""
    found = State("house", A, Canary(B, share, by))
    chosen = choose(found, request_id, tenant)
    assert chosen == choose(found, request_id, tenant)
    assert chosen in {A, B}
    if by == "tenants":
        assert chosen == choose(found, "another", tenant)
    if chosen == B and share < 99:
        assert choose(replace(found, canary=Canary(B, share + 1, by)), request_id, tenant) == B


@pytest.mark.parametrize("share", [1, 10, 50, 99])
@pytest.mark.parametrize("by", ["requests", "tenants"])
def test_the_share_is_right(share, by):
    """Within five standard deviations of a binomial over 20,000 ids."""
    count = 20_000
    ids = [f"019ad3c0-{number:012x}" for number in range(count)]
    taken = sum(takes("house", Canary(B, share, by), one, one) for one in ids)
    expected, deviation = count * share / 100, (count * share / 100 * (1 - share / 100)) ** 0.5
    assert abs(taken - expected) < 5 * deviation


def test_another_canary_judges_others():
    """The share is drawn anew for each revision and policy, so that no request is always the one that is tried on."""
    ids = [str(number) for number in range(2000)]
    first, second = ({one for one in ids if takes("house", Canary(revision, 10, "requests"), one, "")} for revision in (B, C))
    assert len(first & second) < 60


def test_the_number_of_an_id_is_as_documented():
    """Anyone can derive it: SHA-256("house" 00 revision 00 "r1")."""
    import hashlib

    number = int(hashlib.sha256(b"house\0" + B.encode() + b"\0r1").hexdigest()[:16], 16) * 100 // 2**64
    assert not takes("house", Canary(B, number or 1, "requests"), "r1", "t") or number == 0
    assert takes("house", Canary(B, number + 1, "requests"), "r1", "t")
