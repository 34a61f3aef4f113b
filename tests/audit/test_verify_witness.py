"""What the verifier of a ledger says of witnesses: whose cosignatures stand under the checkpoints of an anchor."""

from __future__ import annotations

import pytest
from ledger_examples import DOCUMENT, REVISION, decision

from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from audit.cosign import WitnessKey, cosign
from audit.ledger import open_ledger
from audit.log_key import need_log_key
from audit.notary import Notary
from audit.query import identity
from audit.verify import verify
from guard.note import Note, SigningKey

ONE, TWO = SigningKey.make("w1.example"), SigningKey.make("w2.example")
KEYS = [WitnessKey.of(ONE), WitnessKey.of(TWO)]
NOW = 1_700_000_000


class Scene:
    """A ledger of six entries, signed after the third, the fourth and the fifth."""

    def __init__(self, folder) -> None:
        """Make it."""
        self.path, self.anchor = folder / "ledger.db", folder / "anchor.txt"
        url = f"sqlite:///{self.path}"
        with open_ledger(url) as opened:
            opened.activate_sync("enterprise", 4, REVISION, DOCUMENT)
            self.log = need_log_key(self.path, identity(url), None)
            notary = Notary(opened.reader, self.path, self.log, [FileAnchor(self.anchor)])
            for number in range(4):
                opened.append_sync(decision(number=number))
                if number < 3:
                    notary.sign()
        self.notes = [Note.parse(one) for one in FileAnchor(self.anchor).notes()]
        assert [Checkpoint.parse(note.text).size for note in self.notes] == [3, 4, 5]

    def verify(self, *cosigners, keys=KEYS, quorum=None, spoil=False):
        """Verify it; each of `cosigners`: who cosigned that checkpoint."""
        notes = []
        for note, signing in zip(self.notes, cosigners, strict=True):
            text = note.text.replace("genguard", "elsewhere") if spoil else note.text
            added = tuple(cosign(text, key, NOW) for key in signing)
            notes.append(str(Note(note.text, (*note.signatures, *added))))
        self.anchor.write_text("".join(f"{one}\n" for one in notes), "utf-8")
        options = {"anchors": [FileAnchor(self.anchor)], "log_keys": [self.log.public]}
        return verify(f"sqlite:///{self.path}", witnesses=keys, quorum=quorum, **options)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    """The ledger, whose anchor each test writes anew."""
    return Scene(tmp_path_factory.mktemp("witnessed"))


def test_the_largest_tree_that_enough_cosigned_is_told_and_what_came_after(scene):
    """Who, which size and when; entries after it are unchecked."""
    report = scene.verify([ONE, TWO], [ONE, TWO], [ONE])
    assert report.exit_code == 0
    assert report.witnessed == (
        "w1.example cosigned the tree of 4 entries at 2023-11-14T22:13:20Z",
        "w2.example cosigned the tree of 4 entries at 2023-11-14T22:13:20Z",
    )
    assert "entries 4 to 5 came after the last checkpoint that enough witnesses cosigned" in report.unchecked
    report = scene.verify([], [], [ONE], quorum=1)
    assert (report.exit_code, len(report.witnessed)) == (0, 1)
    assert "entries 5 to 5 came after the last checkpoint that enough witnesses cosigned" in report.unchecked


def test_too_few_witnesses_are_a_missing_signature(scene):
    """Exit code 4, and how many there were."""
    for cosigners, quorum in ((([], [], []), 1), (([ONE], [TWO], [ONE]), None)):
        report = scene.verify(*cosigners, quorum=quorum)
        assert (report.exit_code, report.witnessed) == (4, ())
        assert report.problems[0].found == f"{1 if cosigners[0] else 0} of 2 witnesses under any checkpoint"


def test_a_false_cosignature_is_a_wrong_signature(scene):
    """Made for another text, under the witness's own name."""
    report = scene.verify([ONE], [], [], keys=KEYS[:1], spoil=True)
    assert report.exit_code == 4
    assert "does not hold" in report.problems[0].found


def test_without_witnesses_cosignatures_are_let_be(scene):
    """Nobody asked."""
    report = scene.verify([ONE], [], [], keys=[], spoil=True)
    assert (report.exit_code, report.witnessed) == (0, ())
