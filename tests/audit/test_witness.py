"""Witnesses: what they cosign, what they refuse, and what a checkpoint with their cosignatures shows."""

from __future__ import annotations

import base64
import threading
import urllib.request
from contextlib import ExitStack, contextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_examples import decision
from servers import hook, serving

from audit import genguard_verify as standalone
from audit import merkle
from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint
from audit.cosign import WitnessKey, cosign, cosigned
from audit.database import reader_engine
from audit.log_key import need_log_key
from audit.notary import Notary, NotCosignedError
from audit.prove import prove
from audit.query import identity
from audit.witness import SIZE_TYPE, Request, Witness
from audit.witness_server import WitnessServer
from audit.witnesses import Remote, Witnesses
from guard.errors import InputError, LedgerError, SignatureError
from guard.note import Note, PublicKey, Signature, SigningKey
from guard.types import Action

LOG = SigningKey.make("genguard/test")
LEAVES = [merkle.leaf_hash(str(number).encode()) for number in range(40)]
NOW = 1_700_000_000


def signed(size, leaves=LEAVES, key=LOG, origin=None):
    """A checkpoint."""
    return Checkpoint(origin or key.name, size, merkle.tree_root(leaves[:size])).signed(key)


def request(old, new, leaves=LEAVES, **more):
    """A request with the right proof."""
    proof = merkle.consistency_proof(leaves[:new], old) if 0 < old < new else []
    return str(Request(old, tuple(proof), signed(new, leaves, **more))).encode()


@pytest.fixture
def witness(tmp_path):
    """One that knows the log."""
    return Witness(SigningKey.make("witness.example/w1"), [LOG.public], tmp_path / "seen", lambda: NOW)


def test_it_cosigns_a_log_that_grows(witness):
    """From nothing, step by step, and the same tree again."""
    key = WitnessKey.of(witness.key)
    for old, new in ((0, 3), (3, 3), (3, 4), (4, 17), (17, 32), (32, 40)):
        answer = witness.add_checkpoint(request(old, new))
        assert answer.status == 200
        note = Note.parse(signed(new) + answer.text)
        assert cosigned(note, [key]) == {key: NOW}
        assert witness.latest(LOG.name) == Checkpoint.parse(note.text)


def test_what_it_refuses(witness):
    """With the statuses of the specification; none of it changes what was seen."""
    assert witness.add_checkpoint(request(0, 8)).status == 200
    stranger, other = SigningKey.make(LOG.name), SigningKey.make("another")
    forked = [*LEAVES[:4], merkle.leaf_hash(b"x"), *LEAVES[5:]]
    proof = tuple(merkle.consistency_proof(LEAVES[:12], 8))
    spoilt = (bytes(32), *proof[1:])
    conflict = [(409, "8\n")]
    for data, expected in (
        (request(0, 12), conflict),
        (request(7, 12), conflict),
        (request(9, 12), conflict),
        (request(8, 8, forked), conflict),
        (request(8, 12, forked), [(422, None)]),
        (str(Request(8, spoilt, signed(12))).encode(), [(422, None)]),
        (str(Request(8, (), signed(12))).encode(), [(422, None)]),
        (str(Request(8, (*proof, bytes(32)), signed(12))).encode(), [(422, None)]),
        (str(Request(8, (bytes(32),), signed(8))).encode(), [(422, None)]),
        (str(Request(8, (), signed(7))).encode(), [(400, None)]),
        (request(8, 12, key=stranger), [(403, None)]),
        (request(8, 12, key=other), [(404, None)]),
        (request(8, 12, key=other, origin=LOG.name), [(403, None)]),
        (b"old 8\n", [(400, None)]),
        (b"", [(400, None)]),
        (b"\xff\xfe", [(400, None)]),
        (b"old 08\n\n" + signed(12).encode(), [(400, None)]),
        (b"old 8\n!!\n\n" + signed(12).encode(), [(400, None)]),
        (b"old 8\nAAAA\n\n" + signed(12).encode(), [(400, None)]),
        (b"old 8\n" + base64.b64encode(bytes(32)) * 0 + b"\n".join([base64.b64encode(bytes(32))] * 64), [(400, None)]),
        (b"x" * 1_000_001, [(413, None)]),
    ):
        answer = witness.add_checkpoint(data)
        (status, text), *_ = expected
        assert answer.status == status, data
        if text:
            assert (answer.text, answer.media_type) == (text, SIZE_TYPE)
        assert witness.latest(LOG.name).size == 8
    assert witness.add_checkpoint(request(8, 12)).status == 200


