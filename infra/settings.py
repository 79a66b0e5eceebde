"""Reads the environment variables of a process, hands out one frozen `MeshSettings`; every worker and the CLI start with it.

Endpoints keep the names that every tool knows (`DATABASE_URL`, `REDIS_URL`, `KAFKA_BOOTSTRAP_SERVERS`); every other setting is
`AGENTMESH_<NAME>`. Importing this module reads nothing: the environment is read when `load_settings()` is called.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import ConfigurationError
from infra.telemetry.levels import parse_levels
from infra.telemetry.sampling import parse_sample

ENV_PREFIX = "AGENTMESH_"

_HOST_AND_PORT = re.compile(r"^(?:[^\s:,@/\[\]]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})$")
_TOPIC_PREFIX = re.compile(r"^[A-Za-z0-9-]*\.?$")


class SettingsError(ConfigurationError):
    """A setting is missing or breaks its rule. The message names the variable and the rule, never the value."""


class MeshSettings(BaseSettings):
    """The settings that every worker shares. Frozen; secrets show as `**********` in `repr`, logs and errors.

    Build it with `load_settings()`, whose errors name the variable; the endpoints may be absent until `resolve_endpoints` has
    found them, so read them through `postgres_dsn`, `redis_dsn` and `kafka_bootstrap`, which say what to do when they are.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    environment: str = Field(
        "development",
        pattern=r"^[a-z][a-z0-9-]{0,39}$",
        validation_alias=AliasChoices("ENVIRONMENT"),
        description="Where this process runs; it labels logs, traces and metrics.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", validation_alias=AliasChoices("LOG_LEVEL"), description="The lowest level that is logged."
    )
    log_levels: str = Field("", description="Levels of single loggers, as `infra.kafka=DEBUG,aiokafka=INFO`.")
    log_sample: str = Field(
        "50/100",
        description="Lines of one kind below WARNING that are written in a second, and of those beyond every how many; "
        "`off` writes all. Warnings and errors are told once with a count only where they are the very same.",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL", "POSTGRES_URL"),
        description="PostgreSQL, as `postgresql://user:password@host:port/database`. Not set: the local stack's.",
    )
    reader_database_url: SecretStr | None = Field(
        None,
        description="The same database with a login that may only act as `agentmesh_reader`, for the gateway's reads. "
        "Not set: `DATABASE_URL`, whose user puts its role down.",
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("REDIS_URL"),
        description="Redis, as `redis://host:port/0`. Not set: the local stack's.",
    )
    kafka_bootstrap_servers: str | None = Field(
        None,
        validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS"),
        description="Kafka, as `host:port[,host:port]`. Not set: the local stack's.",
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="Where spans are sent by OTLP over HTTP. Not set: spans are not exported, unless a Jaeger host is.",
    )
    jaeger_agent_host: str | None = Field(
        None,
        validation_alias=AliasChoices("JAEGER_AGENT_HOST", "JAEGER_HOST"),
        description="Jaeger's host, used when no OTLP endpoint is set.",
    )
    jaeger_agent_port: int = Field(
        6831,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("JAEGER_AGENT_PORT", "JAEGER_PORT"),
        description="Jaeger's agent port; kept for older deployments, spans go to OTLP's own port.",
    )

    home: Path = Field(Path("."), description="The folder that holds `.agentmesh/` (local servers, endpoints, run files).")
    servers: Literal["auto", "local", "docker"] = Field(
        "auto",
        description="Servers to use where an endpoint is not set: `local` from packages, `docker` containers, `auto` as local.",
    )
    topic_prefix: str = Field(
        "",
        max_length=60,
        description="Put before every topic and consumer group; for tests and for clusters shared by several meshes.",
    )
    partitions: int = Field(12, ge=1, le=1000, description="Partitions of a new topic; they bound how many workers of a kind work at once.")

    health_host: str = Field("127.0.0.1", min_length=1, description="The address on which a worker serves health and metrics.")
    health_port: int = Field(0, ge=0, le=65535, description="The port for health and metrics; 0 takes a free one.")
    grace_seconds: float = Field(30.0, gt=0, le=600, description="How long a worker may take to finish its work after SIGTERM.")

    liveness_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Without an attempt of its main loop for this long a worker is not alive; after as long again it ends.",
    )

    batch_max_records: int = Field(500, ge=1, le=10_000, description="The most records that are handled in one transaction.")
    batch_timeout_ms: int = Field(10, ge=1, le=10_000, description="How long a poll waits for the first records of a batch.")
    attempts_before_parking: int = Field(
        3, ge=1, le=100, description="Attempts at a record whose handling fails by a defect, before it is parked."
    )

    kafka_session_timeout_ms: int = Field(10_000, ge=1_000, description="After this silence a group member counts as dead.")
    kafka_heartbeat_interval_ms: int = Field(3_000, ge=100, description="How often a group member says that it is alive.")
    kafka_max_poll_interval_ms: int = Field(
        300_000, ge=1_000, description="The longest time between two polls before a member leaves its group."
    )

    pool_min_size: int = Field(5, ge=0, le=1_000, description="Connections to PostgreSQL that a worker keeps open.")
    pool_max_size: int = Field(20, ge=1, le=1_000, description="The most connections to PostgreSQL that a worker opens.")
    pool_acquire_timeout_seconds: float = Field(30.0, gt=0, description="How long to wait for a free connection.")
    pool_command_timeout_seconds: float = Field(30.0, gt=0, description="How long one SQL statement may take.")
    pool_idle_seconds: float = Field(300.0, gt=0, description="An idle connection above the minimum is closed after this time.")
    pool_max_queries: int = Field(50_000, ge=1, description="A connection is replaced after this many statements.")

    model_url: str | None = Field(
        None, description="The base URL of an OpenAI-compatible endpoint, ending in `/v1` for most. Not set: agents work by rules."
    )
    model_key: SecretStr | None = Field(None, description="The key of that endpoint; absent where it asks for none.")
    model_name: str | None = Field(None, min_length=1, max_length=200, description="The model to ask there; needed with the URL.")
    model_fallback_name: str | None = Field(
        None, min_length=1, max_length=200, description="A second model, asked when the first cannot be reached or is overloaded."
    )
    model_fallback_url: str | None = Field(None, description="Where the second model is. Not set: at the first one's URL.")
    model_fallback_key: SecretStr | None = Field(None, description="The second endpoint's key. Not set: the first one's.")
    model_request_limit: int = Field(10, ge=1, le=1_000, description="The most requests that one question to a model may take.")
    model_input_tokens_limit: int = Field(200_000, ge=1, description="The most tokens that the requests of one question may send.")
    model_output_tokens_limit: int = Field(20_000, ge=1, description="The most tokens that the answers to one question may have.")
    model_timeout_seconds: float = Field(60.0, gt=0, le=3_600, description="How long one request to a model may take.")
    model_concurrency: int = Field(20, ge=1, le=10_000, description="Requests to a model under way at once, in each agent host.")
    model_partial_output: bool = Field(
        False, description="Let models write their answers as streams, and pass on what they have said so far over Redis."
    )

    payments_url: str | None = Field(
        None, description="The base URL of the payment service that pays refunds back. Not set: staff carries approved refunds out."
    )
    payments_token: SecretStr | None = Field(None, description="The bearer token of the payment service.")
    payments_timeout_seconds: float = Field(10.0, gt=0, le=600, description="How long one request to the payment service may take.")

    outage_patience_seconds: float = Field(
        120.0,
        ge=0,
        le=3_600,
        description="How long a run waits for a model or payment service that is away, before its attempt fails; 0: not at all.",
    )

    trace_sample_ratio: float = Field(
        0.1, ge=0.0, le=1.0, description="The share of new traces that is recorded. One that its sender sampled is, too."
    )
    trace_foreign_per_second: int = Field(
        100,
        ge=0,
        description="How many traces a second a process begins to record because callers or foreign publishers sampled them.",
    )
    trace_url: str | None = Field(
        None,
        pattern=r"^https?://\S*\{trace_id\}\S*$",
        description="Where people find a trace, such as `http://localhost:16686/trace/{trace_id}`; timelines then show addresses.",
    )
    metrics_label_limit: int = Field(
        1_000, ge=1, description="Values of one metric label that are kept apart; further ones count as `other`."
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("log_levels")
    @classmethod
    def _check_log_levels(cls, value: str) -> str:
        parse_levels(value)
        return value

    @field_validator("log_sample")
    @classmethod
    def _check_log_sample(cls, value: str) -> str:
        parse_sample(value)
        return value

    @field_validator("database_url", "reader_database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        scheme, separator, rest = value.get_secret_value().partition("://")
        if not separator or not re.fullmatch(r"postgres(ql)?(\+\w+)?", scheme):
            raise ValueError("must be a URL that starts with postgresql://")
        return SecretStr(f"postgresql://{rest}")

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be a URL that starts with redis://, rediss:// or unix://")
        return value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _check_bootstrap(cls, value: str | None) -> str | None:
        if value is None:
            return None
        servers = [server.strip() for server in value.split(",")]
        for server in servers:
            match = _HOST_AND_PORT.match(server)
            if match is None or not 0 < int(match.group(1)) < 65536:
                raise ValueError("must be host:port, or several of them separated by commas")
        return ",".join(servers)

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _check_otlp_endpoint(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must be a URL that starts with http:// or https://")
        return value

    @field_validator("model_url", "model_fallback_url", "payments_url")
    @classmethod
    def _check_http_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be a URL that starts with http:// or https://")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold neither user, password, query nor fragment: keys and tokens have settings of their own")
        return value.rstrip("/")

    @field_validator("topic_prefix")
    @classmethod
    def _check_topic_prefix(cls, value: str) -> str:
        if not _TOPIC_PREFIX.match(value):
            raise ValueError("may hold letters, digits and '-', and may end with one '.'")
        return value

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if self.kafka_heartbeat_interval_ms * 2 > self.kafka_session_timeout_ms:
            raise ValueError("AGENTMESH_KAFKA_HEARTBEAT_INTERVAL_MS must be at most half of AGENTMESH_KAFKA_SESSION_TIMEOUT_MS")
        if self.pool_min_size > self.pool_max_size:
            raise ValueError("AGENTMESH_POOL_MIN_SIZE must not be above AGENTMESH_POOL_MAX_SIZE")
        if (self.model_url is None) != (self.model_name is None):
            raise ValueError("AGENTMESH_MODEL_URL and AGENTMESH_MODEL_NAME are set together or not at all")
        if self.model_fallback_name is None and (self.model_fallback_url or self.model_fallback_key):
            raise ValueError("AGENTMESH_MODEL_FALLBACK_NAME is missing beside the fallback's URL or key")
        if self.model_fallback_name is not None and self.model_name is None:
            raise ValueError("AGENTMESH_MODEL_FALLBACK_NAME needs AGENTMESH_MODEL_URL and AGENTMESH_MODEL_NAME")
        return self

    @property
    def postgres_dsn(self) -> str:
        """The PostgreSQL URL with its password; raises SettingsError when there is none."""
        if self.database_url is None:
            raise _not_set("database_url")
        return self.database_url.get_secret_value()

    @property
    def reader_dsn(self) -> str:
        """The PostgreSQL URL of reads that are held to one tenant; raises SettingsError when there is none."""
        return self.postgres_dsn if self.reader_database_url is None else self.reader_database_url.get_secret_value()

    @property
    def redis_dsn(self) -> str:
        """The Redis URL with its password; raises SettingsError when there is none."""
        if self.redis_url is None:
            raise _not_set("redis_url")
        return self.redis_url.get_secret_value()

    @property
    def kafka_bootstrap(self) -> str:
        """The bootstrap servers; raises SettingsError when there are none."""
        if self.kafka_bootstrap_servers is None:
            raise _not_set("kafka_bootstrap_servers")
        return self.kafka_bootstrap_servers

    @property
    def state_dir(self) -> Path:
        """The folder `.agentmesh` under `home`, absolute."""
        return self.home.expanduser().resolve() / ".agentmesh"

    def with_endpoints(self, *, postgres_dsn: str, redis_url: str, kafka_bootstrap: str) -> MeshSettings:
        """A copy that uses these servers."""
        return self.model_copy(
            update={
                "database_url": SecretStr(postgres_dsn),
                "redis_url": SecretStr(redis_url),
                "kafka_bootstrap_servers": kafka_bootstrap,
            }
        )


def load_settings(**values: object) -> MeshSettings:
    """The settings of this process, from the environment; `values` (by field name) win. Raises SettingsError with every fault."""
    try:
        return MeshSettings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def variable_names(name: str) -> tuple[str, ...]:
    """The environment variables of a field, the preferred one first."""
    alias = MeshSettings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (ENV_PREFIX + name.upper(),)


def mask_url(url: str) -> str:
    """The URL with its password replaced by `***`, for messages and logs."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return "***"
    if password is None:
        return url
    user_info, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user_info.partition(':')[0]}:***@{host}").geturl()


def settings_table() -> str:
    """A markdown table of every setting: its variable, default and meaning; the README holds it."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in MeshSettings.model_fields.items():
        first, *others = variable_names(name)
        also = f" (also {', '.join(f'`{other}`' for other in others)})" if others else ""
        rows.append(f"| `{first}`{also} | {_default_text(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _default_text(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == "":
        return "–"
    if value == Path("."):
        return "the working directory"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _not_set(name: str) -> SettingsError:
    return SettingsError(
        f"{' or '.join(variable_names(name))} is not set and no local stack was found: "
        "set it, or start the local servers with `python -m infra.local_stack start`."
    )


def _explain(error: ValidationError) -> str:
    fields_by_alias = {alias: name for name in MeshSettings.model_fields for alias in variable_names(name)}
    lines = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        rule = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:
            lines.append(rule)
            continue
        where = str(fault["loc"][0])
        names = variable_names(fields_by_alias.get(where, where))
        used = next((name for name in names if os.environ.get(name)), names[0])
        lines.append(f"{used}: {rule[:1].lower()}{rule[1:]}")
    return "Invalid settings. " + "; ".join(lines)
