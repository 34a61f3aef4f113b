"""Statements of reasons for the transparency database of the EU's Digital Services Act (article 24(5)), schema 2.

One statement a restricting decision: blocked, redacted, labelled, or held and then withheld by a person. What the ledger does
not say is never made up: a decision that cannot be stated is counted with the reason. No field names a person, a tenant or a
subject, and none quotes a content. Each line of the file is the body of one request to the database's batch endpoint, up to 100
statements.

The rules that every statement is held against (`faults`) are those of the database's documentation of 1 July 2025.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import islice
from typing import Any, BinaryIO

from sqlalchemy import Connection

from audit.body import DECISION
from audit.canonical import loads
from audit.export.handover import Written
from audit.export.selection import Taken
from audit.outcomes import RELEASE, last_words
from guard.taxonomy import CATEGORIES
from guard.types import CALLER, Action, Modality

BATCH = 100
_PAGE = 400

CONTENT_TYPES = ("APP", "AUDIO", "IMAGE", "PRODUCT", "SYNTHETIC_MEDIA", "TEXT", "VIDEO", "OTHER")
VISIBILITIES = (
    "CONTENT_REMOVED",
    "CONTENT_DISABLED",
    "CONTENT_DEMOTED",
    "CONTENT_AGE_RESTRICTED",
    "CONTENT_INTERACTION_RESTRICTED",
    "CONTENT_LABELLED",
    "OTHER",
)
STATEMENT_CATEGORIES = (
    "ANIMAL_WELFARE",
    "CONSUMER_INFORMATION",
    "CYBER_VIOLENCE",
    "CYBER_VIOLENCE_AGAINST_WOMEN",
    "DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",
    "ILLEGAL_OR_HARMFUL_SPEECH",
    "INTELLECTUAL_PROPERTY_INFRINGEMENTS",
    "NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS",
    "NOT_SPECIFIED_NOTICE",
    "OTHER_VIOLATION_TC",
    "PROTECTION_OF_MINORS",
    "RISK_FOR_PUBLIC_SECURITY",
    "SCAMS_AND_FRAUD",
    "SELF_HARM",
    "UNSAFE_AND_PROHIBITED_PRODUCTS",
    "VIOLENCE",
)
ILLEGAL, INCOMPATIBLE = "DECISION_GROUND_ILLEGAL_CONTENT", "DECISION_GROUND_INCOMPATIBLE_CONTENT"
_GROUNDS = {"law": ILLEGAL, "contract": INCOMPATIBLE, "house": INCOMPATIBLE}
_VISIBILITY = {
    Action.BLOCK: "CONTENT_DISABLED",
    Action.REVIEW: "CONTENT_DISABLED",
    Action.LABEL: "CONTENT_LABELLED",
    Action.REDACT: "OTHER",
}
_TYPES = {Modality.TEXT: "TEXT", Modality.IMAGE: "IMAGE", Modality.AUDIO: "AUDIO"}
_SOURCES = {"SOURCE_ARTICLE_16", "SOURCE_TRUSTED_FLAGGER", "SOURCE_TYPE_OTHER_NOTIFICATION", "SOURCE_VOLUNTARY"}
_AUTOMATED = {"AUTOMATED_DECISION_FULLY", "AUTOMATED_DECISION_PARTIALLY", "AUTOMATED_DECISION_NOT_AUTOMATED"}
_PUID = re.compile("[A-Za-z0-9_-]{1,500}")
_LENGTHS = {
    "decision_facts": 5000,
    "illegal_content_legal_ground": 500,
    "illegal_content_explanation": 2000,
    "incompatible_content_ground": 500,
    "incompatible_content_explanation": 2000,
    "decision_visibility_other": 500,
}
_BY_GROUND = {
    ILLEGAL: ("illegal_content_legal_ground", "illegal_content_explanation"),
    INCOMPATIBLE: ("incompatible_content_ground", "incompatible_content_explanation"),
}
_REQUIRED = (
    "puid",
    "decision_ground",
    "content_type",
    "category",
    "content_date",
    "application_date",
    "decision_facts",
    "source_type",
    "automated_detection",
    "automated_decision",
)
_RESTRICTIONS = ("decision_visibility", "decision_monetary", "decision_provision", "decision_account")
_OPTIONAL = ("category_addition", "content_language", "decision_visibility_other")


class Unsaid(Exception):  # noqa: N818 - no error: the reason why a decision has no statement
    """Why the ledger cannot state a decision."""


def write_statements(entries: Iterable[Taken], connection: Connection, file: BinaryIO) -> Written:
    """Write the statements of the decisions among these entries."""
    written, waiting = Written(), list[dict[str, Any]]()
    for idx, one in _statements(entries, connection):
        if isinstance(one, str):
            written.leave_out(one)
            continue
        written.add(idx)
        waiting.append(one)
        if len(waiting) == BATCH:
            _write(waiting, file)
            waiting = []
    if waiting:
        _write(waiting, file)
    return written


def statement(body: Mapping[str, Any], said: str = "") -> dict[str, Any]:
    """The statement on a decision's body. `said`: a person's last word on it, `release` or `withhold`; empty: nobody's.

    Raises Unsaid when there is nothing to state, or the ledger does not say what a statement needs.
    """
    action = Action(body["verdict"]["action"])
    if action is Action.ALLOW:
        raise Unsaid("not restricted")
    if said == RELEASE:
        raise Unsaid("released by a person")
    if action is Action.REVIEW and not said:
        raise Unsaid("held, and not yet decided by a person")
    fired = [one for one in body["verdict"]["fired"] if one["action"] == action]
    if not fired:
        raise Unsaid("no rule fired: a check could not run, or the input was refused")
    first = next((one for one in fired if one.get("basis_kind") in _GROUNDS), None)
    if first is None:
        raise Unsaid("its rule does not say whether it rests on law, contract or house rules (`basis`)")
    categories = _categories([first, *fired])
    if not categories:
        raise Unsaid("its category has no counterpart in the database")
    ground, explanation = _BY_GROUND[_GROUNDS[first["basis_kind"]]]
    day = body["time"][:10]
    found: dict[str, Any] = {
        "puid": body["id"],
        "decision_ground": _GROUNDS[first["basis_kind"]],
        ground: first["basis"],
        explanation: f"{first['title'] or first['rule']} (rule {first['rule']} of policy {body['verdict']['policy']}).",
        "content_type": _content_types(body),
        "category": f"STATEMENT_CATEGORY_{categories[0]}",
        "content_date": day,
        "application_date": day,
        "decision_facts": _facts(body, fired, by_person=bool(said)),
        "decision_visibility": [f"DECISION_VISIBILITY_{_VISIBILITY[action]}"],
        "source_type": "SOURCE_VOLUNTARY",
        "automated_detection": "Yes",
        "automated_decision": "AUTOMATED_DECISION_PARTIALLY" if said else "AUTOMATED_DECISION_FULLY",
    }
    if categories[1:]:
        found["category_addition"] = [f"STATEMENT_CATEGORY_{one}" for one in categories[1:]]
    if action is Action.REDACT:
        found["decision_visibility_other"] = "Parts of the content were removed or replaced; the rest was shown."
    language = body["request"]["language"].partition("-")[0]
    if re.fullmatch("[a-z]{2}", language):
        found["content_language"] = language.upper()
    return found


def faults(found: Mapping[str, Any]) -> list[str]:
    """What the database would refuse about a statement; empty when nothing."""
    said = [f"{name} is missing" for name in _REQUIRED if not found.get(name)]
    ground = _BY_GROUND.get(found.get("decision_ground", ""), ())
    said += [f"{name} is missing" for name in ground if not found.get(name)]
    if not any(found.get(name) for name in _RESTRICTIONS):
        said.append("no restriction is named")
    known = {*_REQUIRED, *_RESTRICTIONS, *_OPTIONAL, *ground}
    said += [f"{name} is unknown" for name in found if name not in known]
    said += [f"{name} is too long" for name, most in _LENGTHS.items() if len(str(found.get(name, ""))) > most]
    other = f"DECISION_VISIBILITY_{_VISIBILITY[Action.REDACT]}" in found.get("decision_visibility", ())
    checks = {
        "puid": bool(_PUID.fullmatch(str(found.get("puid", "")))),
        "decision_ground": found.get("decision_ground") in _BY_GROUND,
        "content_type": _among(found.get("content_type"), "CONTENT_TYPE_", CONTENT_TYPES),
        "category": _among([found.get("category")], "STATEMENT_CATEGORY_", STATEMENT_CATEGORIES),
        "category_addition": _among(found.get("category_addition", []), "STATEMENT_CATEGORY_", STATEMENT_CATEGORIES),
        "decision_visibility": _among(found.get("decision_visibility", []), "DECISION_VISIBILITY_", VISIBILITIES),
        "decision_visibility_other": bool(found.get("decision_visibility_other")) == other,
        "source_type": found.get("source_type") in _SOURCES,
        "automated_detection": found.get("automated_detection") in {"Yes", "No"},
        "automated_decision": found.get("automated_decision") in _AUTOMATED,
        "content_language": bool(re.fullmatch("[A-Z]{2}", found.get("content_language", "EN"))),
        **{name: _is_day(found.get(name)) for name in ("content_date", "application_date")},
    }
    return said + [f"{name} is none that the database knows" for name, good in checks.items() if not good]


def _statements(entries: Iterable[Taken], connection: Connection) -> Iterator[tuple[int, dict[str, Any] | str]]:
    rows = iter(entries)
    while page := list(islice(rows, _PAGE)):
        ids = [str(one.columns["decision"]) for one in page if one.columns["decision"]]
        said = last_words(connection, ids)
        for entry in page:
            if entry.columns["kind"] != DECISION:
                yield entry.idx, "no decision"
            elif entry.body is None:
                yield entry.idx, "its body was dropped at its age"
            else:
                yield entry.idx, _checked(loads(entry.body), said)


def _checked(body: Mapping[str, Any], said: Mapping[str, str]) -> dict[str, Any] | str:
    try:
        found = statement(body, said.get(body["id"], ""))
    except Unsaid as why:
        return str(why)
    wrong = faults(found)
    return f"it would be refused: {wrong[0]}" if wrong else found


def _categories(fired: Iterable[Mapping[str, Any]]) -> list[str]:
    """The database's categories of some rules, the first rule's first."""
    names = [name for one in fired if one["category"] in CATEGORIES for name in CATEGORIES[one["category"]].dsa]
    return list(dict.fromkeys(names))


def _content_types(body: Mapping[str, Any]) -> list[str]:
    types = [_TYPES[Modality(body["context"]["modality"])]]
    made = body.get("origin", {}).get("generator", CALLER.generator)
    types += ["SYNTHETIC_MEDIA"] if made != CALLER.generator and body["context"]["stage"] != "prompt" else []
    return [f"CONTENT_TYPE_{one}" for one in types]


def _facts(body: Mapping[str, Any], fired: Iterable[Mapping[str, Any]], *, by_person: bool) -> str:
    """What was found, in words of the policy and of the checks: labels and scores, nothing of the content."""
    where = {"prompt": "a prompt", "output": "an output", "chunk": "a part of an output"}[body["context"]["stage"]]
    kinds = {one["category"] for one in fired}
    measured = sorted(
        {
            f"{result['check']} found {finding['label']} with a score of {finding['score'] / 1000:.3f}"
            for result in body["results"]
            for finding in result["findings"]
            if finding["category"] in kinds
        }
    )
    titles = "; ".join(one["title"] or one["rule"] for one in fired)
    person = " A person confirmed the decision." if by_person else ""
    text = f"Automated checks examined {where} before it was passed on. Rules that decided: {titles}.{person}"
    return (f"{text} Measured: {'; '.join(measured)}." if measured else text)[: _LENGTHS["decision_facts"]]


def _write(statements: list[dict[str, Any]], file: BinaryIO) -> None:
    file.write(json.dumps({"statements": statements}, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace") + b"\n")


def _among(values: Any, prefix: str, allowed: Iterable[str]) -> bool:
    return isinstance(values, list) and all(one in {prefix + name for name in allowed} for one in values)


def _is_day(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
