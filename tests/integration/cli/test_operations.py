"""Migrations and read models from the command line, against real servers."""

import json

import pytest
from redis import Redis

from infra.settings import MeshSettings
from projections.requests.projection import REQUESTS
from services.cli import exit_codes
from tests.integration.cli.conftest import Cli, execute

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def test_migrate_says_what_it_did_and_can_be_repeated(bare_cli: Cli) -> None:
    first = bare_cli("migrate", "-o", "json").json
    again = bare_cli("migrate")
    assert len(first["topics"]) >= 5
    assert (again.code, again.out.splitlines()[0]) == (0, "schema: up to date")
    assert "0 created" in again.out


def test_setup_makes_a_mesh_ready_and_says_so(bare_cli: Cli, mesh_settings: MeshSettings) -> None:
    done = bare_cli("dev", "setup")
    assert done.code == 0
    assert f"setup finished: endpoints in {mesh_settings.state_dir / 'endpoints.json'}" in done.err
    assert json.loads((mesh_settings.state_dir / "endpoints.json").read_text())["kafka_bootstrap"] == mesh_settings.kafka_bootstrap
    again = bare_cli("migrate").out
    assert ("schema: up to date" in again, "0 created" in again) == (True, True)


def test_what_the_cache_has_of_a_read_model_goes_when_that_is_rebuilt(
    cli: Cli, mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"{mesh_settings.topic_prefix}agentmesh:cache:"
    mine, others = f"{prefix}customer:test-tenant:cust-0042", f"{prefix}agent:test-tenant:a"
    with Redis.from_url(mesh_settings.redis_dsn) as redis:
        for key in (mine, others):
            redis.set(key, "{}", ex=60)
        assert cli("projections", "rebuild", "customers").code == 0
        assert (redis.exists(mine), redis.exists(others)) == (0, 1)
        redis.delete(others)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    away = cli("projections", "rebuild", "customers")
    assert (away.code, "the cache may show what was before" in away.err) == (0, True)


def test_a_read_model_is_rebuilt_and_a_difference_is_refused(working: None, cli: Cli, mesh_settings: MeshSettings) -> None:
    case = json.dumps({"customer_id": "cust-0042", "message": "My invoice of May is wrong"})
    for number in range(4):
        assert cli("publish", "CreateRequest", case, "--key", f"req-{number}").code == 0
    state = next(each for each in cli("projections", "list", "-o", "json").json if each["name"] == "requests")
    assert (state["name"], state["version"], state["lag"], state["state"]) == ("requests", REQUESTS.version, 0, "complete")
    assert len(state["contexts"][0]["checkpoints"]) == 3
    assert "complete" in cli("projections", "list").out

    report = cli("projections", "rebuild", "requests", "-o", "json")
    assert report.code == 0, report.err
    assert (report.json["events"], report.json["compared"]) == (4, True)
    assert "equal to the one before" in cli("projections", "rebuild", "requests").out
    ordered = cli("projections", "rebuild", "requests", "--by-worker", "-o", "json")
    assert (ordered.code, ordered.json["state"], ordered.json["events"]) == (0, "done", 4), ordered.err
    assert cli("projections", "rebuild", "requests", "--by-worker", "--accept-differences").code == exit_codes.USAGE
    assert cli("projections", "rebuild", "odd", "--by-worker").code == exit_codes.NOT_FOUND

    execute(mesh_settings, "UPDATE read_requests.requests SET message = 'altered by hand' WHERE request_id = 'req-2'")
    refused = cli("projections", "rebuild", "requests")
    assert refused.code == exit_codes.FAILED
    assert "req-2" in refused.err
    assert "--accept-differences" in refused.err
    failed = cli("projections", "rebuild", "requests", "--by-worker")
    assert (failed.code, "req-2" in failed.err) == (exit_codes.FAILED, True)
    assert "rebuild failed (differs)" in cli("projections", "list").out
    assert cli("projections", "rebuild", "requests", "--accept-differences").code == 0
    assert cli("requests", "show", "req-2", "-o", "json").json["message"] == "My invoice of May is wrong"
    assert cli("projections", "rebuild", "odd").code == exit_codes.NOT_FOUND


def test_lag_is_counted_in_the_store(cli: Cli, mesh_settings: MeshSettings) -> None:
    """Five events that no projection has seen; the log is written by hand."""
    execute(
        mesh_settings,
        "INSERT INTO requests.stored_events (originator_id, originator_version, topic, state, notification_id) "
        "SELECT 'req-' || n, 1, 'x', '', n FROM generate_series(1, 5) n",
    )
    execute(mesh_settings, "UPDATE requests.log_head SET position = 5")
    state = next(each for each in cli("projections", "list", "-o", "json").json if each["name"] == "requests")
    assert (state["lag"], state["lag_is_at_least"]) == (5, False)


@pytest.mark.parametrize(
    "command", [("requests", "list"), ("dlq", "list"), ("projections", "list"), ("events", "tail", "--no-follow"), ("migrate",)]
)
def test_a_database_that_is_away_ends_a_command_with_4(command: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    answer = cli(*command)
    assert answer.code == exit_codes.AWAY
    assert "secret" not in answer.err
    assert "Traceback" not in answer.err


def test_a_broker_that_is_away_ends_publish_with_4(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    answer = cli("publish", "CreateRequest", '{"customer_id": "cust-0042", "message": "Hello there"}', "--no-wait")
    assert answer.code == exit_codes.AWAY
    assert "Traceback" not in answer.err


def test_a_database_without_schema_is_a_configuration_error(cli: Cli, mesh_settings: MeshSettings) -> None:
    execute(mesh_settings, "DROP TABLE public.schema_version")
    answer = cli("requests", "list")
    assert answer.code == exit_codes.CONFIGURATION
    assert "agentmesh migrate" in answer.err
