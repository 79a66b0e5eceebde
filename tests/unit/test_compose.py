"""`compose.yaml` is valid by the Compose Specification's own schema and says what the requirements say; planted errors are caught."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from infra.local_stack import docker
from infra.settings import MeshSettings, load_settings, variable_names

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text(encoding="utf-8"))
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "infra" / "docker" / "Dockerfile").read_text(encoding="utf-8")
WORKERS = ("requests", "relay", "projections")
SERVERS = ("postgres", "kafka", "redis")


def parse(text: str) -> dict[str, Any]:
    """The file with every variable replaced by its default, as an empty environment would have it."""
    document: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text))
    return document


def schema_faults(document: dict[str, Any]) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)]


def start_order_faults(document: dict[str, Any]) -> list[str]:
    """Dependencies on services that do not exist, or on a state that they never report."""
    services = document["services"]
    faults = []
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            target = services.get(other)
            if target is None:
                faults.append(f"{name} waits for {other}, which does not exist")
            elif wanted["condition"] == "service_healthy" and not target.get("healthcheck", {}).get("test"):
                faults.append(f"{name} waits for the health of {other}, which has no check")
            elif wanted["condition"] == "service_completed_successfully" and target.get("restart") != "on-failure":
                faults.append(f"{name} waits for the end of {other}, which is restarted for ever")
    return faults


@pytest.fixture
def document() -> dict[str, Any]:
    return copy.deepcopy(parse(TEXT))


def test_the_file_is_valid_by_the_compose_specification(document: dict[str, Any]) -> None:
    assert schema_faults(document) == []
    assert start_order_faults(document) == []


@pytest.mark.parametrize(
    ("line", "planted"),
    [
        ("image: redis:7-alpine", "imagee: redis:7-alpine"),
        ("restart: unless-stopped", "restart: [unless-stopped]"),
        ("postgres: {condition: service_healthy}", "postgres: {condition: healthy}"),
        ("volumes:\n  postgres-data:", "volume:\n  postgres-data:"),
        ("profiles: [observe]", "profiles: observe"),
    ],
)
def test_a_planted_schema_error_is_caught(line: str, planted: str) -> None:
    assert line in TEXT
    assert schema_faults(parse(TEXT.replace(line, planted)))


@pytest.mark.parametrize(
    ("line", "planted"),
    [
        ("    redis: {condition: service_healthy}", "    reddis: {condition: service_healthy}"),
        ("redis-cli, ping", ""),
        ("on-failure", "always"),
    ],
)
def test_a_planted_error_in_the_start_order_is_caught(line: str, planted: str) -> None:
    assert line in TEXT
    broken = parse(TEXT.replace(line, planted))
    if not planted:
        del broken["services"]["redis"]["healthcheck"]
    assert start_order_faults(broken)


def test_servers_have_the_agreed_ports_database_and_images(document: dict[str, Any]) -> None:
    services = document["services"]
    published = {name: [port.removeprefix("127.0.0.1:") for port in services[name].get("ports", [])] for name in services}
    assert published["postgres"] == ["5432:5432"]
    assert published["redis"] == ["6379:6379"]
    assert [port.split(":")[0] for port in published["kafka"]] == ["9092"]
    assert [port.split(":")[0] for port in published["jaeger"]] == ["6831", "16686", "4317", "4318"]
    environment = services["postgres"]["environment"]
    assert [environment[f"POSTGRES_{name}"] for name in ("DB", "USER", "PASSWORD")] == ["agentmesh_dev", "user", "password"]
    images = [services[name]["image"] for name in SERVERS]
    assert images == [docker.POSTGRES_IMAGE, docker.KAFKA_IMAGE, docker.REDIS_IMAGE]
    assert "${POSTGRES_IMAGE:-" in TEXT


def test_every_port_is_open_to_this_machine_only(document: dict[str, Any]) -> None:
    ports = [port for service in document["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_kafka_tells_containers_and_this_machine_an_address_that_each_can_reach(document: dict[str, Any]) -> None:
    kafka = document["services"]["kafka"]
    advertised = dict(each.split("://") for each in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listeners = dict(each.split("://") for each in kafka["environment"]["KAFKA_LISTENERS"].split(","))
    assert advertised == {"INTERNAL": "kafka:9092", "HOST": "localhost:9092"}
    assert kafka["ports"] == [f"127.0.0.1:9092{listeners['HOST']}"]
    assert kafka["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.mark.parametrize("worker", WORKERS)
def test_each_worker_has_its_command_waits_for_the_servers_and_the_schema_and_is_confined(worker: str, document: dict[str, Any]) -> None:
    service = document["services"][worker]
    assert service["command"] == ["run", worker]
    conditions = {name: wanted["condition"] for name, wanted in service["depends_on"].items()}
    assert conditions == {**dict.fromkeys(SERVERS, "service_healthy"), "migrate": "service_completed_successfully"}
    assert "/health/ready" in " ".join(service["healthcheck"]["test"])
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert "ports" not in service, "a published port would keep the worker from being scaled"
    assert "container_name" not in service


def test_the_environment_of_the_workers_holds_known_settings_with_good_values(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {variable for name in MeshSettings.model_fields for variable in variable_names(name)}
    environment = document["x-worker"]["environment"]
    assert set(environment) <= known
    for variable in known:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, str(value or ""))
    settings = load_settings()
    assert settings.postgres_dsn == "postgresql://user:password@postgres:5432/agentmesh_dev"
    assert (settings.redis_dsn, settings.kafka_bootstrap) == ("redis://redis:6379/0", "kafka:9092")
    assert (settings.environment, settings.log_level, settings.jaeger_agent_host) == ("development", "DEBUG", None)
    stop_grace = int(document["x-worker"]["stop_grace_period"].removesuffix("s"))
    assert stop_grace > settings.grace_seconds


def test_the_image_does_not_run_as_root_and_installs_only_locked_packages() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    user = re.findall(r"^USER (\S+)$", last_stage, flags=re.MULTILINE)
    assert user == ["10001"]
    assert "--require-hashes -r requirements-runtime.lock" in DOCKERFILE
    assert 'ENTRYPOINT ["agentmesh"]' in last_stage


def test_the_build_sees_every_file_that_the_image_is_made_of() -> None:
    ignore = (ROOT / "infra" / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE) for name in line.split()}
    assert "*" in ignore
    assert copied == {line[1:] for line in ignore if line.startswith("!")}
