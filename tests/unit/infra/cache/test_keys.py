"""Keys of the cache: their form, the tenant in each, the digest of arguments, what goes with an event."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import Metadata, RecordedEvent
from contracts.ids import AgentId, TaskId, TenantId
from contracts.message import Event
from contracts.tasks.events import TaskCancelled, TaskStarted
from infra.cache import keys
from infra.cache.globs import escaped, matches
from infra.cache.invalidation import NOTHING, Invalidation, of_command, of_events, of_everything
from infra.errors import DataError

TENANT = "test-tenant"


def test_keys_have_their_form() -> None:
    assert keys.agent_key(TENANT, "a-1") == "agent:test-tenant:a-1"
    assert keys.message_key(TENANT, "m-1") == "message:test-tenant:m-1"
    assert keys.tenant_config_key(TENANT) == "tenant:test-tenant:config"
    assert keys.customer_key(TENANT, "cust-123") == "customer:test-tenant:cust-123"
    assert keys.request_key(TENANT, "req-1") == "request:test-tenant:req-1"
    assert keys.task_key(TENANT, "task-1") == "task:test-tenant:task-1"
    assert re.fullmatch(r"list:test-tenant:agents:[0-9a-f]{32}", keys.list_key(TENANT, "agents", {"limit": 100}))
    assert keys.kind_of("agent:test-tenant:a-1") == "agent"


def test_kinds_live_as_long_as_the_requirements_say() -> None:
    lives = (keys.AGENT_SECONDS, keys.MESSAGE_SECONDS, keys.TENANT_CONFIG_SECONDS, keys.CUSTOMER_SECONDS, keys.LIST_SECONDS)
    assert lives == (300, 60, 3600, 600, 60)
    assert keys.DECORATED_SECONDS == 300


@pytest.mark.parametrize("key", [keys.agent_key, keys.message_key, keys.customer_key, keys.request_key, keys.task_key])
def test_each_key_is_reached_by_its_tenants_pattern_only(key: Any) -> None:
    assert matches(keys.tenant_pattern("a.b"), key("a.b", "x"))
    assert not matches(keys.tenant_pattern("a.b"), key("a-b", "x"))
    assert matches(keys.tenant_pattern("t"), keys.tenant_config_key("t"))
    assert matches(keys.tenant_pattern("t"), keys.list_key("t", "agents", {}))
    assert matches(keys.list_pattern("t", "agents"), keys.list_key("t", "agents", {}))
    assert not matches(keys.list_pattern("t", "agents"), keys.list_key("t", "tasks", {}))


@pytest.mark.parametrize("tenant", ["", "a:b", "a*", "a b", "ä", "a\n"])
def test_a_tenant_id_that_is_none_makes_no_key(tenant: str) -> None:
    with pytest.raises(DataError, match="tenant_id: should have letters"):
        keys.agent_key(tenant, "x")


@pytest.mark.parametrize("rest", ["", "a\nb", "\x00", "\ud800", "x" * 801])
def test_a_rest_that_no_key_can_hold_is_refused(rest: str) -> None:
    with pytest.raises(DataError, match="rest of a agent key: should have 1 to 800 characters"):
        keys.agent_key(TENANT, rest)


@pytest.mark.parametrize("kind", ["", "1a", "a*", "a b", "a[b]"])
def test_a_kind_with_glob_characters_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match="kind: should be a letter"):
        keys.cache_key(kind, TENANT, "x")


def test_the_order_of_arguments_does_not_matter_at_any_depth() -> None:
    first = {"a": 1, "b": {"x": [1, 2], "y": None}}
    second = {"b": {"y": None, "x": [1, 2]}, "a": 1}
    assert keys.digest(first) == keys.digest(second)
    assert keys.digest(first) == hashlib.md5(b'{"a":1,"b":{"x":[1,2],"y":null}}', usedforsecurity=False).hexdigest()


def test_other_arguments_have_another_digest() -> None:
    others: list[dict[str, Any]] = [{}, {"a": 1}, {"a": "1"}, {"a": True}, {"a": None}, {"b": 1}, {"a": [1]}, {"a": 1.5}, {"a": "x"}]
    assert len({keys.digest(each) for each in others}) == len(others)


def test_what_pydantic_reads_has_a_digest() -> None:
    @dataclasses.dataclass
    class Page:
        limit: int

    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert keys.digest({"page": Page(3), "since": moment}) == keys.digest({"since": moment, "page": {"limit": 3}})


@pytest.mark.parametrize("value", [object(), float("nan"), lambda: 1], ids=["object", "nan", "function"])
def test_an_argument_without_a_canonical_form_is_refused_by_name(value: Any) -> None:
    with pytest.raises(DataError, match="arguments first, second: should have a canonical JSON form"):
        keys.digest({"second": value, "first": 1})


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_an_escaped_text_matches_itself_and_nothing_else(text: str, other: str) -> None:
    assert matches(escaped(text), text)
    assert matches(escaped(text), other) is (text == other)


# --- invalidation -----------------------------------------------------------------------------------------------------


def recorded(context: str, aggregate_id: str, event: Event | None = None, tenant: str = TENANT) -> RecordedEvent:
    metadata = Metadata(
        "id", event.type_name if event else "agentmesh.x.Y.v1", "/x", aggregate_id, "2026-01-02T00:00:00Z", tenant, "user", "u", "c", "c"
    )
    return RecordedEvent(metadata, event.to_json() if event else b"{}", 1, 1, context)


@pytest.mark.parametrize(("model", "key"), [("agents", "agent:test-tenant:x"), ("customers", "customer:test-tenant:x")])
def test_an_event_takes_its_thing_and_the_lists_that_show_it(model: str, key: str) -> None:
    going = Invalidation(frozenset({key}), frozenset({f"list:test-tenant:{model}:*"}))
    assert of_events(model, [recorded(model, "x")]) == going
    assert of_command(model, TENANT, "x") == going


def test_a_changed_tenant_takes_everything_of_the_tenant() -> None:
    going = Invalidation(frozenset(), frozenset({"*:test-tenant:*"}))
    assert of_events("tenants", [recorded("tenants", TENANT)]) == going
    assert of_command("tenants", TENANT, TENANT) == going


def started(agent_id: str) -> TaskStarted:
    return TaskStarted(
        tenant_id=TenantId(TENANT),
        task_id=TaskId("task-1"),
        task_type="triage",
        kind="triage",
        subject_id="req-1",
        agent_id=AgentId(agent_id),
        attempt=1,
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def cancelled() -> TaskCancelled:
    """Of a task that nobody had."""
    fields = started("x").model_dump(exclude={"started_at"})
    return TaskCancelled(**{**fields, "agent_id": None}, reason="called off", cancelled_at=datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize("tenant", [TENANT, ""])
def test_a_task_takes_the_agent_that_has_it(tenant: str) -> None:
    """Also where the metadata does not tell the tenant."""
    going = of_events("tasks", [recorded("tasks", "task-1", started("a-1"), tenant)])
    assert going == Invalidation(frozenset({"agent:test-tenant:a-1"}), frozenset({"list:test-tenant:agents:*"}))
    assert of_events("tasks", [recorded("tasks", "task-1", cancelled())]) == NOTHING
    assert of_command("tasks", TENANT, "task-1") == Invalidation(patterns=frozenset({"agent:test-tenant:*", "list:test-tenant:agents:*"}))


@pytest.mark.parametrize("model", ["requests", "approvals", "timeline", "deadlines", "unheard-of"])
def test_a_read_model_from_which_nothing_cached_is_fetched_takes_nothing(model: str) -> None:
    assert of_events(model, [recorded("requests", "x")]) == of_everything(model) == of_command(model, TENANT, "x") == NOTHING
    assert not NOTHING


def test_many_events_are_one_invalidation() -> None:
    going = of_events("agents", [recorded("agents", "a"), recorded("agents", "b"), recorded("agents", "a")])
    assert going == Invalidation(frozenset({"agent:test-tenant:a", "agent:test-tenant:b"}), frozenset({"list:test-tenant:agents:*"}))
    assert of_events("agents", []) == NOTHING


@pytest.mark.parametrize("model", ["agents", "customers", "tasks", "tenants"])
def test_everything_of_a_read_model_holds_all_that_its_events_take_of_any_tenant(model: str) -> None:
    everything = of_everything(model)
    assert not everything.keys
    for tenant in (TENANT, "acme.2"):
        for key in (keys.agent_key(tenant, "x"), keys.customer_key(tenant, "x"), keys.tenant_config_key(tenant)):
            concerned = key.startswith(model.replace("tasks", "agents")[:-1])
            assert any(matches(pattern, key) for pattern in everything.patterns) is concerned
        for name in ("agents", "customers"):
            concerned = name == model.replace("tasks", "agents")
            assert any(matches(pattern, keys.list_key(tenant, name, {"limit": 5})) for pattern in everything.patterns) is concerned
