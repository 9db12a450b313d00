"""Django's admin pages of durably in a real browser: what somebody clicks, and what then happens."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.chromium import log_in
from tests.browser.pictures import FOLDER, NAMES, take
from tests.browser.site import PASSWORD

LIST = "/admin/durably/invocation/"


def listed(page: Page, target: str) -> Any:
    """Give the row of an invocation."""
    return page.locator("#result_list tbody tr", has_text=target).first


def test_a_waiting_invocation_is_cancelled(context: BrowserContext, site: str):
    """From the log-in over the list, the journal and the question to an invocation that has been cancelled."""
    page = log_in(context, site, "ada", PASSWORD)
    page.click("#content-main >> text=Invocations")
    expect(page).to_have_title("Invocations | Django site admin")
    page.click("#changelist-filter >> text=Not completed")
    listed(page, "checkout/place").locator("th a").click()
    expect(page.locator("h1 >> text=checkout/place")).to_be_visible()
    journal = page.locator("#journal")
    for text in ("run 'charge'", "pay_5912", "call stock/", "sleep until", "waits"):
        expect(journal).to_contain_text(text)
    page.click("button[value=cancel]")
    expect(page.locator("#content-main")).to_contain_text("This cannot be undone.")
    page.click("text=No, take me back")
    expect(page.locator(".durably-facts .durably-state")).not_to_have_text("failed")
    page.click("button[value=cancel]")
    page.click("button.durably-destructive")
    expect(page.locator(".messagelist")).to_contain_text("Cancelled: 1 invocation.")
    expect(reloaded(page).locator(".durably-facts .durably-state")).to_have_text("failed")
    expect(page.locator("#journal")).to_contain_text("cancellation")
    page.click("text=History")
    expect(page.locator("#change-history")).to_contain_text("Cancelled.")
    page.close()


def reloaded(page: Page) -> Page:
    """Load a page again until its invocation is over."""
    for _ in range(100):
        page.reload()
        if page.locator(".durably-facts .durably-state").inner_text() == "failed":
            break
    return page


def test_several_are_chosen_by_their_boxes(context: BrowserContext, site: str):
    """Django's own script counts them; a search narrows them; a calm action needs no question."""
    page = log_in(context, site, "ada", PASSWORD)
    page.goto(site + LIST)
    page.fill("#searchbar", "tea")
    page.press("#searchbar", "Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.click("text=Clear all filters")
    expect(page.locator("#result_list tbody tr").nth(1)).to_be_visible()
    rows = page.locator("#result_list tbody tr").count()
    page.check("#action-toggle")
    expect(page.locator(".action-counter")).to_have_text(f"{rows} of {rows} selected")
    page.uncheck("#action-toggle")
    listed(page, "payments/collect").locator("input").check()
    page.select_option("select[name=action]", "pause")
    page.click("button[name=index]")
    expect(page.locator(".messagelist")).to_contain_text("Paused: 1 invocation.")
    expect(listed(page, "payments/collect").locator(".durably-state")).to_have_text("paused")
    page.close()


def test_payloads_are_text_and_all_files_come_from_the_site(context: BrowserContext, site: str):
    """Markup in keys and inputs does nothing; no page asks another host, and none complains in the console."""
    asked: list[str] = []
    complaints: list[str] = []
    page = log_in(context, site, "ada", PASSWORD)
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(site + LIST)
    listed(page, "onerror").locator("th a").click()
    expect(page.locator("#content-main")).to_contain_text("onerror=")
    assert page.evaluate("window.evil") is None
    page.goto(site + LIST)
    page.locator("#result_list >> text=checkout/place").first.click()
    expect(page.locator("#content-main")).to_contain_text("onerror=")
    assert page.evaluate("window.evil") is None
    assert [url for url in asked if not url.startswith(site)] == []
    assert complaints == []
    page.close()


def test_staff_without_permission_sees_nothing(context: BrowserContext, site: str):
    """Neither in the index nor at the address; who may only look has no buttons and no boxes."""
    page = log_in(context, site, "carl", PASSWORD)
    expect(page.locator("body")).not_to_contain_text("Invocations")
    answer = page.goto(site + LIST)
    assert answer is not None
    assert answer.status == 403
    page.close()
    page = log_in(context, site, "vera", PASSWORD)
    page.goto(site + LIST)
    expect(page.locator("#result_list tbody tr").first).to_be_visible()
    expect(page.locator("input[type=checkbox], select[name=action]")).to_have_count(0)
    page.locator("#result_list tbody th a").first.click()
    expect(page.locator("#journal")).to_be_visible()
    expect(page.locator("#content-main button")).to_have_count(0)
    page.close()


def test_the_theme_is_that_of_the_person(context: BrowserContext, site: str):
    """In the dark the marks are as readable as Django's own text: they take its colours."""
    page = log_in(context, site, "ada", PASSWORD)
    page.goto(site + LIST)
    colours: list[list[str]] = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        script = "name => getComputedStyle(document.querySelector(name)).color"
        colours.append([page.evaluate(script, name) for name in (".durably-failed", ".durably-succeeded", "body")])
    assert colours[0][1] == colours[0][2] != colours[1][2] == colours[1][1]
    assert colours[0][0] != colours[1][0]
    page.close()


def test_the_list_is_laid_out_as_others(context: BrowserContext, site: str):
    """The search stands above the table and the filters beside it; on a telephone they follow each other."""
    page = log_in(context, site, "ada", PASSWORD)
    page.goto(site + LIST)

    def box(name: str) -> dict[str, float]:
        return page.evaluate("name => document.querySelector(name).getBoundingClientRect().toJSON()", name)

    table, filters = box("#changelist .results"), box("#changelist-filter")
    assert box("#toolbar")["bottom"] <= table["top"]
    assert table["right"] < filters["left"]
    assert abs(filters["top"] - box("#toolbar")["top"]) < 5
    page.set_viewport_size({"width": 390, "height": 800})
    assert abs(box("#changelist-filter")["left"] - box("#toolbar")["left"]) < 40
    page.close()


def test_the_pictures_can_be_taken_again(context: BrowserContext, site: str, tmp_path: Path):
    """Those in the documentation are there, small, and of the size that is taken now."""
    take(context, site, tmp_path)
    for name in NAMES:
        assert (FOLDER / name).stat().st_size < 150_000
        sizes = [struct.unpack(">II", path.read_bytes()[16:24]) for path in (FOLDER / name, tmp_path / name)]
        assert sizes[0][0] == sizes[1][0] == 1280
