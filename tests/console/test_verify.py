"""Verify: what was released is known again, in the page, with a way into the ledger."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.console.desk import Desk, Person

Visit = Callable[..., Person]


def test_a_released_picture_is_known_and_leads_to_its_decision(service: Desk, visit: Visit) -> None:
    """Chosen as a file; its preview is shown, and the answer gets the focus."""
    released = min((service.folder / "released").glob("*.png"))
    page = visit("officer").open("/console/verify")
    page.locator("#file").set_input_files(released)
    page.locator("#preview").wait_for()
    page.get_by_role("button", name="Verify").click()
    page.get_by_role("heading", name="Ours", exact=True).wait_for()
    link = page.locator("#found a")
    assert link.get_attribute("href") == f"/console/decisions/{link.inner_text()}"
    assert service.ask("auditor", "GET", f"/v1/decisions/{link.inner_text()}")["entry"]["verdict"]["action"] == "allow"


def test_what_nobody_knows_and_what_is_no_picture_is_said(visit: Visit) -> None:
    """Nothing given, a text of others, and a file that is none."""
    page = visit("officer", language="zh").open("/console/verify")
    page.get_by_role("button", name="核验").click()
    page.get_by_role("heading", name="没有可核验的内容").wait_for()
    page.get_by_label("或文本").fill("A sentence that nobody here ever released.")
    page.get_by_role("button", name="核验").click()
    page.get_by_role("heading", name="未知").wait_for()
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.get_by_role("button", name="核验").click()
    page.get_by_role("heading", name="没有答案").wait_for()
    expect(page.locator("#found")).to_contain_text("10 字节不是可读取的图片，应为 PNG、JPEG 或 WebP")


def test_the_public_page_speaks_the_readers_language(service: Desk, visit: Visit) -> None:
    """And says the same; without a menu."""
    released = min((service.folder / "released").glob("*.png"))
    for language, heading, button, answer in (
        ("en", "Where does this image, audio or text come from?", "Verify", "ours"),
        ("zh", "这张图片、这段音频或文本是从哪里来的？", "核验", "出自本服务"),
    ):
        page = visit("officer", language=language).open("/verify")
        assert page.get_by_role("heading", level=1).inner_text() == heading
        page.get_by_role("button", name=button).click()
        page.locator("#file").set_input_files(released)
        page.get_by_role("button", name=button).click()
        page.get_by_role("heading", name=answer, exact=True).wait_for()
        assert page.locator("html").get_attribute("lang") == {"en": "en", "zh": "zh-Hans"}[language]
