"""The page of the document: served whole from here, under a policy that lets nothing else in."""

from __future__ import annotations

import re

import pytest

from tests.unit.services.gateway.arena import Arena


async def test_the_page_refers_to_files_of_the_gateway_only() -> None:
    arena = Arena()
    page = await arena.call("GET", "/docs", role=None)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    found = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(found) == 4
    for path in found:
        assert path.startswith("/docs/")
        answer = await arena.call("GET", path, role=None)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=3600")
        assert answer.headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/png")
        assert answer.content
    bundle = (await arena.call("GET", "/docs/swagger-ui-bundle.js", role=None)).text
    assert "SwaggerUIBundle" in bundle


@pytest.mark.parametrize("name", ["__init__.py", "..%2f__init__.py", "%00", "swagger-ui.css%00"])
async def test_nothing_else_is_served_there(name: str) -> None:
    answer = await Arena().call("GET", f"/docs/{name}", role=None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RESOURCE_NOT_FOUND")
