"""Begins a policy: the text of a pack, changed by a few answers.

The pack's own text is edited, not a value written back, so that its comments and its order stay. What the answers leave out
(checks, rules, examples, languages of messages) is cut; what they change is changed where it stands. The outcome loads, or
nothing is made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from guard.errors import InputError, RegistryError
from guard.registry import checks
from guard.rules import CheckSpec, Rule
from guard.types import Action, Modality
from policies.coverage import checks_of
from policies.load import PACKS, open_policy, packs, read_policy
from policies.loaded import LoadedPolicy
from policies.pack_text import ALLOWED, PackText
from policies.schema import NAME

STRICTNESS = ("low", "medium", "high")
"""How readily models' scores make a rule fire. `medium` is what the pack says."""
ON_PERSONAL_DATA = ("redact", "block", "review")
LABELS = ("gb45438", "eu", "plain", "none")
JUDGED = frozenset({Modality.TEXT, Modality.IMAGE})
"""What can be asked for: no pack has a check that reads audio."""
READ = ("en", "zh")
"""Languages in which the bundled models read abuse and names."""
SCORED = ("toxicity", "prompt_injection")
"""Checks whose thresholds follow the strictness: their scores are a model's guess."""

_SHIFT = 0.3
"""The share of the way to 1 (`low`) or to 0 (`high`) that a threshold moves."""
_HELD = {
    Action.BLOCK: {
        "en": "This text was withheld because it holds personal data.",
        "zh": "该内容含有个人信息，已被拦截。",
        "de": "Dieser Text wurde zurückgehalten, weil er personenbezogene Daten enthält.",
        "fr": "Ce texte a été retenu parce qu'il contient des données personnelles.",
    },
    Action.REVIEW: {
        "en": "This text waits for a person, because it holds personal data.",
        "zh": "该内容含有个人信息，正在等待人工审核。",
        "de": "Dieser Text wartet auf eine Prüfung durch einen Menschen, weil er personenbezogene Daten enthält.",
        "fr": "Ce texte attend l'examen d'une personne, car il contient des données personnelles.",
    },
}
_VERBS = {Action.REDACT: "is replaced", Action.BLOCK: "is blocked", Action.REVIEW: "waits for a person"}


@dataclass(frozen=True, slots=True)
class Answers:
    """What an author says of a policy to be. None: as the pack has it."""

    pack: str = "enterprise"
    name: str = "house"
    owner: str = "trust-and-safety"
    languages: tuple[str, ...] | None = None
    """ISO 639-1 codes, the main one first; `en` or `zh` among them."""
    modalities: frozenset[Modality] | None = None
    on_personal_data: Action | None = None
    strictness: str = "medium"
    label: str | None = None
    """A profile of visible labels, or `none`."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What a pack leaves to be asked."""

    modalities: frozenset[Modality]
    """What its checks read."""
    languages: tuple[str, ...]
    personal_data: bool
    """Whether it has rules on personal data."""
    scores: bool
    """Whether it has thresholds for scores of models."""
    label: str


def questions(pack: str) -> Questions:
    """What can be asked about a pack. Raises InputError for a name that is none."""
    loaded = _opened(pack)
    policy = loaded.policy
    uses = {spec.name: spec.use for spec in policy.checks}
    label = next((str(mark.parameters["profile"]) for mark in policy.marks if mark.use == "label"), "none")
    languages: list[str] = next((list(spec.parameters["languages"]) for spec in policy.checks if spec.use == "pii"), [*READ])
    return Questions(
        frozenset(modality for spec in policy.checks for modality in spec.modalities),
        tuple(languages),
        any(_personal(rule) for rule in policy.rules),
        any(uses[check] in SCORED for rule in policy.rules for check in checks_of(rule.when)),
        label,
    )


def write(answers: Answers, *, file: str = "policy.yaml") -> str:
    """The text of a new policy, which loads; `file` names it in messages.

    Raises InputError for answers that the pack cannot follow, and for a pack that does not exist.
    """
    loaded = _opened(answers.pack)
    _refuse_impossible(answers, questions(answers.pack))
    text = PackText((PACKS / f"{answers.pack}.yaml").read_text("utf-8"), loaded.root)
    kept = _cut(answers, loaded, text)
    if answers.strictness != "medium":
        _move_thresholds(answers.strictness, loaded, text)
    for rule in kept:
        _fit(rule, answers, loaded, text)
    wanted = answers.modalities or questions(answers.pack).modalities
    checks = text.checks()
    if not wanted >= JUDGED and not checks[0].startswith(ALLOWED):
        checks.insert(0, f"{ALLOWED} unread-stage - it judges {' and '.join(wanted)} alone; anything else is blocked")
    made = "\n".join([*_head(answers, text), "", *checks, "", *text.rules(), *_marks(wanted, answers.label, text), ""])
    read_policy(made, file=file)
    return made


def _quoted(text: str) -> str:
    """A text as YAML, bare where nothing in it could be read as something else."""
    bare = re.fullmatch(r"[^\W\d_][\w ,.'()，。-]*", text) and not text.endswith(" ")
    return text if bare and text.lower() not in ("true", "false", "null") else json.dumps(text, ensure_ascii=False)


