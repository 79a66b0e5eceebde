"""A browser for the tests of the console: it keeps cookies, sends forms, and visits a gateway that has one of everything."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from contracts.fleet import HostHeartbeat
from infra.dead_letters.base import LetterDetail, ParkedItem
from infra.fleet.base import WorkerNow
from infra.identity.administration import new_account
from infra.identity.permissions import ROLES
from infra.positions.base import ContextState, ReadModelState
from tests.conformance.accounts import PASSWORD
from tests.unit.services.gateway.arena import BASE, ISSUER, NOW, TENANT, Arena, principal, view

EVERY_ROLE = (*ROLES, "root")
SESSION = "__Host-agentmesh_console"
HOSTILE = "<script>alert(1)</script>\"'><img src=x>"
ROUTES = (
    ("GET", "/console/fleet", "agent:read"),
    ("GET", "/console/requests", "request:read"),
    ("GET", "/console/requests/{request_id}", "request:read"),
    ("GET", "/console/approvals", "request:approve"),
    ("GET", "/console/approvals/{request_id}", "request:approve"),
    ("POST", "/console/approvals/{request_id}/decide", "request:approve"),
    ("POST", "/console/approvals/{request_id}/delegate", "request:approve"),
    ("POST", "/console/approvals/{request_id}/question", "request:approve"),
    ("POST", "/console/approvals/{request_id}/answer", "request:update"),
    ("GET", "/console/dead-letters", "dlq:read"),
    ("POST", "/console/dead-letters/requeue", "dlq:requeue"),
    ("GET", "/console/dead-letters/{context}/{position}", "dlq:read"),
    ("POST", "/console/dead-letters/{context}/{position}/requeue", "dlq:requeue"),
    ("POST", "/console/dead-letters/{context}/{position}/discard", "dlq:discard"),
    ("GET", "/console/projections", "projection:read"),
    ("POST", "/console/projections/{name}/rebuild", "projection:rebuild"),
)
OPEN = {
    ("GET", "/console"),
    ("GET", "/console/sign-in"),
    ("POST", "/console/sign-in"),
    ("POST", "/console/sign-out"),
    ("GET", "/console/static/{name}"),
}
FORMS = {
    "decide": {"decision": "approve", "reason": "right"},
    "delegate": {"to": "bob", "reason": "away"},
    "question": {"question": "Is there a photograph?"},
    "answer": {"answer": "There is."},
    "requeue": {"context": "requests", "error_type": "KeyError", "through": "42", "reason": "mended"},
    "discard": {"reason": "called off"},
    "rebuild": {},
}
HISTORY = (1, 7, "event-1", "agentmesh.requests.RequestCreated.v1", NOW, "user", HOSTILE, "corr-1", "corr-1", '{"message": "hello"}')


def approval(request_id: str = "req-1", **changes: Any) -> tuple[Any, ...]:
    """A row of the read model of approvals, as the database answers it."""
    money = '{"amount": "1200.00", "currency": "USD"}'
    values = {
        "request_id": request_id, "tenant_id": TENANT, "customer_id": "cust-0042", "customer_tier": "standard", "message": HOSTILE,
        "category": "refund", "priority": 3, "reasons": '["refund"]', "escalation_reasons": "[]", "financial_impact": money,
        "approval_threshold": money, "four_eyes": False, "approvers": "[]", "findings": json.dumps({"text": HOSTILE}),
        "delegated_to": None, "delegated_by": None, "question": HOSTILE, "asked_by": "bob", "answer": None, "answered_by": None,
        "requested_at": NOW, "remind_at": NOW, "escalate_at": NOW, "expires_at": NOW, "reminded_at": None, "escalated_at": None,
        "status": "waiting", "decided_by": None, "decided_at": None, "reason": None, "over_at": None, "waited_seconds": 12.5, "version": 5,
        "position": 5,
    }  # fmt: skip
    return tuple({**values, **changes}.values())


def letter(position: int = 42, **changes: Any) -> LetterDetail:
    item = ParkedItem(
        context="requests", position=position, aggregate_id="req-1", type_name="agentmesh.requests.CreateRequest.v1", cause="defect",
        error_type="KeyError", error_message=HOSTILE, attempts=3, status="parked", since=NOW.isoformat(),
    )._replace(**changes)  # fmt: skip
    return LetterDetail(item, "c-1", None, None, "t/0/1", "req-1", {"ce_type": "x"}, {"message": HOSTILE})


def agent(agent_id: str = "agent-1") -> tuple[Any, ...]:
    return (agent_id, TENANT, HOSTILE, "triage", '[{"name": "triage", "level": 3}]', 10, "available", None, "{}", NOW, NOW, 1, 1, 2)


def furnished(**settings: Any) -> Arena:
    """A gateway with one of everything, each with a hostile text in it."""
    arena = Arena(**settings)
    arena.reads.put(view(message=HOSTILE, metadata={}, status="awaiting_approval", resolution=HOSTILE))
    arena.reads.canned = {
        b"SELECT decision_id": [("d-1", "escalation", "refund", 0.5, HOSTILE, "policy", NOW)],
        b"read_requests.request_history": [HISTORY],
        b"read_timeline": [],
        b"GROUP BY 1, 2": [("triage", "available", 1, 2, 10)],
        b"FROM read_agents.agents a, LATERAL": [agent()],
        b"read_approvals.approvals": [approval()],
    }
    arena.letters.details[TENANT, "requests"] = [letter()]
    arena.states.found = [ReadModelState("requests", 2, NOW, 0, (ContextState("requests", 7, 9, 2),))]
    arena.fleet.workers_now = [WorkerNow(HOSTILE, True, "healthy", (("database", "healthy"),), 0, NOW, HOSTILE)]
    arena.fleet.hosts_now = [HostHeartbeat(sent_at=NOW, host_id="host-1", kinds=("triage",), capacity=200, load=0, interval_seconds=3)]
    return arena


class Visitor:
    """A browser: keeps cookies, and says where its forms come from."""

    def __init__(self, arena: Arena, role: str | None = "admin", tenant: str = TENANT) -> None:
        self.arena = arena
        self.cookies: dict[str, str] = {}
        if role is not None:
            self.cookies[SESSION] = ISSUER.issue(principal(role, tenant), datetime.now(UTC))

    async def get(self, path: str, **headers: str) -> Any:
        return await self._call("GET", path, headers)

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> Any:
        said = {"Content-Type": "application/x-www-form-urlencoded", "Origin": BASE, "Sec-Fetch-Site": "same-origin"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._call("POST", path, {**said, **given}, content=urlencode(fields))

    async def send(self, path: str, fields: dict[str, str], page: str = "/console/sign-in", **headers: str) -> Any:
        """Post a form of this session."""
        return await self.post(path, {"form": await self.form(page), **fields}, **headers)

    async def form(self, page: str) -> str:
        """What the forms of a page carry: of any page, for it is the session's."""
        text = self.arena.console._sessions.text_of(self.cookies.get(SESSION, ""))
        if page == "/console/sign-in" and SESSION not in self.cookies:
            found = re.search('name="form" value="([^"]+)"', (await self.get(page)).text)
            assert found is not None
            return found[1]
        return text

    async def _call(self, method: str, path: str, headers: dict[str, str], **more: Any) -> Any:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {name: value for name, value in {**headers, "Cookie": cookie}.items() if value}
        answer = await self.arena.call(method, path, role=None, headers=sent, **more)
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return answer


def path_of(template: str) -> str:
    return template.format(request_id="req-1", context="requests", position=42, name="requests")


def fields_of(template: str) -> dict[str, str]:
    verb = template.rpartition("/")[2]
    return {"reason": "mended"} if "{position}" in template else FORMS[verb]


def orders_of(arena: Arena) -> int:
    """What was ordered: commands, marks, rebuilds."""
    return len(arena.published.commands) + len(arena.letters.marks) + len(arena.rebuilds.orders)


async def with_account(environment: str = "development") -> Arena:
    arena = furnished(environment=environment)
    await arena.world.administration.add_user(new_account(TENANT, "ann", "admin", None), PASSWORD, "tester")
    return arena
