"""What a policy file means, and that its canonical form means the same."""

from __future__ import annotations

import json
import textwrap
from datetime import UTC, datetime

import pytest

from guard.errors import PolicyError
from guard.rules import (
    AllOf,
    AnyOf,
    Attribute,
    CheckSpec,
    Clock,
    Condition,
    Exemption,
    Found,
    Length,
    MarkSpec,
    Not,
    Policy,
    Previews,
    ScoreAtLeast,
    ScoreByLanguage,
)
from guard.types import Action, Modality, Stage
from policies import from_document, load, loads, packs
from policies.document import canonical
from policies.encoding import decode, encode

HEAD = """\
policy: house
version: 3
checks:
  toxicity: {use: toxicity}
  pii: {use: pii, languages: [en, zh]}
  works: {use: image_match, bank: protected-works}
rules:
"""


def house(rules: str) -> Policy:
    return loads(HEAD + textwrap.indent(textwrap.dedent(rules), "  "))


def condition(when: str) -> Condition:
    return house(f"- {{id: one, when: {when}, action: block, category: violence}}").rules[0].when


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{toxicity.threat: 0.6}", ScoreAtLeast("toxicity", "threat", 600)),
        ("{toxicity.threat: 0.123}", ScoreAtLeast("toxicity", "threat", 123)),
        ("{toxicity.threat: 0.29}", ScoreAtLeast("toxicity", "threat", 290)),  # 0.29 * 1000 is 289.99… in binary
        ("{toxicity.threat: 1}", ScoreAtLeast("toxicity", "threat", 1000)),
        ("{toxicity.threat: 0}", ScoreAtLeast("toxicity", "threat", 0)),
        ("{toxicity: 0.6}", ScoreAtLeast("toxicity", "*", 600)),
        ("{works: matched}", Found("works", frozenset({"matched"}))),
        ("{pii: [IBAN_CODE, CREDIT_CARD]}", Found("pii", frozenset({"CREDIT_CARD", "IBAN_CODE"}))),
        ("{pii: any}", Found("pii")),
        ("{stage: output}", Attribute("stage", ("output",))),
        ("{stage: [output, ch*]}", Attribute("stage", ("output", "ch*"))),
        ("{language: no}", Attribute("language", ("no",))),  # the language, not the contrary of yes
        ("{tenant: '4'}", Attribute("tenant", ("4",))),
        ("{not: {pii: any}}", Not(Found("pii"))),
        ("{any: [{pii: any}]}", Found("pii")),
        ("{toxicity.threat: {'*': 0.6}}", ScoreAtLeast("toxicity", "threat", 600)),
        (
            "{toxicity.threat: {zh: 0.5, '*': 0.6, en: 0.7}}",
            ScoreByLanguage("toxicity", "threat", (("*", 600), ("en", 700), ("zh", 500))),
        ),
        ("{toxicity: {zh-Hans: 1, '*': 0}}", ScoreByLanguage("toxicity", "*", (("*", 0), ("zh-Hans", 1000)))),
        ("{length: {at_least: 2000}}", Length(2000)),
        ("{length: {below: 10000}}", Length(0, 10000)),
        ("{length: {at_least: 2000, below: 10000}}", Length(2000, 10000)),
        ("{time: {days: sat}}", Clock(days=frozenset({5}))),
        ("{time: {days: [mon-wed, sun]}}", Clock(days=frozenset({0, 1, 2, 6}))),
        ("{time: {days: fri-mon}}", Clock(days=frozenset({4, 5, 6, 0}))),
        ("{time: {hours: 18:00-08:00, zone: Europe/Berlin}}", Clock(hours=(1080, 480), zone="Europe/Berlin")),
        ("{time: {hours: '09:00-24:00'}}", Clock(hours=(540, 1440))),
        (
            "{time: {since: 2026-11-01, until: 2026-12-31, zone: Asia/Shanghai}}",  # days are whole days of that zone
            Clock(datetime(2026, 10, 31, 16, tzinfo=UTC), datetime(2026, 12, 31, 16, tzinfo=UTC), zone="Asia/Shanghai"),
        ),
        (
            "{time: {since: 2026-11-01T18:00:00+01:00, until: 2026-11-02t00:00Z}}",  # times are times, whatever the zone
            Clock(datetime(2026, 11, 1, 17, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)),
        ),
        (
            "{any: [{works: matched}, {tenant: a}]}",
            AnyOf((Found("works", frozenset({"matched"})), Attribute("tenant", ("a",)))),
        ),
        ("{all: [{pii: any}, {tenant: a}]}", AllOf((Found("pii"), Attribute("tenant", ("a",))))),
        ("{tenant: a, pii: any}", AllOf((Attribute("tenant", ("a",)), Found("pii")))),
        (
            "{modality: text, not: {any: [{tenant: a}, {generator: b}]}}",
            AllOf(
                (Attribute("modality", ("text",)), Not(AnyOf((Attribute("tenant", ("a",)), Attribute("generator", ("b",))))))
            ),
        ),
    ],
)
def test_a_condition_compiles_to_what_it_says(when: str, expected: Condition) -> None:
    """Each form of `when`, and back from its recorded form."""
    assert condition(when) == expected
    assert decode(json.loads(json.dumps(encode(expected)))) == expected


