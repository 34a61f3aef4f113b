"""Suites test a whole policy: what it decides, which rules fire, what is edited and what leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from guard.errors import PolicyError
from policies import open_policy, packs, suite_schema, testing
from policies.load import PACKS
from policies.testing import Report, find_suites, open_suite
from tests.policies.measuring import picture

pytestmark = pytest.mark.usefixtures("measuring")

POLICY = """\
policy: shop
version: 3
applies_to: {generators: ["*"], tenants: [shop, "studio-*"]}
checks:
  tone:
    use: word_scores
    scores:
      threat: {kill: 620, hurt: 590}
      insult: {idiot: 900}
      EMAIL: {ann@example.com: 1000, bob@example.com: 1000}
  pictures: {use: red_things}
rules:
  - id: threat
    when: {tone.threat: 0.6}
    action: block
    message: {en: No threats., zh: 不可威胁。}
  - id: insult
    when: {tone.insult: 0.5, stage: output}
    action: review
  - id: email
    when: {tone: EMAIL}
    action: redact
    with: {operator: pseudonymise}
  - id: word
    when: {tone: insult, stage: prompt}
    action: redact
    with: {operator: mask}
  - id: red
    when: {pictures: red}
    action: redact
    with: {operator: fill}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy and pictures."""
    (tmp_path / "shop.yaml").write_text(POLICY)
    picture(tmp_path / "red.png")
    picture(tmp_path / "white.png", None)
    return tmp_path


def suite(folder: Path, tests: str, policy: str = POLICY) -> Report:
    """Run the suite beside the policy with tests in YAML's flow style."""
    (folder / "shop.yaml").write_text(policy)
    (folder / "shop_test.yaml").write_text(f"policy: shop.yaml\ntests:\n{tests}\n")
    return testing.run(open_policy(folder / "shop.yaml"))


def one(folder: Path, given: str, expect: str, context: str = "{}", policy: str = POLICY) -> tuple[str, str]:
    """Outcome and explanation of one test."""
    (result,) = suite(folder, f"  - {{name: it, given: {given}, context: {context}, expect: {expect}}}", policy).results
    return result.outcome.value, "\n".join(result.why)


