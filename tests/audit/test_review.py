"""Reviews: the fold over entries, the steps in a ledger, queues."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_examples import decision
from sqlalchemy import event

from audit import review_steps as steps
from audit.body import time_string
from audit.events import APPEAL, FEEDBACK, OVERRIDE, REVIEW
from audit.grammar import QueryError
from audit.query import show
from audit.review import Phase, State, Step, Subject, advance, begin, fold, turns
from audit.review_queue import case, count, followers, waiting
from audit.verify import verify
from guard.errors import InputError, LedgerError, RefusedError
from guard.types import Action, Decision, Reviewed

START = datetime(2026, 11, 27, 12, tzinfo=UTC)
SUBJECT = Subject("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", 7, START, held=True, asker="app", tenant="acme")
PEOPLE = ("ann", "bob", "cas", "app")


# --- the fold ----------------------------------------------------------------------------------------------------------


def step(state: State, idx: int, kind: str, actor: str, minutes: int, reason: str = "because", **fields) -> Step:
    """A step as `audit.review_steps` would make it for this state."""
    time = START + timedelta(minutes=minutes)
    if "lease" in fields:
        fields["lease"] = time_string(time + timedelta(minutes=fields["lease"]))
    made = Step(idx, kind, actor, time, fields, reason)
    return replace(made, fields={**fields, **turns(state, made)})


ACTS = st.one_of(
    st.builds(lambda lease: (REVIEW, {"step": "claim", "lease": lease}), st.sampled_from([5, 30])),
    st.just((REVIEW, {"step": "release"})),
    st.builds(
        lambda kind, outcome, number, rounds: (
            kind,
            {"step": "decide", "outcome": outcome, "code": "quality", "round": number, "rounds": rounds},
        ),
        st.sampled_from([REVIEW, APPEAL]),
        st.sampled_from(["release", "withhold"]),
        st.sampled_from([1, 2]),
        st.sampled_from([1, 2]),
    ),
    st.just((APPEAL, {"step": "file"})),
    st.builds(lambda outcome: (OVERRIDE, {"outcome": outcome}), st.sampled_from(["release", "withhold"])),
    st.just((OVERRIDE, {"undoes": -1})),
    st.just((FEEDBACK, {"code": "wrong_block"})),
    st.just((REVIEW, {"step": "sample", "rounds": 2})),
    st.just(("released", {"released": "d2"})),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(ACTS, st.sampled_from(PEOPLE), st.integers(0, 20)), max_size=25))
def test_nothing_leaves_without_a_person_who_may_say_so(acts):
    """Whatever is tried: who releases held a claim at that time, did not ask for it, and no two rounds are one person's."""
    state, minutes, taken, befores = begin(SUBJECT), 0, [], {}
    for idx, ((kind, tried), actor, pause) in enumerate(acts, 10):
        minutes += pause
        fields = {name: state.last if value == -1 else value for name, value in tried.items()}
        made = step(state, idx, kind, actor, minutes, **fields)
        after = advance(state, made)
        if isinstance(after, str):
            continue
        taken.append(made)
        befores[idx] = state
        if "undoes" in made.fields:
            undone = befores[made.fields["undoes"]]
            assert replace(after, holder="", lease=None) == replace(undone, holder="", lease=None)
        if kind in {REVIEW, APPEAL} and fields["step"] == "decide":
            assert actor != "app"
            assert state.claimed(made.time)
            assert state.holder == actor
            assert actor not in state.barred
        if after.outcome == "release" and state.outcome != "release" and "undoes" not in made.fields:
            assert kind in {REVIEW, APPEAL, OVERRIDE}
            assert actor not in {"app", *state.barred}
            assert len({one.actor for one in after.said}) == len(after.said)
            assert kind == OVERRIDE or all(one.outcome == "release" for one in after.said)
            assert kind != OVERRIDE or state.rounds == 1
            assert kind == OVERRIDE or len(after.said) == after.rounds
        assert not after.released or kind == "released" or state.released
        state = after
    assert fold(SUBJECT, taken) == state
    assert not state.leaves or any(one.fields.get("outcome") == "release" for one in taken)


