"""The page `/docs`: Swagger UI on the gateway's own document, every file of it served from here, so that it works without the internet."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import FastAPI, Response

from services.gateway.errors import not_found

DOCS_PATH = "/docs"
FILE_PATH = DOCS_PATH + "/{name}"
OPEN_PATHS = (DOCS_PATH, FILE_PATH)
ASSETS = "fastapi_swagger.resources"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>AgentMesh API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#api", deepLinking: true, persistAuthorization: false, validatorUrl: null});\n'
KINDS = {"css": "text/css", "js": "text/javascript", "png": "image/png"}
NAMES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", "start.js"})
# Swagger UI sets styles in its elements; scripts come from here only.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def add_docs(app: FastAPI) -> None:
    """Serve the page and its files."""
    app.add_api_route(DOCS_PATH, page, methods=["GET"], include_in_schema=False)
    app.add_api_route(FILE_PATH, file, methods=["GET"], include_in_schema=False)


async def page() -> Response:
    """The page."""
    return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": POLICY})


async def file(name: str) -> Response:
    """One of its files."""
    if name not in NAMES:
        raise not_found("Path", name if name.isprintable() else "?")
    headers = {"Cache-Control": "public, max-age=3600"}
    return Response(_content(name), media_type=KINDS[name.rpartition(".")[2]], headers=headers)


@cache
def _content(name: str) -> bytes:
    return START.encode() if name == "start.js" else files(ASSETS).joinpath(name).read_bytes()
