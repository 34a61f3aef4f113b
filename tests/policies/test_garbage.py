"""Whatever a policy file contains, loading it ends in a policy or in a PolicyError."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.errors import PolicyError
from policies import from_document, loads, open_policy
from policies.load import PACKS
from policies.mistake import Mistakes
from policies.source import read

PACK = (PACKS / "enterprise.yaml").read_text("utf-8")
RICH = """\
policy: rich
version: 1
extends: enterprise
remove: {rules: [insult, prompt-injection], checks: [injection], marks: [metadata]}
applies_to: {tenants: [$partners, shop]}
lists:
  cards: [CREDIT_CARD, $more]
  more: [IBAN_CODE]
  partners: [acme, "beta*"]
checks:
  toxicity: {override: true, deadline_ms: 900}
  mine: {use: pii, allow: $partners, deny: {PROJECT: [$more, $$x]}}
rules:
  - id: threat
    override: true
    when: {toxicity.threat: {en: 0.6, zh: 0.5, "*": 0.6}, length: {at_least: 2, below: 9000}}
    basis: {law: GDPR}
  - id: own
    when:
      mine: $cards
      any: [{tenant: $partners}, {not: {language: en}}]
      time: {since: 2026-01-01, until: 2027-01-01T00:00:00+01:00, days: [mon-fri, sun], hours: 18:00-08:00, zone: Asia/Shanghai}
    action: label
exceptions:
  - {id: pilot, rules: [own, threat], when: {tenant: $partners, length: {below: 5}}, owner: me, reason: y, expires: 2026-12-31}
marks:
  label: {profile: eu, apply: rules}
"""
WORDS = [
    *sorted(set(re.findall(r"[\w.*$:+-]+", PACK + RICH))),
    *(
        "[",
        "[z-a]",
        "any",
        "not",
        "all",
        "keep_last",
        "$",
        "$$",
        "$a",
        "9999-12-31",
        "0001-01-01T00:00:00+23:59",
        "24:00-00:00",
    ),
]
RELAXED = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def _loads(text: str | bytes) -> None:
    try:
        policy = loads(text, file="fuzz.yaml")
    except PolicyError as error:
        message = str(error)
    else:
        assert from_document(policy.document) == policy
        return
    assert message.startswith(("fuzz.yaml:", f"{PACKS}"))
    assert message.encode("utf-8")


def test_the_policies_that_are_damaged_here_are_sound() -> None:
    """Else their damage would teach nothing."""
    assert loads(PACK).rules
    assert loads(RICH).exceptions


@RELAXED
@given(st.text())
def test_random_text_never_breaks_loading(text: str) -> None:
    """Text of any characters."""
    _loads(text)


@RELAXED
@given(st.binary())
def test_random_bytes_never_break_loading(data: bytes) -> None:
    """Bytes of any encoding."""
    _loads(data)


@RELAXED
@given(st.text(alphabet="abc:-{}[]&*!?|>'\"%#@`~<, \n\t\\u0D8U1.", max_size=60))
def test_yaml_syntax_never_breaks_loading(text: str) -> None:
    """YAML's own special characters, thrown together."""
    _loads(text)


@RELAXED
@given(
    st.sampled_from([PACK, RICH]),
    st.integers(0, len(PACK)),
    st.integers(0, 40),
    st.text(alphabet="ab:-{}[]&*!'\"#\n \\$0", max_size=6) | st.text(max_size=4),
)
def test_a_damaged_policy_never_breaks_loading(whole: str, start: int, length: int, put: str) -> None:
    """A real policy with a piece cut out and something else put in."""
    start %= len(whole)
    _loads(whole[:start] + put + whole[start + length :])


@RELAXED
@given(st.data())
def test_a_policy_with_lines_moved_or_indented_never_breaks_loading(data: st.DataObject) -> None:
    """What happens to a file in an editor: lines twice, lines gone, lines in another place or at another depth."""
    lines = data.draw(st.sampled_from([PACK, RICH])).splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = lines.pop(at)
        moved = data.draw(st.sampled_from([[], [line, line], [f"  {line}"], [line.removeprefix("  ")]]))
        to = data.draw(st.sampled_from([at, data.draw(st.integers(0, len(lines)))]))
        lines[to:to] = moved
    _loads("\n".join(lines))


@RELAXED
@given(st.data())
def test_a_policy_with_any_value_in_any_place_never_breaks_loading(data: st.DataObject) -> None:
    """A real policy in which one value is another one."""
    root = read(data.draw(st.sampled_from([PACK, RICH])), Mistakes("fuzz"))
    assert root is not None
    tree = place = root.plain()
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(trees)
        break
    _loads(yaml.safe_dump(tree, allow_unicode=True))


@RELAXED
@given(
    parents=st.lists(
        st.sampled_from(["a", "b", "c", "./a.yaml", "b.yaml", "c.yaml", "/", ""]) | st.text(max_size=4), max_size=4
    )
)
def test_files_that_extend_one_another_in_any_way_never_break_loading(parents: list[str], tmp_path: Path) -> None:
    """In circles, in fans, or from files that are not there."""
    for name, start in zip("abc", (0, 1, 2), strict=True):
        named = [*parents[start:], *parents[:start]]
        text = f"policy: x\nversion: 1\nlists: {{{name}: [x]}}\nextends: {json.dumps(named)}\n"
        (tmp_path / f"{name}.yaml").write_text(text, "utf-8", "surrogatepass")
    with pytest.raises(PolicyError, match=re.escape(str(tmp_path))):
        open_policy(tmp_path / "a.yaml")  # none of them has checks and rules
