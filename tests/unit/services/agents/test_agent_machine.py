"""Random commands against random agents: their promises hold in every state, and the stored events rebuild the live state (TST-05)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.agents.commands import (
    ChangeAgentCapabilities,
    DrainAgent,
    MarkAgentUnhealthy,
    RecoverAgent,
    RegisterAgent,
    ResumeAgent,
    SuspendAgent,
    TerminateAgent,
)
from contracts.agents.events import EVENTS, AgentCapabilitiesChanged, AgentEvent, AgentTerminated
from contracts.agents.values import AgentStatus
from contracts.envelope import Metadata, decode_stored, encode_stored
from contracts.errors import BusinessRuleViolation, ResourceNotFound
from contracts.message import Command
from infra.runtime.base import DecisionContext
from services.agents.domain import Agent, evolve
from services.agents.handlers import DECISIONS

START = datetime(2026, 5, 4, tzinfo=UTC)
OWNER = "test-tenant"
TENANTS = st.sampled_from([OWNER, OWNER, OWNER, OWNER, "other-tenant"])
CHARACTERS = st.characters(exclude_categories=("Cc", "Cs"))
IDS = st.text(CHARACTERS, min_size=3, max_size=50)
NAMES = st.text(CHARACTERS, min_size=1, max_size=100)
CAPABILITIES = st.lists(
    st.fixed_dictionaries({"name": st.text(CHARACTERS, min_size=1, max_size=10), "level": st.integers(1, 5)}),
    min_size=1,
    max_size=5,
    unique_by=lambda capability: capability["name"],
)
METADATA = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 3) | st.booleans(), max_size=2)
CLASSES = {each.type_name: each for each in EVENTS}


class AgentMachine(RuleBasedStateMachine):
    """One agent with arbitrary fields under arbitrary commands of two tenants."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Agent | None = None
        self.stored: list[tuple[str, bytes]] = []
        self.now = START
        self.agent_id = ""
        self.fields: dict[str, Any] = {}

    def send(self, command: Command) -> tuple[AgentEvent, ...] | None:
        """The events that followed, already applied; None when the command was refused."""
        self.now += timedelta(seconds=1)
        context = DecisionContext(self.now, self.now, command.tenant_id, "user", "u", "c")
        try:
            events = DECISIONS[type(command)](self.state, command, context)
        except (BusinessRuleViolation, ResourceNotFound):
            return None
        assert len(events) <= 1
        for event in events:
            assert isinstance(event, AgentEvent)
            assert (event.tenant_id, event.agent_id) == (command.tenant_id, self.agent_id)
            self.check_step(event)
        return events  # type: ignore[return-value]

    def check_step(self, event: AgentEvent) -> None:
        before, after = self.state, evolve(self.state, event)
        assert after != before, "an event that changes nothing is no fact"
        if before is not None:
            assert before.status is not AgentStatus.TERMINATED, "the final state is final"
            kept = isinstance(event, AgentCapabilitiesChanged) or after.capabilities == before.capabilities
            assert kept, "only a change of capabilities touches them"
        self.state = after
        metadata = Metadata("e", event.type_name, "s", self.agent_id, "2026-05-04T00:00:00Z", OWNER, "user", "u", "c", "c")
        self.stored.append((event.type_name, encode_stored(metadata, event.to_json())))

    @initialize(agent_id=IDS, name=NAMES, capabilities=CAPABILITIES, limit=st.integers(1, 3), metadata=METADATA)
    def draw_the_agent(self, agent_id: str, name: str, capabilities: list[dict[str, Any]], limit: int, metadata: dict[str, Any]) -> None:
        self.agent_id = agent_id
        self.fields = {"name": name, "kind": "triage-agent", "capabilities": capabilities, "limit": limit, "metadata": metadata}

    @rule(tenant=TENANTS)
    def register(self, tenant: str) -> None:
        before = self.state
        events = self.send(RegisterAgent(tenant_id=tenant, agent_id=self.agent_id, **self.fields))
        if before is None:
            assert self.state is not None
            assert self.state.status is AgentStatus.AVAILABLE
            assert [each.model_dump() for each in self.state.capabilities] == self.fields["capabilities"]
        else:
            assert not events

    @rule(tenant=TENANTS, capabilities=CAPABILITIES)
    def change_capabilities(self, tenant: str, capabilities: list[dict[str, Any]]) -> None:
        command = ChangeAgentCapabilities(tenant_id=tenant, agent_id=self.agent_id, capabilities=capabilities)
        if self.send(command) is not None:
            assert self.state is not None
            assert set(self.state.capabilities) == set(command.capabilities)

    @rule(tenant=TENANTS, order=st.sampled_from([SuspendAgent, ResumeAgent, DrainAgent, RecoverAgent]))
    def order(self, tenant: str, order: type[SuspendAgent | ResumeAgent | DrainAgent | RecoverAgent]) -> None:
        command = order(tenant_id=tenant, agent_id=self.agent_id)
        if self.send(command) is not None:
            assert self.send(command) == (), "a repeat changes nothing"

    @rule(tenant=TENANTS)
    def mark_unhealthy(self, tenant: str) -> None:
        before = self.state
        if self.send(MarkAgentUnhealthy(tenant_id=tenant, agent_id=self.agent_id, failure_reason="no_live_host")):
            assert before is not None
            assert before.status is AgentStatus.AVAILABLE

    @precondition(lambda self: len(self.stored) > 4)
    @rule(tenant=TENANTS)
    def terminate(self, tenant: str) -> None:
        self.send(TerminateAgent(tenant_id=tenant, agent_id=self.agent_id))

    @invariant()
    def terminate_works_from_every_state(self) -> None:
        if self.state is None:
            return
        command = TerminateAgent(tenant_id=self.state.tenant_id, agent_id=self.agent_id)
        context = DecisionContext(self.now, self.now, self.state.tenant_id, "user", "u", "c")
        events = DECISIONS[TerminateAgent](self.state, command, context)
        assert len(events) == (self.state.status is not AgentStatus.TERMINATED)
        for event in events:
            assert isinstance(event, AgentTerminated)
            after = evolve(self.state, event)
            assert after.status is AgentStatus.TERMINATED
            assert after.capabilities == self.state.capabilities

    @invariant()
    def the_stored_events_rebuild_the_live_state(self) -> None:
        rebuilt: Agent | None = None
        for type_name, state in self.stored:
            _, data = decode_stored(type_name, self.agent_id, state)
            rebuilt = evolve(rebuilt, CLASSES[type_name].from_json(data))
        assert rebuilt == self.state

    @invariant()
    def what_no_command_changes_is_as_it_was_registered(self) -> None:
        if self.state is not None:
            kept = {name: self.fields[name] for name in ("name", "kind", "limit", "metadata")}
            assert self.state.model_dump(include=set(kept)) == kept


TestAgentMachine = AgentMachine.TestCase
TestAgentMachine.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
