"""Copies of released outputs are found by keyed tags: by those who hold the key, and by nobody else."""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from audit.copies import Copies, find_copies
from audit.ledger import open_ledger
from audit.query import show
from audit.verify import verify
from guard.errors import LedgerError
from guard.types import Action, Context, Mark, Modality, Request, Stage
from tests.audit.ledger_examples import DOCUMENT, HIDDEN, REVISION, SECRET, decision, image, text

LINE = "本内容由人工智能生成。"
REQUEST = Request("r", "acme", "key-1", "", "en")


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger with a redacted text, an image, a labelled text, a withheld one and a prompt, from entry 2 on."""
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    picture = image(b"\x89PNG picture", REQUEST)
    seen = Context(Stage.OUTPUT, Modality.IMAGE, "diffusion", "acme", "en", picture.length)
    labelled = text(f"Cafe\u0301 opens\nat nine.\n\n{LINE}", REQUEST)
    asked = text("What is my balance?", REQUEST, Stage.PROMPT)
    label = Mark("label", "gb45438/end/zh", "", verified=True)
    with open_ledger(url) as ledger:
        ledger.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        ledger.append_sync(decision(number=1))
        ledger.append_sync(decision(Action.ALLOW, content=picture, released=picture, context=seen))
        ledger.append_sync(decision(Action.ALLOW, content=labelled, released=labelled, marks=(label,)))
        ledger.append_sync(decision(Action.BLOCK, number=2))
        ledger.append_sync(decision(Action.ALLOW, content=asked, released=asked))
    return url


def test_a_copy_leads_to_the_entry_that_released_it(url: str) -> None:
    """A text or a file as it left; not as it came, not what was withheld, and not a prompt."""
    assert find_copies(url, f"{HIDDEN} #1") == Copies("exact", (2,), 1)
    assert find_copies(url, b"\x89PNG picture") == Copies("exact", (3,), 1)
    for other in (f"{SECRET} #1", f"{SECRET} #2", "What is my balance?", b"\x89PNG pictures", "", "\ud800"):
        assert find_copies(url, other) == Copies()


@pytest.mark.parametrize(
    ("given", "without"),
    [
        ("Caf\u00e9 opens at nine.", ""),
        ("  Cafe\u0301\topens\r\n at  nine. \n", ""),
        (f"Caf\u00e9 opens at nine.\n\n{LINE}", "end"),
        (f"{LINE}\nCaf\u00e9 opens at nine.", "start"),
    ],
)
def test_white_space_and_the_label_make_no_other_text(url: str, given: str, without: str) -> None:
    """Composed and decomposed letters are the same, too."""
    assert find_copies(url, given) == Copies("folded", (4,), 1, without)
    assert find_copies(url, given.replace("nine", "ten")) == Copies()


def test_the_tags_are_no_bare_hashes_and_the_verifier_knows_them(url: str) -> None:
    """Nothing in the database is a digest of the content; the terms have to be those of the bodies."""
    body = show(url, 3).body
    assert set(body["copies"]) == {"exact"}
    assert all(len(tag) == 32 for tag in body["copies"].values())
    stored = Path(url.removeprefix("sqlite:///")).read_bytes()
    digest = sha256(b"\x89PNG picture")
    assert digest.digest()[:8] not in stored
    assert digest.hexdigest()[:16].encode() not in stored
    assert verify(url).ok
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("DROP TRIGGER term_no_delete")
        connection.execute("DELETE FROM term WHERE idx = 3 AND name = 'exact'")
    assert "term" in {problem.what for problem in verify(url).problems}


def test_one_text_may_have_left_several_times(url: str) -> None:
    """The oldest entries are given, and how many there are."""
    with open_ledger(url) as ledger:
        for _ in range(25):
            ledger.append_sync(decision(number=1))
    found = find_copies(url, f"{HIDDEN} #1")
    assert (found.count, len(found.indices), found.indices[:2]) == (26, 20, (2, 7))


def test_without_the_key_nothing_is_looked_up(url: str, tmp_path: Path, path) -> None:
    """Neither without one nor with another ledger's; both are said."""
    key = tmp_path / "ledger.db.key"
    key.rename(tmp_path / "kept.key")
    with pytest.raises(LedgerError, match="the master key is not here"):
        find_copies(url, "x")
    open_ledger(f"sqlite:///{tmp_path / 'other.db'}").close()
    with pytest.raises(LedgerError, match="another ledger's"):
        find_copies(url, "x", key_file=tmp_path / "other.db.key")
    assert find_copies(url, f"{HIDDEN} #1", key_file=tmp_path / "kept.key").count == 1
    with pytest.raises(LedgerError, match="there is no ledger"):
        find_copies(f"sqlite:///{tmp_path / 'none.db'}", "x")


def test_an_entry_of_before_has_no_tags_and_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written by a version that made none."""
    monkeypatch.delenv("GENGUARD_MASTER_KEY", raising=False)
    monkeypatch.setattr("audit.ledger.copy_tags", lambda _vault, _decision: {})
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    one = decision(number=1, id=UUID(int=7))
    with open_ledger(url) as ledger:
        ledger.activate_sync("enterprise", 4, REVISION, DOCUMENT)
        ledger.append_sync(one)
    assert "copies" not in show(url, one.id).body
    assert verify(url).ok
    assert find_copies(url, f"{HIDDEN} #1") == Copies()
