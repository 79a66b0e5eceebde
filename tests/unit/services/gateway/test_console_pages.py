"""What the console's pages show: every text as text, no script, empty lists, refusals in plain words."""

from __future__ import annotations

import platform
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest

from contracts.fleet import HostHeartbeat
from contracts.requests.values import RequestStatus
from infra.errors import TransientError
from infra.fleet.base import WorkerNow
from infra.positions.base import ContextState, ReadModelState
from services.gateway.console.pages import seconds_text
from tests.unit.services.gateway.arena import NOW, Arena, view
from tests.unit.services.gateway.console_visitor import (
    ROUTES,
    Visitor,
    furnished,
    path_of,
)


async def test_a_hostile_text_is_shown_as_text() -> None:
    visitor = Visitor(furnished())
    for path in [path for method, path, _ in ROUTES if method == "GET"]:
        answer = await visitor.get(path_of(path))
        assert (answer.status_code, "<script" in answer.text, "<img" in answer.text) == (200, False, False), path
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text or path == "/console/projections"


async def test_every_page_is_kept_by_nobody_and_runs_no_script() -> None:
    visitor = Visitor(furnished())
    for path in ["/console/sign-in", "/console/nope", *(path for method, path, _ in ROUTES if method == "GET")]:
        answer = await visitor.get(path_of(path))
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert (answer.headers["cache-control"], answer.headers["x-frame-options"]) == ("no-store", "DENY")
        assert answer.headers["referrer-policy"] == "same-origin"
        assert not re.findall(r'(?:src|href|action)="(?!/console|#)', answer.text)
        assert answer.text.count("<main") == answer.text.count("<h1") == 1


def test_no_template_holds_a_script_a_style_or_a_text_that_is_not_escaped() -> None:
    for file in files("services.gateway.console").joinpath("templates").iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|\|\s*safe|autoescape", text), file.name


