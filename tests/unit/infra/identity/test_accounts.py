"""Accounts in memory keep the suite; names, roles and customers of an account are checked, and errors tell no value."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from infra.identity.accounts import AccountInvalid, Accounts, NewAccount, Role, checked_tenant, reference
from infra.identity.accounts_memory import InMemoryAccounts
from infra.identity.administration import new_account
from infra.identity.base import login_and_tenant
from infra.identity.permissions import ROLES
from tests.conformance.accounts import AccountsSuite, SignInSuite


@pytest.fixture
def accounts() -> Accounts:
    return InMemoryAccounts()


class TestInMemoryAccounts(AccountsSuite):
    """The suite over the adapter in memory."""


class TestSignInWithAccountsInMemory(SignInSuite):
    """Signing in over the adapter in memory."""


def test_the_roles_are_those_of_the_permissions() -> None:
    assert {str(role) for role in Role} == set(ROLES)


@pytest.mark.parametrize("name", ["a", "Ann", "ann@example.org", "0", "x" * 100, "a.b_c-d+e"])
def test_names_that_are_taken(name: str) -> None:
    assert reference("acme", name).name == name.lower()


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", ".a", "-a", "@a", "a\n", "a\x00", "a\x1b[31m", "añn", "\u0430nn", "\udcff", "x" * 101, "x" * 10_000, "a/b", "a'b"],
)
def test_other_names_are_refused_by_rule_and_shape(name: str) -> None:
    with pytest.raises(AccountInvalid) as caught:
        reference("acme", name)
    assert str(caught.value) == (
        "name: Input should have 1 to 100 letters a to z, digits, or . _ @ + - and begin with a letter or digit "
        f"(text of {len(name)} characters)"
    )


@pytest.mark.parametrize("tenant", ["", "a b", "a@b", "a\x00", "\udcff", "ü", "x" * 101, "x" * 10_000, "../etc", "a%"])
def test_other_tenants_are_refused(tenant: str) -> None:
    for check in (lambda: reference(tenant, "ann"), lambda: checked_tenant(tenant)):
        with pytest.raises(AccountInvalid, match="tenant_id: ") as caught:
            check()
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("role", "customer_id", "says"),
    [
        ("customer", None, "customer_id: The role customer needs a customer_id"),
        ("customer", "cust-12", "customer_id: .*at least 8"),
        ("customer", "0042", "customer_id: "),
        ("Admin", None, "role: Input should be 'admin', 'manager', 'agent' or 'customer'"),
        ("root", None, "role: "),
        ("", None, "role: "),
    ],
)
def test_a_role_and_its_customer_are_checked(role: str, customer_id: str | None, says: str) -> None:
    with pytest.raises(AccountInvalid, match=says):
        new_account("acme", "ann", role, customer_id)


def test_staff_may_have_a_customer_and_an_account_does_not_change() -> None:
    made = new_account("acme", "ann", "agent", "cust-0042")
    assert (made.role, made.customer_id) == (Role.AGENT, "cust-0042")
    with pytest.raises(ValidationError, match="frozen"):
        made.role = Role.ADMIN  # type: ignore[misc]
    with pytest.raises(ValidationError, match="password"):
        NewAccount(tenant_id="acme", name="ann", role=Role.AGENT, password="secret")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("username", "parts"),
    [
        ("ann@acme", ("ann", "acme")),
        ("ann@example.org@acme", ("ann@example.org", "acme")),
        ("ann", ("ann", "")),
        ("", ("", "")),
        ("@", ("", "")),
        ("ann@", ("ann", "")),
    ],
)
def test_the_last_at_sign_divides_login_and_tenant(username: str, parts: tuple[str, str]) -> None:
    assert login_and_tenant(username) == parts