def test_all_parts_of_a_policy_arrive() -> None:
    """Every key of the file is a field of the compiled policy."""
    policy = loads(
        """
        policy: house
        version: 3
        status: shadow
        owner: safety
        description: All of it.
        applies_to: {generators: ["gan*"], tenants: [shop, bank]}
        checks:
          tox: {use: toxicity, window_tokens: 64, deadline_ms: 700, on_failure: review, group: 2, stages: [output]}
          pii: {use: pii, languages: [en, zh]}
        rules:
          - id: card
            title: Cards are masked
            when: {pii: CREDIT_CARD}
            action: redact
            basis: {contract: PCI DSS}
            message: {zh: 已遮盖。, en: Masked.}
            with: {operator: mask, keep_last: 4}
            tests: [{flags: 4111 1111 1111 1111}]
        exceptions:
          - id: pilot
            rules: card
            when: {tenant: shop, time: {days: mon-fri}}
            owner: privacy
            reason: Pilot.
            expires: 2026-12-31
          - {id: gone, rules: [card], owner: privacy, reason: Over., expires: 2020-01-31T18:00:00+01:00}
        marks:
          watermark: {image: {method: rivaGan, on_unmarkable: allow}}
        """
    )
    text, everywhere = frozenset({Modality.TEXT}), frozenset(Stage)
    assert (policy.id, policy.version, policy.status, policy.owner) == ("house", 3, "shadow", "safety")
    assert (policy.description, policy.generators, policy.tenants) == ("All of it.", ("gan*",), ("shop", "bank"))
    assert policy.checks == (
        CheckSpec("pii", "pii", {"languages": ("en", "zh")}, 2000, Action.BLOCK, 1, everywhere, text),
        CheckSpec("tox", "toxicity", {"window_tokens": 64}, 700, Action.REVIEW, 2, frozenset({Stage.OUTPUT}), text),
    )
    (rule,) = policy.rules
    assert (rule.id, rule.title, rule.action, rule.category) == ("card", "Cards are masked", Action.REDACT, "privacy")
    assert (rule.basis_kind, rule.basis, rule.operator, rule.parameters) == (
        "contract",
        "PCI DSS",
        "mask",
        (("keep_last", "4"),),
    )
    assert rule.message == (("en", "Masked."), ("zh", "已遮盖。"))
    assert policy.marks == (MarkSpec("watermark", Modality.IMAGE, {"method": "rivaGan"}, Action.ALLOW),)
    where = AllOf((Attribute("tenant", ("shop",)), Clock(days=frozenset(range(5)))))
    assert policy.exceptions == (
        Exemption("pilot", ("card",), "privacy", "Pilot.", datetime(2027, 1, 1, tzinfo=UTC), where),
        Exemption("gone", ("card",), "privacy", "Over.", datetime(2020, 1, 31, 17, tzinfo=UTC)),
    )
    assert "tests" not in json.loads(policy.document)["rules"][0], (
        "examples decide nothing, so they are no part of the revision"
    )


def test_a_text_watermark_stands_alone_or_beside_one_for_images() -> None:
    """Its own line and parameters; what it cannot mark is allowed unless the policy says otherwise."""
    house = """
        policy: house
        version: 1
        checks: {tox: {use: toxicity}}
        rules: [{id: a, when: {tox.threat: 0.5}, action: block}]
        marks:
          watermark: {text: true}
        """
    plain = MarkSpec("text_watermark", Modality.TEXT, {}, Action.ALLOW)
    assert loads(house).marks == (plain,)
    both = house.replace("text: true", "text: true, image: true")
    assert set(map(repr, loads(both).marks)) == {repr(plain), repr(MarkSpec("watermark", Modality.IMAGE))}
    strict = house.replace("text: true", "text: {method: green_list, strength: high, on_unmarkable: block}")
    parameters = {"method": "green_list", "strength": "high"}
    assert loads(strict).marks == (MarkSpec("text_watermark", Modality.TEXT, parameters, Action.BLOCK),)


