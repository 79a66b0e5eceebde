"""Which role may do what, as one table (SEC-07 to SEC-15); asked by the gateway with the principal of each call."""

from __future__ import annotations

from collections.abc import Mapping

from infra.identity.base import CUSTOMER, Permission, Principal

ADMIN = "admin"
MANAGER = "manager"
AGENT = "agent"
ROLES = (ADMIN, MANAGER, AGENT, CUSTOMER)

# role -> its permissions. `admin` has them all, those of later releases too, so it stands in no list.
GRANTED: Mapping[str, frozenset[Permission]] = {
    ADMIN: frozenset(Permission),
    MANAGER: frozenset(
        {
            Permission.REQUEST_READ,
            Permission.REQUEST_UPDATE,
            Permission.REQUEST_APPROVE,
            Permission.ANALYTICS_VIEW,
            Permission.AGENT_READ,
            Permission.AGENT_CREATE,
            Permission.AGENT_TERMINATE,
            Permission.AGENT_MANAGE,
            Permission.TASK_READ,
            Permission.TASK_CANCEL,
            Permission.CUSTOMER_READ,
            Permission.CUSTOMER_WRITE,
            Permission.TENANT_READ,
            Permission.PROJECTION_READ,
            Permission.DLQ_READ,
            Permission.EVENT_SUBSCRIBE,
        }
    ),
    AGENT: frozenset(
        {
            Permission.REQUEST_CREATE,
            Permission.REQUEST_READ,
            Permission.REQUEST_UPDATE,
            Permission.AGENT_READ,
            Permission.TASK_READ,
            Permission.CUSTOMER_READ,
            Permission.EVENT_SUBSCRIBE,
        }
    ),
    # Each of these reaches the customer's own alone.
    CUSTOMER: frozenset(
        {
            Permission.REQUEST_CREATE,
            Permission.REQUEST_READ,
            Permission.CUSTOMER_READ,
            Permission.EVENT_SUBSCRIBE,
        }
    ),
}


def permits(principal: Principal, permission: Permission) -> bool:
    """True when the principal's role has the permission; a role that nobody knows has none."""
    return permission in GRANTED.get(principal.role, frozenset())
