"""A log's key is changed: whoever trusts the old one can follow, each signs its own sizes, and a leaked one no others."""

from __future__ import annotations

import pytest
from ledger_examples import decision

from audit import genguard_verify as standalone
from audit import merkle
from audit.anchor import FileAnchor
from audit.checkpoint import Checkpoint, Tenure
from audit.database import reader_engine
from audit.events import KEY_ROTATION, LOG, Event
from audit.key_chain import follow, handovers
from audit.log_rotation import LogKeys
from audit.notary import KeyChangedError, Notary, RollbackError
from audit.proof import Proof
from audit.prove import prove
from audit.query import identity
from audit.verify import verify
from guard.errors import LedgerError, RefusedError, SignatureError
from guard.note import SigningKey
from guard.types import Action


@pytest.fixture
def anchor(tmp_path):
    """A file of checkpoints."""
    return FileAnchor(tmp_path / "anchor.txt")


@pytest.fixture
def keys(ledger, path, url, anchor):
    """Where the key lies."""
    return LogKeys.of(reader_engine(path), path, identity(url), None, [anchor])


def notary(keys, key=None):
    """Of a process that begins now."""
    return Notary(keys.engine, keys.database, key or keys.key(), keys.anchors, keys.tenures())


def add(ledger, count=2):
    """Decisions; the index of the last one."""
    return [ledger.append_sync(decision(Action.ALLOW, number=number)) for number in range(count)][-1].index


@pytest.fixture
def rotated(ledger, keys, url):
    """(old key, new key, proof under the old one, proof under the new one, change)."""
    last = add(ledger)
    old = keys.key()
    before = prove(url, last, notary(keys).sign())
    change = keys.rotate(ledger, actor="ann", reason="yearly")
    last = add(ledger)
    return old, keys.key(), before, prove(url, last, notary(keys).sign()), change


def says(keys, proof, chain="", code=0):
    """Both verifiers agree on what a proof shows to whoever trusts these keys; `code`: what the standalone one ends with."""
    ours = theirs = 0
    try:
        proof.verify(follow(keys, chain))
    except SignatureError:
        ours = 1
    try:
        standalone.prove(str(proof), standalone.follow([standalone.read_key(str(key)) for key in keys], chain))
    except standalone.Failure as error:
        theirs = error.code
    assert bool(ours) == bool(theirs)
    assert theirs == code
    return not ours


def test_whoever_trusts_the_old_key_can_follow(rotated, keys):
    """Proofs of before and after verify with the old key and the chain; the new key alone proves what it signed."""
    old, new, before, after, change = rotated
    chain = keys.chain()
    assert says([old.public], before, chain)
    assert says([old.public], after, chain)
    assert says([new.public], after)
    assert not says([old.public], after, code=4)
    assert (change.before, change.after) == (str(old.public), str(new.public))
    size = change.index + 1
    assert keys.tenures() == (Tenure(old.public, 0, size), Tenure(new.public, size))


def test_the_old_key_is_destroyed_and_files_are_for_their_owner(rotated, keys):
    """Only the new one is left, with mode 0600."""
    old, new, *_ = rotated
    assert not keys.waiting.exists()
    assert keys.file.stat().st_mode & 0o777 == 0o600
    assert SigningKey.read(keys.file).public == new.public != old.public


def test_a_leaked_old_key_signs_no_later_sizes(rotated, keys, url, anchor):
    """Not for proofs, not in anchors, not in this program."""
    old, new, _, after, change = rotated
    head = Checkpoint.verified(after.checkpoint, [new.public])
    forged = Proof(after.index, after.path, head.signed(old), after.body)
    assert says([old.public], forged), "without the chain nobody can know"
    assert not says([old.public], forged, keys.chain(), code=4)
    with pytest.raises(KeyChangedError, match=f"changed by entry {change.index}"):
        notary(keys, old).sign()
    assert verify(url, anchors=[anchor], log_keys=keys.tenures()).exit_code == 0
    anchor.append(head.signed(old))
    assert verify(url, anchors=[anchor], log_keys=keys.tenures()).exit_code == 4
    by_the_log = verify(url, anchors=[anchor], log_keys=[old.public, new.public])
    assert by_the_log.exit_code == 4
    assert f"a checkpoint of size {head.size} by {old.public}" in str(by_the_log.problems[0])


