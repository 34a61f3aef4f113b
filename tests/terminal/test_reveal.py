"""`genguard reveal`, and `check` with every operator: the way there and back."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import cli

POLICY = """policy: clinic
version: 1
status: live
checks:
  pii: {use: pii, languages: [en, zh], deadline_ms: 60000}
  secrets: {use: secrets, deadline_ms: 60000}
rules:
  - {id: card, when: {pii: CREDIT_CARD}, action: redact, with: {operator: mask, keep_first: 4, keep_last: 4}}
  - {id: account, when: {pii: IBAN_CODE}, action: redact, with: {operator: encrypt}}
  - {id: paper, when: {pii: US_SSN}, action: redact, with: {operator: hash}}
  - {id: who, when: {pii: [PERSON, EMAIL_ADDRESS, PHONE_NUMBER]}, action: redact, with: {operator: pseudonymise}}
  - {id: machine, when: {pii: IP_ADDRESS}, action: redact, with: {operator: remove}}
  - {id: key, when: {secrets: any}, action: redact, with: {operator: replace, text: "<{type}>"}}
"""
TEXT = (
    "Maria Keller (maria.keller@mail.example, +1 212 867 5309) asked about card 4111 1111 1111 1111. Her account is "
    "DE89 3704 0044 0532 0130 00, her SSN is 536-22-8726; Mrs Keller wrote from 81.2.69.142. "
    "手机号是13812345678. password: Kq7xPz29vv"
)


@pytest.fixture
def genguard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run one command in a folder that has a policy with all operators; gives its exit code and what it wrote."""
    monkeypatch.chdir(tmp_path)
    for name in ("GENGUARD_REDACTION_KEY", "GENGUARD_REDACTION_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "clinic.yaml").write_text(POLICY, "utf-8")

    def run(*arguments: str, given: str = "") -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["genguard", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        written = capsys.readouterr()
        return SimpleNamespace(code=stopped.value.code, out=written.out, err=written.err)

    return run


def check(genguard, text: str = TEXT) -> SimpleNamespace:
    return genguard("check", "-", "--policy", "clinic.yaml", "--conversation", "visit-1", given=text)


def test_every_operator_does_its_part_and_reveal_opens_what_was_encrypted(genguard):
    """Only that: a hash and a stand-in have no way back."""
    made = check(genguard)
    assert made.code == 10
    for value in ("Maria", "Keller", "867 5309", "DE89 3704", "536-22", "81.2.69", "13812345678", "Kq7xPz"):
        assert value not in made.out
    for kept in ("card 4111 **** **** 1111.", "[IBAN_CODE:enc:", "[US_SSN:", "@example.org", "wrote from .", "<PASSWORD>"):
        assert kept in made.out
    opened = genguard("reveal", "-", given=made.out)
    assert (opened.code, opened.err) == (0, "1 of 1 encrypted values opened\n")
    assert "Her account is DE89 3704 0044 0532 0130 00, her SSN is [US_SSN:" in opened.out
    assert "Maria" not in opened.out


def test_what_was_redacted_stays_as_it_is_when_it_comes_again(genguard):
    """A reply may repeat its prompt: tokens and stand-ins are not redacted a second time."""
    made = check(genguard)
    assert check(genguard, made.out).out == made.out
    later = check(genguard, f"Is {made.out.split()[0]} Maria? Call +1 212 867 5309.")
    assert later.out.split()[1:3] == [made.out.split()[0], made.out.split()[0] + "?"]
    assert later.out.split("Call ")[1].strip(". \n") in made.out


def test_the_officer_sees_operator_and_label_and_the_verdict_derives_again(genguard):
    """Without the value, in the terminal and in JSON."""
    check(genguard)
    shown = genguard("audit", "show", "2")
    assert "edit        encrypt IBAN_CODE at" in shown.out
    assert "conversation visit-1" in shown.out
    entry = json.loads(genguard("audit", "show", "2", "--json").out)
    assert entry["rederived"] == "same"
    assert {"mask", "encrypt", "hash", "pseudonymise", "replace", "remove"} == {
        edit["operator"] for edit in entry["entry"]["verdict"]["edits"]
    }
    for output in (shown.out, json.dumps(entry)):
        assert not any(value in output for value in ("Maria", "DE89 3704", "4111 1111", ":enc:", "@example.org"))
    assert genguard("audit", "verify").code == 0


def test_a_changed_token_is_named_and_the_others_open(genguard):
    """Exit code 2; the changed one stays as it is."""
    made = check(genguard, "First DE89 3704 0044 0532 0130 00, then GB82 WEST 1234 5698 7654 32.").out
    at = made.index(":enc:") + 20
    wrong = made[:at] + ("A" if made[at] != "A" else "B") + made[at + 1 :]
    opened = genguard("reveal", "-", given=wrong)
    assert opened.code == 2
    assert opened.err == "1 of 2 encrypted values opened\nat 6: IBAN_CODE: changed, or not ours\n"
    assert "GB82 WEST 1234 5698 7654 32" in opened.out
    assert "[IBAN_CODE:enc:" in opened.out
    told = json.loads(genguard("reveal", "-", "--json", given=wrong).out)
    assert (told["found"], told["opened"]) == (2, 1)
    assert told["closed"] == [{"start": 6, "label": "IBAN_CODE", "why": "changed, or not ours"}]


def test_reveal_with_another_key_opens_nothing_and_says_so(genguard, tmp_path):
    """Another key file, named by option or in the environment."""
    from guard.redaction_key import RedactionKey

    made = check(genguard).out
    RedactionKey.make(tmp_path / "other.key")
    opened = genguard("reveal", "-", "--redaction-key-file", "other.key", given=made)
    assert (opened.code, opened.out) == (2, made)
    assert "sealed under another key" in opened.err


def test_reveal_without_a_token_or_without_a_key(genguard, tmp_path):
    """1 when there is nothing to open; 64 when there is no key, and no key is made."""
    refused = genguard("reveal", "-", given="nothing")
    assert (refused.code, refused.out) == (64, "")
    assert "cannot read the redaction key file" in refused.err
    assert not list(tmp_path.glob("*.key"))
    check(genguard)
    nothing = genguard("reveal", "-", given="nothing")
    assert (nothing.code, nothing.out, nothing.err) == (1, "nothing\n", "0 of 0 encrypted values opened\n")
