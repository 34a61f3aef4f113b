"""The check `text_match`: labels, places, explanations, cleared passages, rights; and licence headers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from guard.checks.licence_headers import headers
from guard.checks.text_match import TextMatch, text_match
from guard.errors import ModelError, RegistryError
from guard.matching.bank import Bank
from guard.matching.passages import fingerprints
from guard.matching.works import Fingerprint, Work
from guard.types import CALLER, Content, Finding, Modality, Request, Span, Stage
from tests.matching.prose import prose

BOOK, OTHER = prose(51, 1200), prose(52, 1200)
TODAY = datetime.now(UTC).date()


def write(path, *works: Work) -> str:
    bank = Bank.memory(path.stem)
    if works:
        bank.add(works)
    bank.write(path)
    return str(path)


def work(text: str, name: str = "w", **rights) -> Work:
    return Work(name, f"Work {name}", Modality.TEXT, fingerprints=fingerprints(text, keep_text=True), **rights)


def loaded(**parameters) -> TextMatch:
    check = text_match(**parameters)
    check.load()
    assert isinstance(check, TextMatch)
    return check


def found(check: TextMatch, text: str) -> tuple[Finding, ...]:
    (scan,) = check([Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("1"))])
    assert scan.scanned == Span(0, len(text))
    assert scan.digest == check.digest
    return scan.findings


def test_a_match_says_what_was_copied_from_where(tmp_path):
    """The passage in the text, the work, the place in the work; the reason quotes neither."""
    check = loaded(bank=write(tmp_path / "bank.jsonl", work(OTHER, "o"), work(BOOK, "b")))
    text = f"{prose(53, 40)} {BOOK[2000:2300]} {prose(54, 40)}"
    (finding,) = found(check, text)
    assert (finding.label, finding.category, finding.score) == ("verbatim", "intellectual_property", 1000)
    copied = text[finding.where.start : finding.where.end]
    assert BOOK[2000:2300].strip() in copied
    assert len(copied) < 310
    match = finding.match
    assert (match.bank, match.work, match.title, match.method) == ("bank", "b", "Work b", "runs")
    assert (match.distance, match.limit, match.transform) == (0, 0, "")
    assert BOOK[2000:2300].strip() in BOOK[match.source.start : match.source.end]
    assert f"verbatim from 'Work b' (characters {match.source.start} to {match.source.end})" in finding.reason
    assert not any(word in finding.reason for word in copied.split() if len(word) > 5)


def test_a_reworded_passage_says_how_much_of_it_is_kept(tmp_path):
    """Its distance is within its limit."""
    check = loaded(bank=write(tmp_path / "bank.jsonl", work(BOOK)))
    words = BOOK[1000:2000].split()
    (finding,) = found(check, " ".join("changed" if number % 6 == 0 else word for number, word in enumerate(words)))
    assert finding.label == "near"
    assert 500 <= finding.score < 1000
    assert 0 < finding.match.distance <= finding.match.limit == 800
    assert finding.match.transform.startswith("reworded: ")
    assert found(loaded(bank=str(tmp_path / "bank.jsonl"), similarity=0), " ".join(words[::2])) == ()


def test_a_cleared_passage_never_matches(tmp_path):
    """What anyone may quote is cleared, alone and inside a quotation that is no longer than it; what goes on is not."""
    bank = write(tmp_path / "bank.jsonl", work(BOOK))
    cleared = write(tmp_path / "cleared.jsonl", work(BOOK[3000:3400], "c"))
    check = loaded(bank=bank, cleared=cleared)
    (finding,) = found(check, f"{OTHER[:200]} {BOOK[3010:3390]} {OTHER[300:500]}")
    assert (finding.label, finding.score) == ("cleared", 0)
    (finding,) = found(check, f"{OTHER[:200]} {BOOK[2950:3420]} {OTHER[300:500]}")
    assert finding.label == "cleared"
    (finding,) = found(check, f"{OTHER[:200]} {BOOK[3010:3700]} {OTHER[300:500]}")
    assert finding.label == "verbatim"
    assert len(check.digest.split()) == 2
    assert found(loaded(bank=bank), BOOK[3010:3390])[0].label == "verbatim"


@pytest.mark.parametrize(
    ("rights", "territory", "counts"),
    [
        ({"valid_until": TODAY}, "", True),
        ({"valid_until": TODAY - timedelta(1)}, "", False),
        ({"valid_from": TODAY + timedelta(2)}, "", False),
        ({"territory": ("CN", "DE")}, "DE", True),
        ({"territory": ("CN", "DE")}, "FR", False),
        ({"territory": ("CN",)}, "", True),
        ({"valid_from": date(2020, 1, 1), "territory": ("CN",)}, "CN", True),
    ],
)
def test_a_work_counts_where_and_while_it_is_protected(tmp_path, rights, territory, counts):
    """By day and by territory."""
    check = loaded(bank=write(tmp_path / "bank.jsonl", work(BOOK, **rights)), territory=territory)
    assert bool(found(check, BOOK[:400])) is counts


def test_code_is_found_whatever_its_layout_and_says_which_file():
    """The bundled code base, indented otherwise and without its line breaks."""
    source = """
        def moor(self, vessel):
                evicted = self.slots[self.next_slot]; self.slots[self.next_slot] = vessel
                self.next_slot = (self.next_slot + 1) % len(self.slots); self.moored = min(self.moored + 1, len(self.slots))
                return evicted
    """
    (finding,) = found(loaded(), source)
    assert (finding.label, finding.match.work) == ("verbatim", "harbour-ring")
    assert "harbour/ring.py" in finding.reason


def test_many_texts_in_a_batch_and_a_very_long_one():
    """Each has its own findings."""
    check = loaded()
    flagged = check.examples.flagged[0].text
    assert found(check, f"{prose(55, 30_000)} {flagged} {prose(56, 30_000)}")[0].match.work == "lighthouse-ledger"
    scans = check([*check.examples.clean, *check.examples.flagged])
    assert [bool(scan.findings) for scan in scans] == [False] * 3 + [True] * 2


def test_labels_are_those_that_can_be_reported(tmp_path):
    """A rule that asks for another is refused when the policy is loaded."""
    assert set(text_match().labels) == {"verbatim", "near"}
    assert set(text_match(similarity=0, licence_headers=True, cleared="x").labels) == {"verbatim", "licence_header", "cleared"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_run": 40}, "min_run is 40, expected at least 60"),
        ({"similarity": 0.05}, "similarity is 0.05"),
        ({"similarity": 2}, "similarity is 2"),
        ({"territory": "Germany"}, "found territory 'Germany'"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters, message):
    """When the policy is loaded."""
    with pytest.raises(RegistryError, match=message):
        text_match(**parameters)


def test_a_bank_that_cannot_be_used_is_refused(tmp_path):
    """Missing, empty, malformed, of pictures, or not loaded."""
    with pytest.raises(ModelError, match="no bank 'nowhere'"):
        loaded(bank="nowhere")
    with pytest.raises(ModelError, match="holds no works"):
        loaded(bank=write(tmp_path / "empty.jsonl"))
    (tmp_path / "bad.jsonl").write_text('{"format": "other"}\n')
    with pytest.raises(ModelError, match=r"bad\.jsonl: found another format"):
        loaded(bank=str(tmp_path / "bad.jsonl"))
    path = write(tmp_path / "cut.jsonl", work(BOOK))
    with (tmp_path / "cut.jsonl").open("a") as stream:
        stream.write('{"id": "x"}\n')
    with pytest.raises(ModelError, match=r"cut\.jsonl:3: "):
        loaded(bank=path)
    with pytest.raises(ModelError, match="no work of bank 'bare' has a fingerprint by overlap or runs"):
        loaded(bank=write(tmp_path / "bare.jsonl", Work("w", "W", fingerprints=(Fingerprint("pdq", bytes(32)),))))
    with pytest.raises(ModelError, match="not loaded"):
        text_match()([])


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("// SPDX-License-Identifier: MIT\nint x;", ["licence MIT, by its SPDX tag"]),
        ("# SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)", ["licence GPL-2.0-only OR Apache-2.0, by its SPDX tag"]),
        ("SPDX-License-Identifier: LicenseRef-Mine", ["a licence that is not in the list, by an SPDX tag"]),
        ("Permission is hereby granted, free of\n charge, to any person obtaining a copy", ["licence MIT, by how it begins"]),
        ("#  Licensed under the Apache\n#  License, Version 2.0 (the", ["licence Apache-2.0, by how it begins"]),
        (
            "under the terms of the GNU General Public License as published; either version 3, or (at your option) any later.",
            ["licence GPL-3.0-or-later, by how it begins"],
        ),
        ("under the terms of the GNU Lesser General Public License, version 2.1", ["licence LGPL-2.1, by how it begins"]),
        (" * Copyright (c) 2019-2024 Some Body\n", ["copyright line"]),
        ("© 2021 Some Body", ["copyright line"]),
        ("Copyright is a right of 2021 authors. The apache flew under a licence. MIT is in Boston.", []),
        ("The licence of version 2.0 is under the table.", []),
        ("", []),
    ],
)  # fmt: skip
def test_licence_headers(text, reasons):
    """By tag, opening and line, through comment marks and line breaks; and not in prose."""
    assert [one.reason for one in headers(text)] == reasons
    for one in headers(text):
        assert text[one.span.start : one.span.end] not in one.reason


def test_licence_headers_are_reported_when_they_are_asked_for():
    """With the place of the sign."""
    text = "x = 1\n# SPDX-License-Identifier: GPL-3.0-only\n"
    assert found(loaded(), text) == ()
    (finding,) = found(loaded(licence_headers=True), text)
    assert (finding.label, finding.score, finding.match) == ("licence_header", 1000, None)
    assert text[finding.where.start : finding.where.end] == "SPDX-License-Identifier: GPL-3.0-only"


@pytest.mark.timeout(20)
def test_hostile_headers_take_linear_time():
    """Long lines of what nearly is one."""
    for text in (
        "SPDX-License-Identifier: " + "a " * 50_000,
        "copyright " * 30_000,
        "(c) " * 50_000,
        "software\ud800\udc00" * 9000,
    ):
        headers(text)
