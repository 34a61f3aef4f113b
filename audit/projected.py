"""The columns and terms that follow from each body, without the tables that hold them: who verifies needs no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.body import ACTIVATION, BANK_CHANGE, DECISION, POLICY_ROLLOUT
from audit.events import KINDS, event_columns, event_terms
from audit.findable import findable

BANK_DIGEST = "bank_digest"
"""Term that says which digest a bank's change led to."""

ROLLOUT = "rollout"
"""Term that says which policy a rollout is of: what services look for."""

REVIEWED = "reviewed"
"""Term of a decision that released what was held, after a person said so: the decision that held it."""

COPY_TAGS = frozenset({"exact", "folded"})
"""Terms that a released output is found by (`audit.copies`)."""

SPAN = 4096
"""Entries of one row of `moment` (`audit.moments`), and of one part of the index on tags (`audit.copies`)."""

ENTRY_COLUMNS = (
    "idx",
    "leaf",
    "kind",
    "body",
    "time",
    "decision",
    "request",
    "tenant",
    "actor",
    "subject",
    "stage",
    "modality",
    "generator",
    "model",
    "action",
    "policy",
    "version",
    "revision",
    "parent",
)
"""Columns of table `entry`, in their order."""


def project(body: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `entry` that follow from a body: all but `idx`, `leaf` and `body`."""
    columns: dict[str, Any] = dict.fromkeys(ENTRY_COLUMNS[4:])
    columns["kind"], columns["time"] = body["kind"], body["time"]
    if body["kind"] == DECISION:
        columns |= _decision_columns(body)
    elif body["kind"] == ACTIVATION:
        for name in ("policy", "version", "revision"):
            columns[name] = body[name]
    elif body["kind"] == BANK_CHANGE:
        columns["actor"] = body["actor"]
    elif body["kind"] in KINDS:
        columns |= event_columns(body)
    elif body["kind"] == POLICY_ROLLOUT:
        for name in ("policy", "version", "revision"):
            columns[name] = body[name]
        columns["actor"] = body.get("approver") or body["author"]
    return {name: findable(value) if type(value) is str else value for name, value in columns.items()}


def _decision_columns(body: Mapping[str, Any]) -> dict[str, Any]:
    request, context, verdict = body["request"], body["context"], body["verdict"]
    return {
        "decision": body["id"],
        "request": request["id"],
        **{name: request[name] for name in ("tenant", "actor", "subject")},
        **{name: context[name] for name in ("stage", "modality", "generator")},
        "model": body["origin"]["model"] if "origin" in body else "",
        **{name: verdict[name] for name in ("action", "policy", "version", "revision")},
        "parent": body.get("parent"),
    }


def terms(body: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The (name, value) rows of `term` that follow from a body."""
    return {(name, findable(value)) for name, value in _terms(body)}


def _terms(body: Mapping[str, Any]) -> set[tuple[str, str]]:
    if body["kind"] == BANK_CHANGE:
        return {("bank", body["bank"]), (BANK_DIGEST, body["to"])}
    if body["kind"] in KINDS:
        return event_terms(body)
    if body["kind"] == POLICY_ROLLOUT:
        return {(ROLLOUT, body["policy"]), ("step", body["step"])}
    if body["kind"] != DECISION:
        return set()
    found = {("rule", fired["rule"]) for fired in body["verdict"]["fired"]}
    found.update(("category", fired["category"]) for fired in body["verdict"]["fired"])
    found.update(("mark", mark["payload"]) for mark in body["marks"] if mark["payload"])
    found.update((name, body["request"][name]) for name in ("purpose", "consent") if name in body["request"])
    found.update(("shadow", shadow["verdict"]["action"]) for shadow in body.get("shadows", ()))
    if REVIEWED in body:
        found.add((REVIEWED, body[REVIEWED]["held"]))
    found.update((name, tag) for name, tag in body.get("copies", {}).items() if name in COPY_TAGS)
    return found
