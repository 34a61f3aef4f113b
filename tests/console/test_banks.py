"""Banks in the console: register, match, retire, import; who may, and what is on record of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from guard.matching.bank import BUNDLED
from tests.console.desk import Desk, Person

Visit = Callable[..., Person]


def picture(seed: int, *, turned: bool = False) -> dict[str, object]:
    """A file that a browser could choose."""
    rough = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    made = Image.fromarray(rough).resize((240, 180), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    (made.transpose(Image.Transpose.ROTATE_180) if turned else made).save(buffer, "PNG")
    return {"name": f"{seed}.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def exported(service: Desk, bank: str) -> str:
    with service.http("officer") as http:
        return http.get(f"/v1/banks/{bank}/export").raise_for_status().text


def test_a_bank_is_imported_matched_added_to_and_retired_from(service: Desk, visit: Visit, tmp_path: Path) -> None:
    """With progress and what was refused; each change is in the history and in the ledger."""
    header, *lines = exported(service, "protected-works").splitlines()
    broken = json.dumps({**json.loads(lines[0]), "id": ""})
    lines[-1] = json.dumps({name: value for name, value in json.loads(lines[-1]).items() if name != "thumbnail"})
    file = tmp_path / "works.jsonl"
    file.write_text("\n".join([header, *lines, broken]) + "\n", "utf-8")
    page = visit("officer").open("/console/banks")
    page.get_by_label("Bank", exact=True).fill("mine")
    page.get_by_label("File (JSON Lines)").set_input_files(file)
    page.get_by_role("button", name="Import").click()
    said = f"{len(lines) + 1} of {len(lines) + 1} looked at: {len(lines)} registered, 0 there already, 1 refused."
    page.locator("#import-said", has_text=said).wait_for()
    assert page.locator("#import-rejects li").count() == 1

    page.goto(f"{service.url}/console/banks/mine")
    assert page.locator(".gallery li").count() == len(lines)
    assert page.locator(".gallery img").count() == len(lines) - 1
    assert "Only its hashes are kept" in page.locator(".gallery li", has=page.locator("svg")).inner_text()
    page.get_by_label("Id", exact=True).fill("poster/1")
    page.get_by_label("Title", exact=True).fill("A <b>poster</b>")
    page.locator("#add-file").set_input_files(picture(4))
    page.get_by_label("Keep a small picture").check()
    with page.expect_navigation():
        page.get_by_role("button", name="Register").click()
    assert page.get_by_role("heading", name="A <b>poster</b>").is_visible()
    assert page.evaluate("document.querySelector('img.thumb').decode().then(() => true)")

    page.locator("#file").set_input_files(picture(4, turned=True))
    page.get_by_role("button", name="Compare").click()
    page.locator("#matches h3", has_text="A <b>poster</b>").wait_for()
    assert page.evaluate("document.querySelector('#matches img.thumb').decode().then(() => true)")
    page.locator("#file").set_input_files(BUNDLED / "examples" / "flagged.jpg")
    page.get_by_role("button", name="Compare").click()
    page.locator("#matches h3", has_text=json.loads(lines[-1])["title"]).wait_for()
    assert page.locator("#matches .bare").count() == 1

    page.get_by_role("button", name="Retire A <b>poster</b>").click()
    page.keyboard.press("Escape")
    assert page.get_by_text("retired", exact=True).count() == 0
    page.get_by_role("button", name="Retire A <b>poster</b>").click()
    with page.expect_navigation():
        page.locator("#retire").get_by_role("button", name="Retire", exact=True).click()
    assert service.ask("auditor", "GET", "/v1/banks/mine")["works"] == len(lines)
    actors = page.locator("section", has=page.get_by_role("heading", name="History")).locator("tbody td:nth-child(2)")
    assert set(actors.all_inner_texts()) == {"officer"}
    recorded = service.ask("auditor", "GET", "/v1/decisions", params={"q": "kind:bank_change bank:mine"})["decisions"]
    assert len(recorded) >= 3
    page.locator("tbody td:last-child a").last.click()
    assert page.get_by_text("This is the bank as it was at").is_visible()


def test_who_may_not_change_a_bank_is_not_offered_it(service: Desk, visit: Visit) -> None:
    """Nor is an officer of one tenant: banks are for all."""
    for name in ("auditor", "ours"):
        page = visit(name).open("/console/banks/protected-works")
        assert page.locator(".gallery li").count() == 6
        assert page.locator("#add, #import, [data-retire]").count() == 0
    page.goto(f"{service.url}/console/banks/protected-works?q=zzz")
    assert page.locator(".gallery li").count() == 0
    assert page.goto(f"{service.url}/console/banks/..%2F..%2Fetc").status == 404
