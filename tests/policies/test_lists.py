"""Shared lists: where they may stand, and what they become."""

from __future__ import annotations

import time

import pytest

from guard.rules import AnyOf, Attribute, Found, Not
from policies import loads
from policies.load import read_policy
from policies.mistake import PolicyFileError

LISTS = """\
policy: house
version: 1
applies_to: {tenants: [$partners, shop]}
lists:
  cards: [CREDIT_CARD, IBAN_CODE]
  numbers: [US_SSN, $cards, TAX_ID]
  partners: [acme, "beta*"]
  one: acme
  spare: [x]
checks:
  pii: {use: pii, entities: $numbers, deny: {PROJECT: [$one, $$one]}, allow: $partners}
  toxicity: {use: toxicity, model: $$HOME/model}
rules:
  - id: card
    title: $5 and more
    when: {any: [{pii: [$cards, US_SSN]}, {not: {tenant: $partners}}]}
    action: block
    message: {en: $100 is too much.}
    tests: [{flags: $cards}]
  - {id: other, when: {toxicity.threat: 0.5}, action: block}
exceptions:
  - {id: e, rules: $rules, when: {tenant: $one}, owner: $me, reason: $$$, expires: 2026-12-31}
"""
WHOLE = LISTS.replace("  spare: [x]", "  spare: [x]\n  rules: [other, card]")


def test_a_list_stands_wherever_a_list_of_texts_may() -> None:
    """In conditions, scope, parameters of checks, exceptions and lists; all other texts stay what they are."""
    loaded = read_policy(WHOLE.replace("entities: $numbers, ", ""))
    policy = loaded.policy
    assert policy.tenants == ("acme", "beta*", "shop")
    assert "$" not in "".join(str(spec.parameters) for spec in policy.checks if spec.name == "pii").replace("'$one'", "")
    pii, toxicity = policy.checks
    assert pii.parameters == {"deny": {"PROJECT": ("acme", "$one")}, "allow": ("acme", "beta*")}
    assert toxicity.parameters == {"model": "$HOME/model"}
    asked = Found("pii", frozenset({"CREDIT_CARD", "IBAN_CODE", "US_SSN"}))
    assert policy.rules[0].when == AnyOf((asked, Not(Attribute("tenant", ("acme", "beta*")))))
    assert (policy.rules[0].title, policy.rules[0].message) == ("$5 and more", (("en", "$100 is too much."),))
    assert (policy.exceptions[0].rules, policy.exceptions[0].reason) == (("card", "other"), "$$$")
    assert loaded.tests[0].text == "$cards"
    assert [name for name, _ in loaded.unused] == ["numbers", "spare"]


def test_lists_in_lists_come_out_flat_and_in_order() -> None:
    """As if they had been written out."""
    text = WHOLE.replace(", deny: {PROJECT: [$one, $$one]}", "")
    written = text.replace("entities: $numbers", "entities: [US_SSN, CREDIT_CARD, IBAN_CODE, TAX_ID]")
    assert loads(text).revision == loads(written).revision
    assert dict(loads(text).checks[0].parameters)["entities"] == ("US_SSN", "CREDIT_CARD", "IBAN_CODE", "TAX_ID")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tenants: [$partners,", "tenants: [«$partnrs,"),
        ("{tenant: $partners}", "{tenant: «$Partners}"),
        ("allow: $partners", "allow: [a, «$b, «$c]"),
        ("rules: $rules", "rules: «$ruels"),
        ("$$HOME/model", "«$HOME/model"),
        ("one: acme", "one: [acme, «5]"),
        ("one: acme", "one: «{a: b}"),
        ("one: acme", "one:«"),
        ("one: acme", "one: «$one"),
        ("one: acme", "one: $two\n  two: [«$one]"),
        ("one: acme", "«One: acme\n  one: acme"),
        ('[acme, "beta*"]', "[acme, «$]"),
    ],
)
def test_a_list_that_cannot_be_is_one_mistake_at_its_place(old: str, new: str) -> None:
    """However often it is used. «: the place."""
    text = WHOLE.replace("entities: $numbers, ", "")
    assert text.count(old) == 1
    marked, places = text.replace(old, new), []
    for line, content in enumerate(marked.split("\n"), 1):
        columns = [at for at, one in enumerate(content) if one == "«"]
        places += [f"f:{line}:{column + 1 - before}" for before, column in enumerate(columns)]
    with pytest.raises(PolicyFileError) as raised:
        loads(marked.replace("«", ""), file="f")
    assert [str(mistake.at) for mistake in raised.value.mistakes] == places, str(raised.value)


def test_lists_that_multiply_are_refused() -> None:
    """Twenty lists of ten times the one before would be more texts than any machine holds."""
    lists = "  l0: [a]\n" + "".join(f"  l{n}: [{', '.join([f'$l{n - 1}'] * 10)}]\n" for n in range(1, 15))
    text = WHOLE.replace("lists:\n", f"lists:\n{lists}").replace('[acme, "beta*"]', "[$l14]")
    started = time.thread_time()
    with pytest.raises(PolicyFileError, match="lists that put in more than 50000 texts"):
        loads(text)
    assert time.thread_time() - started < 5


def test_lists_nested_without_end_are_refused() -> None:
    """Before the stack is used up."""
    lists = "".join(f"  l{n}: [$l{n + 1}]\n" for n in range(2000)) + "  l2000: [a]\n"
    with pytest.raises(PolicyFileError, match="lists nested more than 20 deep"):
        loads(WHOLE.replace("lists:\n", f"lists:\n{lists}"))
