"""What every store of accounts keeps, and what signing in with it answers; adapters subclass and supply `accounts`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from infra.errors import MeshError
from infra.identity.accounts import (
    AccountExists,
    AccountInvalid,
    Accounts,
    AccountUnknown,
    Kind,
    LastAdmin,
    NewAccount,
    NewApiKey,
    Reference,
    SecretInvalid,
    reference,
)
from infra.identity.administration import AccountAdministration, new_account
from infra.identity.api_keys import parse_api_key
from infra.identity.base import Principal
from infra.identity.passwords import SecretHasher
from infra.identity.sign_in import Means, Reason, SignIn, SignInFailed
from infra.telemetry.metrics import Metrics

PASSWORD = "correct horse battery"
OTHER_PASSWORD = "another long password"
ANN = reference("acme", "ann")
SHOP = reference("acme", "shop")
# Memory costs of argon2 in KiB: weak and fast, for tests of everything but the strength.
WEAKER_COST, STRONGER_COST = 8, 16


def hasher(memory_cost: int = WEAKER_COST) -> SecretHasher:
    return SecretHasher(PasswordHash((Argon2Hasher(time_cost=1, memory_cost=memory_cost, parallelism=1),)))


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.time


class World:
    """A store with what works on it."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.administration = AccountAdministration(accounts, hasher())
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.clock = Clock()
        self.sign_in = SignIn(accounts, hasher(), self.metrics, self.clock)

    async def user(self, wanted: Reference = ANN, role: str = "manager", customer_id: str | None = None) -> str:
        """Make a user with PASSWORD; answers its id."""
        new = new_account(wanted.tenant_id, wanted.name, role, customer_id)
        return (await self.administration.add_user(new, PASSWORD, "tester")).user_id

    async def key(self, expires_at: datetime | None = None) -> str:
        """Make an API key of ANN."""
        return (await self.administration.add_key(Kind.USER, ANN, "laptop", expires_at, "tester")).text

    def failures(self, means: Means) -> float:
        """How many failures were counted."""
        return self.registry.get_sample_value("agentmesh_sign_in_failures_total", {"kind": str(means)}) or 0.0


async def refusal(attempt: Coroutine[Any, Any, Principal]) -> SignInFailed:
    with pytest.raises(SignInFailed) as caught:
        await attempt
    return caught.value


def admin(name: str, tenant: str = "acme") -> NewAccount:
    return new_account(tenant, name, "admin", None)


