"""The routing strategies: a directory and a task's need in, one agent id or none out; pure, asked by Dispatcher for every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contracts.ids import AgentId
from contracts.tasks.values import RoutingStrategy
from services.dispatcher.directory import AgentRecord, CapabilitySet, Directory, Need, Order, Requirements


def by_load(agent: AgentRecord) -> int:
    """Fewest open assignments first."""
    return agent.open_assignments


def by_turn(agent: AgentRecord) -> int:
    """Whose last assignment is longest ago comes first; before them those that never had one."""
    return agent.turn


def any_level(_: CapabilitySet, __: Requirements) -> int:
    """Able is able."""
    return 0


def highest_levels(capabilities: CapabilitySet, requirements: Requirements) -> int:
    """The highest sum of the levels of the required capabilities first."""
    return -capabilities.sum_of(requirements)


@dataclass(frozen=True, slots=True, eq=False)
class SelectionStrategy:
    """A named choice among the able agents (AGT-12 to AGT-14): by rank, then order, then agent id. Deterministic."""

    name: RoutingStrategy
    order: Order
    rank: Callable[[CapabilitySet, Requirements], int] = any_level

    def select(self, directory: Directory, need: Need) -> AgentId | None:
        """The agent for a task with this need, or None when no agent is able now."""
        return directory.best(need, self)


LEAST_LOADED = SelectionStrategy(RoutingStrategy.LEAST_LOADED, order=by_load)
ROUND_ROBIN = SelectionStrategy(RoutingStrategy.ROUND_ROBIN, order=by_turn)
BEST_LEVEL = SelectionStrategy(RoutingStrategy.BEST_LEVEL, order=by_load, rank=highest_levels)

STRATEGIES: Mapping[RoutingStrategy, SelectionStrategy] = {strategy.name: strategy for strategy in (LEAST_LOADED, ROUND_ROBIN, BEST_LEVEL)}
