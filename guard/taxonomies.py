"""The outside taxonomies item by item, so that a policy can be held against all of one, not only against what it names.

Codes are those of the sources that `guard.taxonomy` names; titles are in our own words. Where a code speaks for itself (OpenAI,
NIST), or where no title was at hand (AILuminate), an item has its code alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a taxonomy."""

    code: str
    title: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.title}".rstrip()


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """An outside taxonomy. Its `name` is that of the field of `guard.taxonomy.Category` with the codes a category has there."""

    name: str
    title: str
    items: tuple[Item, ...]
    note: str = ""
    """What of it is not listed here; empty: nothing that we know of."""


_LLAMA_GUARD = """
S1 violent crimes
S2 non-violent crimes
S3 sex-related crimes
S4 sexual exploitation of children
S5 defamation
S6 specialised advice
S7 privacy
S8 intellectual property
S9 indiscriminate weapons
S10 hate
S11 suicide and self-harm
S12 sexual content
S13 elections
S14 abuse of a code interpreter
"""
_GB45654 = """
A1a subversion of state power
A1b harm to national security and image
A1c secession, harm to social stability
A1d terrorism and extremism
A1e ethnic hatred
A1f violence and obscenity
A1g false and harmful information
A1h otherwise prohibited content
A2a discrimination by ethnicity
A2b discrimination by belief
A2c discrimination by nationality
A2d discrimination by region
A2e discrimination by gender
A2f discrimination by age
A2g discrimination by occupation
A2h discrimination by health
A2i other discrimination
A3a infringement of intellectual property
A3b breach of business ethics
A3c disclosure of trade secrets
A3d monopoly and unfair competition
A3e other commercial violations
A4a harm to physical and mental health
A4b violation of portrait rights
A4c harm to reputation
A4d harm to honour
A4e violation of privacy
A4f violation of personal information
A4g violation of other rights
A5a inaccurate content in special services
A5b unreliable content in special services
"""
_DSA = """
ANIMAL_WELFARE harm to animals
CONSUMER_INFORMATION information owed to consumers
CYBER_VIOLENCE violence by words
CYBER_VIOLENCE_AGAINST_WOMEN violence by words against women
DATA_PROTECTION_AND_PRIVACY_VIOLATIONS personal data
ILLEGAL_OR_HARMFUL_SPEECH hate and other illegal speech
INTELLECTUAL_PROPERTY_INFRINGEMENTS protected works
NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS elections and public debate
NOT_SPECIFIED_NOTICE a notice without a kind
OTHER_VIOLATION_TC other breaches of terms
PROTECTION_OF_MINORS minors
RISK_FOR_PUBLIC_SECURITY public security
SCAMS_AND_FRAUD fraud
SELF_HARM self-harm
UNSAFE_AND_PROHIBITED_PRODUCTS unsafe or prohibited products
VIOLENCE violence
"""
_OPENAI = """
harassment
harassment/threatening
hate
hate/threatening
illicit
illicit/violent
self-harm
self-harm/instructions
self-harm/intent
sexual
sexual/minors
violence
violence/graphic
"""
_NIST = (
    "CBRN information",
    "confabulation",
    "dangerous, violent or hateful content",
    "data privacy",
    "harmful bias",
    "information integrity",
    "information security",
    "intellectual property",
    "obscene content",
)


def _items(table: str) -> tuple[Item, ...]:
    """One item a line: its code, and its title after the first space."""
    return tuple(Item(code, title) for code, _, title in (line.partition(" ") for line in table.split("\n") if line))


_ALL = (
    Taxonomy("gb45654", "GB/T 45654-2025 appendix A", _items(_GB45654)),
    Taxonomy("llama_guard", "Llama Guard 3", _items(_LLAMA_GUARD)),
    Taxonomy(
        "ailuminate",
        "MLCommons AILuminate v1.0",
        tuple(map(Item, ("cse", "dfm", "hte", "iwp", "ipv", "ncr", "prv", "spc", "src", "ssh", "sxc", "vcr"))),
    ),
    Taxonomy("openai", "OpenAI moderation", _items(_OPENAI)),
    Taxonomy(
        "nist",
        "NIST AI 600-1",
        tuple(map(Item, _NIST)),
        "only the risks that a category of ours belongs to are listed",
    ),
    Taxonomy("dsa", "EU DSA transparency database, schema 2", _items(_DSA)),
)

TAXONOMIES: dict[str, Taxonomy] = {taxonomy.name: taxonomy for taxonomy in _ALL}
"""Every outside taxonomy by name."""