def test_a_new_key_signs_no_earlier_sizes(rotated, keys):
    """What came before it is not its to sign."""
    old, new, before, *_ = rotated
    head = Checkpoint.verified(before.checkpoint, [old.public])
    forged = Proof(before.index, before.path, head.signed(new), before.body)
    assert not says([new.public], forged, keys.chain(), code=4)
    assert not says([old.public], forged, keys.chain(), code=4)


def test_both_keys_sign_the_handover_and_each_verifies_it(rotated, keys, anchor):
    """So an anchor that is read with one of them alone still has a newest checkpoint."""
    old, new, *_, change = rotated
    note = next(one for one in anchor.notes() if Checkpoint.verified(one, keys.tenures()).size == change.index + 1)
    assert Checkpoint.verified(note, [old.public]) == Checkpoint.verified(note, [new.public])


def test_keys_may_be_changed_again_and_again(ledger, rotated, keys, url, anchor):
    """A chain of three is followed from any of its keys."""
    old, middle, before, after, _ = rotated
    keys.rotate(ledger, actor="ann")
    last = add(ledger)
    newest = prove(url, last, notary(keys).sign())
    chain = keys.chain()
    assert len(handovers(chain)) == 2
    for trusted, proofs in ((old, (before, after, newest)), (middle, (after, newest)), (keys.key(), (newest,))):
        for proof in (before, after, newest):
            expected = proof in proofs
            assert says([trusted.public], proof, chain, 0 if expected else 4) == expected
    assert verify(url, anchors=[anchor], log_keys=keys.tenures()).exit_code == 0


def test_a_service_that_runs_on_follows(ledger, keys):
    """It refuses with the old key, and signs with the new one."""
    running = notary(keys)
    add(ledger)
    running.sign()
    keys.rotate(ledger, actor="ann")
    with pytest.raises(KeyChangedError):
        running.sign()
    add(ledger)
    assert Checkpoint.verified(notary(keys).sign(), [keys.key().public]).size == ledger.size


@pytest.fixture
def attacker(rotated):
    """A key of the log's name that nobody trusts."""
    return SigningKey.make(rotated[0].name)


def test_a_signature_that_was_added_to_a_real_checkpoint_hands_nothing_over(rotated, attacker, keys):
    """The entry has to name the new key: a cosigner of the handover, or of any checkpoint, is no successor."""
    old, _, before, *_ = rotated
    real = Proof.parse(handovers(keys.chain())[0])
    head = Checkpoint.verified(real.checkpoint, [old.public])
    cosigned = str(attacker.sign(head.text, old.sign(head.text).signatures))
    for forged in (
        Proof(real.index, real.path, cosigned, real.body),
        Proof(before.index, before.path, cosigned, before.body),
        Proof(
            real.index, real.path, cosigned, real.body.replace(str(rotated[1].public).encode(), str(attacker.public).encode())
        ),
    ):
        refused([old.public], str(forged))


def refused(keys, chain):
    """Neither verifier follows it."""
    with pytest.raises(SignatureError):
        follow(keys, chain)
    with pytest.raises(standalone.Failure):
        standalone.follow([standalone.read_key(str(key)) for key in keys], chain)


