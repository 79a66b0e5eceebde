"""The console as a person uses it: a real browser on a real mesh goes through every page, once with the mouse and once with the keyboard
alone, and what it decides is in the event store. `make screenshots` keeps pictures of it.

The browser is the system's Chromium."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.conformance.accounts import PASSWORD
from tests.integration.gateway.conftest import Spawn
from tests.integration.gateway.console_world import BROKEN, TRACE, TRACES, World, furnished
from tests.mesh import Mesh, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = os.environ.get("AGENTMESH_SCREENSHOTS")
"""A folder, where pictures are wanted."""
MOST_TABS = 150
PATIENT_MS = 20_000
PAGES = ("Fleet", "Requests", "Approvals", "Dead letters", "Projections")


class Person:
    """Sits before a browser; remembers whatever the browser complained of, and where it was led."""

    def __init__(self, page: Page, world: World) -> None:
        self.page = page
        self.world = world
        self.complaints: list[str] = []
        self.pages: set[str] = set()
        page.set_default_timeout(PATIENT_MS)
        page.on("console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda failed: self.complaints.append(f"{failed.url}: {failed.failure}"))
        page.on("request", lambda asked: self._asked(asked.url))
        page.on("response", lambda answer: self.complaints.append(f"{answer.url}: {answer.status}") if answer.status >= 400 else None)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.world.url + "/", "data:")):
            self.complaints.append(f"a request to another origin: {url}")
        self.pages.add(re.sub(r"req-[0-9a-f-]+|/\d+", "ID", urlsplit(url).path))

    async def picture(self, name: str) -> None:
        """Keep a picture of the page, where pictures are wanted."""
        if PICTURES:
            await self.page.screenshot(path=Path(PICTURES) / f"console-{name}.png")

    async def at(self, title: str) -> None:
        """Wait for the page with this heading; every page has the landmarks that people without a mouse or a screen go by."""
        await expect(self.page.locator("h1")).to_have_text(title)
        assert await self.page.locator("main").count() == await self.page.locator("header").count() == 1
        assert await self.page.locator("html[lang=en]").count() == 1
        unnamed = await self.page.evaluate(
            "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')].filter(e => !e.labels.length).length"
        )
        assert unnamed == 0

    async def told(self, text: str) -> None:
        """The page tells it, once."""
        await expect(self.page.locator(".told")).to_contain_text(text)

    # --- the keyboard -------------------------------------------------------------------------------------------------

    async def tab_to(self, name: str) -> None:
        """Press Tab until what has this name has the focus, which can be seen."""
        for _ in range(MOST_TABS):
            await self.page.keyboard.press("Tab")
            found, outline = await self.page.evaluate(
                "(() => { const e = document.activeElement; return [(e.labels && e.labels.length ? e.labels[0].textContent : e.textContent)"
                ".trim(), getComputedStyle(e).outlineStyle]; })()"
            )
            if re.fullmatch(name, found):
                assert outline != "none", f"the focus on {name} cannot be seen"
                return
        raise AssertionError(f"{name} was not reached by the Tab key")

    async def enter(self, name: str) -> None:
        """Go to it by Tab, and press Enter."""
        await self.tab_to(name)
        await self.page.keyboard.press("Enter")

    async def type(self, name: str, text: str) -> None:
        """Go to a field by Tab, and write."""
        await self.tab_to(name)
        await self.page.keyboard.type(text)


@asynccontextmanager
async def person(world: World, *, dark: bool = False) -> AsyncIterator[Person]:
    """A browser with one page, which has nothing to complain of in the end."""
    expect.set_options(timeout=PATIENT_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            context = await browser.new_context(
                viewport={"width": 1280, "height": 800}, color_scheme="dark" if dark else "light", base_url=world.url
            )
            found = Person(await context.new_page(), world)
            yield found
            assert found.complaints == []
        finally:
            await browser.close()


@pytest.fixture
async def world(mesh: Mesh, spawn: Spawn) -> AsyncIterator[World]:
    if CHROMIUM is None:
        pytest.skip("the browser of the console's test is absent: apt-get install chromium")
    async with furnished(mesh, spawn) as found:
        yield found


async def test_an_operator_does_the_days_work_with_the_mouse_and_with_the_keyboard_alone(world: World) -> None:
    async with person(world) as ann:
        await sign_in(ann)
        await look_around(ann)
        await approve(ann)
        await reject(ann)
        await ask_and_answer(ann)
        await requeue(ann)
        await rebuild(ann)
        await ann.page.get_by_role("button", name="Sign out").click()
        await ann.at("Sign in")
        await the_document(ann)
        by_mouse = set(ann.pages)
    async with person(world, dark=True) as ann:
        await keyboard(ann)
    assert {"/console/approvals/ID/decide", "/console/dead-letters/requeue", "/console/sign-out"} <= by_mouse


async def sign_in(ann: Person) -> None:
    page = ann.page
    await page.goto(f"/console/requests/{ann.world.completed}")
    await ann.at("Sign in")
    await ann.picture("sign-in")
    await page.get_by_label("Login and tenant").fill(ann.world.username)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await ann.at(ann.world.completed)  # where it wanted to go
    (cookie,) = await page.context.cookies(f"{ann.world.url}/console")
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/console")


async def look_around(ann: Person) -> None:
    page, world = ann.page, ann.world
    for lane in ("queue", "work", "model"):
        assert await page.locator(f".waterfall rect.{lane}").count() >= 1, lane
    steps = page.get_by_role("table", name="Steps of the timeline")
    assert await steps.get_by_text("model call").count() == 2
    await expect(page.get_by_role("link", name=TRACE)).to_have_attribute("href", TRACES + TRACE)
    for title in PAGES:
        await page.get_by_role("navigation", name="Pages").get_by_role("link", name=title).click()
        await ann.at(title)
        await expect(page.locator("nav a[aria-current=page]")).to_have_text(title)
        await ann.picture(title.lower().replace(" ", "-"))
    await page.goto("/console/fleet")
    await expect(page.get_by_role("table", name="Workers").locator("tbody tr")).to_contain_text(["gateway"])
    assert await page.get_by_role("table", name="Agent hosts").locator("tbody tr").count() == 3
    await page.get_by_role("link", name="Load again every 15 s").click()
    await page.get_by_role("link", name="Stop").click()
    await expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)
    await page.goto("/console/requests")
    await page.get_by_label("Text in the message").fill("MONEY back")
    await page.get_by_label("Status").select_option("awaiting_approval")
    await page.get_by_role("button", name="Search").click()
    assert await page.locator("tbody th").all_inner_texts() == [world.refund]
    await page.get_by_label("Id").fill(world.foreign)
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator(".empty")).to_contain_text("No request matches")
    for path in ("requests", "approvals"):  # another tenant's is not there
        assert (await page.context.request.get(f"/console/{path}/{world.foreign}")).status == 404


async def approve(ann: Person) -> None:
    """Approve, and send the same form again: that is one decision."""
    page, world = ann.page, ann.world
    await page.goto("/console")
    await page.get_by_role("link", name="Approvals").click()
    assert set(await page.locator("tbody th").all_inner_texts()) == {world.refund, world.urgent, world.unjust, world.late}
    await page.get_by_role("link", name=world.refund).click()
    await ann.at(world.refund)
    await ann.picture("approval")
    await page.get_by_label("Comment").fill("The customer is right.")
    form = page.locator("form[action$=decide]")
    fields = {name: await form.locator(f"[name={name}]").input_value() for name in ("form", "key", "reason")}
    await page.get_by_role("button", name="Approve").click()
    await ann.at("Approvals")
    await ann.told(f"{world.refund} is approved.")
    assert set(await page.locator("tbody th").all_inner_texts()) == {world.urgent, world.unjust, world.late}
    await page.reload()
    await expect(page.locator(".told")).to_have_count(0)
    for origin, status in ((world.url, 303), ("https://evil.example", 403)):
        again = await page.context.request.post(
            f"/console/approvals/{world.refund}/decide", form={**fields, "decision": "approve"}, headers={"Origin": origin}, max_redirects=0
        )
        assert again.status == status
    await page.go_back()
    await page.get_by_role("heading", name="Outcome").wait_for()  # what a browser goes back to is not from its memory
    await world.comes_to(world.refund, "completed")
    events = [each for each in await world.mesh.store.read_stream(world.refund) if "RequestApproved" in each.metadata.type_name]
    assert [(each.metadata.auth_type, each.metadata.auth_id[:5]) for each in events] == [("user", "user-")]
    assert events[0].event().reason == "The customer is right."  # type: ignore[attr-defined]
    await page.goto(f"/console/requests/{world.refund}")
    for lane in ("queue", "work", "model", "person"):
        assert await page.locator(f".waterfall rect.{lane}").count() >= 1, lane
    await ann.picture("request")


async def reject(ann: Person) -> None:
    """Reject, with a reason."""
    page, world = ann.page, ann.world
    await page.goto("/console/approvals")
    await page.get_by_role("link", name=world.unjust).click()
    await ann.at(world.unjust)
    await page.get_by_label("Comment").fill("Both were ordered.")
    await page.get_by_role("button", name="Reject").click()
    await ann.told(f"{world.unjust} is rejected.")
    assert set(await page.locator("tbody th").all_inner_texts()) == {world.urgent, world.late}
    await decided(ann, world.unjust, "rejected", "RequestRejected", "Both were ordered.")


async def decided(ann: Person, request_id: str, status: str, name: str, reason: str) -> None:
    """The decision is in the event store once, with its reason, and the request comes to its status."""
    await ann.world.comes_to(request_id, status)
    (event,) = [each for each in await ann.world.mesh.store.read_stream(request_id) if name in each.metadata.type_name]
    assert event.event().reason == reason  # type: ignore[attr-defined]


async def ask_and_answer(ann: Person) -> None:
    """A question about what waits, and its answer; the approval goes on waiting."""
    page, world = ann.page, ann.world
    await page.goto(f"/console/approvals/{world.urgent}")
    await page.get_by_text("Ask for information").click()
    await page.get_by_role("textbox", name="Question").fill("Was it charged twice?")
    await page.get_by_role("button", name="Ask", exact=True).click()
    await ann.told("The question is asked")
    await page.get_by_role("textbox", name="Answer").fill("No, once.")
    await page.get_by_role("button", name="Answer", exact=True).click()
    await ann.told("The question is answered.")
    await expect(page.locator("blockquote").nth(2)).to_have_text("No, once.")
    names = await world.mesh.stream(world.urgent)
    assert names[-2:] == ["InformationRequested", "InformationGiven"]


async def rebuild(ann: Person) -> None:
    """Order that a read model is built anew; it waits for its worker."""
    await ann.page.goto("/console/projections")
    await ann.page.get_by_role("button", name="Rebuild tenants").click()
    await ann.told("The rebuild of tenants is waiting.")
    await expect(ann.page.get_by_role("row", name="tenants").get_by_text("waiting")).to_be_visible()


async def requeue(ann: Person) -> None:
    """Have what a defect parked tried again, once it is mended."""
    page, world = ann.page, ann.world
    await page.goto("/console/dead-letters")
    causes = page.get_by_role("table", name="Causes")
    await expect(causes.locator("tbody th code")).to_have_text("KeyError")
    await page.get_by_role("table", name="Letters").get_by_role("link").first.click()
    await expect(page.locator("pre").first).to_contain_text(BROKEN)
    await ann.picture("dead-letter")
    await page.get_by_role("link", name="Dead letters").first.click()
    world.defect.mended = True
    await page.get_by_label("Reason").fill("The defect of KeyError is mended.")
    await page.get_by_role("button", name="Requeue 2").click()
    await ann.told("2 of 2 letters of requests are marked")
    for request_id in world.broken:

        async def there(request_id: str = request_id) -> bool:
            return "RequestCreated" in await world.mesh.stream(request_id)

        await wait_for(there, 30, "the redrive")
    await page.goto("/console/dead-letters")
    await expect(page.locator(".empty")).to_contain_text("No dead letter.")


async def the_document(ann: Person) -> None:
    """The API's document beside it, from files of our own."""
    await ann.page.goto("/docs")
    await expect(ann.page.locator(".swagger-ui .opblock").first).to_be_visible()


