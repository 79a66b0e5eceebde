"""One command's access to accounts, and what is said of them: refusals become exit codes, new secrets are shown once; used by `users`,
`clients`, `keys`, `init` and `token`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

from pydantic import BaseModel

from infra.identity.accounts import AccountError, AccountInvalid, AccountUnknown, NewAccount, Reference, checked_tenant, reference
from infra.identity.accounts_postgres import PostgresAccounts
from infra.identity.administration import AccountAdministration, new_account
from infra.identity.passwords import SecretHasher
from services.cli.errors import NotFound, Refused, WrongUsage
from services.cli.mesh import open_mesh
from services.cli.output import Output, print_facts, print_json, tell
from services.cli.publishing import checked_actor, operating_user


class Identity(NamedTuple):
    """What a command works with."""

    accounts: PostgresAccounts
    administration: AccountAdministration


@asynccontextmanager
async def open_identity() -> AsyncIterator[Identity]:
    """Connect, and check the schema. What accounts refuse inside comes out as an error of commands."""
    with told_apart():
        async with open_mesh(connections=2) as mesh:
            accounts = PostgresAccounts(mesh.database)
            yield Identity(accounts, AccountAdministration(accounts, SecretHasher()))


@contextmanager
def told_apart() -> Iterator[None]:
    """Wrong arguments, what is not there, and what is refused, each with its exit code."""
    try:
        yield
    except AccountInvalid as error:
        raise WrongUsage(f"{error}.") from None
    except AccountUnknown as error:
        raise NotFound(f"{error} Another tenant: --tenant NAME.") from None
    except AccountError as error:
        raise Refused(str(error)) from None


def account_named(tenant: str, name: str) -> Reference:
    """The account meant. Raises WrongUsage before any server is asked."""
    with told_apart():
        return reference(tenant, name)


def tenant_named(tenant: str) -> str:
    """The tenant meant. Raises WrongUsage before any server is asked."""
    with told_apart():
        return checked_tenant(tenant)


def account_made(tenant: str, name: str, role: str, customer: str | None) -> NewAccount:
    """The account to be made. Raises WrongUsage before any server is asked."""
    with told_apart():
        return new_account(tenant, name, role, customer)


def acting(actor: str | None) -> str:
    """Who is noted down for a change. Raises WrongUsage."""
    return operating_user() if actor is None else checked_actor(actor)


def print_account(account: BaseModel, output: Output, *, sentence: str) -> None:
    """An account as it is now: JSON, or one sentence."""
    if output is Output.JSON:
        print_json(account.model_dump(mode="json"))
    else:
        print(sentence)


def print_with_secret(value: BaseModel, secret: Mapping[str, str], output: Output) -> None:
    """What was made, and its new secret: nothing shows it again."""
    facts: dict[str, Any] = {**value.model_dump(mode="json"), **secret}
    if output is Output.JSON:
        print_json(facts)
    else:
        print_facts(facts)
    if secret:
        tell(f"the {next(iter(secret)).replace('_', ' ')} is shown this once: keep it now")
