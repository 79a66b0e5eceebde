"""What the pages have in common: routes with their permission, forms that are one order however often they are sent, and where an order
leads; the pages stand beside this file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import pydantic
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from infra.identity.base import Permission
from services.gateway.console.pages import Pages
from services.gateway.console.session import PageRequirement, Sessions, Told, form_of
from services.gateway.errors import of_schema
from services.gateway.linked import query_text
from services.gateway.orders import Settled
from services.gateway.resources.base import Asked, Parts

KEY_FIELD = "key"
PAGE_ROWS = 25
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Desk:
    """What every page needs: the parts of the API's own routes, who sits there, and how pages are made."""

    parts: Parts
    sessions: Sessions
    pages: Pages


class Page(ABC):
    """Some pages of the console."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @abstractmethod
    def router(self) -> APIRouter:
        """The routes with their permissions."""

    def add(self, router: APIRouter, method: str, path: str, handler: Any, permission: Permission) -> None:
        """Add one route. The document of the API does not name it."""
        needed = PageRequirement.of(self.desk.sessions, permission)
        router.add_api_route(path, handler, methods=[method], include_in_schema=False, dependencies=[Depends(needed.check)])

    def show(self, request: Request, template: str, **shown: Any) -> Response:
        """The answer that shows a template."""
        return self.desk.pages.show(request, template, **shown)

    def go_on(self, request: Request, path: str, told: Told) -> Response:
        """The answer to a form: another page, which tells once how it went."""
        response = see(path)
        self.desk.sessions.tell(request, response, told)
        return response


def see(path: str) -> Response:
    """The answer that leads to another page."""
    return Response(status_code=303, headers={"Location": path})


def new_key() -> str:
    """What a form carries, so that it is one order however often it is sent."""
    return str(uuid4())


def asked(request: Request, word: str = "") -> Asked:
    """How the order of a form is carried out: under the form's key, of its own for each `word` that the form can say."""
    return Asked((form_of(request).get(KEY_FIELD) or new_key()) + word, None)


def said(request: Request, *names: str) -> dict[str, Any]:
    """These fields of a form; one that was left empty was not said."""
    form = form_of(request)
    return {name: form[name] for name in names if form.get(name, "").strip()}


def told_of(settled: Settled, done: str) -> Told:
    """What is told of an order, whether its outcome is known or not."""
    if settled.outcome is None:
        return Told("waiting", "It is sent and will not be lost, but its outcome is not known yet. Load this page again in a moment.")
    return Told("done", done if settled.shown else f"{done} This page may not show it yet: load it again in a moment.")


def filters(model: type[M], request: Request) -> M:
    """The filters of a page's query; one that was left empty does not filter, and what is unknown is ignored. Raises ApiError, 422."""
    given: Mapping[str, str] = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    try:
        return model.model_validate({name: value for name, value in given.items() if name in model.model_fields})
    except pydantic.ValidationError as error:
        raise of_schema(error, "query") from None


def next_page(request: Request, cursor: str | None) -> str | None:
    """The path of the page after this one; None on the last one."""
    if cursor is None:
        return None
    asked = {name: value for name, value in request.query_params.items() if value}
    return str(request.scope["path"]) + query_text({**asked, "cursor": cursor})
