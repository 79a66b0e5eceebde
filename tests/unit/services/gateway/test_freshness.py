"""`min_position`: what a read waits for, what its answer says of it, and which positions are refused."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import APIRoute

from infra.positions.base import Followed
from projections.catalogue import read_models
from services.gateway.freshness import FOLLOWS, positions_of
from tests.unit.services.gateway.arena import Arena, view

REQUESTS, TIMELINE = Followed("requests", "requests"), Followed("timeline", "tasks")
LIST = "/api/v1/requests"


def at(position: int, **more: Any) -> Arena:
    arena = Arena(**more)
    arena.reads.put(view())
    arena.reached.positions = {REQUESTS: position, TIMELINE: position, Followed("timeline", "requests"): position}
    return arena


async def test_a_read_without_a_position_waits_for_nothing_and_says_nothing() -> None:
    arena = at(0)
    answer = await arena.call("GET", f"{LIST}/req-1")
    assert not arena.reached.asked
    assert not {"agentmesh-position", "agentmesh-stale"} & set(answer.headers)


async def test_a_position_that_is_reached_is_told() -> None:
    arena = at(12)
    answer = await arena.call("GET", f"{LIST}?min_position=requests:12")
    assert (answer.status_code, answer.headers["agentmesh-position"], "agentmesh-stale" in answer.headers) == (200, "requests:12", False)
    assert len(answer.json()["items"]) == 1


async def test_one_that_is_not_reached_is_answered_with_what_there_is_and_said_to_be_stale() -> None:
    answer = await at(11).call("GET", f"{LIST}/req-1?min_position=requests:12")
    assert (answer.status_code, answer.headers["agentmesh-position"], answer.headers["agentmesh-stale"]) == (200, "requests:11", "true")
    assert answer.json()["request_id"] == "req-1"


async def test_a_404_says_that_it_may_be_stale() -> None:
    answer = await at(11).call("GET", f"{LIST}/req-2?min_position=requests:12")
    assert (answer.status_code, answer.headers["agentmesh-stale"]) == (404, "true")


@pytest.mark.parametrize(("path", "aggregate"), [(LIST, None), (f"{LIST}/req-1", "req-1"), (f"{LIST}/req-1/history", "req-1")])
async def test_what_shows_one_request_waits_for_its_events_only(path: str, aggregate: str | None) -> None:
    arena = at(12)
    await arena.call("GET", f"{path}?min_position=requests:12")
    assert arena.reached.asked == [(REQUESTS, 12, aggregate)]


async def test_several_positions_are_each_waited_for() -> None:
    arena = at(7)
    arena.reads.canned[b"read_timeline"] = ()
    answer = await arena.call("GET", f"{LIST}/req-1/timeline?min_position=requests:5,%20tasks:9")
    assert arena.reached.asked == [(Followed("timeline", "requests"), 5, "req-1"), (TIMELINE, 9, None)]
    assert answer.headers["agentmesh-position"] == "requests:7, tasks:7"
    assert answer.headers["agentmesh-stale"] == "true"


@pytest.mark.parametrize(
    ("prefer", "seconds", "applied"), [(None, 1.0, None), ("wait=0", 0, "wait=0"), ("wait=5", 5, "wait=5"), ("wait=99", 10, "wait=10")]
)
async def test_the_wait_is_the_callers_within_its_bound(prefer: str | None, seconds: float, applied: str | None) -> None:
    arena = at(12)
    answer = await arena.call("GET", f"{LIST}?min_position=requests:12", headers={} if prefer is None else {"Prefer": prefer})
    assert seconds - 0.5 < arena.reached.seconds[0] <= seconds
    assert answer.headers.get("preference-applied") == applied


@pytest.mark.parametrize(
    "text",
    ["", "5", "requests", "requests:", "requests:-1", "requests:1.5", "requests:٣", "requests:1,requests:2", "Requests:1",
     "requests:1;tasks:1", "requests:" + "9" * 30, "x" * 201],
)  # fmt: skip
async def test_another_form_is_422(text: str) -> None:
    arena = at(0)
    answer = await arena.call("GET", LIST, params={"min_position": text})
    error = answer.json()["error"]
    assert (answer.status_code, error["details"]["errors"][0]["field"], error["details"]["errors"][0]["in"]) == (
        422,
        "min_position",
        "query",
    )
    assert not arena.reached.asked
    assert not arena.reads.asked


@pytest.mark.parametrize("context", ["tasks", "agents", "nothing"])
async def test_a_context_that_the_read_model_does_not_follow_is_422_and_says_which_it_does(context: str) -> None:
    answer = await at(0).call("GET", f"{LIST}?min_position={context}:1")
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "min_position: Contexts here: requests")


async def test_nobody_waits_without_a_permission() -> None:
    arena = at(0)
    assert (await arena.call("GET", f"{LIST}?min_position=requests:12", role=None)).status_code == 401
    assert not arena.reached.asked


def test_positions_are_read_by_context() -> None:
    assert positions_of("requests:12,tasks:0") == {"requests": 12, "tasks": 0}


def test_the_contexts_are_those_of_the_read_models_definitions() -> None:
    known = {model.name: model.contexts for model in read_models()}
    assert {name: set(contexts) for name, contexts in FOLLOWS.items()} == {name: set(known[name]) for name in FOLLOWS}


# Not from a read model: dead letters are read in the store itself, and how far read models are is itself the answer.
WITHOUT = ("/api/v1/dead-letters", "/api/v1/projections")


def test_every_read_of_a_read_model_takes_a_position() -> None:
    for route in (route for router in Arena().routers for route in router.routes):
        assert isinstance(route, APIRoute)
        if route.methods == {"GET"} and not route.path.startswith(WITHOUT):
            named = {parameter.name for each in route.dependant.dependencies for parameter in each.query_params}
            assert "min_position" in named, route.path