def test_marks_compile_to_one_line_a_marker_and_modality() -> None:
    """A label may be for texts and images; words for every language and words by language are one thing."""
    house = """
        policy: house
        version: 1
        checks: {tox: {use: toxicity}}
        rules: [{id: a, when: {tox.threat: 0.5}, action: block}]
        marks:
          c2pa: {on_unmarkable: review}
          metadata: [iptc, aigc]
          label: {profile: eu, position: start, text: Made by AI, on_unmarkable: allow}
        """
    policy = loads(house)
    label = {"position": "start", "profile": "eu", "text": {"*": "Made by AI"}}
    assert set(map(repr, policy.marks)) == {
        repr(one)
        for one in (
            MarkSpec("c2pa", Modality.IMAGE, {}, Action.REVIEW),
            MarkSpec("aigc", Modality.IMAGE),
            MarkSpec("aigc", Modality.TEXT),
            MarkSpec("iptc", Modality.IMAGE),
            MarkSpec("label", Modality.IMAGE, label, Action.ALLOW),
            MarkSpec("label", Modality.TEXT, label, Action.ALLOW),
        )
    }
    mixed = house.replace("[iptc, aigc]", "[aigc, iptc]").replace("text: Made by AI", "text: {'*': Made by AI}")
    assert loads(mixed).revision == policy.revision
    assert [
        spec.modality for spec in loads(house.replace("position: start", "modalities: [text]")).marks if spec.use == "label"
    ] == [Modality.TEXT]


def test_a_category_may_come_from_the_labels() -> None:
    """Where all labels that a rule asks for have one category, it need not be repeated."""
    policy = house(
        """
        - {id: a, when: {pii: any}, action: block}
        - {id: b, when: {any: [{toxicity.threat: 0.5}, {toxicity.severe_toxicity: 0.5}]}, action: block}
        - {id: c, when: {works: matched, not: {tenant: a}}, action: block}
        """
    )
    assert [rule.category for rule in policy.rules] == ["privacy", "violence", "intellectual_property"]


SPELLINGS = (
    HEAD
    + """\
  - id: one
    when: {tenant: a, pii: any}
    action: block
""",
    """\
# The same policy, written by somebody else.
rules: [{action: "block", when: {"pii": 'any', "tenant": "a"}, "id": one}]
version: 3
status: draft
applies_to: {tenants: ["*"]}
checks:
  works:
    bank: protected-works   # the bundled bank
    use: image_match
  pii: {languages: [en, zh], on_failure: block, use: pii, group: 1}
  toxicity: {use: toxicity, stages: [prompt, chunk, output], deadline_ms: 2000}
policy: house
""",
)


def test_spelling_does_not_change_the_revision() -> None:
    """Comments, quotation marks, the order of keys and written-out defaults mean nothing."""
    one, two = (loads(text) for text in SPELLINGS)
    assert one == two


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 3", "version: 4"),
        ("[en, zh]", "[zh, en]"),
        ("tenant: a", "tenant: b"),
        ("action: block", "action: review"),
        ("pii: any", "pii: PERSON"),
        ("use: toxicity", "use: toxicity, group: 2"),
        ("id: one", "id: one\n    message: {en: No.}"),
        ("id: one", "id: one\n    basis: {law: GDPR}"),
        ("rules:\n", "exceptions: [{id: x, rules: one, owner: o, reason: r, expires: 2026-12-31}]\nrules:\n"),
    ],
)
def test_meaning_does_change_the_revision(old: str, new: str) -> None:
    """Whatever may change a decision, or what is said of it, makes another revision."""
    assert loads(SPELLINGS[0]).revision != loads(SPELLINGS[0].replace(old, new)).revision


def test_the_spelling_of_a_number_does_not_change_the_revision() -> None:
    """A whole number given for a decimal parameter is that decimal."""
    one, two = (loads(SPELLINGS[0].replace("use: pii", f"use: pii, weight: {weight}")) for weight in ("1", "1.0"))
    assert one.revision == two.revision


