"""What a service as it is set up does for each duty of a regulation, by which setting, with which evidence; and what not.

A duty is `met` where the service does all that software can do for it, `partly` where it does some, `open` where it does none.
It is a list for those who answer for compliance, and no legal advice. Duties: Regulation (EU) 2024/1689 (AI Act), Regulation
(EU) 2022/2065 (DSA), GB 45438-2025 with the Measures for Labelling of 2025, California Business & Professions Code 22757.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from guard.rules import Policy
from guard.types import Action, Modality
from serving.settings import Settings

SIX_MONTHS = 183
"""Days."""


class Standing(StrEnum):
    """How far a duty is done."""

    MET = "met"
    PARTLY = "partly"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the answers rest on."""

    policies: tuple[Policy, ...]
    settings: Settings

    def marks(self, modality: Modality) -> list[set[str]]:
        """For each policy that judges outputs: the marks that its outputs of this modality carry, whatever rules say."""
        return [
            {one.use for one in policy.marks if one.modality is modality and not one.only_labelled} for policy in self.policies
        ]

    def all_carry(self, modality: Modality, *uses: str) -> Standing:
        """How far all policies put all of these marks on."""
        found = self.marks(modality)
        whole = [set(uses) <= one for one in found]
        some = any(set(uses) & one for one in found)
        return Standing.MET if whole and all(whole) else Standing.PARTLY if some else Standing.OPEN

    def rules(self, *actions: Action) -> list[str]:
        """Rules with one of these actions, as `policy: rule`."""
        return [f"{policy.id}: {rule.id}" for policy in self.policies for rule in policy.rules if rule.action in actions]

    def without_basis(self) -> list[str]:
        """Rules that hold something back and name no ground."""
        return [
            f"{policy.id}: {rule.id}"
            for policy in self.policies
            for rule in policy.rules
            if rule.action in {Action.BLOCK, Action.REDACT, Action.REVIEW} and not rule.basis
        ]

    def label_profile(self, modality: Modality, profile: str) -> Standing:
        """How far all policies put the label of a profile on."""
        found = [
            any(
                one.use == "label" and one.modality is modality and one.parameters.get("profile") == profile
                for one in policy.marks
            )
            for policy in self.policies
        ]
        return Standing.MET if found and all(found) else Standing.PARTLY if any(found) else Standing.OPEN


@dataclass(frozen=True, slots=True)
class Duty:
    """One duty. `name` is that of its words: what it asks, what does it here, what to do where it is not."""

    name: str
    article: str
    standing: Callable[[Facts], Standing]
    query: str = ""
    """Finds what is on record of it; empty where nothing is."""
    page: str = ""
    """Of this console, where it can be seen or done."""


def _kept(facts: Facts) -> Standing:
    days = facts.settings.retention_days
    return Standing.MET if days is None or days >= SIX_MONTHS else Standing.OPEN


def _always(_: Facts) -> Standing:
    return Standing.MET


def _detector(facts: Facts) -> Standing:
    return Standing.MET if facts.settings.public_verify else Standing.PARTLY


def _persons(facts: Facts) -> Standing:
    return Standing.MET if facts.rules(Action.REVIEW) else Standing.PARTLY


def _reasons(facts: Facts) -> Standing:
    return Standing.PARTLY if facts.without_basis() else Standing.MET


def _anchored(facts: Facts) -> Standing:
    return Standing.MET if facts.settings.anchors else Standing.PARTLY


def _carry(modality: Modality, *uses: str) -> Callable[[Facts], Standing]:
    return lambda facts: facts.all_carry(modality, *uses)


def _named(facts: Facts) -> Standing:
    carried = facts.all_carry(Modality.IMAGE, "aigc")
    return carried if facts.settings.content_producer else Standing.OPEN


def _label(modality: Modality, profile: str) -> Callable[[Facts], Standing]:
    return lambda facts: facts.label_profile(modality, profile)


def _visible(facts: Facts) -> Standing:
    return facts.all_carry(Modality.IMAGE, "label")


REGULATIONS: dict[str, tuple[Duty, ...]] = {
    "ai_act": (
        Duty("logs", "Art. 12", _always, "kind:any", "/console/decisions"),
        Duty("unchanged", "Art. 12", _anchored, "", "/console"),
        Duty("kept", "Art. 19(1), 26(6)", _kept, "kind:retention_prune"),
        Duty("oversight", "Art. 14, 26(2)", _persons, "kind:review", "/console/reviews"),
        Duty("image_layers", "Art. 50(2)", _carry(Modality.IMAGE, "watermark", "c2pa"), "mark:watermark"),
        Duty("text_layer", "Art. 50(2)", _carry(Modality.TEXT, "text_watermark"), "mark:text_watermark"),
        Duty("audio_layer", "Art. 50(2)", _carry(Modality.AUDIO, "c2pa"), "modality:audio"),
        Duty("detector", "Art. 50(2)", _detector, "", "/console/verify"),
    ),
    "gb45438": (
        Duty("explicit_image", "GB 45438-2025", _label(Modality.IMAGE, "gb45438"), "mark:label modality:image"),
        Duty("explicit_text", "GB 45438-2025", _label(Modality.TEXT, "gb45438"), "mark:label modality:text"),
        Duty("implicit", "GB 45438-2025", _named, "mark:aigc"),
        Duty("kept_unlabelled", "Art. 9", _kept, "-mark:label action:allow"),
    ),
    "dsa": (
        Duty("statements", "Art. 17", _reasons, "action:block,redact,review", "/console/compliance#exports"),
        Duty("database", "Art. 24(5)", _always, "kind:export format:dsa", "/console/compliance#exports"),
        Duty("complaints", "Art. 20", _always, "kind:appeal", "/console/reviews?queue=appeal"),
        Duty("transparency", "Art. 15", _always, "", "/console/compliance#report"),
    ),
    "sb942": (
        Duty("latent", "22757.3(b)", _carry(Modality.IMAGE, "c2pa"), "mark:c2pa"),
        Duty("manifest", "22757.3(a)", _visible, "mark:label"),
        Duty("tool", "22757.2", _detector, "", "/console/verify"),
    ),
}
"""By regulation, its duties in its own order."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A duty and how it stands."""

    duty: Duty
    standing: Standing


def answers(policies: Iterable[Policy], settings: Settings) -> dict[str, list[Answer]]:
    """How every duty stands, for the policies that judge and the settings of the service."""
    facts = Facts(tuple(policies), settings)
    return {name: [Answer(duty, duty.standing(facts)) for duty in duties] for name, duties in REGULATIONS.items()}
