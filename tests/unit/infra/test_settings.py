"""Settings: names and aliases of the environment, rules, masked secrets, errors that name the variable, the generated table."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.errors import ConfigurationError
from infra.settings import MeshSettings, SettingsError, load_settings, mask_url, settings_table, variable_names

SECRET = "s3cret-pa55"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MeshSettings.model_fields:
        for variable in variable_names(name):
            monkeypatch.delenv(variable, raising=False)


def test_every_setting_but_the_endpoints_has_a_default() -> None:
    settings = load_settings()
    assert (settings.environment, settings.log_level, settings.partitions, settings.home) == (
        "development",
        "INFO",
        12,
        Path("."),
    )
    assert (settings.liveness_seconds, settings.grace_seconds, settings.metrics_label_limit) == (60, 30, 1_000)
    assert (settings.pool_min_size, settings.pool_max_size, settings.pool_max_queries) == (5, 20, 50_000)
    assert (settings.pool_acquire_timeout_seconds, settings.pool_command_timeout_seconds, settings.pool_idle_seconds) == (
        30,
        30,
        300,
    )
    assert settings.database_url is settings.redis_url is settings.kafka_bootstrap_servers is None


@pytest.mark.parametrize("variable", ["DATABASE_URL", "POSTGRES_URL"])
def test_the_database_is_named_by_either_variable(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "postgresql://user:password@postgres:5432/agentmesh_dev")
    assert load_settings().postgres_dsn == "postgresql://user:password@postgres:5432/agentmesh_dev"


def test_the_first_name_of_a_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", "postgresql://second/x")
    monkeypatch.setenv("DATABASE_URL", "postgresql://first/x")
    assert load_settings().postgres_dsn == "postgresql://first/x"


def test_jaeger_is_named_by_its_own_variables_or_their_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAEGER_HOST", "jaeger")
    monkeypatch.setenv("JAEGER_PORT", "6832")
    assert (load_settings().jaeger_agent_host, load_settings().jaeger_agent_port) == ("jaeger", 6832)


def test_every_other_setting_has_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_PARTITIONS", "24")
    monkeypatch.setenv("AGENTMESH_HOME", "/somewhere")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    settings = load_settings()
    assert (settings.partitions, settings.home, settings.log_level) == (24, Path("/somewhere"), "DEBUG")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("AGENTMESH_PARTITIONS", "")
    assert load_settings().database_url is None
    assert load_settings().partitions == 12


def test_values_given_in_code_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_PARTITIONS", "24")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "a:1")
    settings = load_settings(partitions=3, kafka_bootstrap_servers="b:2, c:3")
    assert (settings.partitions, settings.kafka_bootstrap) == (3, "b:2,c:3")


def test_a_driver_in_the_database_url_is_dropped() -> None:
    assert load_settings(database_url="postgresql+psycopg://u:p@h/d").postgres_dsn == "postgresql://u:p@h/d"
    assert load_settings(database_url="postgres://u:p@h/d").postgres_dsn == "postgresql://u:p@h/d"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().partitions = 3  # type: ignore[misc]


def test_no_secret_is_shown() -> None:
    settings = load_settings(
        database_url=f"postgresql://u:{SECRET}@h/d", redis_url=f"redis://:{SECRET}@h/0", model_url="http://h/v1", model_name="m",
        model_key=SECRET, model_fallback_name="n", model_fallback_key=SECRET, payments_token=SECRET,
    )  # fmt: skip
    shown = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())]
    assert SECRET not in "".join(shown)
    assert SECRET in settings.postgres_dsn
    assert SECRET in settings.redis_dsn


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("DATABASE_URL", f"mysql://u:{SECRET}@h/d", "DATABASE_URL: must be a URL that starts with postgresql://"),
        ("POSTGRES_URL", SECRET, "POSTGRES_URL: must be a URL that starts with postgresql://"),
        ("REDIS_URL", SECRET, "REDIS_URL: must be a URL that starts with redis://"),
        ("KAFKA_BOOTSTRAP_SERVERS", SECRET, "KAFKA_BOOTSTRAP_SERVERS: must be host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1,b:99999", "KAFKA_BOOTSTRAP_SERVERS: must be host:port"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", SECRET, "OTEL_EXPORTER_OTLP_ENDPOINT: must be a URL that starts with http"),
        ("AGENTMESH_PARTITIONS", SECRET, "AGENTMESH_PARTITIONS: input should be a valid integer"),
        ("AGENTMESH_PARTITIONS", "0", "AGENTMESH_PARTITIONS: input should be greater than or equal to 1"),
        ("AGENTMESH_SERVERS", SECRET, "AGENTMESH_SERVERS: input should be 'auto', 'local' or 'docker'"),
        ("AGENTMESH_TOPIC_PREFIX", "a_b", "AGENTMESH_TOPIC_PREFIX: may hold letters, digits and '-'"),
        ("LOG_LEVEL", SECRET, "LOG_LEVEL: input should be 'DEBUG'"),
        ("ENVIRONMENT", "Not Good", "ENVIRONMENT: string should match pattern"),
        ("AGENTMESH_MODEL_URL", SECRET, "AGENTMESH_MODEL_URL: must be a URL that starts with http"),
        ("AGENTMESH_MODEL_URL", "http://h/v1", "AGENTMESH_MODEL_URL and AGENTMESH_MODEL_NAME are set together"),
        ("AGENTMESH_MODEL_NAME", SECRET, "AGENTMESH_MODEL_URL and AGENTMESH_MODEL_NAME are set together"),
        ("AGENTMESH_MODEL_FALLBACK_NAME", SECRET, "AGENTMESH_MODEL_FALLBACK_NAME needs AGENTMESH_MODEL_URL"),
        ("AGENTMESH_MODEL_FALLBACK_KEY", SECRET, "AGENTMESH_MODEL_FALLBACK_NAME is missing"),
        ("AGENTMESH_MODEL_REQUEST_LIMIT", "0", "AGENTMESH_MODEL_REQUEST_LIMIT: input should be greater"),
        ("AGENTMESH_PAYMENTS_URL", f"https://u:{SECRET}@h", "AGENTMESH_PAYMENTS_URL: must hold neither user, password"),
        ("AGENTMESH_PAYMENTS_URL", f"https://h/?token={SECRET}", "AGENTMESH_PAYMENTS_URL: must hold neither user, password"),
        ("AGENTMESH_POOL_MIN_SIZE", "21", "AGENTMESH_POOL_MIN_SIZE must not be above AGENTMESH_POOL_MAX_SIZE"),
        ("AGENTMESH_KAFKA_SESSION_TIMEOUT_MS", "5000", "AGENTMESH_KAFKA_HEARTBEAT_INTERVAL_MS must be at most half of"),
    ],
)
def test_a_bad_value_names_the_variable_and_the_rule_but_never_the_value(
    variable: str, value: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert rule in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_all_faults_are_told_at_once_and_stop_the_process_as_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_PARTITIONS", "0")
    monkeypatch.setenv("AGENTMESH_HEALTH_PORT", "70000")
    with pytest.raises(ConfigurationError, match=r"AGENTMESH_PARTITIONS: .*; AGENTMESH_HEALTH_PORT: |AGENTMESH_HEALTH_PORT: .*; AGENT"):
        load_settings()


@pytest.mark.parametrize(
    ("attribute", "variables"),
    [
        ("postgres_dsn", "DATABASE_URL or POSTGRES_URL"),
        ("redis_dsn", "REDIS_URL"),
        ("kafka_bootstrap", "KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_an_endpoint_that_is_missing_says_what_to_do(attribute: str, variables: str) -> None:
    with pytest.raises(SettingsError, match=f"{variables} is not set .* start the local servers"):
        getattr(load_settings(), attribute)


def test_endpoints_can_be_filled_in() -> None:
    settings = load_settings(partitions=5).with_endpoints(
        postgres_dsn="postgresql://u:p@h/d", redis_url="redis://h/0", kafka_bootstrap="h:1"
    )
    assert (settings.postgres_dsn, settings.redis_dsn, settings.kafka_bootstrap) == ("postgresql://u:p@h/d", "redis://h/0", "h:1")
    assert settings.partitions == 5
    assert "u:p" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        (f"postgresql://u:{SECRET}@h:1/d", "postgresql://u:***@h:1/d"),
        (f"redis://:{SECRET}@h/0", "redis://:***@h/0"),
        ("redis://h:1/0", "redis://h:1/0"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        (f"postgresql://u:{SECRET}@[bad", "***"),
    ],
)
def test_a_masked_url_keeps_everything_but_the_password(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_the_table_names_every_setting_with_its_default_and_meaning() -> None:
    header, ruler, *rows = settings_table().splitlines()
    assert (header, ruler) == ("| variable | default | meaning |", "|---|---|---|")
    assert len(rows) == len(MeshSettings.model_fields)
    assert "| `AGENTMESH_PARTITIONS` | `12` | " in settings_table()
    assert "| `DATABASE_URL` (also `POSTGRES_URL`) | – | " in settings_table()
    assert "| `AGENTMESH_HOME` | the working directory | " in settings_table()
    assert "| `AGENTMESH_TOPIC_PREFIX` | – | " in settings_table()


def test_every_setting_has_a_one_line_description_and_only_known_names_lack_the_prefix() -> None:
    own = {
        "ENVIRONMENT", "LOG_LEVEL", "DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "OTEL_EXPORTER_OTLP_ENDPOINT",
        "JAEGER_AGENT_HOST", "JAEGER_AGENT_PORT",
    }  # fmt: skip
    for name, field in MeshSettings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert "|" not in field.description, name
        variable = variable_names(name)[0]
        assert variable in own or variable == f"AGENTMESH_{name.upper()}", variable