class AccountsSuite:
    """The suite of the stores."""

    @pytest.fixture
    def world(self, accounts: Accounts) -> World:
        return World(accounts)

    async def test_a_user_is_found_in_its_tenant_with_who_made_it_and_when(self, world: World) -> None:
        made = await world.administration.add_user(new_account("acme", "Ann", "customer", "cust-0042"), PASSWORD, "ops")
        assert (made.login, made.role, made.customer_id, made.disabled) == ("ann", "customer", "cust-0042", False)
        assert (made.created_by, made.changed_by, made.created_at) == ("ops", "ops", made.changed_at)
        assert abs(made.created_at - datetime.now(UTC)) < timedelta(minutes=5)
        assert await world.accounts.users.find(ANN) == made
        assert await world.accounts.users.find(reference("globex", "ann")) is None
        assert await world.accounts.clients.find(ANN) is None

    async def test_no_model_of_an_account_shows_a_hash(self, world: World) -> None:
        await world.user()
        credential = await world.accounts.users.credential(ANN)
        assert credential is not None
        assert "argon2" not in repr(credential)
        assert credential.secret_hash.get_secret_value().startswith("$argon2id$")
        assert PASSWORD not in credential.secret_hash.get_secret_value()

    async def test_a_login_is_unique_in_its_tenant_only(self, world: World) -> None:
        first = await world.user()
        with pytest.raises(AccountExists, match="acme has a user 'ann' already"):
            await world.user()
        assert await world.user(reference("globex", "ann")) != first
        client = await world.administration.add_client(new_account("acme", "ann", "agent", None), "tester")
        assert client.client.name == "ann"

    async def test_of_two_who_take_a_login_at_once_one_gets_it(self, world: World) -> None:
        made = await asyncio.gather(*(world.user() for _ in range(4)), return_exceptions=True)
        assert sum(isinstance(each, str) for each in made) == 1
        assert sum(isinstance(each, AccountExists) for each in made) == 3

    async def test_pages_go_by_name_within_a_tenant(self, world: World) -> None:
        for name in ("cleo", "ann", "bob"):
            await world.user(reference("acme", name))
        await world.user(reference("globex", "zoe"))
        users = world.accounts.users
        assert [each.login for each in await users.page("acme", limit=2)] == ["ann", "bob"]
        assert [each.login for each in await users.page("acme", after="bob", limit=2)] == ["cleo"]
        assert await users.page("initech") == []

    async def test_disabling_and_enabling_is_noted_and_twice_is_once(self, world: World) -> None:
        await world.user()
        off = await world.accounts.users.set_disabled(ANN, True, "ops")
        assert (off.disabled, off.changed_by) == (True, "ops")
        assert off.changed_at >= off.created_at
        assert await world.accounts.users.set_disabled(ANN, True, "somebody else") == off
        assert (await world.accounts.users.set_disabled(ANN, False, "ops")).disabled is False

    async def test_what_is_not_there_is_unknown_to_every_change(self, world: World) -> None:
        users, keys = world.accounts.users, world.accounts.keys
        await world.user(reference("globex", "ann"))
        changes = (
            users.set_disabled(ANN, True, "ops"),
            users.set_disabled(ANN, False, "ops"),
            users.remove(ANN),
            world.administration.set_password(ANN, OTHER_PASSWORD, "ops"),
            world.administration.new_secret(SHOP, "ops"),
            world.administration.add_key(Kind.USER, ANN, "x", None, "ops"),
            keys.revoke("acme", "abcdefgh", "ops"),
        )
        for change in changes:
            with pytest.raises(AccountUnknown, match="acme has no"):
                await change

    async def test_the_last_admin_who_can_sign_in_stays(self, world: World) -> None:
        users = world.accounts.users
        for new in (admin("ann"), admin("bob"), admin("eve", "globex")):
            await world.administration.add_user(new, PASSWORD, "ops")
        await world.administration.add_client(new_account("acme", "robot", "admin", None), "ops")
        await users.set_disabled(reference("acme", "bob"), True, "ops")
        with pytest.raises(LastAdmin, match="'ann' is the last admin of tenant acme"):
            await users.set_disabled(ANN, True, "ops")
        with pytest.raises(LastAdmin):
            await users.remove(ANN)
        assert [each.login for each in await world.accounts.admins("acme")] == ["ann"]
        await users.set_disabled(reference("acme", "bob"), False, "ops")
        await users.remove(ANN)
        with pytest.raises(LastAdmin):
            await users.remove(reference("acme", "bob"))

    async def test_a_disabled_admin_may_go_and_other_roles_too(self, world: World) -> None:
        for new in (admin("ann"), admin("bob"), new_account("acme", "cleo", "agent", None)):
            await world.administration.add_user(new, PASSWORD, "ops")
        await world.accounts.users.set_disabled(ANN, True, "ops")
        assert (await world.accounts.users.remove(ANN)).login == "ann"
        assert (await world.accounts.users.set_disabled(reference("acme", "cleo"), True, "ops")).disabled

    async def test_of_two_admins_disabled_at_once_one_stays(self, world: World) -> None:
        for name in ("ann", "bob"):
            await world.administration.add_user(admin(name), PASSWORD, "ops")
        changes = (world.accounts.users.set_disabled(reference("acme", name), True, "ops") for name in ("ann", "bob"))
        answers = await asyncio.gather(*changes, return_exceptions=True)
        assert sum(isinstance(each, LastAdmin) for each in answers) == 1
        assert len(await world.accounts.admins("acme")) == 1

    async def test_the_first_admin_is_made_once(self, world: World) -> None:
        made = await asyncio.gather(*(world.administration.add_first_admin(admin(f"a{n}"), PASSWORD, "ops") for n in range(4)))
        assert sum(each is not None for each in made) == 1
        assert len(await world.accounts.admins("acme")) == 1
        assert (await world.administration.add_first_admin(admin("ann", "globex"), PASSWORD, "ops")) is not None

    async def test_a_first_admin_takes_nobodys_login(self, world: World) -> None:
        await world.user(role="agent")
        with pytest.raises(AccountExists):
            await world.administration.add_first_admin(admin("ann"), PASSWORD, "ops")

    async def test_a_renewed_hash_replaces_only_the_hash_it_was_made_of(self, world: World) -> None:
        id_ = await world.user()
        users = world.accounts.users
        kept = await users.credential(ANN)
        assert kept is not None
        await users.renew_hash(id_, "another hash", "x")
        assert await users.credential(ANN) == kept
        await users.renew_hash(id_, kept.secret_hash.get_secret_value(), "new hash")
        renewed = await users.credential(ANN)
        assert renewed is not None
        assert (renewed.secret_hash.get_secret_value(), renewed.account) == ("new hash", kept.account)

    async def test_keys_are_listed_by_owner_without_their_text(self, world: World) -> None:
        await world.user()
        await world.user(reference("globex", "ann"))
        await world.administration.add_client(new_account("acme", "shop", "agent", None), "ops")
        mine = await world.administration.add_key(Kind.USER, ANN, " laptop ", None, "ops")
        shop = await world.administration.add_key(Kind.CLIENT, SHOP, "cron", world.clock() + timedelta(days=1), "ops")
        keys = world.accounts.keys
        assert [key.prefix for key in await keys.page("acme")] == sorted([mine.key.prefix, shop.key.prefix])
        (found,) = await keys.page("acme", owner="ann")
        assert (found, found.label, found.owner, found.owner_kind, found.created_by) == (mine.key, "laptop", "ann", Kind.USER, "ops")
        assert mine.text not in repr(mine.key)
        assert await keys.page("acme", after="zzzzzzzz") == []
        assert await keys.page("globex") == []

    async def test_a_key_is_revoked_by_its_tenant_and_for_good(self, world: World) -> None:
        await world.user()
        made = await world.administration.add_key(Kind.USER, ANN, "laptop", None, "ops")
        with pytest.raises(AccountUnknown):
            await world.administration.revoke_key("globex", made.key.prefix, "ops")
        revoked = await world.administration.revoke_key("acme", made.text, "ops")
        assert (revoked.revoked_by, revoked.prefix) == ("ops", made.key.prefix)
        assert await world.administration.revoke_key("acme", f"am_{made.key.prefix}", "another") == revoked
        for wrong in ("", "am_", "am_short", "am_ÿÿÿÿÿÿÿÿ", "x" * 10_000, "am_abc'; --"):
            with pytest.raises(AccountInvalid, match="key: Input should be"):
                await world.administration.revoke_key("acme", wrong, "ops")

    async def test_a_prefix_in_use_is_not_given_again(self, world: World) -> None:
        await world.user()
        new = NewApiKey(owner=ANN, kind=Kind.USER, label="laptop", prefix="abcdefgh", digest=bytes(32))
        kept = await world.accounts.keys.add(new, "ops")
        with pytest.raises(AccountExists, match="make the key again"):
            await world.accounts.keys.add(new.model_copy(update={"digest": bytes(31) + b"x"}), "ops")
        found = await world.accounts.keys.credential("abcdefgh")
        assert found is not None
        assert (found.key, found.digest) == (kept, bytes(32))

    async def test_keys_go_with_their_owner(self, world: World) -> None:
        await world.user()
        text = await world.key()
        await world.accounts.users.remove(ANN)
        assert await world.accounts.keys.page("acme") == []
        await world.user()
        assert (await refusal(world.sign_in.api_key(text))).reason is Reason.UNKNOWN

    async def test_the_use_of_a_key_is_written_at_most_once_a_minute(self, world: World) -> None:
        await world.user()
        parsed = parse_api_key(await world.key())
        assert parsed is not None
        start = world.clock()
        expected = {0: 0, 59: 0, 60: 60, 90: 60, 120: 120}
        for second, noted in expected.items():
            await world.accounts.keys.touch(parsed.prefix, start + timedelta(seconds=second))
            (key,) = await world.accounts.keys.page("acme")
            assert key.last_used_at == start + timedelta(seconds=noted)

    async def test_rules_are_checked_before_anything_is_kept(self, world: World) -> None:
        with pytest.raises(SecretInvalid):
            await world.administration.add_user(new_account("acme", "ann", "agent", None), "short", "ops")
        assert await world.accounts.users.page("acme") == []
        await world.user()
        with pytest.raises(AccountInvalid, match="label"):
            await world.administration.add_key(Kind.USER, ANN, "a\x1bb", None, "ops")
        assert await world.accounts.keys.page("acme") == []


