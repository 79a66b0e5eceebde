"""The directory of agents: facts about agents and their assignments in, the agent that can take a task now out; pure, run by Dispatcher.

How a choice stays cheap. Agents of the same tenant, kind and capability set form a *profile*, a heap of agents. What a task asks for is a
*need*; its index is a heap of the profiles that satisfy it, each standing there with its best agent. Both heaps are lazy: an entry may
promise more than is true and is corrected when it comes to the top, so a taken slot costs nothing, and only what makes an agent a better
choice (a slot or an agent that becomes free) is pushed. An entry never promises less than is true, hence the corrected top is the best.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from sys import intern
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

from contracts.agents.values import AgentStatus
from contracts.ids import AgentId, TenantId
from services.dispatcher.roster import Roster

MAX_IDLE_NEEDS = 64
"""Indexes that a tenant's agents of one kind keep for needs that no task waits for; the next one drops the one unused for longest."""

REMEMBERED_TERMINATED = 10_000
"""Terminated agents whose version is kept, so that late facts do not bring them back."""

BUSY = "busy"
"""Shown of an available agent without a free slot (AGT-10a)."""

SLACK = 16
"""Outdated entries that a heap may hold beyond as many as there are true ones, before it is cleared of them."""

Requirements = tuple[tuple[str, int], ...]


def requirements_of(pairs: Iterable[tuple[str, int]]) -> Requirements:
    """The requirements in their one spelling: by name, and of a name that is asked for twice the higher level."""
    levels: dict[str, int] = {}
    for name, level in pairs:
        levels[intern(name)] = max(level, levels.get(name, 0))
    return tuple(sorted(levels.items()))


class Need(NamedTuple):
    """What a task asks of its agent. Tasks with the same need can be served by the same agents."""

    tenant_id: TenantId
    kind: str
    requirements: Requirements


class CapabilitySet:
    """The capabilities of an agent, name to level. Agents that can do the same share one."""

    __slots__ = ("__weakref__", "levels")

    def __init__(self, levels: Mapping[str, int]) -> None:
        self.levels = {intern(name): level for name, level in levels.items()}

    def satisfies(self, requirements: Requirements) -> bool:
        """True when every required capability is there, at least at the required level."""
        levels = self.levels
        return all(levels.get(name, 0) >= level for name, level in requirements)

    def sum_of(self, requirements: Requirements) -> int:
        """The sum of the levels of the required capabilities."""
        levels = self.levels
        return sum(levels[name] for name, _ in requirements)


@dataclass(slots=True, eq=False)
class AgentRecord:
    """What the directory knows of an agent. Only the directory changes it."""

    agent_id: AgentId
    profile: Profile | None = None
    """Absent of an agent that holds tasks but is not known (yet), and of a terminated one."""
    status: AgentStatus = AgentStatus.AVAILABLE
    limit: int = 0
    version: int = 0
    open_assignments: int = 0
    """Tasks that the agent holds, our own unanswered AssignTask commands among them."""
    turn: int = 0
    """Counts up with every assignment in the directory: the lower, the longer ago the agent got its last task."""

    def __lt__(self, other: AgentRecord) -> bool:
        """No order of its own: two records meet in a heap only when an id was forgotten and came back, and one of them is outdated."""
        return False

    @property
    def free(self) -> bool:
        """True when the agent can take one more task."""
        return self.open_assignments < self.limit and self.status is AgentStatus.AVAILABLE


class AgentSnapshot(NamedTuple):
    """An agent as a read model holds it."""

    agent_id: AgentId
    tenant_id: TenantId
    kind: str
    capabilities: Mapping[str, int]
    limit: int
    status: AgentStatus
    version: int


Order = Callable[[AgentRecord], int]
AgentEntry = tuple[int, AgentId, AgentRecord]
ProfileEntry = tuple[int, int, AgentId, int, "Profile"]


class Preference(Protocol):
    """Which of the able agents is preferred: the lowest rank, then the lowest place in the order, then the lowest id.

    The order may fall only when the agent loses a task: indexes do not look for it at other times.
    """

    @property
    def order(self) -> Order:
        """The place of an agent among those with the same capabilities. Preferences that share the function share the index."""
        ...

    @property
    def rank(self) -> Callable[[CapabilitySet, Requirements], int]:
        """What the capabilities are worth for the requirements."""
        ...


