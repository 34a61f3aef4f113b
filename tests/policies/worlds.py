"""Conditions of every form, and what checks may answer for a content: for properties that have to hold everywhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from guard.conditions import measured
from guard.rules import AllOf, AnyOf, Attribute, Clock, Found, Length, Not, ScoreAtLeast, ScoreByLanguage
from guard.types import CheckResult, Context, Finding, Modality, Span, Stage, Status
from policies.conditions import Known

LABELS = ("a", "b")
CHECKS = {
    "x": Known("x", dict.fromkeys(LABELS, "input"), frozenset({Modality.TEXT}), frozenset(Stage)),
    "y": Known("y", dict.fromkeys(LABELS, "input"), frozenset({Modality.TEXT}), frozenset({Stage.PROMPT})),
}
TENANTS = ("shop", "shop-1", "bank", "b")
PATTERNS = ("shop", "shop-*", "shop*", "b*", "bank", "*", "b?nk", "[bs]*")
MOMENTS = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 10, 20)]

scores = st.sampled_from([0, 300, 500, 800])
measures = st.one_of(
    st.builds(ScoreAtLeast, st.sampled_from(list(CHECKS)), st.sampled_from([*LABELS, "*"]), scores),
    st.builds(Found, st.sampled_from(list(CHECKS)), st.frozensets(st.sampled_from(LABELS))),
    st.builds(
        lambda check, label, en, hans, other: ScoreByLanguage(check, label, (("*", other), ("en", en), ("zh-Hans", hans))),
        st.sampled_from(list(CHECKS)),
        st.sampled_from([*LABELS, "*"]),
        scores,
        scores,
        scores,
    ),
)
facts = st.one_of(
    st.builds(Attribute, st.just("stage"), st.lists(st.sampled_from([*Stage, "*", "p*"]), min_size=1, max_size=2).map(tuple)),
    st.builds(Attribute, st.just("tenant"), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2).map(tuple)),
    st.builds(Length, st.sampled_from([0, 10, 50]), st.sampled_from([None, 10, 60])),
    st.builds(
        Clock,
        st.sampled_from([None, *MOMENTS]),
        st.sampled_from([None, *MOMENTS]),
        st.frozensets(st.integers(0, 6)),
        st.sampled_from([None, (60, 600), (1200, 300)]),
        st.sampled_from(["UTC", "Asia/Shanghai"]),
    ),
)
conditions = st.recursive(
    measures | facts,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(AllOf, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)
contexts = st.builds(
    Context,
    st.sampled_from(Stage),
    st.just(Modality.TEXT),
    st.just("language"),
    st.sampled_from(TENANTS),
    st.sampled_from(["en", "en-GB", "zh-Hans-CN", "zh", "und", ""]),
    st.sampled_from([0, 9, 10, 50, 60]),
    st.none() | st.builds(lambda one, hours: one + timedelta(hours=hours), st.sampled_from(MOMENTS), st.integers(-30, 30)),
)


def _place(context: Context) -> st.SearchStrategy[Span | None]:
    """A place in the content, or none."""
    spans = st.builds(lambda start, end: Span(min(start, end), max(start, end) + 1), *[st.integers(0, context.length - 1)] * 2)
    return spans if context.length else st.none()


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[CheckResult], Context]:
    """What checks answered for a content; one may not have run, or have read only a part."""
    context, results = draw(contexts), []
    for name, known in CHECKS.items():
        if context.stage in known.stages and draw(st.booleans() | st.just(True)):
            found = draw(
                st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from([0, 299, 300, 600, 800, 1000])), max_size=3)
            )
            read = context.length if draw(st.booleans() | st.just(True)) else context.length - 1
            findings = tuple(Finding("input", label, score, draw(_place(context))) for label, score in found)
            results.append(CheckResult(name, name, "1", "", Status.OK, findings, Span(0, read)))
    return results, context


worlds = answers().map(lambda one: (measured(one[0]), one[1]))
"""As `guard.conditions.evaluate` wants them."""