def handover(old, new, bodies, *signers):
    """A handover in a tree of these entries, the last of which changes the key; signed by these."""
    leaves = [merkle.leaf_hash(body) for body in bodies]
    text = Checkpoint(old.name, len(leaves), merkle.tree_root(leaves)).text
    note = signers[0].sign(text)
    for one in signers[1:]:
        note = one.sign(text, note.signatures)
    return Proof(len(leaves) - 1, tuple(merkle.inclusion_proof(leaves, len(leaves) - 1)), str(note), bodies[-1])


def body(old, new, kind=KEY_ROTATION, what=LOG):
    """Such an entry."""
    from audit.canonical import dumps
    from audit.events import event_body

    fields = {"what": what, "before": str(old.public), "after": str(new.public)}
    return dumps({**event_body(Event(KEY_ROTATION, "eve", fields)), "kind": kind})


def test_what_a_handover_needs():
    """Both signatures, its own entry as the last one, keys of one log."""
    old, new, other = SigningKey.make("log"), SigningKey.make("log"), SigningKey.make("another")
    entry = body(old, new)
    good = handover(old, new, [b"one", b"two", entry], old, new)
    assert follow([old.public], str(good)) == (Tenure(old.public, 0, 3), Tenure(new.public, 3))
    assert [(one.first, one.last) for one in standalone.follow([standalone.read_key(str(old.public))], str(good))] == [
        (0, 3),
        (3, None),
    ]
    refused([old.public], str(handover(old, new, [b"one", entry], old)))
    refused([old.public], str(handover(old, new, [b"one", entry], new)))
    refused([new.public], str(handover(old, new, [b"one", entry], old)))
    refused([old.public], str(handover(old, new, [b"one", body(old, new, what="master")], old, new)))
    refused([old.public], str(handover(old, new, [b"one", body(old, new, kind="hold")], old, new)))
    refused([old.public], str(handover(old, other, [b"one", body(old, other)], old, other)))
    refused([old.public], str(handover(old, old, [body(old, old)], old)))
    longer = [b"one", entry, b"three"]
    leaves = [merkle.leaf_hash(one) for one in longer]
    text = Checkpoint(old.name, 3, merkle.tree_root(leaves)).text
    note = str(new.sign(text, old.sign(text).signatures))
    refused([old.public], str(Proof(1, tuple(merkle.inclusion_proof(leaves, 1)), note, entry)))
    another = Checkpoint("another", 1, merkle.tree_root([merkle.leaf_hash(entry)])).text
    refused([old.public], str(Proof(0, (), str(new.sign(another, old.sign(another).signatures)), entry)))


def test_one_key_is_handed_over_once(attacker, rotated, keys):
    """A second handover, which whoever stole the old key can make, is refused beside the first; the first twice is the same."""
    old, new, *_ = rotated
    fork = str(handover(old, attacker, [b"one", body(old, attacker)], old, attacker))
    refused([old.public], keys.chain() + fork)
    refused([old.public], fork + keys.chain())
    assert follow([old.public], keys.chain() + keys.chain()) == follow([old.public], keys.chain())
    assert len(standalone.follow([standalone.read_key(str(old.public))], keys.chain() * 2)) == 2
    assert follow([new.public], keys.chain())[0].first > 0, "handovers of keys that are not trusted give nothing"
    assert {one.key for one in follow([new.public], keys.chain())} == {new.public}
    assert {one.key for one in follow([attacker.public], keys.chain())} == {attacker.public}


def test_every_changed_byte_of_a_chain_is_refused_or_gives_nothing(rotated, keys):
    """Neither verifier trusts a key because of it."""
    old, *_ = rotated
    chain = keys.chain().encode()
    for place in range(0, len(chain), 7):
        changed = bytearray(chain)
        changed[place] ^= 1
        try:
            text = changed.decode()
        except UnicodeDecodeError:
            continue
        for given in (follow, lambda trusted, told: standalone.follow([standalone.read_key(str(trusted[0]))], told)):
            try:
                found = given([old.public], text)
            except (SignatureError, standalone.Failure):
                continue
            assert len(found) == 1 or text == chain.decode(), place