async def test_files_have_the_hash_of_their_content_in_their_name_and_are_kept() -> None:
    visitor = Visitor(furnished(), None)
    page = (await visitor.get("/console/sign-in")).text
    paths = re.findall(r'href="(/console/static/[^"]+)"', page)
    assert len(paths) == 2
    for path in paths:
        assert re.search(r"-[0-9a-f]{12}\.(css|svg)$", path)
        answer = await visitor.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        again = await visitor.get(path, **{"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for name in ("console.css", "..%2f..%2fconsole.py", "%00"):
        assert (await visitor.get(f"/console/static/{name}")).status_code == 404


async def test_an_empty_list_says_what_would_be_there() -> None:
    arena = Arena()
    arena.reads.canned = {b"read_agents": [], b"read_approvals": []}
    visitor = Visitor(arena)
    for path, said in (
        ("/console/requests", "No request yet."),
        ("/console/requests?status=failed", "No request matches."),
        ("/console/requests?id=req-9", "No request matches."),
        ("/console/approvals", "Nothing waits for a decision."),
        ("/console/approvals?status=rejected", "No approval is rejected."),
        ("/console/dead-letters", "No dead letter."),
        ("/console/dead-letters?context=tasks", "No dead letter matches."),
        ("/console/projections", "No read model was built yet."),
        ("/console/fleet", "This tenant has no agent."),
    ):
        answer = await visitor.get(path)
        assert (answer.status_code, said in answer.text) == (200, True), path


async def test_a_filter_that_breaks_its_rule_is_refused_by_name() -> None:
    visitor = Visitor(furnished())
    long = "x" * 501
    for query in ("status=deleted", "customer=x%00", f"text={long}", "cursor=garbage", "escalated=perhaps", "sort=up", f"id={long}"):
        answer = await visitor.get(f"/console/requests?{query}")
        assert answer.status_code == 422
        assert query.partition("=")[0] in answer.text
        assert "correct what is named above" in answer.text


async def test_long_lists_go_on_with_their_filters() -> None:
    arena = Arena()
    for number in range(30):
        arena.reads.put(view(f"req-{number:02}", created_at=NOW + timedelta(seconds=number)))
    visitor = Visitor(arena)
    first = (await visitor.get("/console/requests?customer=cust-0042&status=")).text
    found = re.search(r'rel="next" href="([^"]+)"', first)
    assert found is not None
    second = (await visitor.get(found[1].replace("&amp;", "&"))).text
    assert "customer=cust-0042" in found[1]
    seen = [re.findall(r'scope="row"[^>]*><a href="/console/requests/(req-\d\d)"', text) for text in (first, second)]
    assert [len(ids) for ids in seen] == [25, 5]
    assert sorted(seen[0] + seen[1]) == sorted(arena.reads.views)


async def test_the_recorded_traces_of_a_request_are_links_for_staff() -> None:
    arena = furnished()
    nothing = (None, None, None, "ada", None, None, None, None, None, None, None)
    created = (NOW, "req-1", "requests", 1, 7, NOW, "RequestCreated", *nothing, "4bf92f3577b34da6a3ce929d0e0e4736")
    arena.reads.canned[b"read_timeline"] = [created]
    link = '<a href="https://traces.example/trace/4bf92f3577b34da6a3ce929d0e0e4736" rel="noreferrer">'
    for role, shown in (("admin", True), ("customer", False)):
        text = (await Visitor(arena, role).get("/console/requests/req-1")).text
        assert (link in text, "Where the time went" in text) == (shown, shown)


async def test_hosts_that_cannot_be_asked_for_are_told_so() -> None:
    arena = furnished()
    arena.fleet.error = TransientError("away")
    answer = await Visitor(arena).get("/console/fleet")
    assert (answer.status_code, "the broker does not answer" in answer.text) == (200, True)


async def test_a_database_that_is_away_leaves_workers_and_hosts_on_the_page_of_the_fleet() -> None:
    arena = furnished()
    arena.reads.error = arena.states.error = TransientError("secret-host is away")
    answer = await Visitor(arena).get("/console/fleet")
    assert (answer.status_code, "host-1" in answer.text, "secret-host" in answer.text) == (200, True, False)
    assert answer.text.count("the database does not answer") == 2
    assert "all of 1 worker." in answer.text


async def test_what_is_not_well_comes_first_in_the_fleet() -> None:
    arena = furnished()
    well = WorkerNow("alpha", True, "healthy", (), 0, NOW, None)
    arena.fleet.workers_now = [well, well._replace(name="omega", ready=False), well._replace(name="beta", health=None)]
    heard = HostHeartbeat(sent_at=datetime.now(UTC), host_id="host-2", kinds=("triage",), capacity=1, load=0, interval_seconds=3)
    arena.fleet.hosts_now = [heard, *arena.fleet.hosts_now]
    text = (await Visitor(arena).get("/console/fleet")).text
    assert re.findall(r'<tr><th scope="row">(alpha|beta|omega)<', text) == ["beta", "omega", "alpha"]
    assert "</span> 1 of 3 workers; 1 more not healthy." in text
    assert re.findall(r"host-\d", text) == ["host-1", "host-2"]  # the first is silent
    assert platform.node() in text


async def test_a_read_model_that_nobody_follows_is_not_told_as_complete() -> None:
    arena = furnished()
    complete = ReadModelState("tasks", 1, NOW, 0, (ContextState("tasks", 7, 7, 0),))
    arena.states.found = [complete]
    visitor = Visitor(arena)
    assert "All 1 read model" in (await visitor.get("/console/fleet")).text
    arena.states.found = [complete, ReadModelState("reviews", 1, NOW, 0, ())]
    for path in ("/console/fleet", "/console/projections"):
        text = (await visitor.get(path)).text
        assert ("not followed" in text, "All 2" in text) == (True, False), path
    arena.states.found = []
    assert "No read model was built yet." in (await visitor.get("/console/fleet")).text


async def test_a_page_loads_itself_again_where_it_is_asked_to_and_then_has_no_form_to_lose() -> None:
    arena = furnished()
    visitor = Visitor(arena)
    for path in ("/console/fleet", "/console/dead-letters?context=requests", "/console/projections"):
        still = (await visitor.get(path)).text
        assert "http-equiv" not in still
        (link,) = re.findall(r'<a href="([^"]+)">Load again every 15 s</a>', still)
        moving = (await visitor.get(link.replace("&amp;", "&"))).text
        assert '<meta http-equiv="refresh" content="15">' in moving
        assert re.findall(r'<form[^>]*action="([^"]+)"', moving) == ["/console/sign-out"]
        assert f'<a href="{path}">Stop</a>' in moving
    for path in ("/console/requests?refresh=15", "/console/dead-letters/requests/42?refresh=15", "/console/fleet?refresh=1"):
        assert "http-equiv" not in (await visitor.get(path)).text
    # What stands open goes on while a server is away, and ends with the session.
    arena.states.error = TransientError("away")
    failed = await visitor.get("/console/projections?refresh=15")
    assert (failed.status_code, '<meta http-equiv="refresh"' in failed.text) == (503, True)
    assert "http-equiv" not in (await Visitor(arena, None).get("/console/sign-in?to=%2Fconsole%2Ffleet%3Frefresh%3D15")).text


async def test_a_link_leads_to_the_thing_itself_whatever_its_id_is() -> None:
    arena = Arena()
    arena.reads.put(view("a/../b"))
    text = (await Visitor(arena).get("/console/requests")).text
    assert '<a href="/console/requests/a%2F..%2Fb">a/../b</a>' in text


async def test_times_have_their_zone_and_the_page_tells_when_its_session_ends() -> None:
    text = (await Visitor(furnished()).get("/console/requests")).text
    assert "2026-05-04 12:00:00Z" in text
    assert re.search(r"this session ends in (30|29) min", text)


async def test_the_mesh_itself_is_shown_to_who_may_see_it() -> None:
    for role, sees in (("manager", True), ("agent", False)):
        text = (await Visitor(furnished(), role).get("/console/fleet")).text
        assert ("Agent hosts" in text) is sees
        assert "agent-1" in text


async def test_a_customer_sees_its_own_requests_without_what_is_the_staffs() -> None:
    arena = furnished()
    arena.reads.put(view("req-2", customer_id="cust-0099"))
    visitor = Visitor(arena, "customer")
    listed = (await visitor.get("/console/requests")).text
    assert ("req-1" in listed, "req-2" in listed) == (True, False)
    assert (await visitor.get("/console/requests/req-2")).status_code == 404
    assert "Where the time went" not in (await visitor.get("/console/requests/req-1")).text


async def test_a_deleted_request_is_gone() -> None:
    arena = Arena()
    arena.reads.put(view(status=RequestStatus.DELETED.value))
    answer = await Visitor(arena).get("/console/requests/req-1")
    assert (answer.status_code, "look for it in the lists" in answer.text) == (404, True)


async def test_what_is_not_there_is_a_page_too() -> None:
    visitor = Visitor(furnished())
    for path, status in (("/console/nope", 404), ("/console/requests/", 404), ("/console/sign-out", 405)):
        answer = await visitor.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert 'href="/console/approvals"' in answer.text  # and the way to the others is there


async def test_a_database_that_is_away_and_a_defect_are_pages_that_tell_nothing_of_their_cause() -> None:
    arena = furnished()
    for error, status in ((TransientError("secret-host is away"), 503), (RuntimeError("secret-host"), 500)):
        arena.reads.error = error
        answer = await Visitor(arena).get("/console/requests")
        assert (answer.status_code, "<h1>" in answer.text, "secret-host" in answer.text) == (status, True, False)


async def test_the_rate_limit_of_the_user_counts_for_pages() -> None:
    visitor = Visitor(Arena(calls_per_minute=2))
    answers = [await visitor.get("/console/requests") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "Try again in" in answers[-1].text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0004, "0 ms"),
        (0.84, "840 ms"),
        (3.21, "3.2 s"),
        (252, "4 min 12 s"),
        (3_600, "1 h"),
        (273_600, "3 d 4 h"),
        (float("inf"), "–"),
    ],
)
def test_durations_are_told_with_the_units_that_matter(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text