PASSING = {
    "an action": ("Hello", "{action: allow}", "{}"),
    "no rule": ("Hello", "{action: allow, rules: []}", "{}"),
    "a rule": ("I will kill you", "{action: block, rules: [threat]}", "{}"),
    "several rules": ("kill that idiot", "{action: block, rules: [threat, insult]}", "{}"),
    "some of the rules": ("kill that idiot", "{fires: [insult], not: [email]}", "{}"),
    "a message": ("kill", "{message: {en: No threats., zh: 不可威胁。}}", "{}"),
    "a stage": ("idiot", "{action: redact, rules: [word]}", "{stage: prompt}"),
    "a prompt alone": ("{prompt: idiot}", "{action: redact, rules: [word]}", "{}"),
    "a tenant": ("Hello", "{action: allow}", "{tenant: studio-north, generator: gan, language: zh}"),
    "what leaves": ("ann@example.com, ann@example.com", "{released: '{any}, {any}'}", "{}"),
    "nothing changed": ("Hello", "{released: Hello, edits: []}", "{}"),
    "edits": (
        "ann@example.com or bob@example.com",
        "{edits: [{rule: email}, {text: ann@example.com, label: EMAIL, span: [0, 15]}]}",
        "{}",
    ),
    "an image": ("{image: white.png}", "{action: allow, rules: []}", "{}"),
    "an edit of an image": ("{image: red.png}", "{edits: [{rule: red, region: [8, 8, 16, 16]}]}", "{}"),
    "prompt and reply": ("{prompt: Hello, reply: idiot}", "{action: review, rules: [insult], prompt: {rules: []}}", "{}"),
    "a prompt that is edited": ("{prompt: idiot, reply: Hi}", "{rules: [], prompt: {released: '*****'}}", "{}"),
    "a prompt that is withheld": ("{prompt: kill, reply: Hi}", "{action: block, rules: [threat]}", "{}"),
    "a picture in reply": ("{prompt: Draw, reply: {image: red.png}}", "{action: redact, rules: [red]}", "{}"),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_is_so_passes(folder: Path, case: str):
    """Everything that a suite can say."""
    given, expect, context = PASSING[case]
    given = given if given.startswith("{") else f'"{given}"'
    assert one(folder, given, expect, context) == ("passed", "")


FAILING = {
    "an action": ("idiot", "{action: allow}", "expected action allow, found review: Held for review. Rule insult: "),
    "a rule that is missing": ("hurt", "{rules: [threat]}", "expected threat to fire; tone.threat is 0.59, needs 0.60"),
    "a rule too many": ("idiot", "{rules: []}", "expected insult not to fire; tone.insult is 0.90, 0.40 over 0.50"),
    "an unwanted rule": ("idiot", "{not: [insult]}", "expected insult not to fire; "),
    "another message": ("kill", "{message: {en: Stop.}}", "expected message in en: 'Stop.', found 'No threats.'"),
    "no message": ("kill", "{message: {de: Halt.}}", "expected message in de: 'Halt.', found 'none'"),
    "another text": (
        "Write to ann@example.com",
        "{released: 'Write to {any}!'}",
        "expected 'Write to {any}!'\nreleased 'Write to {any}'",
    ),
    "a text that is withheld": ("kill", "{released: kill}", "expected 'kill' to be released; Blocked. Rule threat: "),
    "an edit that is missing": (
        "Write to ann@example.com",
        "{edits: [{rule: word}]}",
        "expected an edit with rule 'word'; found email EMAIL 'ann@example.com' at 9 to 24",
    ),
    "an edit too many": (
        "ann@example.com bob@example.com",
        "{edits: [{rule: email}]}",
        "expected no further edit; found email EMAIL 'bob@example.com' at 16 to 31",
    ),
    "an edit elsewhere": (
        "{image: red.png}",
        "{edits: [{region: [0, 0, 8, 8]}]}",
        "expected an edit with region [0, 0, 8, 8]; found red red at 8, 8 to 16, 16",
    ),
    "the prompt": (
        "{prompt: idiot, reply: Hi}",
        "{action: allow, prompt: {action: allow}}",
        "prompt: expected action allow, found redact",
    ),
    "a prompt that is withheld": (
        "{prompt: kill, reply: Hi}",
        "{action: allow}",
        "the prompt was withheld, so there is no reply\nexpected action allow, found block",
    ),
}


@pytest.mark.parametrize("case", FAILING)
def test_what_is_not_so_fails_with_what_was_found(folder: Path, case: str):
    """And why: scores, rules, edits."""
    given, expect, why = FAILING[case]
    outcome, found = one(folder, given if given.startswith("{") else f'"{given}"', expect)
    assert outcome == "failed"
    assert why in found


def test_images_that_are_missing_are_errors(folder: Path):
    """The suite is fine, and so is the policy."""
    assert one(folder, "{image: none.png}", "{action: allow}") == (
        "error",
        f"{folder}/none.png cannot be read: No such file or directory",
    )


def test_a_path_that_cannot_be_one_is_an_error(folder: Path):
    """No name of a file."""
    assert "no name of a file" in one(folder, '{image: "a\\0b"}', "{action: allow}")[1]


def test_every_check_of_the_policy_has_to_run(folder: Path):
    """What it would have found might change the verdict."""
    policy = POLICY.replace("pictures: {use", "other: {use: word_scores, scores: {x: {x: 1}}, trouble: none}\n  pictures: {use")
    policy += "  - {id: odd, when: {other: any}, action: review}\n"
    outcome, why = one(folder, "Hello", "{action: allow}", policy=policy)
    assert outcome == "error"
    assert why == "the check could not run: other: failed: could not be loaded: ModelError: none"


def test_the_suite_beside_the_file_is_found(folder: Path):
    """`shop_test.yaml` beside `shop.yaml`; its results come after those of the examples."""
    policy = POLICY.replace("    message:", "    tests: [{flags: kill}]\n    message:")
    report = suite(folder, "  - {name: A greeting, given: Hello, expect: {action: allow}}", policy)
    assert [(result.kind, result.rule, result.name) for result in report.results] == [
        ("flags", "threat", "threat flags 'kill'"),
        ("suite", "", "A greeting"),
    ]
    assert str(report.results[1].at) == f"{folder}/shop_test.yaml:3:5"
    loaded = open_policy(folder / "shop.yaml")
    assert find_suites(loaded)[0].loaded is loaded
    assert [result.name for result in testing.run(loaded, suites=()).results] == ["threat flags 'kill'"]


def test_a_suite_opens_its_policy(folder: Path):
    """A file beside it, or a pack."""
    suite(folder, "  - {name: it, given: Hello, expect: {action: allow}}")
    assert open_suite(folder / "shop_test.yaml").loaded.policy.id == "shop"
    (folder / "pack_test.yaml").write_text("policy: enterprise\ntests: [{name: it, given: Hello, expect: {action: allow}}]\n")
    assert open_suite(folder / "pack_test.yaml").loaded.policy.id == "enterprise"
    pack = open_policy("enterprise")
    assert open_suite(folder / "pack_test.yaml", [pack]).loaded is pack


TEST = "  - {name: it, given: Hello, expect: {action: allow}}"
MISTAKES = {
    "a name that is too long": ("policy: shop.yaml", f"policy: {'x' * 400}", "1:1: found policy 'xxx"),
    "another policy": ("policy: shop.yaml", "policy: other.yaml", "1:1: found policy 'other.yaml', which is no file beside"),
    "unknown key": ("name: it", "nam: it", "3:6: found unknown key 'nam', expected one of: name, given, context, expect"),
    "no expectation": ("{action: allow}", "{}", "3:38: found nothing that is expected"),
    "unknown action": ("allow}", "alow}", "did you mean 'allow'?"),
    "unknown rule": ("{action: allow}", "{rules: [thread]}", "3:47: found unknown rule 'thread', expected one of: threat, "),
    "rule of an edit": ("{action: allow}", "{edits: [{rule: wrd}]}", "found unknown rule 'wrd'"),
    "a number": (
        "given: Hello",
        "given: 5",
        "3:23: found 5, expected a text, `{image: FILE}`, or `{prompt: TEXT, reply: TEXT}`",
    ),
    "two contents": ("given: Hello", "given: {text: a, image: b}", "found 'text' and 'image', expected one of"),
    "no content": ("given: Hello", "given: {}", "found no content, expected one of: text, image, prompt"),
    "a reply alone": ("given: Hello", "given: {reply: Hi}", "found no content"),
    "a reply to a text": ("given: Hello", "given: {text: Hi, reply: Hi}", "found 'reply' without 'prompt'"),
    "a stage of a prompt": ("given: Hello", "given: {prompt: Hi}, context: {stage: output}", "found 'stage' for a prompt"),
    "a foreign tenant": ("given: Hello", "given: Hi, context: {tenant: acme}", "found tenant 'acme', expected a tenant that"),
    "no time": ("given: Hello", "given: Hi, context: {time: noon}", "found 'noon' for 'time', expected a time such as"),
    "no zone": ("given: Hello", "given: Hi, context: {time: '2026-01-01T10:00:00'}", "expected its distance from UTC"),
    "a contradiction": ("{action: allow}", "{rules: [threat], not: [threat]}", "which is expected to fire as well"),
    "another": ("{action: allow}", "{rules: [], fires: [threat]}", "which 'rules' does not have"),
    "released and blocked": ("{action: allow}", "{action: block, released: Hi}", "'released' with action 'block'"),
    "message and allowed": ("{action: allow}", "{action: allow, message: {en: Hi}}", "'message' with action 'allow'"),
    "region of a text": (
        "{action: allow}",
        "{edits: [{region: [0, 0, 1, 1]}]}",
        "found 'region' for a text, expected `text` or",
    ),
    "span of an image": (
        "given: Hello, expect: {action: allow}",
        "given: {image: red.png}, expect: {edits: [{span: [0, 1]}]}",
        "found 'span' for an image, expected `region`",
    ),
    "text of an image": (
        "given: Hello, expect: {action: allow}",
        "given: {image: red.png}, expect: {released: Hi}",
        "found 'released' for an image",
    ),
    "prompt without reply": ("{action: allow}", "{prompt: {action: allow}}", "found 'prompt' under 'expect' without a reply"),
    "a name twice": (TEST, f"{TEST}\n{TEST}", "4:6: found a test named 'it' a second time, expected another; line 3 has it"),
    "no tests": (f"tests:\n{TEST}", "tests: []", "2:8: found an empty list for 'tests', expected at least one entry"),
    "no YAML": ("tests:", "tests: [", "found what is no YAML"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named_with_their_place(folder: Path, case: str):
    """As those of policies are: file, line, column, found, expected."""
    old, new, message = MISTAKES[case]
    file = folder / "shop_test.yaml"
    text = f"policy: shop.yaml\ntests:\n{TEST}\n"
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(PolicyError) as caught:
        open_suite(file)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{file}:")


def test_a_suite_beside_a_policy_is_about_it(folder: Path):
    """A copied suite that was not adapted would test something else."""
    (folder / "other.yaml").write_text(POLICY)
    (folder / "shop_test.yaml").write_text(f"policy: other.yaml\ntests:\n{TEST}\n")
    with pytest.raises(PolicyError, match=r"found policy 'other\.yaml', expected 'shop\.yaml', which this file is beside"):
        testing.run(open_policy(folder / "shop.yaml"))


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_files_that_are_none_are_refused(folder: Path, content: bytes | None):
    """With their name."""
    if content is not None:
        (folder / "bad_test.yaml").write_bytes(content)
    with pytest.raises(PolicyError, match=r"bad_test\.yaml"):
        open_suite(folder / "bad_test.yaml")


# --- the schema --------------------------------------------------------------------------------------------------------


def test_the_published_json_schema_is_current():
    """`python -m policies.suite_schema` writes it."""
    assert json.loads(suite_schema.FILE.read_text("utf-8")) == suite_schema.json_schema()


def test_every_key_has_a_description_and_an_example():
    """Editors show both beside the completion; each example is valid where it stands."""
    schema = suite_schema.json_schema()
    for holder in (schema, *schema["$defs"].values()):
        for name, field in holder["properties"].items():
            assert field["description"], name
            for example in field["examples"]:
                jsonschema.validate(example, {"$defs": schema["$defs"], **field})


@pytest.mark.parametrize("case", PASSING)
def test_an_independent_validator_accepts_what_loads(case: str):
    """Everything that a suite can say."""
    given, expect, context = PASSING[case]
    given = given if given.startswith("{") else f'"{given}"'
    test = yaml.safe_load(f"{{name: it, given: {given}, context: {context}, expect: {expect}}}")
    jsonschema.validate({"policy": "shop.yaml", "tests": [test]}, suite_schema.json_schema())


def test_suites_are_no_packs():
    """They lie beside them."""
    assert not [name for name in packs() if name.endswith("_test")]
    assert {path.stem for path in PACKS.glob("*.yaml")} >= set(packs())


@pytest.mark.timeout(600)
def test_the_page_explains_suites_and_its_example_passes(folder: Path, real_parts: None):
    """Every key stands there as code; the example is a suite of the page's policy."""
    page = (Path(__file__).parents[2] / "docs" / "policy.md").read_text("utf-8")
    schema = suite_schema.json_schema()
    keys = {key for holder in (schema, *schema["$defs"].values()) for key in holder["properties"]}
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
    (whole, *_) = re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (example,) = re.findall(r"^```yaml suite\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (folder / "shop.yaml").write_text(whole)
    (folder / "shop_test.yaml").write_text(example)
    report = testing.run(open_policy(folder / "shop.yaml"))
    assert [result.why for result in report.results if result.why] == []
    assert report.ok
