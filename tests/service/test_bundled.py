"""The whole way over HTTP with the bundled models, and the `openai` client against it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from openai import NotFoundError, OpenAI

from guard.marks.watermark import payload_in
from serving.watermarking import find_watermark_key


@pytest.fixture(scope="module")
def client(server):
    return OpenAI(base_url=f"{server.url}/v1", api_key="unused-on-loopback", max_retries=0)


def test_the_openai_client_gets_text_with_its_decision(client, server):
    """Only the base URL is changed; the decision that the headers name is in the ledger."""
    raw = client.chat.completions.with_raw_response.create(
        model="language", messages=[{"role": "user", "content": "I need a table for two tonight."}], seed=3, max_tokens=40
    )
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in {"stop", "content_filter"}
    entry = server.http.get(f"/v1/decisions/{raw.headers['x-genguard-decision']}").json()
    assert entry["entry"]["verdict"]["action"] == answer.genguard[0]["action"]
    assert raw.headers["x-genguard-receipt"] == f"{entry['index']}:{entry['leaf_hash']}"


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(client):
    """Generation is seeded through the API."""

    def ask(seed: int) -> list[str]:
        answer = client.chat.completions.create(
            model="language", messages=[{"role": "user", "content": "What is on at the cinema?"}], seed=seed, n=3
        )
        return [choice.message.content for choice in answer.choices]

    assert ask(5) == ask(5)
    assert ask(5) != ask(6)


def test_a_conversation_of_several_turns_is_answered(client):
    """System and assistant turns become part of the prompt."""
    turns = [
        {"role": "system", "content": "You are a polite agent."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "How can I help?"},
        {"role": "user", "content": [{"type": "text", "text": "Find me a hotel in Paris."}]},
    ]
    assert client.chat.completions.create(model="language", messages=turns, seed=1).choices[0].message.content


def test_generated_images_carry_a_mark_that_leads_to_their_decision(client, server):
    """The payload read from each released file is the one its decision records; withheld images have no bytes."""
    answer = client.images.generate(model="diffusion", prompt="A round emblem", n=4, extra_body={"seed": 11})
    assert len(answer.data) == 4
    released = 0
    for image, evidence in zip(answer.data, answer.genguard, strict=True):
        if image.b64_json is None:
            assert image.finish_reason == "content_filter"
            assert evidence["action"] == "block"
            continue
        released += 1
        mark, source_type = evidence["marks"]
        assert (mark["verified"], source_type["verified"]) == (True, True)
        key = find_watermark_key(server.ledger)
        assert payload_in(base64.b64decode(image.b64_json), mark["method"], key) == mark["payload"]
    assert released


def test_an_unknown_model_is_an_error_of_the_clients_own_kind(client):
    """OpenAI's error shape makes their client raise its own exception, with the models on offer in the message."""
    with pytest.raises(NotFoundError, match="language, echo"):
        client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "Hi"}])


def test_models_are_listed(client):
    """`GET /v1/models` names the generators."""
    assert {model.id for model in client.models.list()} == {"language", "diffusion", "gan", "echo"}


def test_personal_data_is_redacted(server):
    """A card number leaves only with its last four digits, and the record says where it stood."""
    answer = server.http.post("/v1/check", json={"text": "Please charge 4111 1111 1111 1111 today."}).json()
    assert answer["action"] == "redact"
    assert answer["text"] == "Please charge **** **** **** 1111 today."
    assert {rule["rule"] for rule in answer["genguard"]["rules"]} >= {"account-number"}


def test_an_insult_is_blocked_with_the_policys_message(server):
    """Nothing of a blocked text comes back but the message, in the caller's language where the policy has it."""
    insult = {"text": "You are a stupid idiot and nobody likes you."}
    answer = server.http.post("/v1/check", json=insult).json()
    assert (answer["action"], answer["text"]) == ("block", None)
    assert set(answer["message"]) == {"en", "zh"}
    assert insult["text"] not in json.dumps(answer)


def test_a_refused_prompt_never_reaches_the_generator(server):
    """The echo would give the threat back; it is withheld, and only the prompt is in the ledger."""
    before = len(server.recorded("generator:echo"))
    threat = {"role": "user", "content": "I will find you and I will kill you."}
    answer = server.http.post(
        "/v1/chat/completions", json={"model": "echo", "messages": [threat]}, headers={"x-genguard-language": "zh-CN"}
    ).json()
    assert answer["choices"][0]["finish_reason"] == "content_filter"
    assert answer["choices"][0]["message"]["content"] == "该内容疑似含有威胁性言论，已被拦截。"
    recorded = server.recorded("generator:echo")
    assert len(recorded) == before + 1
    assert recorded[0]["stage"] == "prompt"


def test_a_protected_work_is_blocked_by_its_title(server, works: Path):
    """An upload of a registered work is recognised."""
    entry = json.loads((works / "works.json").read_text("utf-8"))[0]
    image = base64.b64encode((works / entry["file"]).read_bytes()).decode()
    answer = server.http.post("/v1/check", json={"image": image, "media_type": "image/png"}).json()
    assert (answer["action"], answer["image"]) == ("block", None)
    assert entry["title"] in answer["genguard"]["explanation"]


def test_decisions_are_filtered_and_paged(server):
    """The cursor of a page leads to the next one; no entry comes twice."""
    for number in range(3):
        server.http.post("/v1/check", json={"text": f"Your parcel number {number} is on its way."})
    first = server.http.get("/v1/decisions", params={"q": "action:allow", "limit": 2}).json()
    second = server.http.get("/v1/decisions", params={"q": "action:allow", "limit": 2, "before": first["next"]}).json()
    indices = [row["idx"] for page in (first, second) for row in page["decisions"]]
    assert indices == sorted(set(indices), reverse=True)
    assert {row["action"] for row in first["decisions"]} == {"allow"}
    bad = server.http.get("/v1/decisions", params={"q": "colour:red"})
    assert bad.status_code == 400
    assert bad.json()["error"]["message"].startswith("unknown filter")


def test_the_service_says_that_it_is_ready(server):
    """All checks are loaded and the ledger takes entries."""
    assert server.http.get("/healthz").json() == {"status": "ok"}
    assert server.http.get("/readyz").json() == {"status": "ready", "troubles": {}}


def test_the_whole_ledger_verifies_after_all_this(server):
    """What the service wrote is sound."""
    from audit.verify import verify

    report = verify(server.ledger)
    assert report.problems == ()
    assert report.ok