class Profile:
    """The agents of one tenant and kind that can do the same, by each order that is asked for."""

    __slots__ = ("capabilities", "heaps", "indexes", "members", "pool", "serial")

    def __init__(self, pool: _Pool, capabilities: CapabilitySet, serial: int) -> None:
        self.pool = pool
        self.capabilities = capabilities
        self.serial = serial
        self.members: dict[AgentRecord, None] = {}
        self.heaps: dict[Order, list[AgentEntry]] = {}
        self.indexes: list[_Index] = []

    def best(self, order: Order) -> AgentEntry | None:
        """The entry of the free agent that is first in the order."""
        heap = self.heaps.get(order)
        if heap is None:
            heap = self.heaps[order] = self._true_entries(order)
        while heap:
            entry = heap[0]
            place, agent_id, agent = entry
            if not agent.free or agent.profile is not self:
                heappop(heap)
                continue
            current = order(agent)
            if current == place:
                return entry
            heapreplace(heap, (current, agent_id, agent))
            while heap[0] == entry:  # the same promise made twice
                heappop(heap)
        return None

    def offer(self, agent: AgentRecord) -> None:
        """The agent is free, or has more free slots than before."""
        for order, heap in self.heaps.items():
            entry = (order(agent), agent.agent_id, agent)
            heappush(heap, entry)
            if len(heap) > 2 * len(self.members) + SLACK:
                heap[:] = self._true_entries(order)
            if heap[0][2] is agent:
                for index in self.indexes:
                    index.offer(self, order, entry)

    def _true_entries(self, order: Order) -> list[AgentEntry]:
        entries = [(order(agent), agent.agent_id, agent) for agent in self.members if agent.free]
        heapify(entries)
        return entries


class _Index:
    """The profiles that satisfy one need, by each preference that is asked for."""

    __slots__ = ("heaps", "need", "profiles", "watched")

    def __init__(self, need: Need, profiles: Iterable[Profile]) -> None:
        self.need = need
        self.profiles: dict[Profile, None] = dict.fromkeys(profiles)
        self.heaps: dict[Preference, list[ProfileEntry]] = {}
        self.watched = False

    def best(self, preference: Preference) -> AgentRecord | None:
        """The able agent that is preferred."""
        heap = self.heaps.get(preference)
        if heap is None:
            heap = self.heaps[preference] = self._true_entries(preference)
        order = preference.order
        while heap:
            top = heap[0]
            rank, place, agent_id, serial, profile = top
            best = profile.best(order)
            if best is None:
                heappop(heap)
                continue
            if best[0] == place and best[1] == agent_id:
                return best[2]
            heapreplace(heap, (rank, best[0], best[1], serial, profile))
            while heap[0] == top:
                heappop(heap)
        return None

    def offer(self, profile: Profile, order: Order, entry: AgentEntry) -> None:
        """The profile has a better agent than before, in this order."""
        for preference, heap in self.heaps.items():
            if preference.order is not order:
                continue
            rank = preference.rank(profile.capabilities, self.need.requirements)
            heappush(heap, (rank, entry[0], entry[1], profile.serial, profile))
            if len(heap) > 2 * len(self.profiles) + SLACK:
                heap[:] = self._true_entries(preference)

    def _true_entries(self, preference: Preference) -> list[ProfileEntry]:
        entries = []
        for profile in self.profiles:
            if (best := profile.best(preference.order)) is not None:
                rank = preference.rank(profile.capabilities, self.need.requirements)
                entries.append((rank, best[0], best[1], profile.serial, profile))
        heapify(entries)
        return entries


class _Pool:
    """The agents of one tenant and kind, and the indexes over them."""

    __slots__ = ("idle", "indexes", "key", "profiles")

    def __init__(self, key: tuple[TenantId, str]) -> None:
        self.key = key
        self.profiles: dict[CapabilitySet, Profile] = {}
        self.indexes: dict[Need, _Index] = {}
        self.idle: OrderedDict[Need, _Index] = OrderedDict()


