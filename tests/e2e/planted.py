"""Secrets and personal data put wherever a fleet takes something in, and the search for them in its logs; used by the fleet's test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from aiokafka import AIOKafkaProducer

from contracts.topics import commands_topic
from infra.settings import MeshSettings
from tests.mesh import command_record, new_id

WORDS = "grandmother's teapot"
EMAIL, PHONE, CARD, IBAN = "mary.poppins@example.org", "+49 170 5550199", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"
PASSWORD, TOKEN = "correct-horse-battery", "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoicGxhbnRlZCJ9.cGxhbnRlZC1zaWduYXR1cmU"
API_KEY = "am_PLANTED1_" + "K3y" * 14 + "k"
MESSAGE = f"The {WORDS} broke. Write to {EMAIL}, call {PHONE}, card {CARD}, account {IBAN}, password {PASSWORD}, token {TOKEN}"
PLANTED = (WORDS, "mary.poppins", PHONE, "170 5550199", CARD, IBAN, PASSWORD, TOKEN, TOKEN[:30], API_KEY, API_KEY[12:], "Cherry Tree Lane")
CONTACT = {"name": "Mary Poppins", "email": EMAIL, "phone": PHONE, "street": "17 Cherry Tree Lane"}

FIELDS = {
    "timestamp", "level", "message", "service", "name", "trace_id", "span_id",
    "correlation_id", "causation_id", "request_id", "user_id", "tenant_id",
}  # fmt: skip


def good(**changes: Any) -> dict[str, Any]:
    """A request whose free fields are full of what no log may show."""
    values = {"customer_id": "cust-0042", "message": MESSAGE, "metadata": {"contact": CONTACT, "note": WORDS}}
    return {**values, **changes}


async def publish_badly(settings: MeshSettings) -> list[str]:
    """Records that cannot be read, that break rules in every field, and that are good; answers the keys of those that are refused."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, acks="all")
    await producer.start()
    keys = []
    try:
        for context, type_name, payload in _records():
            key = new_id()
            body = payload if isinstance(payload, bytes) else {"tenant_id": "default", "request_id": key, **payload}
            record_key, value, headers = command_record(f"agentmesh.{context}.{type_name}.v1", key, body)
            headers += [("authorization", f"Bearer {TOKEN}".encode()), ("cookie", f"sid={PASSWORD}".encode())]
            topic = settings.topic_prefix + commands_topic(context)
            await producer.send_and_wait(topic, value, key=record_key, headers=headers)
            keys.append(key)
    finally:
        await producer.stop()
    return keys


def _records() -> list[tuple[str, str, Any]]:
    return [
        ("requests", "CreateRequest", MESSAGE.encode()),
        ("requests", "CreateRequest", b"\xff\xfe" + MESSAGE.encode()),
        ("requests", "CreateRequest", json.dumps({"message": MESSAGE}).encode()[:-5]),
        ("requests", "CreateRequest", good(priority=WORDS, category=MESSAGE, metadata=MESSAGE)),
        ("requests", "CreateRequest", good(customer_id=CARD, **{EMAIL: WORDS, "password": PASSWORD})),
        ("requests", "CreateRequest", good(message=["nested", {"token": TOKEN, "message": MESSAGE}])),
        ("requests", WORDS.title().replace(" ", "").replace("'", ""), good()),
        ("requests", "ApproveRequest", {"approver": EMAIL, "comment": WORDS, "version": PASSWORD}),
        ("customers", "RegisterCustomer", {"customer_id": "cust-1", "tier": WORDS, "contact_info": MESSAGE}),
        ("customers", "RegisterCustomer", {"customer_id": EMAIL, "tier": "free", "contact_info": {**CONTACT, "name": [WORDS]}}),
        ("customers", "ChangeContactInfo", {"customer_id": PHONE, "contact_info": CONTACT}),
        ("agents", "RegisterAgent", {"agent_id": EMAIL, "name": WORDS, "api_key": API_KEY}),
        ("tasks", "CompleteTask", {"task_id": CARD, "result": MESSAGE, "attempt": WORDS}),
        ("tenants", "CreateTenant", {"name": WORDS, "approvers": [EMAIL], "approval_threshold": PASSWORD}),
    ]


def call_badly(url: str, token: str) -> list[int]:
    """Calls of the gateway that are refused, with secrets in every part; answers their statuses."""
    good_token, wrong = {"Authorization": f"Bearer {token}"}, {"Authorization": f"Bearer {TOKEN}", "Cookie": f"sid={PASSWORD}"}
    with httpx2.Client(base_url=url, timeout=30) as client:
        answers = [
            client.get("/api/v1/requests", headers=wrong),
            client.get(f"/api/v1/requests?access_token={TOKEN}&email={EMAIL}", headers=good_token),
            client.get("/api/v1/requests", headers={"Authorization": f"Bearer {API_KEY}"}),
            client.get(f"/api/v1/requests/{EMAIL}", headers=good_token),
            client.post("/api/v1/requests", headers=good_token, json=good(priority=WORDS, password=PASSWORD)),
            client.post("/api/v1/requests", headers=good_token, content=MESSAGE.encode()),
            client.post("/api/v1/customers", headers=good_token, json={"tier": WORDS, "contact_info": CONTACT}),
            client.post("/api/v1/auth/token", data={"grant_type": "password", "username": EMAIL, "password": PASSWORD}),
            client.post("/api/v1/auth/token", data={"grant_type": "client_credentials", "client_id": WORDS, "client_secret": PASSWORD}),
        ]
    return [answer.status_code for answer in answers]


def leaks(folder: Path, more: tuple[str, ...] = ()) -> list[str]:
    """Every line of every log that shows something planted, or one of `more`."""
    return [
        f"{path.name}: {text!r} in {line[:400]}"
        for path in sorted(folder.glob("*.log*"))
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        for text in (*PLANTED, *more)
        if text in line
    ]


def lines_of_another_form(folder: Path) -> list[str]:
    """Lines that are not one JSON object with the fields of every line."""
    found = []
    for path in sorted(folder.glob("*.log*")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if not isinstance(value, dict) or not set(value) >= FIELDS or not set(value) <= FIELDS | {"extra", "exception"}:
                found.append(f"{path.name}: {line[:300]}")
    return found


def in_loop(work: Callable[[], Any]) -> Any:
    """Run async work from a plain test."""
    return asyncio.run(work())
