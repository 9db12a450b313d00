"""The pages of invocations, on the embedded engine: what they show, to whom, and what their forms do."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.core.management import call_command
from django.test import AsyncClient, Client, override_settings

from durably_django import sync_client
from durably_django.models import Invocation
from durably_django.runtime import runtime
from tests.django.admin.browsing import EVIL, browser, texts
from tests.django.project.shop import durable as services

LIST = "/admin/durably/invocation/"
ACT = f"{LIST}act/"
ALL = tuple(f"{each}_invocation" for each in ("view", "cancel", "kill", "pause", "resume", "restart", "purge"))


def page_of(invocation_id: str, site: str = "admin") -> str:
    """Give the path of an invocation's page."""
    return f"/{site}/durably/invocation/{quote(invocation_id)}/change/"


def waiting(name: str = "somebody") -> str:
    """Start an invocation that waits, and give its id once it does."""
    started = sync_client().service_send(services.use_and_wait, name)
    path, onlooker = page_of(started.invocation_id), browser("onlooker", "view_invocation")
    until(lambda: any(each.line.took_ms is not None for each in onlooker.get(path).context["journal"].lines))
    return started.invocation_id


def until(ask: Any) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + 8
    while not ask():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state_of(invocation_id: str) -> str:
    """Say what the page says."""
    return browser("onlooker", "view_invocation").get(page_of(invocation_id)).context["invocation"].state


def test_only_staff_with_permission_sees_anything(site: Client):
    """Others are sent to the login, or refused; the index does not mention what they may not see."""
    invocation = waiting()
    assert Client().get(LIST).status_code == 302
    assert browser("guest", "view_invocation", is_staff=False).get(LIST).status_code == 302
    clerk, viewer = browser("clerk"), browser("viewer", "view_invocation")
    for path in (LIST, page_of(invocation), f"{LIST}{quote(invocation)}/history/"):
        assert (clerk.get(path).status_code, viewer.get(path).status_code) == (403, 200)
    assert clerk.submit(ACT, action="cancel", _selected_action=invocation).status_code == 403
    assert "invocation" not in clerk.get("/admin/").content.decode()
    assert LIST in viewer.get("/admin/").content.decode()
    assert viewer.get(ACT).status_code == 405


def test_the_list_is_narrowed_and_searched(site: Client):
    """By status, by service, by id and by key; the address says which."""
    invocation = waiting()
    sync_client().object_call(services.put, key="Grace's", arg="tea")
    viewer = browser("viewer", "view_invocation")

    def targets(**query: str) -> list[str]:
        return [row.target for row in viewer.get(LIST, query).context["rows"]]

    assert targets() == ["baskets/Grace's/put", "orders/use_and_wait"]
    assert targets(status="succeeded") == ["baskets/Grace's/put"]
    assert targets(status="open") == targets(service="orders") == targets(q=invocation) == ["orders/use_and_wait"]
    assert targets(q="race'") == ["baskets/Grace's/put"]
    assert targets(q="inv_1nothing") == targets(service="orders", status="failed") == []
    assert targets(q="\0") == targets()
    assert targets(status="nonsense", page="7", before="") == targets()


def test_pages_lead_to_each_other(site: Client, monkeypatch: pytest.MonkeyPatch):
    """Older and newer, with the filters kept; a place that is none leads to the beginning."""
    monkeypatch.setattr("durably_django.admin.invocations.InvocationAdmin.list_per_page", 2)
    for number in range(5):
        sync_client().object_call(services.put, key=f"k{number}", arg="tea")
    viewer = browser("viewer", "view_invocation")

    def look(query: str) -> Any:
        return viewer.get(f"{LIST}?{query}").context

    first = look("q=k")
    second = look(first["older"])
    third = look(second["older"])
    keys = [[row.key for row in each["rows"]] for each in (first, second, third)]
    assert keys == [["k4", "k3"], ["k2", "k1"], ["k0"]]
    assert (first["newer"], first["newest"], third["older"], third["newest"]) == (None, None, None, "q=k")
    assert [row.key for row in look(third["newer"])["rows"]] == keys[1]
    assert viewer.get(f"{LIST}?q=k&before=nonsense").headers["location"] == "?q=k"


