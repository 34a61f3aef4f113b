"""What all pages have in common: who gets in, what they see, in which language and light, and that everybody can use it."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from audit.review import Phase
from audit.review_codes import CODES, OUTCOMES
from console.language import FOLDER, LANGUAGES, words
from console.nav import ENTRIES
from console.page import FOLDER as TEMPLATES
from console.regulations import REGULATIONS
from guard.types import Action
from serving.identity.roles import Permission, Role
from tests.console.chinese import english
from tests.console.desk import ROLES, Desk, Person
from tests.console.pages import PAGES

Visit = Callable[..., Person]
SEES = {
    "caller": {"overview", "decisions", "banks", "verify"},
    "author": {"overview", "decisions", "policies", "banks", "verify"},
    "approver": {"overview", "decisions", "policies", "banks", "verify"},
    "officer": {"overview", "decisions", "reviews", "policies", "banks", "verify", "compliance"},
    "reviewer": {"overview", "decisions", "reviews", "policies", "banks", "verify"},
    "auditor": {"overview", "decisions", "reviews", "policies", "banks", "verify", "compliance", "admin"},
    "admin": {"overview", "decisions", "reviews", "policies", "banks", "verify", "compliance", "admin"},
}


def test_both_languages_have_the_same_words_with_the_same_places() -> None:
    """And each file of one is there in the other."""
    known = {language: words(language).by_key for language in LANGUAGES}
    assert {file.name for file in (FOLDER / "en").glob("*.toml")} == {file.name for file in (FOLDER / "zh").glob("*.toml")}
    assert known["en"].keys() == known["zh"].keys()

    def places(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    assert [key for key, text in known["en"].items() if places(text) != places(known["zh"][key])] == []


def test_templates_and_words_know_one_another() -> None:
    """No template asks for a word that is not there."""
    known = words("en").by_key
    texts = {file.name: file.read_text("utf-8") for file in TEMPLATES.glob("*.html")}
    asked = {(name, key) for name, text in texts.items() for key in re.findall(r"""\bt\("([\w.]+)"[,)]""", text)}
    assert asked
    assert sorted((name, key) for name, key in asked if key not in known) == []


def test_every_role_permission_action_and_code_has_a_word() -> None:
    """What the code names elsewhere, and templates put into keys."""
    known = words("en").by_key
    named = {
        "frame.role": Role,
        "frame.action": Action,
        "admin.permission": Permission,
        "reviews.phase": Phase,
        "reviews.codes": CODES,
        "reviews.outcomes": OUTCOMES,
        "frame.page": [entry.name for entry in ENTRIES],
        "compliance.regulation": [f"{name}.{one.name}.asks" for name, duties in REGULATIONS.items() for one in duties],
    }
    assert [f"{prefix}.{one}" for prefix, ones in named.items() for one in ones if f"{prefix}.{one}" not in known] == []


def test_strangers_are_led_to_the_login_and_back(service: Desk, visit: Visit) -> None:
    """Back to the very page, with its query; a wrong key says so."""
    who = visit()
    page = who.open("/console/nowhere?q=action:block%20-generator:echo")
    assert "/auth/login" in page.url
    page.get_by_label(re.compile("key", re.IGNORECASE)).fill("not a key of anybody")
    page.get_by_role("button").first.click()
    assert page.get_by_role("alert").is_visible()
    page.get_by_label(re.compile("key", re.IGNORECASE)).fill(service.keys["officer"])
    page.get_by_role("button").first.click()
    page.wait_for_url("**/console/nowhere?q=action:block%20-generator:echo")
    assert page.get_by_role("heading", level=1).inner_text() == "There is no such page"


@pytest.mark.parametrize("role", ROLES)
def test_roles_see_their_pages_and_no_others(service: Desk, role: str) -> None:
    """In the menu and by address, for every page that is there."""
    with httpx.Client(base_url=service.url, timeout=60, cookies={"genguard": service.cookie(role)}) as http:
        home = http.get("/console")
        assert home.status_code == 200
        named = {entry.name for entry in ENTRIES if f'href="{entry.path}"' in home.text.partition("</nav>")[0]}
        assert named == SEES[role]
        for entry in ENTRIES:
            status = http.get(entry.path).status_code
            assert status == (200 if entry.name in SEES[role] else 403), entry.name


def test_somebody_of_one_tenant_does_not_see_what_is_for_all(service: Desk) -> None:
    """Whatever their role."""
    with httpx.Client(base_url=service.url, timeout=60, cookies={"genguard": service.cookie("theirs")}) as http:
        assert http.get("/console").status_code == 200
        assert http.get("/console/policies").status_code == 403


def test_the_menu_goes_by_keys_and_the_session_ends(visit: Visit) -> None:
    """`g 2`, `?`, and signing out."""
    who = visit("officer")
    page = who.open("/console")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("2")
    page.wait_for_url("**/console/decisions")
    page.locator(".who summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/auth/login**")
    assert "/auth/login" in who.open("/console").url


def test_language_and_theme_are_kept(visit: Visit) -> None:
    """The browser's language first; what was chosen from then on."""
    who = visit("officer", language="zh")
    page = who.open("/console")
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    page.get_by_label("语言").select_option("en")
    page.wait_for_selector("html[lang=en]")
    page.get_by_label("Theme").select_option("dark")
    page.wait_for_selector("html[data-theme=dark]")
    who.open("/console/nowhere")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("html").get_attribute("data-theme") == "dark"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_for_everybody(
    service: Desk, visit: Visit, violations: Callable[[Person], list[Any]], name: str, language: str, theme: str
) -> None:
    """axe-core finds nothing serious; the browser complains of nothing and asks nobody else; narrow screens hold it.

    A Chinese one has no English sentence.
    """
    shown = PAGES[name]
    who = visit(shown.who, language=language, theme=theme)
    page = who.open(shown.path(service))
    page.wait_for_load_state("networkidle")
    assert violations(who) == []
    expected = "the server responded with a status of 40"  # of a page that is there to say so
    assert [said for said in who.complaints if not (name in {"refusal", "missing"} and expected in said)] == []
    assert [url for url in who.asked if not url.startswith((service.url, "data:", "blob:"))] == []
    page.set_viewport_size({"width": 640, "height": 800})  # 1280 at 200 %
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert language == "en" or english(page) == []
