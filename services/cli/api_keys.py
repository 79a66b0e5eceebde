"""API keys of users and clients: made, listed, ended; the work behind `keys`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from infra.identity.accounts import ApiKey, Kind
from services.cli.errors import WrongUsage
from services.cli.identity import account_named, acting, open_identity, print_account, print_with_secret, tenant_named
from services.cli.output import Output
from services.cli.views import print_views

COLUMNS = ("key", "state", "of", "owner", "label", "expires", "last used", "created", "by", "revoked by")


async def add(
    tenant: str,
    *,
    user: str | None,
    client: str | None,
    label: str,
    days: int | None,
    actor: str | None,
    output: Output,
) -> None:
    """Make a key and show it once. Raises WrongUsage unless exactly one owner is named."""
    by = acting(actor)
    kind, name = _owner(user, client)
    owner = account_named(tenant, name)
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    async with open_identity() as identity:
        key, text = await identity.administration.add_key(kind, owner, label, expires_at, by)
    print_with_secret(key, {"key": text}, output)


async def list_(tenant: str, owner: str | None, after: str, limit: int, output: Output) -> None:
    """A tenant's keys by prefix, ended ones too."""
    name = None if owner is None else account_named(tenant, owner).name
    wanted, behind = tenant_named(tenant), _prefix(after)
    async with open_identity() as identity:
        found = await identity.accounts.keys.page(wanted, owner=name, after=behind, limit=limit)
    now = datetime.now(UTC)
    print_views(found, COLUMNS, lambda key: _cells(key, now), output, empty=f"No API key of tenant {tenant} matches.")


async def revoke(tenant: str, named: str, *, actor: str | None, output: Output) -> None:
    """End a key for good."""
    by = acting(actor)
    wanted = tenant_named(tenant)
    async with open_identity() as identity:
        key = await identity.administration.revoke_key(wanted, named, by)
    print_account(key, output, sentence=f"am_{key.prefix} of {key.owner_kind} {key.owner} is revoked, by {key.revoked_by}")


def state_of(key: ApiKey, now: datetime) -> str:
    """Whether a key is taken at this time (UTC), by what it says itself; its owner may be disabled."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def _owner(user: str | None, client: str | None) -> tuple[Kind, str]:
    if user is not None and client is None:
        return Kind.USER, user
    if client is not None and user is None:
        return Kind.CLIENT, client
    raise WrongUsage("Give --user LOGIN or --client NAME: a key acts as its owner, and needs exactly one.")


def _prefix(after: str) -> str:
    prefix = after.removeprefix("am_")
    if not (prefix.isascii() and prefix.isprintable()):
        raise WrongUsage("--after: give a key as `keys list` shows it.")
    return prefix


def _cells(key: ApiKey, now: datetime) -> list[object]:
    return [
        f"am_{key.prefix}", state_of(key, now), key.owner_kind, key.owner, key.label, key.expires_at, key.last_used_at, key.created_at,
        key.created_by, key.revoked_by,
    ]  # fmt: skip
