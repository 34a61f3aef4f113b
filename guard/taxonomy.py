"""Our categories of harm, and what they are called elsewhere.

The mapping is informative: it lets a finding be exported under an outside scheme, it does not claim that two schemes mean the
same. Sources: Llama Guard 3 model card (S1-S14), MLCommons AILuminate v1.0, OpenAI moderation, NIST AI 600-1, GB/T 45654-2025
appendix A, EU DSA transparency database schema 2 (categories without their prefix).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Category:
    """One category with its names in six outside taxonomies; empty where a scheme has none."""

    name: str
    title: str
    llama_guard: tuple[str, ...] = ()
    ailuminate: tuple[str, ...] = ()
    openai: tuple[str, ...] = ()
    nist: tuple[str, ...] = ()
    gb45654: tuple[str, ...] = ()
    dsa: tuple[str, ...] = ()


_ALL = (
    Category(
        "violence",
        "Violence and threats",
        ("S1",),
        ("vcr",),
        ("violence", "violence/graphic", "illicit/violent"),
        ("dangerous, violent or hateful content",),
        ("A1f",),
        ("VIOLENCE",),
    ),
    Category(
        "terrorism",
        "Terrorism and extremism",
        ("S1",),
        ("vcr",),
        ("violence",),
        ("dangerous, violent or hateful content",),
        ("A1d",),
        ("RISK_FOR_PUBLIC_SECURITY",),
    ),
    Category(
        "weapons_cbrne",
        "Indiscriminate weapons",
        ("S9",),
        ("iwp",),
        ("illicit/violent",),
        ("CBRN information",),
        ("A1b",),
        ("RISK_FOR_PUBLIC_SECURITY",),
    ),
    Category(
        "crime",
        "Crime and fraud",
        ("S2",),
        ("ncr",),
        ("illicit",),
        ("dangerous, violent or hateful content", "information integrity"),
        ("A1h", "A3e"),
        ("SCAMS_AND_FRAUD", "UNSAFE_AND_PROHIBITED_PRODUCTS"),
    ),
    Category(
        "cyber",
        "Attacks on computers",
        ("S2", "S14"),
        ("ncr",),
        ("illicit",),
        ("information security",),
        ("A1h",),
        ("RISK_FOR_PUBLIC_SECURITY",),
    ),
    Category(
        "sexual",
        "Sexual content",
        ("S12",),
        ("sxc",),
        ("sexual",),
        ("obscene content",),
        ("A1f",),
        ("OTHER_VIOLATION_TC",),
    ),
    Category(
        "sexual_crime",
        "Sexual crime",
        ("S3",),
        ("src",),
        ("sexual",),
        ("obscene content",),
        ("A1f", "A4a"),
        ("CYBER_VIOLENCE",),
    ),
    Category(
        "sexual_minors",
        "Sexual content about minors",
        ("S4",),
        ("cse",),
        ("sexual/minors",),
        ("obscene content",),
        ("A1f",),
        ("PROTECTION_OF_MINORS",),
    ),
    Category(
        "self_harm",
        "Self-harm",
        ("S11",),
        ("ssh",),
        ("self-harm", "self-harm/intent", "self-harm/instructions"),
        ("dangerous, violent or hateful content",),
        ("A4a",),
        ("SELF_HARM",),
    ),
    Category(
        "hate",
        "Hate against a group",
        ("S10",),
        ("hte",),
        ("hate", "hate/threatening"),
        ("dangerous, violent or hateful content", "harmful bias"),
        ("A1e", "A2a", "A2b", "A2c", "A2d", "A2e", "A2f", "A2g", "A2h", "A2i"),
        ("ILLEGAL_OR_HARMFUL_SPEECH",),
    ),
    Category(
        "harassment",
        "Insult and harassment",
        ("S2",),
        ("hte",),
        ("harassment", "harassment/threatening"),
        ("obscene content",),
        ("A4a", "A4c"),
        ("CYBER_VIOLENCE",),
    ),
    Category(
        "defamation",
        "Defamation",
        ("S5",),
        ("dfm",),
        (),
        ("information integrity",),
        ("A4c", "A4d"),
        ("ILLEGAL_OR_HARMFUL_SPEECH",),
    ),
    Category(
        "privacy",
        "Personal data",
        ("S7",),
        ("prv",),
        (),
        ("data privacy",),
        ("A4e", "A4f"),
        ("DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",),
    ),
    Category(
        "intellectual_property",
        "Protected works",
        ("S8",),
        ("ipv",),
        (),
        ("intellectual property",),
        ("A3a", "A3c"),
        ("INTELLECTUAL_PROPERTY_INFRINGEMENTS",),
    ),
    Category(
        "specialised_advice",
        "Specialised advice",
        ("S6",),
        ("spc",),
        (),
        ("confabulation",),
        ("A5a", "A5b"),
        ("CONSUMER_INFORMATION",),
    ),
    Category(
        "misinformation",
        "Elections and misinformation",
        ("S13",),
        (),
        (),
        ("information integrity",),
        ("A1g",),
        ("NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS",),
    ),
    Category(
        "state_security",
        "State security",
        (),
        (),
        (),
        (),
        ("A1a", "A1b", "A1c"),
        ("OTHER_VIOLATION_TC",),
    ),
    Category("input", "Input that is not what it says"),
    Category("operation", "A check or mark that could not do its work"),
)

CATEGORIES: dict[str, Category] = {category.name: category for category in _ALL}
"""Every category by name."""