class SignInSuite:
    """The suite of signing in."""

    @pytest.fixture
    def world(self, accounts: Accounts) -> World:
        return World(accounts)

    async def test_a_user_signs_in_whatever_the_case_of_the_login(self, world: World) -> None:
        id_ = await world.user(role="customer", customer_id="cust-0042")
        expected = Principal(id_, "acme", "customer", "cust-0042", None)
        assert await world.sign_in.user("Ann", PASSWORD, "acme") == expected
        assert world.failures(Means.PASSWORD) == 0

    async def test_every_refusal_of_a_password_is_answered_alike(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        await world.user()
        await world.user(reference("globex", "eve"))
        await world.user(reference("acme", "off"))
        await world.accounts.users.set_disabled(reference("acme", "off"), True, "ops")
        attempts = {
            ("ann", "wrong password", "acme"): Reason.WRONG_SECRET,
            ("ann", "", "acme"): Reason.WRONG_SECRET,
            ("ann", PASSWORD + "x", "acme"): Reason.WRONG_SECRET,
            ("ann", "\ud800\x00", "acme"): Reason.WRONG_SECRET,
            ("ann", "x" * 10_000, "acme"): Reason.WRONG_SECRET,
            ("off", PASSWORD, "acme"): Reason.DISABLED,
            ("off", "wrong password", "acme"): Reason.WRONG_SECRET,
            ("bob", PASSWORD, "acme"): Reason.UNKNOWN,
            ("eve", PASSWORD, "acme"): Reason.UNKNOWN,
            ("ann", PASSWORD, "globex"): Reason.UNKNOWN,
            ("ann", PASSWORD, "ACME"): Reason.UNKNOWN,
            ("ann", PASSWORD, ""): Reason.MALFORMED,
            ("ann", PASSWORD, "ac\x00me"): Reason.MALFORMED,
            ("", PASSWORD, "acme"): Reason.MALFORMED,
            ("ann' OR '1'='1", PASSWORD, "acme"): Reason.MALFORMED,
            ("a" * 10_000, PASSWORD, "acme"): Reason.MALFORMED,
            ("\udcff", PASSWORD, "acme"): Reason.MALFORMED,
        }
        with caplog.at_level(logging.INFO):
            refused = {attempt: await refusal(world.sign_in.user(*attempt)) for attempt in attempts}
        assert {attempt: error.reason for attempt, error in refused.items()} == attempts
        assert {str(error) for error in refused.values()} == {"Sign-in failed"}
        assert world.failures(Means.PASSWORD) == len(attempts)
        assert PASSWORD not in caplog.text
        assert "eve" not in caplog.text
        await world.sign_in.user("ann", PASSWORD, "acme")

    async def test_a_new_password_counts_and_the_old_one_does_not(self, world: World) -> None:
        id_ = await world.user()
        await world.administration.set_password(ANN, OTHER_PASSWORD, "ops")
        assert (await world.sign_in.user("ann", OTHER_PASSWORD, "acme")).id == id_
        assert (await refusal(world.sign_in.user("ann", PASSWORD, "acme"))).reason is Reason.WRONG_SECRET

    async def test_one_who_is_enabled_again_signs_in(self, world: World) -> None:
        await world.user()
        await world.accounts.users.set_disabled(ANN, True, "ops")
        await refusal(world.sign_in.user("ann", PASSWORD, "acme"))
        await world.accounts.users.set_disabled(ANN, False, "ops")
        assert (await world.sign_in.user("ann", PASSWORD, "acme")).tenant_id == "acme"

    async def test_a_weak_hash_is_renewed_at_the_next_sign_in_and_only_then(self, world: World) -> None:
        await world.user()
        stronger = SignIn(world.accounts, hasher(STRONGER_COST), world.metrics, world.clock)
        await refusal(stronger.user("ann", "wrong password", "acme"))
        costs = [await self.cost(world)]
        for _ in range(2):
            await stronger.user("ann", PASSWORD, "acme")
            costs.append(await self.cost(world))
        assert costs == [f"m={WEAKER_COST}", f"m={STRONGER_COST}", f"m={STRONGER_COST}"]
        found = await world.accounts.users.find(ANN)
        assert found is not None
        assert (found.changed_at, found.changed_by) == (found.created_at, "tester")

    async def cost(self, world: World) -> str:
        kept = await world.accounts.users.credential(ANN)
        assert kept is not None
        return kept.secret_hash.get_secret_value().split("$")[3].split(",")[0]

    async def test_a_client_signs_in_with_its_id_and_newest_secret(self, world: World) -> None:
        client, secret = await world.administration.add_client(new_account("acme", "shop", "agent", None), "ops")
        expected = Principal(client.client_id, "acme", "agent", auth_type="service_account")
        assert await world.sign_in.client(client.client_id, secret) == expected
        _, newer = await world.administration.new_secret(SHOP, "ops")
        refused = {
            (client.client_id, secret): Reason.WRONG_SECRET,
            ("client-00000000-0000-4000-8000-000000000000", newer): Reason.UNKNOWN,
            ("shop", newer): Reason.UNKNOWN,
            (await world.user(), PASSWORD): Reason.UNKNOWN,
            ("", newer): Reason.UNKNOWN,
            ("client-\x00", newer): Reason.MALFORMED,
            ("x" * 10_000, newer): Reason.MALFORMED,
            ("\udcff", newer): Reason.MALFORMED,
        }
        for (client_id, text), reason in refused.items():
            error = await refusal(world.sign_in.client(client_id, text))
            assert (error.reason, str(error)) == (reason, "Sign-in failed")
        assert world.failures(Means.CLIENT_SECRET) == len(refused)
        assert (await world.sign_in.client(client.client_id, newer)).id == client.client_id
        await world.accounts.clients.set_disabled(SHOP, True, "ops")
        assert (await refusal(world.sign_in.client(client.client_id, newer))).reason is Reason.DISABLED

    async def test_a_key_acts_as_its_owner_until_it_ends(self, world: World) -> None:
        id_ = await world.user(role="customer", customer_id="cust-0042")
        ends = world.clock() + timedelta(days=1)
        text = await world.key(ends)
        assert await world.sign_in.api_key(text) == Principal(id_, "acme", "customer", "cust-0042", ends, "api_key")
        (used,) = await world.accounts.keys.page("acme")
        assert used.last_used_at == world.clock()
        world.clock.time += timedelta(seconds=59)
        await world.sign_in.api_key(text)
        assert await world.accounts.keys.page("acme") == [used]
        world.clock.time += timedelta(seconds=1)
        await world.sign_in.api_key(text)
        (used,) = await world.accounts.keys.page("acme")
        assert used.last_used_at == world.clock()
        world.clock.time = ends - timedelta(microseconds=1)
        await world.sign_in.api_key(text)
        world.clock.time = ends
        assert (await refusal(world.sign_in.api_key(text))).reason is Reason.EXPIRED
        assert world.failures(Means.API_KEY) == 1

    async def test_every_other_key_is_refused_alike(self, world: World) -> None:
        await world.user()
        text = await world.key()
        other = "B" if text[-2] == "A" else "A"
        wrong = f"{text[:-2]}{other}{text[-1]}"
        unknown = f"am_{'0' * 8}_{text[12:]}"
        attempts = {wrong: Reason.WRONG_SECRET, unknown: Reason.UNKNOWN, f"{text} ": Reason.MALFORMED, "": Reason.MALFORMED}
        for attempt, reason in attempts.items():
            error = await refusal(world.sign_in.api_key(attempt))
            assert (error.reason, str(error)) == (reason, "Sign-in failed")
        await world.accounts.users.set_disabled(ANN, True, "ops")
        assert (await refusal(world.sign_in.api_key(text))).reason is Reason.DISABLED
        await world.accounts.users.set_disabled(ANN, False, "ops")
        await world.administration.revoke_key("acme", text, "ops")
        assert (await refusal(world.sign_in.api_key(text))).reason is Reason.REVOKED
        assert world.failures(Means.API_KEY) == len(attempts) + 2
        (key,) = await world.accounts.keys.page("acme")
        assert key.last_used_at is None, "a refused use is no use"

    async def test_what_nobody_waits_for_keeps_nobody_out(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        await world.user()
        text = await world.key()
        monkeypatch.setattr(world.accounts.keys, "touch", failing)
        monkeypatch.setattr(world.accounts.users, "renew_hash", failing)
        stronger = SignIn(world.accounts, hasher(STRONGER_COST), world.metrics, world.clock)
        assert (await stronger.api_key(text)).id == (await stronger.user("ann", PASSWORD, "acme")).id


async def failing(*arguments: object) -> None:
    raise MeshError("the disk is full")
