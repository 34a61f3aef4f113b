"""Why a person decided as they did: a short fixed list, so that reasons can be counted; the words beside it are free."""

from __future__ import annotations

from types import MappingProxyType

CODES = MappingProxyType(
    {
        "policy_correct": "The rule was right",
        "false_positive": "The rule saw what is not there",
        "missed_harm": "There is harm that no rule saw",
        "context_missing": "Only more context would tell",
        "quality": "The output is not good enough to leave",
        "legal": "A law or an order asks for it",
        "rights": "Rights of others are settled, or are not",
        "policy_unclear": "The policy does not say",
        "other": "Something else, as the reason says",
    }
)
"""Title by code. Entries keep the code: titles may be reworded, codes stay."""

FEEDBACK_CODES = MappingProxyType(
    {"wrong_block": "It was withheld and should not have been", "missed_harm": "It left and should not have"}
)
"""What a caller may say of a decision."""

RELEASE, WITHHOLD = "release", "withhold"
OUTCOMES = (RELEASE, WITHHOLD)
"""What a reviewer may decide. Of a decision that held nothing it is an opinion: nothing leaves by it."""