def test_what_waits_is_told_by_opens_and_closes_alone():
    """The two terms that queues read agree with the fold, in each state."""
    state = begin(SUBJECT)
    acts = [
        (REVIEW, "ann", {"step": "claim", "lease": 5}),
        (REVIEW, "ann", {"step": "decide", "outcome": "withhold", "code": "legal", "round": 1, "rounds": 1}),
        (APPEAL, "app", {"step": "file"}),
        (REVIEW, "bob", {"step": "claim", "lease": 5}),
        (APPEAL, "bob", {"step": "decide", "outcome": "release", "code": "false_positive", "round": 1, "rounds": 1}),
        (OVERRIDE, "bob", {"undoes": 14}),
    ]
    turned = []
    for idx, (kind, actor, fields) in enumerate(acts, 10):
        made = step(state, idx, kind, actor, idx, **fields)
        state = advance(state, made)
        assert isinstance(state, State), state
        turned += [name for name in ("opens", "closes") if name in made.fields]
    assert turned == ["closes", "opens", "closes", "opens"]
    assert state.phase is Phase.APPEALED


@pytest.mark.parametrize(
    ("actor", "fields", "words"),
    [
        ("bob", {"step": "decide", "outcome": "release", "code": "quality", "round": 1, "rounds": 1}, "ann has it until"),
        ("ann", {"step": "decide", "outcome": "maybe", "code": "quality", "round": 1, "rounds": 1}, "expected release or"),
        ("ann", {"step": "decide", "outcome": "release", "code": "mood", "round": 1, "rounds": 1}, "found the code 'mood'"),
        ("ann", {"step": "decide", "outcome": "release", "code": "quality", "round": 2, "rounds": 2}, "somebody was faster"),
        ("app", {"step": "claim", "lease": 5}, "app asked for this output"),
        ("ann", {"step": "claim", "lease": 9 * 60}, "within 8 hours"),
        ("ann", {"step": "claim", "lease": -1}, "within 8 hours"),
        ("bob", {"step": "release"}, "bob has not claimed it"),
        ("bob", {"step": "dance"}, "expected a step of a review"),
    ],
)
def test_a_step_that_may_not_be_is_refused_with_its_reason(actor, fields, words):
    """Of a decision that ann has."""
    state = begin(SUBJECT)
    state = advance(state, step(state, 10, REVIEW, "ann", 1, step="claim", lease=30))
    refused = advance(state, step(state, 11, REVIEW, actor, 2, **fields))
    assert isinstance(refused, str)
    assert words in refused


# --- in a ledger -------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(ledger):
    """The id of a decision that waits."""
    return str(ledger.append_sync(decision(Action.REVIEW)).decision)


def test_a_review_from_claim_to_decision_stands_in_the_log(ledger, url, held):
    """And undo restores, and the ledger with all of it is sound."""
    assert [one.state.subject.decision for one in waiting(url).cases] == [held]
    claimed = steps.claim(ledger, held, "ann")
    assert claimed.state.holder == "ann"
    steps.release_claim(ledger, held, "ann")
    steps.claim(ledger, held, "bob")
    decided = steps.decide(ledger, held, "Bob", "release", "false_positive", "a quotation")
    assert (decided.state.phase, decided.state.outcome, decided.state.leaves) == (Phase.DECIDED, "release", True)
    assert waiting(url).cases == ()
    with pytest.raises(RefusedError, match="nothing waits"):
        steps.claim(ledger, held, "ann")
    with pytest.raises(RefusedError, match="Bob took this step"):
        steps.undo(ledger, held, "ann", "no")
    undone = steps.undo(ledger, held, "bob", "looked again")
    assert (undone.state.phase, undone.state.outcome, undone.state.holder) == (Phase.WAITING, "", "")
    assert [one.state.subject.decision for one in waiting(url).cases] == [held]
    assert [one.kind for one in followers(url, held)] == ["review"] * 4 + ["override"]
    report = verify(url)
    assert (report.ok, case(url, held).state.void) == (True, ())