@pytest.mark.parametrize("chain", ["x", "c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v1\nextra e30=\nindex 0\n\nx\n", "\n"])
def test_what_is_no_chain_is_refused(chain, attacker):
    """By both."""
    refused([attacker.public], chain)


@pytest.mark.parametrize("step", ["hand_over", "prove", "replace"])
def test_a_change_that_was_interrupted_is_brought_to_its_end(ledger, keys, url, anchor, monkeypatch, step):
    """Wherever it stopped after the entry was committed: the next who needs the key goes on."""
    add(ledger)
    old = keys.key()

    def stop(*_args, **_kwargs):
        raise OSError(5, "stopped")

    with monkeypatch.context() as patch:
        where = {
            "hand_over": "audit.notary.Notary.hand_over",
            "prove": "audit.log_rotation.prove",
            "replace": "pathlib.Path.replace",
        }
        patch.setattr(where[step], stop)
        with pytest.raises((LedgerError, OSError)):
            keys.rotate(ledger, actor="ann")
    assert keys.waiting.exists()
    with pytest.raises(KeyChangedError):
        Notary(keys.engine, keys.database, old, keys.anchors).sign()
    assert not keys.waiting.exists() or keys.key().public != old.public
    new = keys.key()
    assert new.public != old.public
    assert not keys.waiting.exists()
    last = add(ledger)
    assert says([old.public], prove(url, last, notary(keys).sign()), keys.chain())
    assert verify(url, anchors=[anchor], log_keys=keys.tenures()).exit_code == 0


def test_a_change_that_never_was_recorded_leaves_the_old_key(ledger, keys, monkeypatch):
    """Its file is written over by the next attempt."""
    old = keys.key()

    def refuse(*_args, **_kwargs):
        raise LedgerError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "record_sync", refuse)
        with pytest.raises(LedgerError, match="disk is full"):
            keys.rotate(ledger, actor="ann")
    assert keys.key().public == old.public
    assert notary(keys).sign() is not None or keys.anchors
    keys.rotate(ledger, actor="ann")
    assert keys.key().public != old.public


def test_a_log_that_was_rolled_back_changes_no_key(ledger, keys, anchor):
    """The old key has to have signed a beginning of it."""
    add(ledger)
    note = notary(keys).sign()
    head = Checkpoint.verified(note, [keys.key().public])
    anchor.append(Checkpoint(head.origin, head.size + 5, head.root).signed(keys.key()))
    with pytest.raises(RollbackError):
        keys.rotate(ledger, actor="ann")


def test_another_instance_with_the_old_key_changes_nothing(ledger, keys, tmp_path):
    """Its key is not in force any more."""
    other = LogKeys(keys.engine, keys.database, keys.identity, tmp_path / "copy.key")
    other.file.write_bytes((keys.key() and keys.file).read_bytes())
    keys.rotate(ledger, actor="ann")
    with pytest.raises((RefusedError, KeyChangedError)):
        other.rotate(ledger, actor="bob")


def test_entries_of_the_log_that_change_a_key_that_was_not_in_force_are_a_problem(rotated, ledger, keys, url):
    """Somebody who may write to the ledger names keys of his own."""
    stranger, accomplice = SigningKey.make(keys.key().name), SigningKey.make(keys.key().name)
    fields = {"what": LOG, "before": str(stranger.public), "after": str(accomplice.public)}
    ledger.record_sync(Event(KEY_ROTATION, "eve", fields))
    report = verify(url)
    assert [one.what for one in report.problems] == ["key"]


def test_a_damaged_chain_is_told_by_its_file(rotated, keys):
    """The service goes on and says so."""
    keys.chain_file.write_text(keys.chain_file.read_text("utf-8").replace("index", "indices"), "utf-8")
    with pytest.raises(LedgerError, match=r"ledger\.db\.log\.key\.chain does not hold"):
        keys.tenures()