def test_one_page_shows_what_happened(site: Client):
    """Status, input, and the journal as a time line, with what it waits for."""
    invocation = waiting("Ada")
    page = browser("viewer", "view_invocation").get(page_of(invocation))
    shown = page.content.decode()
    assert (page.context["invocation"].state, page.context["journal"].input) in (
        ("running", '"Ada"'),
        ("suspended", '"Ada"'),
    )
    assert [each.line.kind for each in page.context["journal"].lines] == ["input", "run"]
    assert "run &#x27;store&#x27;" in shown
    assert page.context["actions"] == []
    assert "</form>" not in shown.partition('id="content-main"')[2].partition('class="module"')[0]


def test_large_and_hostile_payloads(site: Client):
    """They are text, escaped and cut; JSON is set in lines."""
    client = sync_client()
    client.object_call(services.put, key=EVIL, arg=EVIL + "x" * 20_000)
    viewer = browser("viewer", "view_invocation")
    listed = viewer.get(LIST)
    page = viewer.get(page_of(listed.context["rows"][0].id))
    for each in (listed, page):
        assert EVIL not in each.content.decode()
        assert "&lt;script&gt;" in each.content.decode()
    assert "(20029 bytes)" in page.context["journal"].input
    assert len(page.content) < 40_000
    search = viewer.get(LIST, {"q": EVIL, "service": EVIL})
    assert EVIL not in search.content.decode()


def test_cancelling_asks_first_and_is_remembered(site: Client):
    """The first form asks, the second does it; the history says who did."""
    invocation = waiting()
    boss = browser("boss", "view_invocation", "cancel_invocation")
    form = {"action": "cancel", "_selected_action": invocation, "from": invocation}
    asked = boss.submit(ACT, **form)
    assert "This cannot be undone." in asked.content.decode()
    assert state_of(invocation) in ("running", "suspended")
    assert boss.post(ACT, {**form, "sure": "yes"}).status_code == 403  # without a token
    done = boss.submit(ACT, **form, sure="yes")
    assert (done.redirect_chain, texts(done)) == ([(page_of(invocation), 302)], ["Cancelled: 1 invocation."])
    until(lambda: state_of(invocation) == "failed")
    [entry] = LogEntry.objects.all()
    assert (entry.object_id, entry.change_message, str(entry.user)) == (invocation, "Cancelled.", "boss")
    assert entry.object_repr == f"orders/use_and_wait {invocation}"
    assert "Cancelled." in boss.get(f"{LIST}{quote(invocation)}/history/").content.decode()
    assert invocation in boss.get("/admin/").content.decode()


def test_each_action_needs_its_permission(site: Client):
    """Who may do everything else may not do this; nothing happens, and nothing is remembered."""
    invocation = waiting()
    for name in ("cancel", "kill", "pause", "resume", "restart", "purge"):
        other = browser("other", *(each for each in ALL if each != f"{name}_invocation"))
        refused = other.submit(ACT, action=name, _selected_action=invocation, sure="yes")
        assert refused.status_code == 403
        assert f'value="{name}"' not in other.get(LIST).content.decode()
    assert state_of(invocation) in ("running", "suspended")
    assert not LogEntry.objects.exists()


def test_many_at_once(site: Client):
    """Those that could be are done, the others say why; the list comes back as it was."""
    first, second = waiting("a"), waiting("b")
    boss = browser("boss", *ALL)
    chosen = {"_selected_action": [first, second], "list_query": "q=&status=open", "sure": "yes"}
    assert len(boss.submit(ACT, **{**chosen, "sure": ""}, action="kill").context["rows"]) == 2
    done = boss.submit(ACT, **chosen, action="kill")
    assert done.redirect_chain == [(f"{LIST}?q=&status=open", 302)]
    assert texts(done) == ["Killed: 2 invocations."]
    again = texts(boss.submit(ACT, **chosen, action="cancel"))
    assert sorted(each.partition(":")[0] for each in again) == sorted([first, second])
    assert texts(boss.submit(ACT, **chosen, action="purge")) == ["Purged: 2 invocations."]
    assert boss.get(LIST).context["rows"] == []
    assert LogEntry.objects.count() == 4


