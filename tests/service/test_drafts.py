"""serving.drafting: drafts are looked over, tried, tested and replayed; nothing is recorded of it, and nothing reaches out."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from audit.query import query
from guard.registry import checks
from guard.types import Content, Scan
from policies import load
from policies.load import PACKS
from policies.mistake import Mistakes, PolicyFileError
from policies.source import MAX_MISTAKES, read
from service import create_app
from serving.drafting.reach import Reach
from serving.drafting.routes import MOST_FINDINGS, MOST_QUOTED
from serving.settings import Settings
from tests.fakes import ImageCheck, WordCheck, png
from tests.service.plain import bearer, plain

KEY, CALLER, OTHER = "a" * 24, "c" * 24, "b" * 24
POLICY = """
policy: house
version: 1
status: live
checks:
  words: {use: words, words: [bad]}
  dark: {use: dark}
rules:
  - id: bad
    title: Bad words are blocked
    when: {words: [word]}
    action: block
    category: privacy
    basis: House rules 1
    message: {en: This was withheld.}
    tests:
      - flags: a bad word
      - passes: a good word
  - {id: dark, when: {dark: [dark]}, action: block, category: violence}
"""
DRAFT = POLICY.replace("version: 1", "version: 2")


class Words(WordCheck):
    """Counts how often it was loaded, and waits where it is told to."""

    loaded = 0
    hold: threading.Event | None = None
    begun = threading.Event()

    def load(self) -> None:
        Words.loaded += 1

    def __call__(self, batch: Any) -> list[Scan]:
        Words.begun.set()
        if Words.hold is not None:
            Words.hold.wait(30)
        return list(super().__call__(batch))


def words(*, words: tuple[str, ...] = (), model: str | None = None, files: tuple[str, ...] = ()) -> WordCheck:
    return Words(*words)


words.__module__ = "guard.checks.words"  # as if it came with genguard


def foreign(*, words: tuple[str, ...] = ()) -> WordCheck:
    return Words(*words)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with the policy above, asked by an author."""
    folder = tmp_path_factory.mktemp("drafts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(checks._factories, "words", words)
        patch.setitem(checks._factories, "foreign", foreign)
        patch.setitem(checks._factories, "dark", ImageCheck)
        patch.delenv("GENGUARD_MASTER_KEY", raising=False)
        patch.chdir(folder)
        keys = SecretStr(f"ann+author:{KEY},app:{CALLER},bob@blue:{OTHER}")
        settings = plain(folder, POLICY, policies=("policy.yaml",), api_keys=keys, max_body=1_200_000)
        with TestClient(create_app(settings), headers=bearer(KEY)) as made:
            yield made


@pytest.fixture(autouse=True)
def _free_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held up."""
    monkeypatch.setattr(Words, "hold", None)
    monkeypatch.setattr(Words, "begun", threading.Event())


def ask(client: TestClient, what: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/policies/{what}", json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def lines(client: TestClient, what: str, **body: Any) -> list[dict[str, Any]]:
    with client.stream("POST", f"/v1/policies/{what}", json={**body, "stream": True}) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
        return [json.loads(line) for line in answer.iter_lines()]


def size(client: TestClient) -> int:
    return query(client.app.state.wired.ledger_url, "kind:any").size


# --- lint ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bomb", ["policy: x\n" * 20_000, "{" + "a: 1," * 20_000 + "}"], ids=["lines", "one line"])
def test_a_draft_of_many_mistakes_has_a_short_answer(client, bomb):
    """Whoever sends little makes it answer little; reading ends after a thousand mistakes."""
    answer = client.post("/v1/policies/lint", json={"source": bomb})
    assert answer.status_code == 200
    assert (answer.json()["ok"], len(answer.json()["findings"])) == (False, MOST_FINDINGS)
    assert answer.json()["errors"] <= MAX_MISTAKES + 2
    assert len(answer.content) < 2_000_000
    assert len(client.post("/v1/policies/try", json={"source": bomb, "text": "Hi"}).content) < 2_000_000


def test_a_draft_of_more_rules_than_can_be_compared_is_refused(client):
    """Each is held against each other, which takes time by their square."""
    rules = ",".join(f"{{id: r{n}, when: {{bad: [word], tenant: t{n}}}, action: block, category: input}}" for n in range(301))
    source = f"policy: many\nversion: 1\nstatus: live\nchecks: {{bad: {{use: words, words: [bad]}}}}\nrules: [{rules}]\n"
    (told,) = ask(client, "lint", source=source)["findings"]
    assert told["message"] == "found 301 rules, expected at most 300 in a draft over HTTP"
    assert ask(client, "try", 422, source=source, text="Hi")["error"]["code"] == "invalid_policy"


def test_a_draft_of_many_findings_has_a_short_answer(client):
    """The same of what is only worth a warning, all in one line, which is told in part."""
    rules = ",".join(f"{{id: r{n}, when: {{bad: [word], tenant: t{n}}}, action: block, category: input}}" for n in range(60))
    checks = "checks: {bad: {use: words, words: [bad]}}"
    source = f"policy: many\nversion: 1\nstatus: live\n{checks}\nrules: [{rules}]\n"
    answer = client.post("/v1/policies/lint", json={"source": source})
    assert answer.json()["loaded"], answer.json()["findings"][0]
    assert len(answer.json()["findings"]) == min(
        MOST_FINDINGS, sum(answer.json()[one] for one in ("errors", "warnings", "advice"))
    )
    assert max(len(one["quote"]) for one in answer.json()["findings"]) == MOST_QUOTED
    assert len(answer.content) < 2_000_000


def test_a_draft_is_looked_over_and_held_against_what_judges(client):
    """Findings with their places and lines, and what changes for verdicts."""
    found = ask(client, "lint", source=DRAFT.replace("[bad]", "[bad, worse]"))
    assert (found["ok"], found["loaded"], found["policy"], found["version"]) == (True, True, "house", 2)
    assert found["errors"] == 0
    assert found["warnings"] + found["advice"] == len(found["findings"])
    bare = next(one for one in found["findings"] if one["lint"] == "no-image-example")
    assert bare["quote"].startswith("  - {id: dark")
    assert bare["line"] == DRAFT.splitlines().index(bare["quote"]) + 1
    assert found["diff"]["from"]["version"] == 1
    assert {one["part"] for one in found["diff"]["changes"]} == {"policy", "check"}
    assert ask(client, "lint", source=POLICY)["diff"] == {
        "from": {"version": 1, "revision": load("policy.yaml").revision},
        "effect": "same",
        "changes": [],
    }
    assert ask(client, "lint", source=POLICY.replace("policy: house", "policy: other"))["diff"] is None


def test_a_text_that_is_no_policy_is_a_finding_too(client):
    """200, with the mistakes and their lines; the other routes answer 422 with the same."""
    broken = POLICY.replace("action: block\n", "action: forbid\n")
    found = ask(client, "lint", source=broken)
    assert (found["ok"], found["loaded"], found["diff"]) == (False, False, None)
    (mistake,) = found["findings"]
    assert (mistake["lint"], mistake["level"], mistake["quote"]) == ("load", "error", "    action: forbid")
    for what, more in (("try", {"text": "x"}), ("test", {}), ("replay", {})):
        refused = ask(client, what, 422, source=broken, **more)
        assert (refused["error"]["code"], refused["findings"]) == ("invalid_policy", [mistake]), what
    assert ask(client, "lint", source="")["findings"][0]["lint"] == "load"


def test_a_draft_may_extend_packs_and_no_files(client):
    """And nobody is told where they lie."""
    found = client.post("/v1/policies/lint", json={"source": "policy: mine\nversion: 1\nextends: dev\n"})
    assert found.json()["loaded"], found.text
    assert str(PACKS) not in found.text
    assert {one["file"] for one in found.json()["findings"]} <= {"policy", "policies/packs/dev.yaml"}
    refused = ask(client, "lint", source="policy: mine\nversion: 1\nextends: ./policy.yaml\n")
    assert "cannot extend a file" in refused["findings"][0]["message"]


# --- what a draft may not do -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "words: {use: words, model: /etc}",
        "words: {use: words, model: bundled/../../etc}",
        "words: {use: words, model: owner/name}",
        "words: {use: words, model: {en: [/etc]}}",
        "words: {use: words, files: [/etc/passwd]}",
        "words: {use: prompt_leakage, files: [/etc/passwd]}",
        "words: {use: prompt_injection, model: /}",
        "words: {use: text_match, bank: ../../secret}",
        "words: {use: text_match, bank: works, cleared: /tmp/x}",
        "words: {use: moderation_endpoint, base_url: 'http://169.254.169.254/v1', model: m}",
        "words: {use: llm_judge, base_url: 'https://x.example/v1', api_key_env: GENGUARD_MASTER_KEY, model: m}",
        "words: {use: fusion, members: {one: {use: prompt_injection, model: /}}, how: max}",
        "words: {use: foreign}",
        "words: {use: fusion, members: {one: {use: foreign, words: [a]}}, how: max}",
    ],
)
def test_a_draft_reaches_for_nothing(line):
    """No file, folder, hub or address that no policy in use names: told before a check is built."""
    mistakes = Mistakes("policy")
    root = read(DRAFT.replace("words: {use: words, words: [bad]}", line), mistakes)
    assert root is not None
    Reach([]).look(root, mistakes)
    with pytest.raises(PolicyFileError, match="what a policy in use here names"):
        mistakes.raise_if_any()


def test_nothing_is_built_of_a_draft_that_reaches_out(client, monkeypatch):
    """Building a check may read a folder."""
    built: list[str] = []
    monkeypatch.setattr(checks, "make", lambda name, _=None: built.append(name))
    source = DRAFT.replace("words: {use: words, words: [bad]}", "words: {use: prompt_injection, model: /}")
    assert not ask(client, "lint", source=source)["loaded"]
    ask(client, "try", 422, source=source, text="x")
    assert not built


def test_a_list_hides_no_file(client):
    """Nor does an alias."""
    for head in (
        "lists: {paths: [/etc/passwd]}\nchecks:\n  words: {use: words, files: $paths}\n",
        "lists: {paths: &p [/etc/passwd]}\nchecks:\n  words: {use: words, files: *p}\n",
    ):
        found = ask(client, "lint", source=POLICY.replace("checks:\n  words: {use: words, words: [bad]}\n", head))
        assert not found["loaded"], found


def test_what_policies_in_use_name_drafts_may_name(tmp_path, client):
    """A model, a file, and a check of somebody else with its own texts."""
    used = POLICY.replace("{use: words, words: [bad]}", "{use: words, words: [bad], model: /opt/m, files: [a.txt]}")
    used = used.replace("checks:\n", "checks:\n  other: {use: foreign, words: [bad]}\n")
    used = used.replace("    when: {words: [word]}", "    when: {any: [{words: [word]}, {other: [word]}]}")
    (tmp_path / "used.yaml").write_text(used, "utf-8")
    settings = Settings(
        policies=(str(tmp_path / "used.yaml"),), ledger=f"sqlite:///{tmp_path / 'other.db'}", generators=("echo",)
    )
    with TestClient(create_app(settings)) as local:
        assert ask(local, "lint", source=used.replace("[a.txt]}", "[a.txt]}  # the same"))["loaded"]
        assert ask(local, "try", source=used, text="a bad day")["action"] == "block"
        worse = used.replace("{use: foreign, words: [bad]}", "{use: foreign, words: [/etc/passwd]}")
        assert not ask(local, "lint", source=worse)["loaded"]


def test_pictures_of_a_draft_are_not_read(client):
    """Not even one that is there; its example says so."""
    Path("there.png").write_bytes(png())
    source = DRAFT.replace(
        "  - {id: dark, when: {dark: [dark]}, action: block, category: violence}",
        "  - {id: dark, when: {dark: [dark]}, action: block, category: violence, tests: [{flags: {image: there.png}}]}",
    )
    found = ask(client, "test", source=source)
    assert (found["ok"], found["passed"], found["errors"]) == (False, 2, 1), found
    assert [one["why"] for one in found["tests"] if one["outcome"] == "error"] == [
        ["a picture of a draft is not read here: run `genguard policy test`"]
    ]


def test_pictures_that_come_with_genguard_are_read(client):
    """As packs name them, so that a draft that began from one can be green; nothing near them is."""
    here = "../../guard/matching/banks/examples"

    def outcomes(image: str) -> list[str]:
        tests = f'tests: [{{flags: {{image: "{image}"}}}}, {{passes: {{image: "{image}"}}}}]}}'
        rule = "  - {id: dark, when: {dark: [dark]}, action: block, category: violence"
        found = ask(client, "test", source=DRAFT.replace(f"{rule}}}", f"{rule}, {tests}"))["tests"]
        return sorted(one["outcome"] for one in found if one["rule"] == "dark")

    assert outcomes(f"{here}/clean.jpg") == ["failed", "passed"]
    for other in (f"{here}/../protected-works.jsonl", f"{here}/../../../../README.md", "examples/clean.jpg", "/etc/passwd"):
        assert outcomes(other) == ["error", "error"], other


# --- try -------------------------------------------------------------------------------------------------------------


def test_a_text_is_tried_and_nothing_is_recorded(client):
    """The tree of each rule with what was measured; with a check that judges already, no other is loaded."""
    before, loaded = size(client), Words.loaded
    found = ask(client, "try", source=DRAFT, text="a bad day", tenant="acme", stage="prompt")
    assert (found["action"], found["won"], found["covers"]) == ("block", ["bad"], True)
    assert (found["context"]["tenant"], found["context"]["stage"]) == ("acme", "prompt")
    rule = found["rules"][0]
    assert (rule["rule"], rule["fired"], rule["when"]["value"]) == ("bad", True, True)
    assert found["message"] == {"en": "This was withheld."}
    assert (size(client), Words.loaded) == (before, loaded)


def test_a_draft_with_other_checks_is_tried_with_them(client):
    """They stay for the next look at the same."""
    source = DRAFT.replace("[bad]", "[worse]")
    loaded = Words.loaded
    assert ask(client, "try", source=source, text="a bad day")["action"] == "allow"
    assert ask(client, "try", source=source, text="a worse day")["action"] == "block"
    assert Words.loaded == loaded + 1
    live = client.post("/v1/check", json={"text": "a worse day"}, headers=bearer(CALLER))
    assert live.json()["action"] == "allow"


def test_redactions_are_shown_where_they_need_no_key(client):
    """`edited` is the text that would leave."""
    source = DRAFT.replace(
        "action: block\n    category: privacy", "action: redact\n    with: {operator: mask}\n    category: privacy"
    )
    source = source.replace("    message: {en: This was withheld.}\n", "")
    found = ask(client, "try", source=source, text="a bad day")
    assert found["action"] == "redact"
    assert found["edited"] == "a *** day"
    keyed = source.replace("operator: mask", "operator: hash")
    assert "edited" not in ask(client, "try", source=keyed, text="a bad day")


def test_pictures_packs_and_revisions_are_tried(client):
    """An image of the request; a pack by its name; what the ledger has."""
    dark = base64.b64encode(png(64, 64, (0, 0, 0))).decode()
    assert ask(client, "try", source=DRAFT, image=dark)["won"] == ["dark"]
    revision = load("policy.yaml").revision
    assert ask(client, "try", revision=revision[:12], text="a bad day")["policy"]["revision"] == revision
    assert ask(client, "try", 400, revision="f" * 12, text="x")["error"]["code"] == "invalid_input"
    assert ask(client, "test", 400, pack="../house")["error"]["code"] == "invalid_input"


@pytest.mark.parametrize(
    "body",
    [
        {"text": "x"},
        {"source": DRAFT, "pack": "dev", "text": "x"},
        {"source": DRAFT},
        {"source": DRAFT, "text": "x", "image": "eA=="},
        {"source": DRAFT, "text": "x", "more": 1},
    ],
)
def test_one_draft_and_one_content(client, body):
    """Anything else is of another shape."""
    assert ask(client, "try", 422, **body)["error"]["code"] == "invalid_request"


def test_a_refusal_is_no_decision(client):
    """No JSON, a large body, a text that is no Unicode: nothing is recorded of a draft."""
    before = size(client)
    headers = {"content-type": "application/json"}
    assert client.post("/v1/policies/try", content=b"{", headers=headers).status_code == 400
    assert client.post("/v1/policies/try", content=b"x" * 1_300_000, headers=headers).status_code == 413
    assert client.post("/v1/policies/try", json={"source": DRAFT, "image": "eA=="}).status_code == 400
    assert size(client) == before


# --- test ------------------------------------------------------------------------------------------------------------


def test_the_examples_of_a_draft_are_run(client):
    """With the checks that judge here, which are not loaded again."""
    loaded, before = Words.loaded, size(client)
    found = ask(client, "test", source=DRAFT)
    assert (found["ok"], found["passed"], found["failed"]) == (True, 2, 0)
    assert {one["outcome"] for one in found["tests"]} == {"passed"}
    assert found["coverage"]["missing"][0]["rule"] == "dark"
    red = ask(client, "test", source=DRAFT.replace("passes: a good word", "passes: a bad time"))
    assert (red["ok"], red["failed"]) == (False, 1)
    assert "expected to pass" in red["tests"][1]["why"][0]
    assert ask(client, "test", source=DRAFT, rules=["bad"], words=["good"])["passed"] == 1
    assert (Words.loaded, size(client)) == (loaded, before)


def test_a_file_of_tests_in_the_working_folder_is_not_the_drafts(client):
    """A text has no file, so no suite lies beside it."""
    Path("policy_test.yaml").write_text("policy: policy.yaml\ntests: [\n", "utf-8")
    assert ask(client, "test", source=DRAFT)["ok"]


def test_lines_tell_how_far_it_is(client):
    """Contents measured, then the whole answer."""
    *progress, last = lines(client, "test", source=DRAFT)
    assert [one["progress"] for one in progress] == [{"done": 2, "of": 2}]
    assert last["result"]["passed"] == 2


def test_one_at_a_time(client, monkeypatch):
    """Others are told to come again; the checks that judge go on judging."""
    hold = threading.Event()
    monkeypatch.setattr(Words, "hold", hold)
    source = DRAFT.replace("[bad]", "[bad, worse]")
    found: list[dict[str, Any]] = []
    first = threading.Thread(target=lambda: found.append(ask(client, "test", source=source)))
    first.start()
    assert Words.begun.wait(30)
    busy = client.post("/v1/policies/replay", json={"source": DRAFT})
    assert (busy.status_code, busy.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(busy.headers["retry-after"]) > 0
    hold.set()
    first.join(30)
    assert found[0]["passed"] == 2
    assert ask(client, "test", source=DRAFT)["ok"]


# --- replay ----------------------------------------------------------------------------------------------------------


def test_a_draft_is_replayed_over_what_was_decided(client):
    """What would be another action, by rule and tenant, with examples; nothing is recorded, and no content opened."""
    sender = {"authorization": f"Bearer {OTHER}"}
    for text in ("a bad day", "a good day", "a bad night"):
        client.post("/v1/check", json={"text": text}, headers=sender)
    before = size(client)
    loose = DRAFT.replace("action: block\n    category: privacy", "action: review\n    category: privacy")
    found = ask(client, "replay", source=loose, q="tenant:blue", examples=1)
    assert (found["total"], found["replayed"], found["unchanged"], found["flipped"]) == (3, 3, 1, 2)
    (flip,) = found["flips"]
    assert (flip["from"], flip["to"], flip["count"], len(flip["examples"])) == ("block", "review", 2, 1)
    assert flip["by"]["tenant"] == {"blue": 2}
    assert (found["filters"], found["partial"], found["pruned"]) == (["tenant:blue", "policy:house"], False, 0)
    assert ask(client, "replay", source=loose, q="tenant:blue action:allow", limit=2)["flipped"] == 0
    assert ask(client, "replay", source=loose, q="tenant:blue", since="1h")["total"] == 3
    assert ask(client, "replay", source=loose, until="2020-01-01")["total"] == 0
    assert ask(client, "replay", 400, source=loose, q="nonsense:x")["error"]["code"] == "invalid_input"
    assert size(client) == before


def test_a_replay_tells_how_far_it_is(client):
    """Entries walked; the last line is the answer."""
    sender = {"authorization": f"Bearer {CALLER}"}
    client.post("/v1/check", json={"text": "a bad day"}, headers=sender)
    *progress, last = lines(client, "replay", source=DRAFT)
    assert 0 < progress[0]["progress"]["done"] <= progress[0]["progress"]["of"]
    assert progress[0]["progress"]["decisions"] == last["result"]["total"] > 0


def test_a_failure_under_way_is_the_last_line(client, monkeypatch):
    """In the one shape of errors, and it says nothing of what it came from."""
    from serving.drafting import routes

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("canary of a path")

    monkeypatch.setattr(routes, "documents", fail)
    (last,) = lines(client, "replay", source=DRAFT)
    assert last["error"]["code"] == "internal_error"
    assert "canary" not in json.dumps(last)
    assert ask(client, "test", source=DRAFT)["ok"]  # its turn is over


def test_work_ends_when_nobody_waits_for_it():
    """Once it tells how far it is; another's turn comes then."""
    import asyncio

    from serving.drafting.workshop import StoppedError, Workshop

    ended = threading.Event()

    def work(tell: Any) -> dict[str, Any]:
        try:
            while True:
                tell({"done": 0})
        except StoppedError:
            ended.set()
            raise

    async def go() -> bool:
        workshop = Workshop(None)  # type: ignore[arg-type]
        answer: Any = await workshop.run(work, stream=True)
        reading = answer.body_iterator
        assert b"progress" in await anext(reading)
        await reading.aclose()
        await asyncio.to_thread(ended.wait, 30)
        async with asyncio.timeout(30):
            await asyncio.to_thread(workshop._turn.acquire)
        return True

    assert asyncio.run(go())


def test_a_caller_and_an_officer_may_not(client):
    """Authors and approvers may, and admins; the access table has them all."""
    answer = client.post("/v1/policies/try", json={}, headers=bearer(CALLER))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_contents_stay_out_of_the_log(client, caplog):
    """Neither what was tried nor the draft."""
    caplog.set_level("DEBUG")
    ask(client, "try", source=DRAFT, text="canary-of-a-try bad")
    ask(client, "lint", source=POLICY.replace("House rules 1", "canary-of-a-draft"))
    assert "canary" not in caplog.text


def test_a_content_knows_whose_it_is(client, monkeypatch):
    """Checks get the request that was described, not that of the author."""
    seen: list[Content] = []
    call = Words.__call__
    monkeypatch.setattr(Words, "__call__", lambda self, batch: (seen.extend(batch), call(self, batch))[1])
    ask(client, "try", source=DRAFT, text="a bad day", tenant="acme", language="en", purpose="support", generator="echo")
    (one,) = seen
    assert (one.request.tenant, one.request.language, one.request.purpose) == ("acme", "en", "support")
    assert (one.origin.generator, one.request.actor) == ("echo", "anonymous")
