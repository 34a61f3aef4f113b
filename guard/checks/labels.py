"""What a policy says that a model's own labels mean: our label and category for each that counts.

    labels:
      toxic: harassment                                  # the model's name as the label
      LABEL_1: {label: injection, category: cyber}       # a name of the policy's own

Labels of the model that are not named do not count. Several may mean one label of ours: its score is then their highest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from guard.errors import RegistryError
from guard.taxonomy import CATEGORIES

Given = Mapping[str, str | Mapping[str, str]]
"""The parameter `labels` as policies write it."""
_LABEL = re.compile(r"[\w-][\w /.:+-]{0,63}")
_RESERVED = ("any", "*")
"""Words that conditions use for every label."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one label of a model means to a policy."""

    label: str
    category: str


def meanings(given: Given) -> dict[str, Meaning]:
    """The meaning of each label of a model. Raises RegistryError for a mapping that says nothing, or something impossible."""
    if not given:
        raise RegistryError(
            "found no entry in labels, expected at least one: without any, nothing could ever be found",
            advice="Write `labels: {MODEL_LABEL: CATEGORY}`, or `{MODEL_LABEL: {label: NAME, category: CATEGORY}}`.",
        )
    found = {name: _meaning(name, entry) for name, entry in given.items()}
    known: dict[str, Meaning] = {}
    for one in found.values():
        other = known.setdefault(one.label, one)
        if other != one:
            raise RegistryError(
                f"labels: found label {one.label!r} with categories {other.category} and {one.category}, expected one of them"
            )
    return found


def categories(meant: Iterable[Meaning]) -> dict[str, str]:
    """Each label with its category."""
    return {one.label: one.category for one in meant}


def refuse_unknown(meant: Iterable[str], known: Iterable[str], model: str) -> None:
    """Raise RegistryError for a label that the model does not have: it would never be found, and nobody would know."""
    has = list(known)
    missing = [name for name in meant if name not in has]
    if missing:
        raise RegistryError(
            f"labels: found {missing[0]!r}, expected one of {model}'s own: {', '.join(has)}",
            advice="Labels are spelled as the model's config.json spells them in id2label.",
        )


def _meaning(name: str, entry: str | Mapping[str, str]) -> Meaning:
    given = {"category": entry} if isinstance(entry, str) else dict(entry)
    unknown = sorted(set(given) - {"label", "category"})
    if unknown or "category" not in given:
        found = f"key {unknown[0]!r}" if unknown else "no category"
        raise RegistryError(f"labels: found {found} under {name!r}, expected `category`, and `label` if it has another name")
    label, category = given.get("label", name), given["category"]
    if category not in CATEGORIES:
        raise RegistryError(f"labels: found category {category!r} for {name!r}, expected one of: {', '.join(CATEGORIES)}")
    if not _LABEL.fullmatch(label) or label in _RESERVED:
        raise RegistryError(
            f"labels: found the label {label!r} for {name!r}, expected up to 64 letters, digits, spaces and any of _-/.:+, "
            f"and not {' or '.join(_RESERVED)}"
        )
    return Meaning(label, category)
