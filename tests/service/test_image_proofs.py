"""Receipts of images, in the answer and in the manifest of the released file, are proven offline as those of texts are."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import cli
from audit import genguard_verify
from audit.merkle import leaf_hash
from audit.proof import Proof
from guard.marks.certificate import make_development
from guard.marks.manifest import read_credential
from guard.note import PublicKey
from guard.types import Content, Modality, Origin, Stage
from tests.fakes import png
from tests.postgres import MISSING, binaries, fresh
from tests.service.running import POLICY, Running, running

PNG = png()
MARKED = POLICY + "marks:\n  c2pa: true\n"


class Painter:
    """Gives the same picture for every prompt."""

    name, modality = "painter", Modality.IMAGE

    def load(self) -> None:
        pass

    async def __call__(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], /
    ) -> AsyncIterator[tuple[int, Content]]:
        for index, prompt in enumerate(prompts):
            for _ in range(parameters.get("n", 1)):
                yield index, Content(Modality.IMAGE, PNG, "image/png", Stage.OUTPUT, Origin("painter"), prompt.request)


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.skipif(not binaries(), reason=MISSING))]
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """The service, and the URL of its ledger; its keys lie in a folder."""
    folder = tmp_path_factory.mktemp("images")
    certificate, key, _ = make_development(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENGUARD_KEY_FOLDER", str(folder))
        server = request.param == "postgres"
        ledger = fresh(request.getfixturevalue("postgres")) if server else f"sqlite:///{folder / 'ledger.db'}"
        given = {"content_producer": "Example Ltd", "c2pa_certificate": certificate, "c2pa_key": key, "ledger": ledger}
        with running(folder, lambda: {"painter": Painter()}, policy=MARKED, **given) as service:
            yield service, ledger


@pytest.fixture
def genguard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command of the terminal; gives its exit code and what it wrote."""

    def run(*arguments: str) -> tuple[int | str | None, str]:
        monkeypatch.setattr(sys, "argv", ["genguard", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, capsys.readouterr().out

    return run


def proven(genguard, ledger: str, decision: str, folder: Path) -> tuple[Proof, str, Path]:
    """The proof of a decision, which both verifiers take with nothing but itself and the key."""
    file = folder / f"{decision}.tlog-proof"
    code, key = genguard("audit", "prove", decision, "--ledger", ledger, "--out", str(file))
    key = key.strip()
    assert code == 0
    proof = Proof.parse(file.read_text("utf-8"))
    proof.verify([PublicKey.parse(key)])
    assert genguard_verify.main(["--key", key, str(file)]) == 0
    assert genguard("audit", "verify", str(file), "--log-key", key)[0] == 0
    return proof, key, file


def painted(service: Running, count: int = 1) -> list[tuple[dict[str, Any], bytes]]:
    """Images, each with what the answer says of it."""
    body = {"model": "painter", "prompt": "A dot", "n": count, "response_format": "b64_json"}
    answer = service.http.post("/v1/images/generations", json=body).raise_for_status().json()
    told = [one for one in answer["genguard"] if one["action"] == "allow"]
    return list(zip(told[-count:], [base64.b64decode(one["b64_json"]) for one in answer["data"]], strict=True))


def test_the_receipt_of_each_image_of_an_answer_is_proven(place, genguard, tmp_path):
    """By what the service gives and by what the terminal makes: this entry, at this place, about these marks."""
    service, ledger = place
    for told, file in painted(service, 2):
        receipt, decision = told["receipt"], told["decision"]
        proof, key, _ = proven(genguard, ledger, decision, tmp_path)
        assert (proof.index, leaf_hash(proof.body).hex()) == (receipt["index"], receipt["leaf_hash"])
        over_http = Proof.parse(service.http.get(receipt["proof"]).raise_for_status().text)
        assert over_http.verify([PublicKey.parse(key)]).size >= receipt["tree_size"]
        assert (over_http.index, over_http.body) == (proof.index, proof.body)
        body = json.loads(proof.body)
        assert (body["id"], body["context"]["modality"], body["released"]["media_type"]) == (decision, "image", "image/png")
        assert body["released"]["bytes"] == len(file)
        assert [mark["payload"] for mark in body["marks"]] == [decision.replace("-", "")]


def test_the_receipt_in_a_released_file_is_proven(place, genguard, tmp_path):
    """Who has the file alone: its manifest names its decision, and holds the receipt of the prompt that it came from."""
    service, ledger = place
    ((told, file),) = painted(service)
    said = read_credential(file).decision
    prompt = said["prompt"]
    proof, _, _ = proven(genguard, ledger, prompt["decision"], tmp_path)
    assert (proof.index, leaf_hash(proof.body).hex()) == (prompt["index"], prompt["leaf_hash"])
    body = json.loads(proof.body)
    assert (body["id"], body["context"]["stage"]) == (prompt["decision"], "prompt")
    assert body["verdict"]["revision"] == said["revision"]
    output, _, _ = proven(genguard, ledger, said["decision"], tmp_path)
    assert said["decision"] == told["decision"]
    assert json.loads(output.body)["parent"] == prompt["decision"]
    assert output.index > proof.index


def test_a_proof_of_an_image_that_was_changed_proves_nothing(place, genguard, tmp_path):
    """In any digit of the entry, of its place or of the path."""
    service, ledger = place
    ((told, _),) = painted(service)
    _, key, file = proven(genguard, ledger, told["decision"], tmp_path)
    whole = file.read_text("utf-8")
    path = whole.split("\n\n")[0].split("\n")
    changes = [whole.replace(f"index {told['receipt']['index']}\n", f"index {told['receipt']['index'] - 1}\n")]
    changes += [whole.replace(line, line[:9] + ("A" if line[9] != "A" else "B") + line[10:]) for line in path if len(line) > 40]
    assert len(changes) > 2
    for changed in changes:
        assert changed != whole
        file.write_text(changed, "utf-8")
        assert genguard_verify.main(["--key", key, str(file)]) != 0
        assert genguard("audit", "verify", str(file), "--log-key", key)[0] != 0