def test_a_first_request_needs_no_proof_and_may_bring_none(witness):
    """There is nothing to be consistent with."""
    assert witness.add_checkpoint(str(Request(0, (bytes(32),), signed(5))).encode()).status == 422
    assert witness.add_checkpoint(request(0, 5)).status == 200


def test_it_remembers_after_a_restart_and_cosigns_nothing_when_it_cannot(witness, tmp_path):
    """What was seen is on disk before the cosignature leaves."""
    witness.add_checkpoint(request(0, 8))
    again = Witness(witness.key, [LOG.public], witness.folder)
    assert again.add_checkpoint(request(0, 8)).status == 409
    (file,) = witness.folder.glob("*.checkpoint")
    file.write_text("nonsense")
    with pytest.raises(LedgerError, match="cannot read what the witness saw"):
        again.add_checkpoint(request(8, 9))
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot keep"):
        Witness(witness.key, [LOG.public], tmp_path / "file").add_checkpoint(request(0, 8))


def test_of_forks_that_come_at_once_one_is_cosigned(witness):
    """However the threads run: two trees of one size never both."""
    forked = [*LEAVES[:9], merkle.leaf_hash(b"x"), *LEAVES[10:]]
    witness.add_checkpoint(request(0, 8))
    answers, ready = [], threading.Barrier(8)

    def ask(data):
        ready.wait()
        answers.append((witness.add_checkpoint(data).status, data))

    asked = [request(8, 12), request(8, 12, forked)] * 4
    threads = [threading.Thread(target=ask, args=(data,)) for data in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({data for status, data in answers if status == 200}) == 1
    assert {status for status, _ in answers} == {200, 409}


def test_cosignatures_that_were_changed_do_not_hold(witness):
    """Text, time, signature, name; in both verifiers."""
    key = WitnessKey.of(witness.key)
    note = Note.parse(signed(5) + witness.add_checkpoint(request(0, 5)).text)
    theirs = standalone.Quorum.of([str(key)])
    assert theirs.check(str(note)) == ["witness.example/w1 cosigned that tree at 2023-11-14T22:13:20Z"]
    mine = note.signatures[-1]
    for place in (0, 7, 8, 40, 71):
        changed = bytearray(mine.value)
        changed[place] ^= 1
        forged = Note(note.text, (note.signatures[0], Signature(mine.name, mine.key_id, bytes(changed))))
        with pytest.raises(SignatureError, match="does not hold"):
            cosigned(forged, [key])
        with pytest.raises(standalone.Failure, match="is wrong"):
            theirs.check(str(forged))
    other = Note(Note.parse(signed(6)).text, note.signatures)
    with pytest.raises(SignatureError, match="does not hold"):
        cosigned(other, [key])
    short = Note(note.text, (Signature(mine.name, mine.key_id, mine.value[:-1]),))
    with pytest.raises(SignatureError, match="does not hold"):
        cosigned(short, [key])
    with pytest.raises(standalone.Failure):
        theirs.check(str(short))
    unsigned = Note(note.text, note.signatures[:1])
    assert cosigned(unsigned, [key]) == {}
    with pytest.raises(standalone.Failure, match="0 of the witnesses cosigned the checkpoint, expected 1"):
        theirs.check(str(unsigned))


def test_a_signature_of_another_kind_is_no_cosignature(witness):
    """The witness's key under a plain note, or the log's key as a witness: ids differ, and so do the texts."""
    text = Note.parse(signed(5)).text
    plain = witness.key.sign(text).signatures[-1]
    key = WitnessKey.of(witness.key)
    assert plain.key_id != key.key_id
    assert cosigned(Note(text, (plain,)), [key]) == {}
    posing = Signature(key.name, key.key_id, bytes(8) + plain.value)
    with pytest.raises(SignatureError):
        cosigned(Note(text, (posing,)), [key])


def test_the_form_is_that_of_the_specification():
    """Key id, message and signature, made by hand."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = SigningKey("w", private)
    made = cosign("origin\n1\nroot\n", key, 1679315147)
    message = b"cosignature/v1\ntime 1679315147\norigin\n1\nroot\n"
    assert made.value == (1679315147).to_bytes(8, "big") + private.sign(message)
    assert base64.b64decode(str(WitnessKey.of(key)).split("+", 2)[2])[0] == 4
    assert WitnessKey.parse(str(WitnessKey.of(key))) == WitnessKey.of(key)


@pytest.mark.parametrize(
    "line",
    ["", "w", "w+00000000+AAAA", str(LOG.public), str(WitnessKey.of(LOG))[:-2]],
    ids=["empty", "name", "short", "log", "cut"],
)
def test_keys_that_are_none(line):
    """Of the log's kind, cut off, or nothing."""
    with pytest.raises(SignatureError):
        WitnessKey.parse(line)
    with pytest.raises(standalone.Failure):
        standalone.Quorum.of([line])


@contextmanager
def running(witness):
    """Over HTTP, as others reach it."""
    with serving(WitnessServer(("127.0.0.1", 0), witness)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def make(ledger, path, url, tmp_path):
    """Makes a notary of the test's ledger with witnesses."""
    key = need_log_key(path, identity(url))
    anchor = FileAnchor(tmp_path / "anchor.txt")

    def notary(*targets, quorum=None, required=False):
        return Notary(reader_engine(path), path, key, [anchor], witnesses=Witnesses.of(targets, quorum, required=required))

    notary.witness = lambda name: Witness(SigningKey.make(name), [key.public], tmp_path / name)
    notary.anchor = anchor
    return notary


def add(ledger, count=3):
    """Decisions."""
    return [ledger.append_sync(decision(Action.ALLOW, number=number)) for number in range(count)][-1].index


def test_checkpoints_and_proofs_carry_cosignatures(ledger, make, url):
    """Of two servers, through several sizes and a restart of the notary, which knows nothing of what they saw."""
    one, two = make.witness("w1"), make.witness("w2")
    with running(one) as first, running(two) as second:
        targets = [f"{first}+{WitnessKey.of(one.key)}", f"{second}/+{WitnessKey.of(two.key)}"]
        notary = make(*targets)
        for _ in range(3):
            last = add(ledger)
            note = notary.sign()
            assert len(cosigned(Note.parse(note), [WitnessKey.of(one.key), WitnessKey.of(two.key)])) == 2
        assert make.anchor.notes()[-1] == note
        last = add(ledger)
        note = make(*targets).sign()
    proof = prove(url, last, note)
    proof.verify([notary.key.public])
    keys = [str(WitnessKey.of(each.key)) for each in (one, two)]
    assert len(standalone.Quorum.of(keys).check(proof.checkpoint)) == 2
    standalone.prove(str(proof), [standalone.read_key(str(notary.key.public))])


def test_a_witness_that_fails_is_told_and_waits(ledger, make):
    """`warn`: what came is handed out; `require`: nothing is, until enough cosigned."""
    one, gone = make.witness("w1"), WitnessKey.of(SigningKey.make("w2"))
    with running(one) as first:
        targets = [f"{first}+{WitnessKey.of(one.key)}", f"http://127.0.0.1:9+{gone}"]
        add(ledger)
        notary = make(*targets)
        note = notary.sign()
        assert set(cosigned(Note.parse(note), [WitnessKey.of(one.key), gone])) == {WitnessKey.of(one.key)}
        assert notary.witnesses.lack().startswith("1 of 2 witnesses cosigned, expected 2 (w2: no answer")
        assert make(*targets, quorum=1).witnesses.lack() == ""
        add(ledger)
        strict = make(*targets, required=True)
        with pytest.raises(NotCosignedError, match="is not handed out: 1 of 2 witnesses"):
            strict.sign()
        assert len(make.anchor.notes()) == 1
        enough = make(*targets, quorum=1, required=True)
        assert enough.sign() is not None


def test_a_witness_that_does_not_answer_is_not_asked_each_time():
    """The waits double."""
    seconds = [0.0]
    with hook(500, 500, 500) as (url, got):
        remote = Remote(url, WitnessKey.of(SigningKey.make("w")), clock=lambda: seconds[0])
        for now in (0.0, 0.5, 1.0, 2.5, 3.0):
            seconds[0] = now
            assert remote.attempt(Note.parse(signed(5)), lambda _old, _new: ()) is None
        assert len(got) == 3
        assert remote.trouble == "status 500"


def test_a_log_that_was_rewritten_gets_no_cosignature(ledger, make, tmp_path):
    """The witness saw another: that is what it is for."""
    one = make.witness("w1")
    with running(one) as first:
        target = f"{first}+{WitnessKey.of(one.key)}"
        notary = make(target)
        size = add(ledger) + 1
        notary.sign()
        seen = next(one.folder.glob("*.checkpoint"))
        seen.write_text(Checkpoint(notary.key.name, size, bytes(32)).text)
        add(ledger)
        notary.sign()
        assert notary.witnesses.remotes[0].trouble == "status 422"
        seen.write_text(Checkpoint(notary.key.name, size + 1000, bytes(32)).text)
        add(ledger)
        ahead = make(target)
        ahead.sign()
        assert ahead.witnesses.remotes[0].trouble == "status 409"


@pytest.mark.parametrize(
    "target", ["", "https://example.org", "http://example.org+{}", "ftp://example.org+{}", "https://a:b@example.org+{}"]
)
def test_targets_that_cannot_be(target):
    """An address and a key."""
    with pytest.raises((InputError, SignatureError)):
        Witnesses.of([target.format(WitnessKey.of(LOG))])
    good = f"https://example.org+{WitnessKey.of(LOG)}"
    assert Witnesses.of([good]).quorum == 1
    assert Witnesses.of([]) is None
    for targets, quorum in (([good, good], None), ([good], 2)):
        with pytest.raises(InputError):
            Witnesses.of(targets, quorum)


def test_the_server_tells_its_key_and_refuses_what_is_no_request(witness):
    """Other paths, bodies without a length or too long ones."""
    with running(witness) as url, ExitStack() as stack:
        with urllib.request.urlopen(f"{url}/") as answer:
            assert WitnessKey.parse(answer.read().decode()) == WitnessKey.of(witness.key)
        for path, data, status in (("/other", b"x", 404), ("/add-checkpoint", b"x", 400)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                stack.enter_context(urllib.request.urlopen(f"{url}{path}", data))
            assert caught.value.code == status
            caught.value.close()
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(f"{url}/add-checkpoint", b"", {"content-length": "9999999"}))
        assert caught.value.code == 413
        caught.value.close()


def test_quorums():
    """At least one, at most all."""
    keys = [str(WitnessKey.of(SigningKey.make(name))) for name in ("a", "b")]
    assert standalone.Quorum.of(keys).needed == 2
    assert standalone.Quorum.of([keys[0], keys[0]]).needed == 1
    for count in (0, 3):
        with pytest.raises(standalone.Failure, match="quorum"):
            standalone.Quorum.of(keys, count)
    assert standalone.Quorum.of([]).check(signed(3)) == []
    assert isinstance(LOG.public, PublicKey)