def test_the_revision_of_a_known_policy_never_changes() -> None:
    """Ledgers name policies by it: a change here would orphan every decision made so far."""
    policy = loads(SPELLINGS[0])
    assert policy.document == (
        '{"applies_to":{"generators":["*"],"tenants":["*"]},"checks":{'
        '"pii":{"deadline_ms":2000,"group":1,"modalities":["text"],"on_failure":"block","parameters":{"languages":["en","zh"]},'
        '"stages":["chunk","output","prompt"],"use":"pii"},'
        '"toxicity":{"deadline_ms":2000,"group":1,"modalities":["text"],"on_failure":"block",'
        '"stages":["chunk","output","prompt"],"use":"toxicity"},'
        '"works":{"deadline_ms":2000,"group":1,"modalities":["image"],"on_failure":"block",'
        '"parameters":{"bank":"protected-works"},"stages":["chunk","output","prompt"],"use":"image_match"}},'
        '"format":1,"policy":"house","rules":[{"action":"block","category":"privacy","id":"one","when":{"all":['
        '{"attribute":"tenant","patterns":["a"]},{"check":"pii","found":[]}]}}],"status":"draft","version":3}'
    )
    assert policy.revision == "a9111b61f8e71197d999676e7ff05619becc684d77eccbf173cef8013f04c2da"


def test_a_document_compiles_again_without_its_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old decisions re-derive after a check was renamed or removed."""
    from guard.registry import checks

    policy = load("enterprise")
    monkeypatch.setattr(checks, "factory", None)
    again = from_document(policy.document)
    assert again == policy
    assert again.revision == policy.revision


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{}",
        "[]",
        "null",
        "5",
        "not json",
        '{"format":2}',
        '{"format":1}',
        '{"format": 1}',
        "[" * 5000,
        '{"applies_to":{"generators":["*"],"tenants":["*"]},"checks":[],"format":1,"policy":"a","rules":[],"status":"live","version":1}',
    ],
)
def test_what_is_no_document_is_refused(document: str) -> None:
    """Nothing is guessed from a text that no policy compiled to."""
    with pytest.raises(PolicyError):
        from_document(document)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"action":"block"', '"action":"ban"'),
        ('"found":[]', '"fond":[]'),
        ('"stages":["chunk"', '"stages":["chunks"'),
        ('"version":3', '"version": 3'),
        ('"version":3', '"version":"three"'),
        ('{"all":[', '{"none":['),
    ],
)
def test_a_changed_document_is_refused_or_another_revision(old: str, new: str) -> None:
    """A document that was tampered with never passes for the original."""
    policy = loads(SPELLINGS[0])
    assert old in policy.document
    with pytest.raises(PolicyError):
        from_document(policy.document.replace(old, new))


def test_anchors_and_aliases_stand_for_their_values() -> None:
    """YAML's own way to say something once."""
    policy = house(
        """
        - {id: a, when: &when {pii: any, tenant: a}, action: block}
        - {id: b, when: {any: [*when, {tenant: b}]}, action: block, category: privacy}
        """
    )
    assert policy.rules[1].when == AnyOf((policy.rules[0].when, Attribute("tenant", ("b",))))


def test_packs_load_by_name_and_files_by_path(tmp_path) -> None:
    """The same text is the same policy wherever it lies."""
    from policies.load import PACKS

    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (PACKS / "enterprise.yaml").read_bytes())
    assert "enterprise" in packs()
    assert load(path) == load(str(path)) == load("enterprise")


@pytest.mark.parametrize("name", ["enterprize", "no/such/file.yaml", "../packs/enterprise", ".", ""])
def test_a_policy_that_is_not_there_is_a_policy_error(name: str) -> None:
    """With the packs that there are."""
    with pytest.raises(PolicyError) as raised:
        load(name)
    assert "enterprise" in raised.value.diagnostics()


def test_canonical_json_has_one_spelling() -> None:
    """Sorted, compact, unescaped."""
    assert canonical({"b": 1, "a": "该"}) == '{"a":"该","b":1}'


def test_previews_are_looked_at_by_the_checks_of_their_rules() -> None:
    """Other checks of images do not run on previews; those of texts, and a policy without the key, stay as they were."""
    rules = """
    - {id: threat, when: {toxicity.threat: 0.6}, action: block, category: violence}
    - {id: work, when: {works: matched}, action: block}
    """
    plain = house(rules)
    head = HEAD.replace("rules:", "  logos: {use: image_match, bank: logos}\npreviews: {rules: [work]}\nrules:")
    looked = loads(head + textwrap.indent(textwrap.dedent(rules), "  "))
    assert plain.previews is None
    assert "previews" not in json.loads(plain.document)
    assert looked.previews == Previews(("work",), 5)
    assert from_document(looked.document) == looked
    stages = {spec.name: spec.stages for spec in looked.checks}
    assert stages == dict.fromkeys(("toxicity", "pii", "works"), frozenset(Stage)) | {
        "logos": frozenset({Stage.PROMPT, Stage.OUTPUT})
    }
