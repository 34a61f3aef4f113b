"""Decisions as findings for a SIEM: OCSF 1.8, class Detection Finding (2004), one JSON object a line.

The verdict (what was found: `finding_info`, `severity_id`) stands apart from the action (what was done: `action_id`,
`disposition_id`). A decision in which no rule fired is no finding and is left out, counted. Nothing quotes a content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

import orjson

from audit.body import DECISION, time_from
from audit.canonical import loads
from audit.export.handover import Written
from audit.export.selection import Taken
from guard.types import Action

VERSION = "1.8.0"
_CATEGORY, _CLASS, _CREATE = 2, 2004, 1
_SEVERITY = {
    Action.ALLOW: (1, "Informational"),
    Action.LABEL: (1, "Informational"),
    Action.REDACT: (2, "Low"),
    Action.REVIEW: (3, "Medium"),
    Action.BLOCK: (4, "High"),
}
"""How severe, by what the policy thought right; the ledger knows no other measure."""
_DONE = {
    Action.ALLOW: ((1, "Allowed"), (1, "Allowed")),
    Action.LABEL: ((1, "Allowed"), (18, "Tagged")),
    Action.REDACT: ((4, "Modified"), (12, "Partially Corrected")),
    Action.REVIEW: ((2, "Denied"), (3, "Quarantined")),
    Action.BLOCK: ((2, "Denied"), (2, "Blocked")),
}
"""Action and disposition."""


def write_findings(entries: Iterable[Taken], file: BinaryIO) -> Written:
    """Write the findings among these entries."""
    written = Written()
    for entry in entries:
        if entry.columns["kind"] != DECISION:
            written.leave_out("no decision")
        elif entry.body is None:
            written.leave_out("its body was dropped at its age")
        elif not (line := finding_line(entry)):
            written.leave_out("no rule fired")
        else:
            file.write(line)
            written.add(entry.idx)
    return written


def finding_line(entry: Taken) -> bytes:
    """An entry as a line with its end; empty for one that is no finding."""
    if entry.columns["kind"] != DECISION or entry.body is None:
        return b""
    body = loads(entry.body)
    if not body["verdict"]["fired"]:
        return b""
    return orjson.dumps(finding(entry.idx, entry.leaf, body), option=orjson.OPT_SORT_KEYS) + b"\n"


def finding(idx: int, leaf: bytes, body: Mapping[str, Any]) -> dict[str, Any]:
    """One decision's body as a Detection Finding."""
    verdict = body["verdict"]
    action = Action(verdict["action"])
    moment = int(time_from(body["time"]).timestamp() * 1000)
    (severity_id, severity), (done, disposition) = _SEVERITY[action], _DONE[action]
    first = verdict["fired"][0]
    return {
        "category_uid": _CATEGORY,
        "category_name": "Findings",
        "class_uid": _CLASS,
        "class_name": "Detection Finding",
        "activity_id": _CREATE,
        "activity_name": "Create",
        "type_uid": _CLASS * 100 + _CREATE,
        "type_name": "Detection Finding: Create",
        "time": moment,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": 1,
        "status": "New",
        "action_id": done[0],
        "action": done[1],
        "disposition_id": disposition[0],
        "disposition": disposition[1],
        "message": verdict["explanation"],
        "metadata": {
            "version": VERSION,
            "profiles": ["security_control"],
            "product": {"name": "genguard", "vendor_name": "genguard"},
            "uid": body["id"],
            "sequence": idx,
            "tenant_uid": body["request"]["tenant"],
            "correlation_uid": body["request"]["id"],
        },
        "finding_info": {
            "uid": body["id"],
            "title": first["title"] or first["rule"],
            "types": sorted({one["category"] for one in verdict["fired"]}),
            "created_time": moment,
            "analytic": {
                "type_id": 1,
                "type": "Rule",
                "uid": first["rule"],
                "name": first["title"] or first["rule"],
                "version": f"{verdict['policy']} {verdict['version']}",
            },
        },
        "policy": {"name": verdict["policy"], "uid": verdict["revision"], "version": str(verdict["version"])},
        "unmapped": {
            "action": str(action),
            "stage": body["context"]["stage"],
            "modality": body["context"]["modality"],
            "generator": body["context"]["generator"],
            "rules": [one["rule"] for one in verdict["fired"]],
            "leaf": leaf.hex(),
        },
    }
