"""Where something comes from, over HTTP: with a key or for everybody, how often, what the page may do, and what is kept."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from audit.query import query
from guard.errors import SettingsError
from service import create_app
from serving.origin import AT_ONCE, WAITING, Desk
from serving.rate import Buckets
from serving.settings import Settings
from serving.verification import Sources, verify
from serving.workers.table import ADDRESSES, Memory

KEY = "k" * 24
POLICY = """
policy: desk
version: 1
status: live
checks:
  secrets: {use: secrets, deadline_ms: 60000}
  works: {use: image_match, bank: protected-works, deadline_ms: 60000}
rules: [{id: copy, when: {works: matched}, action: block}, {id: key, when: {secrets: any}, action: block}]
marks: {watermark: {image: true}}
"""
PHOTO = Path(__file__).parents[1] / "data" / "photos" / "kitchen.jpg"
MINE = {"authorization": f"Bearer {KEY}"}
FORBIDDEN = ("acme", "desk-7", "subject-3", "req-")


def settings(folder: Path, **given: object) -> Settings:
    file = folder / "desk.yaml"
    file.write_text(POLICY, "utf-8")
    known = {"policies": (str(file),), "ledger": f"sqlite:///{folder / 'ledger.db'}", "generators": ("echo",), **given}
    return Settings(api_keys=f"desk-7@acme:{KEY}", **known)


@pytest.fixture(autouse=True)
def _no_key_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENGUARD_WATERMARK_KEY", raising=False)


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that lets strangers verify, as often as these tests do."""
    folder = tmp_path_factory.mktemp("public")
    with TestClient(create_app(settings(folder, public_verify=True, public_verify_per_minute=1000))) as client:
        yield client


def released(client: TestClient, **body: str) -> dict:
    answer = client.post("/v1/check", json=body, headers=MINE | {"x-genguard-subject": "subject-3"})
    return answer.raise_for_status().json()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def verified(client: TestClient, **body: object) -> dict:
    return client.post("/v1/verify", json=body).raise_for_status().json()


def entries(client: TestClient) -> int:
    return query(client.app.state.wired.ledger_url).size


def test_an_image_leads_a_stranger_to_its_entry_and_to_nobody(public: TestClient) -> None:
    """As it left, and after JPEG and a cut; who asked, for whom and under which tenant stays inside."""
    made = released(public, image=b64(PHOTO.read_bytes()))
    whole = base64.b64decode(made["image"])
    found = verified(public, image=made["image"])
    assert (found["answer"], found["entry"]["decision"]) == ("ours", made["genguard"]["decision"])
    picture = Image.open(io.BytesIO(whole)).convert("RGB")
    width, height = picture.size
    cut = io.BytesIO()
    picture.crop((width // 20, height // 20, width - width // 20, height - height // 20)).save(cut, "JPEG", quality=75)
    changed = verified(public, image=b64(cut.getvalue()))
    assert (changed["answer"], changed["entry"]["decision"]) == ("ours, changed", made["genguard"]["decision"])
    mark = next(one for one in changed["traces"] if one["kind"] == "watermark")
    assert mark["ledger"] == "found"
    assert mark["chance"] < 1e-15
    assert not [word for word in FORBIDDEN if word in str(found) + str(changed)]


def test_a_picture_that_only_looks_like_one_is_unknown_to_a_stranger(public: TestClient) -> None:
    """The photograph that a released image was made of bears no mark of ours: which one it looks like is said, and no more."""
    released(public, image=b64(PHOTO.read_bytes()))
    before = entries(public)
    found = verified(public, image=b64(PHOTO.read_bytes()))
    (near,) = [one for one in found["traces"] if one["kind"] == "nearest"]
    assert (found["answer"], found["entry"]) == ("unknown", None)
    assert (near["ledger"], near["entry"]["released"]) == ("near", True)
    assert near["facts"]["distance"] <= near["facts"]["limit"]
    assert "looks alone prove neither" in found["words"]
    assert not [word for word in FORBIDDEN if word in str(found)]
    assert entries(public) == before


def test_a_text_is_found_and_nothing_that_was_sent_is_kept(public: TestClient) -> None:
    """The ledger has as many entries as before, also after what it cannot take."""
    made = released(public, text="The kitchen is open from nine until half past four.")
    before = entries(public)
    found = verified(public, text=made["text"])
    assert (found["answer"], found["entry"]["decision"]) == ("ours", made["genguard"]["decision"])
    assert verified(public, text="The  kitchen is open\nfrom nine until half past four. ")["answer"] == "ours, changed"
    assert verified(public, text="The kitchen is open from ten until half past four.")["answer"] == "unknown"
    object_of_others = {"Label": "1", "ContentProducer": "Else", "ProduceID": "x-1"}
    told = verified(public, text="The kitchen is open from ten.", AIGC=object_of_others)
    assert [one["standing"] for one in told["traces"] if one["kind"] == "aigc"] == ["found"]
    assert entries(public) == before


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {"text": "x" * 50_001}}, 413),
        ({"json": {"image": b64(b"\x89PNG garbage")}}, 400),
        ({"json": {"image": "no base64"}}, 400),
        ({"json": {"text": "a", "image": "b"}}, 422),
        ({"json": {}}, 422),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b'{"text": "\xff"}', "headers": {"content-type": "application/json"}}, 400),
        ({"content": b" " * 8_000_001}, 413),
    ],
)
def test_what_cannot_be_verified_is_refused_and_not_recorded(public: TestClient, sent: dict, status: int) -> None:
    """As errors of OpenAI's shape; a check would have recorded some of these."""
    before = entries(public)
    answer = public.post("/v1/verify", **sent)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert entries(public) == before


