"""Effects from the command line: listed, shown, settled by a person with who and why."""

import asyncio
import json

import pytest

from infra.agents.runs import Run, TaskRuns
from infra.effects.base import EffectNeedsPerson, Rule, RunClaim
from infra.effects.once import HostEffects
from infra.effects.postgres import PostgresEffectLedger
from infra.postgres.pool import Database
from infra.settings import MeshSettings
from services.cli import exit_codes
from tests.conformance.effect_runs import MAIL, Outside, answers, crash
from tests.integration.cli.conftest import Cli, execute

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


async def attempt(settings: MeshSettings, number: int) -> None:
    """One attempt on a host of its own: a model call that is recorded, then a mail whose first attempt crashes after it was sent."""
    database = Database(settings, settings.postgres_dsn)
    await database.open()
    try:
        await TaskRuns(database, f"host-{number}", 30).claim([Run("task-1", number)])
        effects = HostEffects(PostgresEffectLedger(database)).of_run(RunClaim("acme", "task-1", number, f"host-{number}"))
        await effects.once("model", answers({"text": "é"}), input="prompt", rule=Rule.REPEAT)
        if number == 1:
            await crash(effects, Outside(), "after")
        else:
            await effects.once("mail", Outside().call, input=MAIL)
    finally:
        await database.close()


def first_attempt(settings: MeshSettings) -> None:
    asyncio.run(attempt(settings, 1))


def later_attempt(settings: MeshSettings, number: int) -> None:
    execute(settings, "UPDATE mesh.task_runs SET lease_until = clock_timestamp()")
    asyncio.run(attempt(settings, number))


def test_effects_are_listed_by_status_and_shown_whole(cli: Cli, mesh_settings: MeshSettings) -> None:
    assert "No effect matches" in cli("effects", "list").out
    first_attempt(mesh_settings)
    (mail,) = cli("effects", "list", "-o", "json").json
    assert (mail["name"], mail["status"], mail["rule"], mail["input"], mail["outcome"]) == ("mail", "intended", "person", MAIL, None)
    assert [row["name"] for row in cli("effects", "list", "--status", "all", "-o", "json").json] == ["mail", "model"]
    (model,) = cli("effects", "list", "--status", "recorded", "--task", "task-1", "--tenant", "acme", "-o", "json").json
    assert (model["outcome"], model["outcome_from"], model["input"]) == ({"text": "é"}, "call", None)
    assert cli("effects", "list", "--tenant", "other", "--status", "all", "-o", "json").json == []
    limited = cli("effects", "list", "--status", "all", "--limit", "1")
    assert mail["effect_id"] in limited.out
    assert "--limit shows more" in limited.err
    assert cli("effects", "list", "--status", "odd").code == exit_codes.USAGE
    shown = cli("effects", "show", model["effect_id"])
    assert '{"text": "é"}' in shown.out
    assert cli("effects", "show", mail["effect_id"], "-o", "json").json == mail
    missing = cli("effects", "show", "eff-none")
    assert (missing.code, "agentmesh effects list" in missing.err) == (exit_codes.NOT_FOUND, True)


def test_a_person_settles_an_effect_once_with_who_and_why(cli: Cli, mesh_settings: MeshSettings) -> None:
    first_attempt(mesh_settings)
    effect_id = cli("effects", "list", "-o", "json").json[0]["effect_id"]
    settle = ("effects", "settle", effect_id, "--reason", "the log of the mail server", "--who", "ann")
    early = cli(*settle, "--outcome", "true")
    assert (early.code, "host host-1 is at it in attempt 1" in early.err) == (exit_codes.FAILED, True)
    with pytest.raises(EffectNeedsPerson, match=effect_id):
        later_attempt(mesh_settings, 2)
    assert cli("effects", "list", "--status", "waiting", "-o", "json").json[0]["effect_id"] == effect_id

    done = cli(*settle, "--outcome", '{"number": 1}', "-o", "json").json
    assert (done["status"], done["outcome"], done["outcome_from"]) == ("recorded", {"number": 1}, "person")
    (word,) = done["settlements"]
    assert (word["who"], word["why"], word["done"]) == ("ann", "the log of the mail server", True)
    for again in (("--outcome", "2"), ("--not-done",)):
        twice = cli(*settle, *again)
        assert (twice.code, "recorded already, from person by ann" in twice.err) == (exit_codes.FAILED, True)
    later_attempt(mesh_settings, 3)
    assert cli("effects", "list", "-o", "json").json == []


def test_an_effect_that_was_not_done_is_made_by_the_next_attempt(cli: Cli, mesh_settings: MeshSettings) -> None:
    first_attempt(mesh_settings)
    effect_id = cli("effects", "list", "-o", "json").json[0]["effect_id"]
    execute(mesh_settings, "UPDATE mesh.task_runs SET lease_until = clock_timestamp()")
    answer = cli("effects", "settle", effect_id, "--not-done", "--reason", "no mail went out")
    assert (answer.code, "is settled as not done" in answer.out) == (0, True)
    twice = cli("effects", "settle", effect_id, "--not-done", "--reason", "again")
    assert (twice.code, "nothing happened, settled by" in twice.err) == (exit_codes.FAILED, True)
    later_attempt(mesh_settings, 2)
    shown = cli("effects", "show", effect_id, "-o", "json").json
    assert (shown["status"], shown["calls"], shown["outcome"], len(shown["settlements"])) == ("recorded", 2, {"number": 1}, 1)
    assert json.dumps(shown["settlements"][0]["why"]) in cli("effects", "show", effect_id).out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--reason", "x"), "either --outcome JSON"),
        (("--reason", "x", "--not-done", "--outcome", "1"), "either --outcome JSON"),
        (("--reason", " ", "--not-done"), "--reason is empty"),
        (("--reason", "x", "--outcome", "sent"), "The outcome is no JSON"),
        (("--reason", "x", "--outcome", "NaN"), "NaN is no JSON"),
        (("--not-done",), "--reason"),
    ],
)
def test_settling_by_half_is_wrong_usage(cli: Cli, arguments: tuple[str, ...], says: str) -> None:
    answer = cli("effects", "settle", "eff-1", *arguments)
    assert (answer.code, says in answer.err) == (exit_codes.USAGE, True)


def test_settling_what_is_not_there_is_not_found(cli: Cli) -> None:
    assert cli("effects", "settle", "eff-\udcff", "--reason", "x", "--not-done").code == exit_codes.NOT_FOUND
