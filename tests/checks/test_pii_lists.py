"""A policy's own terms: what is always found, what never is, and which lists are refused."""

from __future__ import annotations

import pytest

import policies
from guard.checks import pii_lists
from guard.errors import ModelError, PolicyError, RegistryError
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Stage


@pytest.fixture(scope="module")
def nameless(tmp_path_factory):
    """A pipeline without a model."""
    import spacy

    path = tmp_path_factory.mktemp("pipeline") / "nameless"
    spacy.blank("en").to_disk(path)
    return str(path)


def _found(nameless, text, **parameters):
    check = checks.make("pii", {"model": nameless, "languages": ("en", "zh"), **parameters})
    check.load()
    (scan,) = check([Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("test"))])
    return [(one.label, text[one.where.start : one.where.end], one.score) for one in scan.findings]


def test_denied_terms_are_always_found(nameless):
    """Whatever their capitals, next to Chinese characters, full width, at the highest threshold; not inside other words."""
    text = "Project bluebird, not bluebirds: 蓝鸟计划BLUEBIRD开始，ＢＬＵＥＢＩＲＤ。"
    found = _found(nameless, text, deny={"PROJECT": ("Bluebird", "蓝鸟计划")}, min_score=1000)
    assert [("PROJECT", one, 1000) for one in ("bluebird", "蓝鸟计划", "BLUEBIRD", "ＢＬＵＥＢＩＲＤ")] == found


def test_denied_expressions_are_found_too(nameless):
    """Between slashes; capitals count."""
    assert _found(nameless, "BB-1234 and bb-1234", deny={"BADGE": ("/BB-[0-9]{4}/",)}) == [("BADGE", "BB-1234", 1000)]


def test_a_denied_term_is_a_finding_of_its_own_inside_another(nameless):
    """A stronger neighbour does not swallow it, and what lies inside it goes."""
    found = _found(nameless, "write to maria@bluebird.example", deny={"PROJECT": ("bluebird",)})
    assert sorted(found) == [("EMAIL_ADDRESS", "maria@bluebird.example", 950), ("PROJECT", "bluebird", 1000)]
    assert _found(nameless, "desk maria@a.example", deny={"DESK": ("desk maria@a.example",)}) == [
        ("DESK", "desk maria@a.example", 1000)
    ]


def test_labels_of_the_deny_list_are_known_before_load():
    """A policy may name them in its rules."""
    check = checks.make("pii", {"deny": {"PROJECT": ("Bluebird",)}})
    assert check.labels["PROJECT"] == "privacy"


def test_allowed_terms_are_never_reported(nameless):
    """Exact terms wherever they stand, expressions where they match the whole finding."""
    text = "support@example.com, Maria@Example.com, eve@example.org, 4539 1488 0343 6467"
    allow = ("SUPPORT@example.com", r"/[a-zA-Z]+@[Ee]xample\.com/", "4539 1488 0343 6467")
    assert _found(nameless, text, allow=allow) == [("EMAIL_ADDRESS", "eve@example.org", 950)]


def test_an_expression_of_the_allow_list_has_to_match_the_whole_finding(nameless):
    """A part is not enough, and a term stands alone."""
    text = "mail eve@example.org"
    assert _found(nameless, text, allow=("/example/", "eve@example.or")) == [("EMAIL_ADDRESS", "eve@example.org", 950)]


def test_what_is_denied_by_an_expression_goes_before_what_is_allowed(nameless):
    """Always found means always."""
    found = _found(nameless, "ask eve@example.org", allow=("eve@example.org",), deny={"DESK": ("/eve@[a-z.]+/",)})
    assert found == [("DESK", "eve@example.org", 1000)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"deny": {"project": ("Bluebird",)}}, "label 'project', expected capitals"),
        ({"deny": {"PROJECT": ()}}, "no term for 'PROJECT', expected at least one"),
        ({"deny": {"PROJECT": (" ",)}}, "`deny.PROJECT` holds an empty term, expected a text"),
        ({"deny": {"PROJECT": ("/(/",)}}, "no regular expression"),
        ({"allow": ("/a*/",)}, "`allow` holds '/a\\*/', which matches nothing at all, expected"),
        ({"allow": ("//",)}, "an empty term"),
        ({"allow": ("Bluebird",), "deny": {"PROJECT": ("bluebird",)}}, "1 terms stand in `allow` and under 'PROJECT'"),
    ],
)
def test_lists_that_cannot_be_are_refused(parameters, message):
    """Before anything is loaded, with what was found and expected."""
    with pytest.raises(RegistryError, match=message):
        checks.make("pii", parameters)


def test_an_expression_that_runs_out_of_time_raises(nameless, monkeypatch):
    """A text that was not searched to its end never looks clean."""
    monkeypatch.setattr(pii_lists, "_TIMEOUT_S", 0.05)
    with pytest.raises(ModelError, match=r"deny\.SLOW"):
        _found(nameless, "a" * 3000, deny={"SLOW": (r"/(?:a|a|aa)+\d$/",)})


POLICY = """
policy: shop
version: 1
checks:
  pii: {{use: pii, {parameters}}}
rules:
  - id: project
    when: {{pii: [PROJECT]}}
    action: block
    category: privacy
"""


def test_a_policy_names_its_own_labels_in_rules():
    """And a mistake in a list has its line."""
    policies.loads(POLICY.format(parameters='deny: {PROJECT: [Bluebird, "/BB-[0-9]{4}/"]}, allow: [a@example.com]'))
    with pytest.raises(PolicyError, match=r":5:[0-9]+: .*expected capitals"):
        policies.loads(POLICY.format(parameters="deny: {project: [Bluebird]}"))
    with pytest.raises(PolicyError, match=r":5:[0-9]+: .*deny"):
        policies.loads(POLICY.format(parameters="deny: [Bluebird]"))