def test_the_page_runs_its_own_script_and_nothing_else(public: TestClient) -> None:
    """Its policy names the script and the style by their digests; nothing is loaded from anywhere."""
    page = public.get("/verify")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(rule.strip().split(" ", 1) for rule in page.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["connect-src"], policy["frame-ancestors"]) == ("'none'", "'self'", "'none'")
    assert "unsafe" not in str(policy)
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not re.search(r"https?://|src=|href=|style=|\son\w+=|innerHTML|eval", page.text)
    for field in ("file", "text"):
        assert f'<label for="{field}">' in page.text


def test_only_these_two_paths_are_open(public: TestClient) -> None:
    """Everything else still needs a key."""
    for path in ("/v1/decisions", "/v1/models", "/v1/verify/", "/v1/banks", "/openapi.json"):
        assert public.get(path, follow_redirects=False).status_code == 401, path
    assert public.post("/v1/check", json={"text": "Hi"}).status_code == 401


def test_without_the_operators_choice_a_key_is_needed(tmp_path: Path) -> None:
    """For the page, too."""
    with TestClient(create_app(settings(tmp_path))) as client:
        assert client.post("/v1/verify", json={"text": "Hi"}).status_code == 401
        assert client.get("/verify").status_code == 401
        assert client.get("/verify", headers=MINE).status_code == 200
        assert client.post("/v1/verify", json={"text": "Hi"}, headers=MINE).json()["answer"] == "unknown"


def test_strangers_wait_their_turn_and_holders_of_a_key_do_not(tmp_path: Path) -> None:
    """429 says for how long; the page itself can always be fetched."""
    with TestClient(create_app(settings(tmp_path, public_verify=True, public_verify_per_minute=2))) as client:
        answers = [client.post("/v1/verify", json={"text": "Hi"}) for _ in range(3)]
        assert [one.status_code for one in answers] == [200, 200, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 30
        assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
        assert client.get("/verify").status_code == 200
        assert [client.post("/v1/verify", json={"text": "Hi"}, headers=MINE).status_code for _ in range(3)] == [200] * 3


def test_buckets_fill_up_evenly_and_networks_count_as_one() -> None:
    """Of an IPv6 address the first 64 bits; an IPv4 address inside IPv6 is that address."""
    now = 0.0
    kept = Memory()
    buckets = Buckets(6, lambda: now, kept)
    assert [buckets.take("192.0.2.1") for _ in range(8)] == [0] * 6 + [10, 10]
    assert buckets.take("::ffff:192.0.2.1") == 10
    assert buckets.take("192.0.2.2") == 0
    assert [buckets.take(f"2001:db8::{part}") for part in range(1, 8)] == [0] * 6 + [10]
    assert buckets.take("2001:db8:0:1::1") == 0
    now = 10.0
    assert [buckets.take("192.0.2.1") for _ in range(2)] == [0, 10]
    now = 1e6
    assert [buckets.take("192.0.2.1") for _ in range(7)] == [0] * 6 + [10]
    for number in range(ADDRESSES + 5):
        buckets.take(f"name-{number}")
    assert sum(kept.get(f"name-{number}") is not None for number in range(ADDRESSES + 5)) == ADDRESSES


def test_few_run_at_once_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is sent away at once."""
    running, most, lock, go = 0, 0, threading.Lock(), threading.Event()

    def slow(*_: object) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        go.wait(20)
        with lock:
            running -= 1

    monkeypatch.setattr("serving.origin.verify", slow)
    monkeypatch.setattr("serving.origin.fields", lambda _report: {"answer": "unknown"})

    async def crowd() -> list[object]:
        desk = Desk(Sources("sqlite:///none.db"))
        asked = [asyncio.create_task(desk.verify("x", "")) for _ in range(AT_ONCE + WAITING + 4)]
        await asyncio.sleep(0.3)
        go.set()
        return await asyncio.gather(*asked)

    answers = asyncio.run(crowd())
    assert most == AT_ONCE
    assert answers.count(None) in range(1, 5)


def test_what_is_missing_is_told_without_the_files_of_this_machine(tmp_path: Path) -> None:
    """A lost watermark key stops no verification; anchors that cannot be read stop the start."""
    keyless = settings(tmp_path)
    file = tmp_path / "desk.yaml"
    file.write_text(POLICY.replace("marks: {watermark: {image: true}}", ""), "utf-8")
    with TestClient(create_app(keyless)) as client:
        answer = client.post("/v1/verify", json={"text": "Hi"}, headers=MINE).json()
        assert answer["notes"] == ["no watermark could be looked for: there is no key"]
        (tmp_path / "ledger.db.key").rename(tmp_path / "kept.key")
        blind = client.post("/v1/verify", json={"text": "Hi"}, headers=MINE).json()
        assert "copies could not be looked up" in blind["notes"]
        assert str(tmp_path) not in str(blind)
    (tmp_path / "kept.key").rename(tmp_path / "ledger.db.key")
    given = keyless.model_copy(update={"c2pa_anchors": file})
    with pytest.raises(SettingsError, match="found no certificate"), TestClient(create_app(given)):
        pass


def test_words_that_were_chosen_under_our_key_are_told() -> None:
    """The reader of text watermarks stands beside the others; too short to tell is an answer."""
    report = verify("Your parcel left the warehouse this morning.", Sources("sqlite:///none.db", watermark_key=b"k" * 32))
    (trace,) = [one for one in report.traces if one.kind == "words"]
    assert "too short to tell" in trace.says
    assert trace.proves is None