def test_pausing_resuming_and_restarting(site: Client):
    """Each is offered where it makes sense; a restart leads to the new invocation."""
    invocation = waiting()
    boss = browser("boss", *ALL)

    def do(name: str, **fields: str) -> Any:
        return boss.submit(ACT, action=name, _selected_action=invocation, **{"from": invocation}, **fields)

    assert texts(do("pause")) == ["Paused: 1 invocation."]
    until(lambda: state_of(invocation) == "paused")
    assert [each.name for each in boss.get(page_of(invocation)).context["actions"]] == ["cancel", "kill", "resume"]
    assert texts(do("resume")) == ["Resumed: 1 invocation."]
    until(lambda: state_of(invocation) != "paused")
    do("kill", sure="yes")
    until(lambda: state_of(invocation) == "failed")
    assert [each.name for each in boss.get(page_of(invocation)).context["actions"]] == ["restart", "purge"]
    restarted = do("restart", sure="yes")
    new = restarted.context["invocation"]
    assert (new.id != invocation, new.target, new.invoked_by) == (True, "orders/use_and_wait", "restart_as_new")
    purged = do("purge", sure="yes")
    assert (purged.redirect_chain, texts(purged)) == ([(LIST, 302)], ["Purged: 1 invocation."])
    assert "does not exist" in texts(boss.get(page_of(invocation), follow=True))[0]
    assert "Purged." in boss.get(f"{LIST}{quote(invocation)}/history/").content.decode()


def test_forms_that_are_none(site: Client):
    """Nothing selected, nothing to do, what is no id, an invocation that is gone: a message each, and no error."""
    boss = browser("boss", *ALL)
    gone = waiting()
    boss.submit(ACT, action="kill", _selected_action=gone, sure="yes")
    boss.submit(ACT, action="purge", _selected_action=gone, sure="yes")
    for fields, text in (
        ({"action": "", "_selected_action": gone}, "No action selected."),
        ({"action": "explode", "_selected_action": gone}, "No action selected."),
        ({"action": "pause"}, "No invocation selected."),
        ({"action": "pause", "_selected_action": "../x"}, "These are not the ids of invocations, or too many."),
        ({"action": "pause", "_selected_action": gone, "from": "//elsewhere", "list_query": "\r\nx"}, "does not exist"),
    ):
        page = boss.submit(ACT, **fields)
        assert page.redirect_chain[0][0].startswith(LIST)
        assert text in texts(page)[-1]


def test_a_runtime_that_is_not_there(site: Client):
    """A page says so, and what to set; it is no error of the site, and a server that is back is asked again."""
    boss = browser("boss", *ALL)
    unreachable = "http://127.0.0.1:9"
    for given, text in (
        ({"URL": unreachable, "ADMIN_URL": unreachable, "SERVICE_URL": unreachable}, "cannot be reached"),
        ({"URL": unreachable}, "ADMIN_URL"),
        ({"URL": "sqlite:////dev/null/durably.db"}, "/dev/null"),
        ({"URL": "sqlite:///durably.db", "COLOUR": "red"}, "colour"),
    ):
        runtime.stop()
        with override_settings(DURABLY=given):
            for page in (boss.get(LIST), boss.submit(ACT, action="pause", _selected_action=UNKNOWN)):
                assert page.status_code == 503
                assert text in page.content.decode()
                assert "--" not in page.content.decode().partition("errornote")[2].partition("</div>")[0]
    runtime.stop()
    assert boss.get(LIST).status_code == 200


UNKNOWN = "inv_1fF9Axo3ExyX08KdhDaQGVNHEYVpdp5YJp"


def test_under_asgi(site: Client):
    """The pages do not mind an event loop in the process."""
    invocation = waiting()
    viewer = browser("viewer", "view_invocation")

    async def look() -> list[int]:
        client = AsyncClient()
        client.cookies = viewer.cookies
        return [(await client.get(path)).status_code for path in (LIST, page_of(invocation))]

    assert asyncio.run(look()) == [200, 200]


def test_another_admin_site(site: Client):
    """All links of a page lead to pages of the same site."""
    invocation = waiting()
    with override_settings(ROOT_URLCONF="tests.django.project.with_two_admins"):
        boss = browser("boss", is_superuser=True)
        for path in ("/office/durably/invocation/", page_of(invocation, "office")):
            shown = boss.get(path).content.decode()
            assert "/office/durably/invocation/act/" in shown
            assert '"/admin/' not in shown
        done = boss.submit("/office/durably/invocation/act/", action="pause", _selected_action=invocation)
        assert done.redirect_chain == [("/office/durably/invocation/", 302)]


def test_the_model_has_no_rows_and_no_table(site: Client, capsys: pytest.CaptureFixture[str]):
    """Commands that go through all models pass it by; the migrations are complete."""
    for options in ({}, {"use_base_manager": True}):
        call_command("dumpdata", "durably.invocation", **options)
        assert json.loads(capsys.readouterr().out) == []
    call_command("makemigrations", "durably", check=True, dry_run=True, verbosity=0)
    assert str(Invocation(id="inv_1", target="a/b")) == "a/b inv_1"