@cache
def _opened(pack: str) -> LoadedPolicy:
    if pack not in packs():
        raise InputError(f"found no pack {pack!r}, expected one of: {', '.join(packs())}")
    return open_policy(pack)


def _refuse_impossible(answers: Answers, asked: Questions) -> None:
    if not re.fullmatch(NAME, answers.name):
        raise InputError(
            f"found the name {answers.name!r}, expected at most 64 lower-case letters, digits, '-' and '_', a letter first"
        )
    if not answers.owner.strip() or "\n" in answers.owner:
        raise InputError("found no owner, expected a line that says who answers for the policy")
    if answers.languages is not None and not set(answers.languages) & set(READ):
        raise InputError(
            f"found languages {', '.join(answers.languages) or 'none'}, expected {' or '.join(READ)} among them: the bundled "
            "models read abuse and names in these"
        )
    wanted = asked.modalities if answers.modalities is None else answers.modalities
    if not wanted <= asked.modalities or not wanted:
        found = " and ".join(sorted(wanted - asked.modalities)) or "nothing"
        raise InputError(
            f"found {found} to judge, expected {' or '.join(sorted(asked.modalities))}: no check of the pack {answers.pack!r} "
            "reads anything else, and what no check reads is blocked"
        )
    if answers.strictness not in STRICTNESS:
        raise InputError(f"found strictness {answers.strictness!r}, expected one of: {', '.join(STRICTNESS)}")
    if answers.label is not None and answers.label not in LABELS:
        raise InputError(f"found label {answers.label!r}, expected one of: {', '.join(LABELS)}")
    if Modality.TEXT not in wanted:
        asked_in_vain = [answers.on_personal_data is not None, answers.strictness != "medium", answers.languages is not None]
    else:
        asked_in_vain = [
            answers.on_personal_data is not None and not asked.personal_data,
            answers.strictness != "medium" and not asked.scores,
            False,
        ]
    for vain, what in zip(asked_in_vain, ("rule on personal data", "threshold of a model", "check of texts"), strict=True):
        if vain:
            raise InputError(f"found an answer about what is not there, expected none: this policy has no {what}")


def _personal(rule: Rule) -> bool:
    return rule.category == "privacy"


def _cut(answers: Answers, loaded: LoadedPolicy, text: PackText) -> list[Rule]:
    """Cut checks that read nothing of what is judged, and rules that ask nothing else; the rules that stay."""
    policy, kept = loaded.policy, []
    reads = {spec.name: spec.modalities for spec in policy.checks}
    wanted = answers.modalities or JUDGED
    for spec in policy.checks:
        if not spec.modalities & wanted:
            text.cut_check(spec.name)
        elif spec.use == "pii" and answers.languages is not None:
            text.replace_in_check(spec.name, r"languages: \[[^]]*\]", f"languages: [{', '.join(answers.languages)}]")
            text.keep_labels(spec.name, _known(spec, answers.languages))
    for rule in policy.rules:
        if any(reads[check] & wanted for check in checks_of(rule.when)):
            kept.append(rule)
        else:
            text.cut_rule(rule.id)
    return kept


def _known(spec: CheckSpec, languages: tuple[str, ...]) -> frozenset[str]:
    """What the check can report when it is told other languages. Raises InputError for one that it does not know."""
    try:
        return frozenset(checks.make(spec.use, {**spec.parameters, "languages": languages}).labels)
    except RegistryError as error:
        raise InputError(f"found languages that check {spec.name!r} does not know: {error}") from None


def moved(threshold: float, strictness: str) -> float:
    """A threshold as another strictness has it, to two decimals."""
    shifted = {"low": threshold + (1 - threshold) * _SHIFT, "medium": threshold, "high": threshold * (1 - _SHIFT)}
    return round(shifted[strictness], 2)


def _move_thresholds(strictness: str, loaded: LoadedPolicy, text: PackText) -> None:
    scored = {spec.name for spec in loaded.policy.checks if spec.use in SCORED}
    for key, node in text.numbers():
        if key.partition(".")[0] in scored:
            text.put(node.at, f"{moved(node.value, strictness):.2f}")


def _fit(rule: Rule, answers: Answers, loaded: LoadedPolicy, text: PackText) -> None:
    """Give one rule the languages and the action that were asked for."""
    _leave_pictures(rule, loaded, text)
    if answers.languages is not None:
        text.keep_messages(rule.id, answers.languages)
        _keep_examples(rule, answers.languages, loaded, text)
    if answers.on_personal_data is not None and _personal(rule) and rule.action is not answers.on_personal_data:
        _react(rule, answers.on_personal_data, answers.languages or READ, text)
        for test in loaded.tests:
            if test.rule == rule.id and test.expects == "redacts":
                text.cut_example(test.at)


def _leave_pictures(rule: Rule, loaded: LoadedPolicy, text: PackText) -> None:
    """Cut examples that are images: their files lie beside the pack."""
    tests = [test for test in loaded.tests if test.rule == rule.id]
    pictures = [test for test in tests if test.image is not None]
    if pictures and len(pictures) == len(tests):
        text.cut_keys(rule.id, "tests")
    else:
        for test in pictures:
            text.cut_example(test.at)