async def keyboard(ann: Person) -> None:
    """Sign in, reject and approve what waits, go through the pages, and sign out again, without a mouse."""
    page, world = ann.page, ann.world
    await page.goto("/console/approvals")
    await ann.at("Sign in")
    await page.keyboard.type(world.username)  # the focus is there
    await ann.type("Password", PASSWORD)
    await page.keyboard.press("Enter")
    await ann.at("Approvals")
    await ann.picture("approvals-dark")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")  # skip to the content
    await ann.enter(world.urgent)
    await ann.at(world.urgent)
    await ann.type(r"Comment.*", "You were charged once.")
    await ann.enter("Reject")
    await ann.told(f"{world.urgent} is rejected.")
    await decided(ann, world.urgent, "rejected", "RequestRejected", "You were charged once.")
    await ann.enter(world.late)
    await ann.at(world.late)
    await ann.type(r"Comment.*", "It is paid back.")
    await ann.enter("Approve")
    await ann.told(f"{world.late} is approved.")
    await expect(page.locator(".empty")).to_contain_text("Nothing waits for a decision.")
    await decided(ann, world.late, "completed", "RequestApproved", "It is paid back.")
    for title in PAGES:
        await ann.enter(title)
        await ann.at(title)
    await ann.enter("Requests")
    await ann.at("Requests")
    await ann.type("Id", world.completed)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**id={world.completed}*")
    await ann.at("Requests")
    await ann.enter(world.completed)
    await ann.at(world.completed)
    await ann.picture("request-dark")
    await ann.enter("Sign out")
    await ann.at("Sign in")
    assert "agentmesh_console" not in [cookie["name"] for cookie in await page.context.cookies(f"{world.url}/console")]