def test_of_many_who_claim_one_gets_it(ledger, held):
    """Whatever group their entries are committed in."""
    results = []

    def run(name):
        try:
            results.append(steps.claim(ledger, held, name).state.holder)
        except RefusedError as error:
            results.append(str(error))

    threads = [threading.Thread(target=run, args=(f"person-{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [one for one in results if one.startswith("person-") and "has it" not in one]
    assert (len(winners), len(results)) == (1, 20)
    assert case(ledger.reader, held).state.holder == winners[0]


def test_a_lease_ends(ledger, held, monkeypatch):
    """Then others may claim, and the first one may not decide any more."""
    steps.claim(ledger, held, "ann", timedelta(minutes=5))
    with pytest.raises(RefusedError, match="ann has it until"):
        steps.claim(ledger, held, "bob")

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=6)

    monkeypatch.setattr(steps, "datetime", Later)
    with pytest.raises(RefusedError, match="the lease of ann ended"):
        steps.decide(ledger, held, "ann", "release", "quality")
    assert steps.claim(ledger, held, "bob").state.holder == "bob"
    with pytest.raises(RefusedError, match="bob has it until"):
        steps.decide(ledger, held, "ann", "release", "quality")


def test_a_second_person_decides_where_that_is_asked(ledger, url, held):
    """By rule or category; both have to say release; the same person never counts twice."""
    steps.claim(ledger, held, "ann")
    first = steps.decide(ledger, held, "ann", "release", "quality", second=("privacy",))
    assert (first.state.phase, first.state.leaves) == (Phase.SECOND, False)
    assert [one.state.phase for one in waiting(url).cases] == [Phase.SECOND]
    with pytest.raises(RefusedError, match="Ann decided or appealed it before"):
        steps.claim(ledger, held, " Ann ")
    steps.claim(ledger, held, "bob")
    second = steps.decide(ledger, held, "bob", "withhold", "legal", second=())
    assert (second.state.outcome, [one.actor for one in second.state.said]) == ("withhold", ["ann", "bob"])
    back = steps.undo(ledger, held, "bob", "misread")
    assert back.state.phase is Phase.SECOND
    steps.claim(ledger, held, "bob")
    assert steps.decide(ledger, held, "bob", "release", "quality").state.leaves


def test_what_takes_two_persons_is_never_released_by_one(ledger, url, held):
    """Not by overruling, and not on appeal."""
    for who, outcome in (("ann", "release"), ("bob", "withhold")):
        steps.claim(ledger, held, who)
        steps.decide(ledger, held, who, outcome, "quality", second=("privacy",))
    with pytest.raises(RefusedError, match="2 persons have to release it"):
        steps.overrule(ledger, held, "cas", "release", "I say so")
    steps.appeal(ledger, held, "key-1", "please")
    steps.claim(ledger, held, "cas")
    once = steps.decide(ledger, held, "cas", "release", "quality", "fine")
    assert (once.state.phase, once.state.leaves, len(waiting(url).cases)) == (Phase.SECOND, False, 1)
    steps.claim(ledger, held, "dan")
    assert steps.decide(ledger, held, "dan", "release", "quality", "fine").state.leaves
    assert steps.overrule(ledger, held, "eve", "withhold", "order").state.outcome == "withhold"
    assert verify(url).ok


def test_an_appeal_goes_to_somebody_else_and_an_overrule_is_another_persons(ledger, url, held):
    """The asker may appeal; who decided may not decide again."""
    with pytest.raises(RefusedError, match="nothing is decided yet"):
        steps.appeal(ledger, held, "key-1", "please")
    steps.claim(ledger, held, "ann")
    steps.decide(ledger, held, "ann", "withhold", "policy_correct")
    with pytest.raises(RefusedError, match="undo it instead"):
        steps.appeal(ledger, held, "ann", "hm")
    with pytest.raises(InputError, match="found no reason"):
        steps.appeal(ledger, held, "key-1", " ")
    appealed = steps.appeal(ledger, held, "key-1", "it quotes a law")
    assert [one.state.phase for one in waiting(url, "appeal").cases] == [Phase.APPEALED]
    assert appealed.state.outcome == "withhold"
    for name in ("ann", "key-1"):
        with pytest.raises(RefusedError):
            steps.claim(ledger, held, name)
    steps.claim(ledger, held, "bob")
    decided = steps.decide(ledger, held, "bob", "release", "false_positive", "so it does")
    assert (decided.state.outcome, waiting(url).cases) == ("release", ())
    with pytest.raises(RefusedError, match="not appealed again"):
        steps.appeal(ledger, held, "cas", "again")
    with pytest.raises(RefusedError, match="somebody else may overrule"):
        steps.overrule(ledger, held, "bob", "withhold", "no")
    with pytest.raises(RefusedError, match="decided or appealed it"):
        steps.overrule(ledger, held, "key-1", "withhold", "no")
    with pytest.raises(RefusedError, match="expected the contrary"):
        steps.overrule(ledger, held, "cas", "release", "no")
    assert steps.overrule(ledger, held, "cas", "withhold", "order of the court").state.outcome == "withhold"
    assert steps.undo(ledger, held, "cas", "wrong file").state.outcome == "release"
    assert verify(url).ok


def test_queues_are_by_what_made_it_wait_by_category_and_by_policy(ledger, url):
    """Feedback and samples put automatic decisions there; pages go on where the last one ended."""
    ids = [str(ledger.append_sync(decision(Action.REVIEW, number=number)).decision) for number in range(5)]
    automatic = str(ledger.append_sync(decision(Action.REDACT)).decision)
    other = str(ledger.append_sync(decision(Action.REVIEW, tenant="umbrella")).decision)
    steps.feedback(ledger, automatic, "app", "wrong_block", "why?")

    def listed(queue="", **more):
        return [one.state.subject.decision for one in waiting(url, queue, **more).cases]

    assert listed() == [*ids, automatic, other]
    assert listed("feedback") == [automatic]
    assert listed("held") == [*ids, other]
    assert listed("category:privacy", tenant="acme") == [*ids, automatic]
    assert listed("category:violence") == []
    assert listed("policy:enterprise", tenant="umbrella") == [other]
    first = waiting(url, limit=2)
    assert [one.state.subject.decision for one in waiting(url, limit=2, after=first.next).cases] == ids[2:4]
    assert count(url) == 7
    steps.claim(ledger, automatic, "ann")
    done = steps.decide(ledger, automatic, "ann", "release", "false_positive")
    assert not done.state.leaves, "what was not held is an opinion: nothing leaves by it"
    assert listed("feedback") == []
    steps.sample(ledger, automatic, "auditor", persons=2)
    assert listed("quality") == [automatic]
    with pytest.raises(RefusedError):
        steps.claim(ledger, automatic, "ann")
    with pytest.raises(QueryError, match="unknown queue"):
        waiting(url, "mine")
    with pytest.raises(QueryError, match="no decision"):
        case(url, ids[0], tenant="umbrella")
    with pytest.raises(QueryError, match="no entry"):
        steps.claim(ledger, str(uuid4()), "ann")
    with pytest.raises(LedgerError):
        steps.claim(ledger, ids[0], " ")


def test_the_verifier_wants_a_persons_decision_before_a_release(ledger, url, held):
    """Of the very output, and one that lets it go."""

    def reviewed(entry: int) -> Decision:
        whose = Reviewed(UUID(held), START, ("card-number",), "ann", "quality", entry)
        return decision(Action.REDACT, reviewed=whose, parent=UUID(held))

    steps.claim(ledger, held, "ann")
    entry = steps.decide(ledger, held, "ann", "release", "quality").index
    ledger.append_sync(reviewed(entry))
    assert verify(url).ok
    assert case(url, held).state.released
    assert show(url, held).tree_size == ledger.size
    bad = ledger.append_sync(reviewed(entry - 1))
    assert [(one.idx, one.what) for one in verify(url).problems] == [(bad.index, "review")]


def test_listing_takes_a_fixed_number_of_statements(ledger, url):
    """However many wait."""
    for number in range(30):
        ledger.append_sync(decision(Action.REVIEW, number=number))
    statements = []
    event.listen(
        ledger.reader, "before_cursor_execute", lambda *given: statements.append(given[2]) if given[2] != "BEGIN" else None
    )
    waiting(ledger.reader, limit=20)
    assert len([one for one in statements if one != "BEGIN"]) == 5
