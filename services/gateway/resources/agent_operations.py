"""What the OpenAPI document says of the operations on agents, of v1 and of v2, with their examples; read by the routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import BaseModel

from contracts.agents.commands import ChangeAgentCapabilities, RegisterAgent, SuspendAgent
from services.gateway.openapi import EXAMPLE_TIME, Example, Operation, accepted, body, changed, good, refused
from services.gateway.resources.agent_representation import V1_PATH, V2_PATH, AgentEnvelope, AgentPage, AgentRepresentation, AgentV1

AGENT_ID = "4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b"
V1, V2 = Example("Agent", V1_PATH, "agent_id", AGENT_ID), Example("Agent", V2_PATH, "agent_id", AGENT_ID)
REGISTER = {
    "name": "First line",
    "kind": "triage",
    "capabilities": [{"name": "billing", "level": 3}],
    "limit": 2,
    "metadata": {"team": "blue"},
}
SMALLEST = {"name": "First line", "capabilities": [{"name": "billing", "level": 3}]}
CAPABILITIES = {"capabilities": [{"name": "billing", "level": 4}, {"name": "refund", "level": 2}]}
RULES = """Business rules:

- At least one capability, each named once, with a level from 1 (beginner) to 5 (expert).
- `kind` names the code that runs the agent (`[a-z][a-z0-9-]{0,39}`): hosts of that kind get its tasks. Left out, it is the gateway's
  default, `general` unless it is set otherwise.
- `limit` is how many tasks it runs at a time, 1 by default.

The answer is 201 when the agent is there within the wait (1 s, or `Prefer: wait=N`), else 202 with the same id."""


class Texts(NamedTuple):
    """An operation as both versions have it."""

    id: str
    summary: str
    description: str


ORDERS: Mapping[str, Texts] = {
    "suspend": Texts("suspend_agent", "Suspend an agent", "Give the agent no new task until it is resumed; what it runs goes on."),
    "resume": Texts("resume_agent", "Resume an agent", "Let a suspended or draining agent take tasks again."),
    "drain": Texts("drain_agent", "Drain an agent", "Give the agent no new task, so that it can be taken away when its tasks have ended."),
}
REASONS: Mapping[str, Any] = {"with_a_reason": {"reason": "Its answers of today are looked through."}, "without": {}}
_HEADERS = {
    "Deprecation": {"description": "Since when v2 should be used, as `@` and seconds since 1970 (RFC 9745).", "schema": {"type": "string"}},
    "Sunset": {
        "description": "From when on this version may be gone (RFC 8594); absent while no date is set.",
        "schema": {"type": "string"},
    },
    "Link": {"description": 'The same in v2, `rel="successor-version"`; of a list also `rel="next"`.', "schema": {"type": "string"}},
}
_PAGE_HEADERS = {"X-Next-Cursor": {"description": "The cursor of the next page; absent on the last one.", "schema": {"type": "string"}}}
_SHOWN = {
    "agent_id": AGENT_ID,
    "name": "First line",
    "status": "available",
    "capabilities": REGISTER["capabilities"],
    "created_at": EXAMPLE_TIME,
}


def _v1_answer(text: str) -> dict[str, Any]:
    data = {**_SHOWN, "_links": {"self": V1.link("This agent.")}}
    return {**good(AgentEnvelope, text, {"success": True, "data": data, "error": None}), "headers": _HEADERS}


def _v2_answer(text: str) -> dict[str, Any]:
    more = {"kind": "triage", "limit": 2, "open_tasks": 0, "reason": None, "metadata": {"team": "blue"}}
    told = {"updated_at": EXAMPLE_TIME, "version": 1, "position": "agents:1", "_links": {"self": V2.link("This agent.")}}
    return good(AgentRepresentation, text, {**_SHOWN, **more, **told})


class Operations:
    """The operations of one version."""

    def __init__(self, version: int) -> None:
        self._v1 = version == 1
        self._example = V1 if self._v1 else V2

    def _one(self, text: str) -> dict[str, Any]:
        return _v1_answer(text) if self._v1 else _v2_answer(text)

    def _named(self, operation: Operation) -> Operation:
        """Ids are unique in the document, and v1 is told as deprecated where v2 has another shape."""
        if self._v1:
            return replace(operation, extra={**operation.extra, "deprecated": True})
        return replace(operation, id=f"{operation.id}_v2")

    def create(self) -> Operation:
        """POST of the list."""
        told = body(RegisterAgent, {"smallest": SMALLEST, "whole": REGISTER}, ("tenant_id", "agent_id"), ("kind",))
        answers = {201: self._one("Registered."), **changed(self._example)}
        description = "Make an agent known, so that tasks are given to it.\n\n" + RULES
        return self._named(Operation("create_agent", "Register an agent", description, 201, answers, told))

    def list_v1(self) -> Operation:
        """GET of the list, as v1 has it."""
        answer = {
            "description": "A page.",
            "model": list[AgentV1],
            "content": {"application/json": {"example": [{**_SHOWN, "_links": {"self": V1.link("This agent.")}}]}},
            "headers": {**_HEADERS, **_PAGE_HEADERS},
        }
        return self._named(
            Operation(
                "list_agents",
                "List agents",
                "The agents of the tenant as a bare list, oldest first (`created_at`, then `agent_id`). It is filtered first and cut after "
                "that. Where there are more, `X-Next-Cursor` and `Link` lead on; a cursor takes the place of `offset`.",
                200,
                {200: answer, **refused()},
            )
        )

    def list_v2(self) -> Operation:
        """GET of the list, as v2 has it."""
        text = "The agents of the tenant, newest first, page by page."
        return self._named(Operation("list_agents", "List agents", text, 200, {200: good(AgentPage, "A page."), **refused()}))

    def get(self) -> Operation:
        """GET of one."""
        answers = {200: self._one("The agent."), **refused("RESOURCE_NOT_FOUND")}
        text = "One agent as the read model shows it, terminated ones too, with links that fit its status and the caller's role."
        return self._named(Operation("get_agent", "Read an agent", text, 200, answers))

    def terminate(self) -> Operation:
        """DELETE of one."""
        text = "End the agent for good, from any state; what it runs is given to others. Ending it again changes nothing."
        answers = {204: {"description": "Terminated."}, 202: accepted(self._example), **refused("RESOURCE_NOT_FOUND")}
        return self._named(Operation("terminate_agent", "Terminate an agent", text, 204, answers))

    def order(self, verb: str) -> Operation:
        """POST of a sub-path."""
        texts = ORDERS[verb]
        told = self._body(SuspendAgent, REASONS) if verb != "resume" else {}
        answers = {200: self._one("Done, or nothing was to be done."), **changed(self._example, "RESOURCE_NOT_FOUND")}
        return self._named(Operation(*texts, 200, answers, told))

    def capabilities(self) -> Operation:
        """PUT of the capabilities."""
        told = body(ChangeAgentCapabilities, {"two": CAPABILITIES}, ("tenant_id", "agent_id"))
        answers = {200: self._one("Replaced."), **changed(self._example, "RESOURCE_NOT_FOUND")}
        text = "Replace what the agent can do, all of it."
        return self._named(Operation("change_agent_capabilities", "Replace an agent's capabilities", text, 200, answers, told))

    def _body(self, model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
        """A body that may be left out."""
        told = body(model, examples, ("tenant_id", "agent_id"))
        return {"requestBody": {**told["requestBody"], "required": False}}
