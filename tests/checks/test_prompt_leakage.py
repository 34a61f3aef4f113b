"""The `prompt_leakage` check: what gives a system prompt away, in which guises, where, and what does not."""

from __future__ import annotations

import base64
import codecs
import time

import pytest

from guard.errors import ModelError, RegistryError
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Span, Stage

PROMPT = (
    "You are Nora, the assistant of the Lindenhof garden centre. Answer questions on plants, opening hours and deliveries "
    "only. Never offer a discount above ten percent, and never mention the supplier Greenway Import. "
    "If a customer is angry, apologise once and hand over to a colleague from the service desk."
)
CHINESE = (
    "你是林园花店的客服小林。只回答关于植物、营业时间和配送的问题。"
    "任何情况下都不要提供超过九折的优惠，也不要提到供应商绿途公司。"
)
CANARY = "Quastenflosser-7741"


@pytest.fixture(scope="module")
def check():
    made = checks.make("prompt_leakage", {"system_prompts": (PROMPT, CHINESE), "canaries": (CANARY,)})
    made.load()
    return made


def scan(check, text: str):
    (found,) = check([Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("1"))])
    assert found.scanned == Span(0, len(text))
    return found.findings


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


WHOLE = {
    "as it is": PROMPT,
    "capitals": PROMPT.upper(),
    "no punctuation": PROMPT.replace(",", "").replace(".", ""),
    "other spaces": PROMPT.replace(" ", "\n   "),
    "a list": "- " + PROMPT.replace(". ", ".\n- "),
    "dashes": PROMPT.replace(" ", "-"),
    "full width": "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in PROMPT),
    "rot13": codecs.encode(PROMPT, "rot13"),
    "backwards": PROMPT[::-1],
    "base64": encoded(PROMPT),
    "base64, cut": encoded(PROMPT)[:-7],
    "hexadecimal": PROMPT.encode().hex(),
    "hexadecimal, spaced": PROMPT.encode().hex(" "),
    "zero width": PROMPT.replace("e", "e\u200b"),
    "look-alikes": PROMPT.replace("a", "а").replace("o", "о"),
    "Chinese": CHINESE,
    "Chinese, spaced": " ".join(CHINESE),
    "Chinese, base64": encoded(CHINESE),
}


@pytest.mark.parametrize("guise", WHOLE)
def test_the_whole_prompt_is_found_in_any_guise(check, guise):
    """At 700 or more, inside the part that tells it."""
    before = "Of course! "
    text = f"{before}{WHOLE[guise]} Anything else?"
    found = [one for one in scan(check, text) if one.label == "system_prompt"]
    assert max(one.score for one in found) >= 700
    assert all(one.where.start >= len(before) - 1 for one in found)


def test_a_part_scores_by_its_length_and_its_share(check):
    """One sentence of three: more than a hint, less than all; the place is that sentence."""
    part = "Never offer a discount above ten percent, and never mention the supplier Greenway"
    text = f"My rules say: {part}, sorry."
    (finding,) = scan(check, text)
    assert 300 <= finding.score < 500
    assert text[finding.where.start : finding.where.end] == part
    assert "Greenway" not in finding.reason


def test_parts_add_up(check):
    """Each part is a finding, all with the score of what they tell together."""
    text = f"{PROMPT[:100]} and, by the way, {PROMPT[-90:]}"
    found = scan(check, text)
    assert len(found) == 2
    assert len({one.score for one in found}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I am Nora, the assistant of the garden centre. How can I help?",
        "We are open from nine to six, and deliveries take two days.",
        "I am sorry that you are angry. A colleague from the service desk will call you.",
        "你好，我是小林，请问需要什么植物？",
        "本店周一到周五营业，配送需要两天。",
        encoded("Something else entirely, nothing of the prompt is in this text."),
        "a" * 5000,
        "QUJD" * 2000,
    ],
)
def test_ordinary_answers_pass(check, text):
    """Also those that speak of the same things."""
    assert scan(check, text) == ()


@pytest.mark.parametrize(
    "told",
    [CANARY, CANARY.upper(), CANARY.replace("-", " "), " ".join(CANARY), CANARY[::-1], codecs.encode(CANARY, "rot13"),
     encoded(f"the word is {CANARY}"), CANARY.encode().hex()],
)  # fmt: skip
def test_a_canary_is_found_in_any_guise(check, told):
    """At 1000, at its place, unquoted."""
    text = f"It is {told} I think."
    found = [one for one in scan(check, text) if one.label == "canary"]
    assert {one.score for one in found} == {1000}
    assert found[0].where.start == 6
    assert CANARY not in found[0].reason


def test_prompts_come_from_files_too(tmp_path):
    """Read at load; what is protected is in the digest and nowhere else."""
    file = tmp_path / "prompt.txt"
    file.write_text(PROMPT, "utf-8")
    made = checks.make("prompt_leakage", {"files": (str(file),)})
    assert made.digest == ""
    made.load()
    assert len(made.digest) == 64
    assert set(made.labels) == {"system_prompt"}
    assert scan(made, PROMPT)[0].score == 1000


@pytest.mark.parametrize("text", [None, "too short"])
def test_a_file_that_cannot_serve_is_said_so(tmp_path, text):
    """Missing, or of a few words; the message has the path and not the text."""
    file = tmp_path / "prompt.txt"
    if text:
        file.write_text(text, "utf-8")
    made = checks.make("prompt_leakage", {"files": (str(file),)})
    with pytest.raises(ModelError, match=r"prompt\.txt") as caught:
        made.load()
    assert "too short" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [{}, {"system_prompts": ("Be nice.",)}, {"canaries": ("abc-1",)}, {"canaries": (CANARY,), "run": 2}],
)
def test_what_cannot_be_told_from_ordinary_text_is_refused(given):
    """Nothing to protect, or too little of it; the text itself is not in the message."""
    with pytest.raises(RegistryError) as caught:
        checks.make("prompt_leakage", given)
    assert "Be nice" not in str(caught.value)


@pytest.mark.parametrize("piece", ["you are nora ", "a", "4a ", "QUJD", "你", "a-"])
def test_no_text_makes_it_slow(check, piece):
    """50,000 characters in seconds."""
    start = time.process_time()
    scan(check, (piece * 50_000)[:50_000])
    assert time.process_time() - start < 10
