"""serving.identity.page: the page to log in at, for whoever reads English or Chinese, by day and by night."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from serving.identity.page import CHINESE, ENGLISH, language, login_page


class Page(HTMLParser):
    """Its elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, Any]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attributes for name, attributes in self.found if name == tag]


def page(accepted: str = "", path: str = "/console", **given: Any) -> tuple[str, Any]:
    answer = login_page(accepted, path, **{"issuer": False, **given})
    return bytes(answer.body).decode(), answer


@pytest.mark.parametrize(
    ("accepted", "found"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("de-DE,de;q=0.9,zh;q=0.5", "zh-Hans"),
        ("de-DE,de;q=0.9", "en"),
        ("en;q=0.1,zh-Hans;q=0.2", "zh-Hans"),
        ("zh;q=0, en;q=0.1", "en"),
        ("zh;q=x,en", "en"),
        ("zh;q=nan", "en"),
        (",;,=;q", "en"),
        ("*", "en"),
        ("x" * 100_000, "en"),
    ],
)
def test_the_language_is_the_browsers(accepted, found):
    """Whatever it sends."""
    assert language(accepted) == found
    text, answer = page(accepted)
    assert f'<html lang="{found}">' in text
    assert (answer.headers["content-language"], answer.headers["vary"]) == (found, "accept-language")
    assert (CHINESE if found == "zh-Hans" else ENGLISH)["title"] in text


def test_both_languages_have_the_same_words():
    """And the same places for numbers."""
    assert set(ENGLISH) == set(CHINESE)
    assert {name for name, text in ENGLISH.items() if "{" in text} == {name for name, text in CHINESE.items() if "{" in text}


def test_it_loads_nothing_and_runs_nothing():
    """Its one style is the one that the policy of the page allows."""
    text, answer = page(issuer=True, told="invalid")
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert not {tag for tag, _ in Page(text).found} & {"script", "img", "link", "iframe"}
    assert not any(name == "style" or name.startswith("on") for _, one in Page(text).found for name in one)


def test_what_is_asked_has_a_label_and_what_is_wrong_is_told():
    """To whoever does not see the page, too: the field names its hint, and after a wrong key what was wrong."""
    for told, wrong in (("", False), ("refused", False), ("invalid", True)):
        found = Page(page(told=told)[0])
        field, hidden = found.all("input")
        assert [one["for"] for one in found.all("label")] == [field["id"]]
        assert hidden["type"] == "hidden"
        ids = {one["id"] for _, one in found.found if "id" in one}
        assert set(field["aria-describedby"].split()) <= ids
        assert ("aria-invalid" in field) is wrong
        assert sum(one.get("role") == "alert" for _, one in found.found) == bool(told)


def test_where_to_go_afterwards_cannot_break_the_page():
    """It stands in an attribute, as text."""
    text, _ = page(path='/x"><script>alert(1)</script>{key}')
    assert "<script" not in text
    assert Page(text).all("input")[1]["value"] == '/x"><script>alert(1)</script>{key}'


def test_a_wait_is_told_in_seconds():
    """And to clients that are none."""
    text, answer = page("zh", told="many", status=429, seconds=17)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "17")
    assert "17 秒" in text


def test_an_account_comes_first_where_there_is_one():
    """The key is the other way then."""
    text, _ = page(issuer=True)
    assert text.index(ENGLISH["issuer"]) < text.index(ENGLISH["go_key"])
    assert ENGLISH["issuer"] not in page()[0]
