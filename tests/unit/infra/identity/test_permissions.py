"""Every role and every permission against the table of SEC-07 to SEC-15, written down here a second time."""

import pytest

from infra.identity.base import Permission, Principal
from infra.identity.permissions import ROLES, permits

# permission -> the roles beside admin that have it: m(anager), a(gent), c(ustomer)
TABLE = {
    "request:create": "ac",
    "request:read": "mac",
    "request:update": "ma",
    "request:delete": "",
    "request:approve": "m",
    "analytics:view": "m",
    "agent:read": "ma",
    "agent:create": "m",
    "agent:terminate": "m",
    "agent:manage": "m",
    "audit:read": "",
    "task:read": "ma",
    "task:cancel": "m",
    "customer:read": "mac",
    "customer:write": "m",
    "tenant:read": "m",
    "tenant:write": "",
    "identity:manage": "",
    "projection:read": "m",
    "projection:rebuild": "",
    "dlq:read": "m",
    "dlq:requeue": "",
    "dlq:discard": "",
    "event:subscribe": "mac",
}


def principal(role: str) -> Principal:
    return Principal("user-1", "acme", role)


def test_the_table_names_every_permission() -> None:
    assert set(TABLE) == set(Permission)
    assert ROLES == ("admin", "manager", "agent", "customer")


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", ["manager", "agent", "customer"])
def test_a_role_has_what_the_table_says(role: str, permission: Permission) -> None:
    assert permits(principal(role), permission) is (role[0] in TABLE[permission])


@pytest.mark.parametrize("permission", Permission)
def test_an_admin_may_do_everything(permission: Permission) -> None:
    assert permits(principal("admin"), permission)


@pytest.mark.parametrize("role", ["", "root", "Admin", "admin ", "superuser"])
@pytest.mark.parametrize("permission", Permission)
def test_an_unknown_role_may_do_nothing(role: str, permission: Permission) -> None:
    assert not permits(principal(role), permission)


def test_only_the_role_customer_is_held_to_its_own() -> None:
    assert [role for role in ROLES if principal(role).is_customer] == ["customer"]