class Directory:
    """Which agents there are and which can take a task now. Facts with a version not above the known one change nothing.

    A choice costs the logarithm of the number of agents. The exception is a need that no task of the tenant and kind had among the last
    `MAX_IDLE_NEEDS` different ones: its index is built once, from the agents of that tenant and kind.
    """

    def __init__(self) -> None:
        self._agents: dict[tuple[TenantId, AgentId], AgentRecord] = {}
        self._pools: dict[tuple[TenantId, str], _Pool] = {}
        self._capability_sets: WeakValueDictionary[tuple[tuple[str, int], ...], CapabilitySet] = WeakValueDictionary()
        self._terminated: OrderedDict[tuple[TenantId, AgentId], None] = OrderedDict()
        self._served: dict[Need, None] = {}
        self.roster = Roster()
        self._serials = count()
        self._turns = count(1)

    def __len__(self) -> int:
        """How many agents are known and not terminated."""
        return sum(record.profile is not None for record in self._agents.values())

    # --- facts about agents ------------------------------------------------------------------------------------------

    def created(self, agent: AgentSnapshot) -> bool:
        """An agent is known, new or from a read model. Answers whether that was news, as all facts do."""
        record = self._record(agent.tenant_id, agent.agent_id)
        if agent.version <= record.version:
            return False
        before = None if record.profile is None else record.status
        record.version, record.status, record.limit = agent.version, agent.status, agent.limit
        self.roster.moved((agent.tenant_id, agent.agent_id), intern(agent.kind), before, agent.status)
        if agent.status is AgentStatus.TERMINATED:
            self._retire(record, agent.tenant_id)
        else:
            self._move(record, self._pool(agent.tenant_id, agent.kind), agent.capabilities)
        return True

    def capabilities_changed(self, tenant_id: TenantId, agent_id: AgentId, capabilities: Mapping[str, int], version: int) -> bool:
        """What the agent can do was replaced."""
        record = self._known(tenant_id, agent_id, version)
        if record is None or record.profile is None:
            return False
        record.version = version
        self._move(record, record.profile.pool, capabilities)
        return True

    def status_changed(self, tenant_id: TenantId, agent_id: AgentId, status: AgentStatus, version: int) -> bool:
        """The agent's stream tells another status; TERMINATED is final."""
        record = self._known(tenant_id, agent_id, version)
        if record is None or record.profile is None:
            return False
        self.roster.moved((tenant_id, agent_id), record.profile.pool.key[1], record.status, status)
        record.version, record.status = version, status
        if status is AgentStatus.TERMINATED:
            self._retire(record, tenant_id)
        else:
            self._offer(record)
        return True

    def terminated(self, tenant_id: TenantId, agent_id: AgentId, version: int) -> bool:
        """The agent is gone for good."""
        return self.status_changed(tenant_id, agent_id, AgentStatus.TERMINATED, version)

    # --- assignments -------------------------------------------------------------------------------------------------

    def opened(self, tenant_id: TenantId, agent_id: AgentId) -> None:
        """The agent holds one more task. Counted for agents that are not known yet, too: the two facts travel on different topics."""
        record = self._record(tenant_id, agent_id)
        record.open_assignments += 1
        record.turn = next(self._turns)

    def closed(self, tenant_id: TenantId, agent_id: AgentId) -> None:
        """The agent holds one task less."""
        record = self._agents.get((tenant_id, agent_id))
        if record is None or not record.open_assignments:
            return
        record.open_assignments -= 1
        self._offer(record)
        if not record.version and not record.open_assignments:
            del self._agents[tenant_id, agent_id]

    # --- questions ---------------------------------------------------------------------------------------------------

    def best(self, need: Need, preference: Preference) -> AgentId | None:
        """The agent that can take a task with this need now and is preferred."""
        if (need.tenant_id, need.kind) not in self._pools:
            return None
        record = self._index(need).best(preference)
        return None if record is None else record.agent_id

    def able(self, need: Need) -> list[AgentId]:
        """Every agent that can take a task with this need now, by id. Reads all agents of tenant and kind: for people, not for choices."""
        pool = self._pools.get((need.tenant_id, need.kind))
        fitting = [] if pool is None else [found for found in pool.profiles.values() if found.capabilities.satisfies(need.requirements)]
        return sorted(agent.agent_id for profile in fitting for agent in profile.members if agent.free)

    def find(self, tenant_id: TenantId, agent_id: AgentId) -> AgentRecord | None:
        """The tenant's agent of this id; another tenant's is not found (AGT-24)."""
        record = self._agents.get((tenant_id, agent_id))
        return record if record is not None and record.version else None

    def counts(self) -> Counter[tuple[TenantId, str]]:
        """How many agents there are by tenant and shown status, busy among them; terminated ones are not counted. Reads every agent."""
        counts: Counter[tuple[TenantId, str]] = Counter()
        for (tenant_id, _), agent in self._agents.items():
            if agent.profile is not None:
                full = agent.status is AgentStatus.AVAILABLE and not agent.free
                counts[tenant_id, BUSY if full else agent.status.value] += 1
        return counts

    def unknown(self) -> list[AgentId]:
        """The agents that hold tasks and of which nothing else is known. Reads every agent."""
        return [agent_id for (_, agent_id), agent in self._agents.items() if not agent.version]

    # --- who waits ---------------------------------------------------------------------------------------------------

    def watch(self, need: Need) -> None:
        """Tasks wait for this need: remember when an agent can take one of them, until `unwatch`."""
        index = self._index(need)
        index.watched = True
        self._pools[need.tenant_id, need.kind].idle.pop(need, None)

    def unwatch(self, need: Need) -> None:
        """No task waits for this need any more; its index is kept for the next one."""
        pool = self._pools.get((need.tenant_id, need.kind))
        index = None if pool is None else pool.indexes.get(need)
        if pool is None or index is None:
            return
        index.watched = False
        self._served.pop(need, None)
        pool.idle[need] = index
        self._trim(pool)

    def take_served(self) -> list[Need]:
        """The watched needs that an agent may have become able to serve since the last call."""
        served = list(self._served)
        self._served.clear()
        return served

    # --- inside ------------------------------------------------------------------------------------------------------

    def _record(self, tenant_id: TenantId, agent_id: AgentId) -> AgentRecord:
        record = self._agents.get((tenant_id, agent_id))
        if record is None:
            record = self._agents[tenant_id, agent_id] = AgentRecord(agent_id)
        return record

    def _known(self, tenant_id: TenantId, agent_id: AgentId, version: int) -> AgentRecord | None:
        record = self.find(tenant_id, agent_id)
        return None if record is None or version <= record.version else record

    def _offer(self, record: AgentRecord) -> None:
        profile = record.profile
        if profile is None or not record.free:
            return
        profile.offer(record)
        for index in profile.indexes:
            if index.watched:
                self._served[index.need] = None

    def _move(self, record: AgentRecord, pool: _Pool, capabilities: Mapping[str, int]) -> None:
        """Put the agent among those of the pool that can do the same."""
        key = tuple(sorted(capabilities.items()))
        shared = self._capability_sets.get(key)
        if shared is None:
            shared = self._capability_sets[key] = CapabilitySet(capabilities)
        profile = pool.profiles.get(shared) or self._add_profile(pool, shared)
        if record.profile is not profile:
            profile.members[record] = None
            self._leave(record)
            record.profile = profile
        self._offer(record)

    def _leave(self, record: AgentRecord) -> None:
        profile, record.profile = record.profile, None
        if profile is None:
            return
        del profile.members[record]
        if not profile.members:
            for index in profile.indexes:
                del index.profiles[profile]
            del profile.pool.profiles[profile.capabilities]
            self._trim(profile.pool)

    def _retire(self, record: AgentRecord, tenant_id: TenantId) -> None:
        self._leave(record)
        self._terminated[tenant_id, record.agent_id] = None
        while len(self._terminated) > REMEMBERED_TERMINATED:
            forgotten, _ = self._terminated.popitem(last=False)
            del self._agents[forgotten]

    def _pool(self, tenant_id: TenantId, kind: str) -> _Pool:
        pool = self._pools.get((tenant_id, kind))
        if pool is None:
            pool = self._pools[tenant_id, kind] = _Pool((tenant_id, intern(kind)))
        return pool

    def _add_profile(self, pool: _Pool, capabilities: CapabilitySet) -> Profile:
        profile = pool.profiles[capabilities] = Profile(pool, capabilities, next(self._serials))
        for index in pool.indexes.values():
            if capabilities.satisfies(index.need.requirements):
                index.profiles[profile] = None
                profile.indexes.append(index)
                for preference in index.heaps:
                    profile.heaps.setdefault(preference.order, [])  # so that an offer reaches the index
        return profile

    def _index(self, need: Need) -> _Index:
        pool = self._pool(need.tenant_id, need.kind)
        index = pool.indexes.get(need)
        if index is not None:
            if not index.watched:
                pool.idle.move_to_end(need)
            return index
        fitting = [profile for capabilities, profile in pool.profiles.items() if capabilities.satisfies(need.requirements)]
        index = pool.indexes[need] = pool.idle[need] = _Index(need, fitting)
        for profile in fitting:
            profile.indexes.append(index)
        if len(pool.idle) > MAX_IDLE_NEEDS:
            self._trim(pool)
        return index

    def _trim(self, pool: _Pool) -> None:
        """Drop the indexes beyond those that are kept; of a pool without agents all that nobody waits for, then the pool."""
        kept = MAX_IDLE_NEEDS if pool.profiles else 0
        while len(pool.idle) > kept:
            need, index = pool.idle.popitem(last=False)
            del pool.indexes[need]
            for profile in index.profiles:
                profile.indexes.remove(index)
        if not pool.profiles and not pool.indexes:
            self._pools.pop(pool.key, None)