def _keep_examples(rule: Rule, languages: Iterable[str], loaded: LoadedPolicy, text: PackText) -> None:
    """Cut examples in other languages, unless a rule would be left without one of that kind."""
    spoken = {language == "zh" for language in languages}
    for kind in ("flags", "passes", "redacts"):
        tests = [test for test in loaded.tests if test.rule == rule.id and test.expects == kind and test.image is None]
        fitting = [test for test in tests if _chinese(test.text) in spoken]
        for test in tests if fitting or kind == "redacts" else ():
            if test not in fitting:
                text.cut_example(test.at)


def _chinese(text: str) -> bool:
    return re.search(r"[\u4e00-\u9fff]", text) is not None


def _react(rule: Rule, action: Action, languages: Iterable[str], text: PackText) -> None:
    told = {language: words for language, words in _HELD.get(action, {}).items() if language in languages}
    text.cut_keys(rule.id, "with", "message")
    what = "" if rule.id == "personal-data" else f" ({rule.id.replace('-', ' ')})"
    text.put_key(rule.id, "title", _quoted(f"Personal data {_VERBS[action]}{what}"))
    text.put_key(rule.id, "action", action.value)
    if action is Action.REDACT:
        text.add_after(rule.id, "action", ["    with: {operator: replace}"])
    else:
        text.add_after(rule.id, "action", ["    message:", *(f"      {key}: {_quoted(words)}" for key, words in told.items())])


def _head(answers: Answers, text: PackText) -> list[str]:
    facts = {
        "languages": ", ".join(answers.languages or ()),
        "what is judged": ", ".join(sorted(answers.modalities or ())),
        "personal data": answers.on_personal_data.value if answers.on_personal_data else "",
        "strictness": answers.strictness,
        "label": answers.label or "",
    }
    said = "; ".join(f"{key}: {value}" for key, value in facts.items() if value)
    unread = [language for language in answers.languages or () if language not in READ]
    lines = [
        "# yaml-language-server: $schema=policy.schema.json",
        "#",
        f"# Begun from the pack `{answers.pack}`. {said[:1].upper()}{said[1:]}.",
        "# `genguard policy schema > policy.schema.json` beside this file lets editors explain and complete its keys.",
        "# docs/policy.md explains every key. Change what you like; `version` counts up with each change that you roll out.",
    ]
    if unread:
        lines += [
            f"# For {', '.join(unread)} numbers and addresses are found, but no bundled model reads abuse: name one under",
            "# `use: classifier` or `use: moderation_endpoint`.",
        ]
    if answers.label == "gb45438" and "aigc" not in text.marks().get("metadata", ()):
        lines += [
            "# GB 45438 also asks for the implicit label: `metadata: [aigc]`, which needs GENGUARD_CONTENT_PRODUCER.",
        ]
    lines += ["#", f"# What the pack `{answers.pack}` says of itself, before these answers:", *text.comment()]
    return [
        *lines,
        f"policy: {answers.name}",
        "version: 1",
        "status: draft",
        f"owner: {_quoted(answers.owner)}",
        f"description: {_quoted(text.described())}",
        'applies_to: {generators: ["*"], tenants: ["*"]}',
    ]


def _marks(wanted: frozenset[Modality], profile: str | None, text: PackText) -> list[str]:
    """The pack's marks, as far as what is judged can carry them, with the label that was asked for."""
    asked = text.marks()
    lines = _watermark_lines(asked.get("watermark", {}), wanted) + _label_lines(asked.get("label", {}), profile, wanted)
    metadata = [name for name in asked.get("metadata", ()) if name != "iptc" or Modality.IMAGE in wanted]
    if metadata:
        lines += ["  # For programs, in files and beside texts in answers.", f"  metadata: [{', '.join(metadata)}]"]
    if Modality.IMAGE in wanted:
        lines += text.offered_marks()
    return ["", "marks:", *lines] if lines else []


def _watermark_lines(asked: Mapping[str, Any], wanted: frozenset[Modality]) -> list[str]:
    kinds = [modality.value for modality in sorted(JUDGED, reverse=True) if asked.get(modality) and modality in wanted]
    if not kinds:
        return []
    return [
        "  # Nobody sees it; `genguard verify` reads it.",
        f"  watermark: {{{', '.join(f'{kind}: true' for kind in kinds)}}}",
    ]


def _label_lines(asked: Mapping[str, Any], profile: str | None, wanted: frozenset[Modality]) -> list[str]:
    label = dict(asked) if profile is None else {**asked, "profile": profile}
    if not label or profile == "none":
        return []
    carrying = [name for name in label.pop("modalities", sorted(JUDGED, reverse=True)) if name in wanted] or sorted(wanted)
    if len(carrying) < len(JUDGED):
        label["modalities"] = f"[{', '.join(carrying)}]"
    return ["  # For people.", f"  label: {{{', '.join(f'{key}: {value}' for key, value in label.items())}}}"]
