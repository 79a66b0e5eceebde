"""`compose.yaml` is valid by the Compose Specification's own schema and says what the requirements say; planted errors are caught."""

import copy
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from infra.local_stack import docker
from infra.settings import MeshSettings, load_settings, variable_names
from services.cli.fleet import DEFAULT_FLEET, GATEWAY, Member
from services.gateway.settings import GatewaySettings

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text(encoding="utf-8"))
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
WORKERS = [member for member in DEFAULT_FLEET if member.name != GATEWAY]
SERVERS = ("postgres", "kafka", "redis")
DOCKERFILE = (ROOT / "infra" / "docker" / "Dockerfile").read_text(encoding="utf-8")
SOURCES = ("contracts", "infra", "projections", "services")
OWN_IMAGE, BUILDER = "agentmesh:dev", GATEWAY
ROOTS = {"root", "0"}
WRITABLE = {"kafka"}
"""Services whose own file system may be written to; the line in the file says why."""
IMAGES = {  # DEV-07 to DEV-12
    "postgres": "pgvector/pgvector",
    "redis": "redis:7-alpine",
    "kafka": "apache/kafka",
    "vault": "hashicorp/vault",
    "jaeger": "jaegertracing/all-in-one",
    "prometheus": "prom/prometheus",
    "alertmanager": "prom/alertmanager",
    "grafana": "grafana/grafana",
}
PORTS = {
    "gateway": ["8000:8000"],
    "postgres": ["5432:5432"],
    "redis": ["6379:6379"],
    "kafka": ["9092:29092"],
    "vault": ["8200:8200"],
    "jaeger": ["6831:6831/udp", "16686:16686", "4317:4317", "4318:4318"],
    "prometheus": ["9090:9090"],
    "alertmanager": ["9093:9093"],
    "grafana": ["3000:3000"],
}


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


def ends_by_itself(service: dict[str, Any]) -> bool:
    return service.get("restart") == "on-failure" and service.get("healthcheck") == {"disable": True}


def confinement_faults(document: dict[str, Any]) -> list[str]:
    """Services without a health check, limits, a user, a log that ends, or with more rights than they need."""
    faults = []
    for name, service in document["services"].items():
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        wrong = {
            "has no health check": not (service.get("healthcheck", {}).get("test") or ends_by_itself(service)),
            "has no limits": set(limits) != {"cpus", "memory", "pids"},
            "runs as root": str(service.get("user", "root")).split(":")[0] in ROOTS,
            "keeps capabilities": service.get("cap_drop") != ["ALL"] or "cap_add" in service or service.get("privileged", False),
            "may gain rights": "no-new-privileges:true" not in service.get("security_opt", []),
            "writes where it need not": service.get("read_only") is not True and name not in WRITABLE,
            "keeps its log for ever": not {"max-size", "max-file"} <= set(service.get("logging", {}).get("options", {})),
            "is in no network": not service.get("networks"),
        }
        faults += [f"{name} {what}" for what, holds in wrong.items() if holds]
    return faults


def image_faults(document: dict[str, Any]) -> list[str]:
    """Images that may be another one tomorrow; and our own built twice, side by side: on a clean machine one of them fails."""
    faults = []
    for name, service in document["services"].items():
        image = service.get("image", "")
        if image == OWN_IMAGE:
            faults += [] if service.get("pull_policy") == "never" else [f"{name}: {image} may come from a registry"]
            continue
        pinned = re.fullmatch(r"[a-z0-9./-]+:([A-Za-z0-9._-]+)@sha256:[0-9a-f]{64}", image)
        if pinned is None or pinned[1] == "latest":
            faults.append(f"{name}: {image} is not pinned")
    builders = [name for name, service in document["services"].items() if service.get("build")]
    if builders != [BUILDER]:
        faults.append(f"{OWN_IMAGE} is built by {', '.join(builders) or 'nobody'}, and not once")
    return faults


def mount_faults(document: dict[str, Any]) -> list[str]:
    """Files that are mounted and not in the repository, or may be written to; volumes that are not declared."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    faults = []
    for name, service in document["services"].items():
        for mount in service.get("volumes", []):
            source, _, target = mount.partition(":")
            if not source.startswith("."):
                faults += [] if source in document["volumes"] else [f"{name} mounts {source}, which is no volume"]
                continue
            path = source.removeprefix("./")
            if not any(each == path or each.startswith(f"{path}/") for each in tracked):
                faults.append(f"{name} mounts {source}, which is not in the repository")
            if not target.endswith(":ro"):
                faults.append(f"{name} may write to {source}")
    return faults


def fleet_faults(document: dict[str, Any]) -> list[str]:
    """Members of the default fleet that no service runs."""
    services = document["services"]
    return [each.name for each in DEFAULT_FLEET if services.get(each.name, {}).get("command") != ["run", *each.arguments]]


def reach_faults(document: dict[str, Any]) -> list[str]:
    """Services that wait for one, or are told of one, with which they share no network."""
    services = document["services"]
    networks = {name: set(service.get("networks", [])) for name, service in services.items()}
    faults = []
    for name, service in services.items():
        told = [value for value in service.get("environment", {}).values() if isinstance(value, str)]
        hosts = {host for value in told for host in re.findall(r"(?:^|//|@)([a-z]+):\d+", value)}
        for other in ({*service.get("depends_on", {})} | hosts) & set(services):
            if other != name and not networks[name] & networks[other] and not ends_by_itself(services[other]):
                faults.append(f"{name} cannot reach {other}")
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
        ("pids: 100", "pids: [100]"),
        ("{action: restart, path: ./services}", "{action: reload, path: ./services}"),
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
        ("restart: on-failure", "restart: always"),
    ],
)
def test_a_planted_error_in_the_start_order_is_caught(line: str, planted: str) -> None:
    assert line in TEXT
    broken = parse(TEXT.replace(line, planted))
    if not planted:
        del broken["services"]["redis"]["healthcheck"]
    assert start_order_faults(broken)


RULES = (confinement_faults, image_faults, mount_faults, fleet_faults, reach_faults)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_service_keeps_to_the_rules(rule: Callable[[dict[str, Any]], list[str]], document: dict[str, Any]) -> None:
    assert rule(document) == []


PLANTED: list[tuple[Callable[[dict[str, Any]], list[str]], str, Callable[[dict[str, Any]], Any]]] = [
    (confinement_faults, "has no health check", lambda services: services["grafana"].pop("healthcheck")),
    (confinement_faults, "has no health check", lambda services: services["relay"].update(healthcheck={"disable": True})),
    (confinement_faults, "has no limits", lambda services: services["kafka"]["deploy"]["resources"]["limits"].pop("memory")),
    (confinement_faults, "runs as root", lambda services: services["postgres"].pop("user")),
    (confinement_faults, "runs as root", lambda services: services["grafana"].update(user="0:472")),
    (confinement_faults, "keeps capabilities", lambda services: services["vault"].update(cap_add=["IPC_LOCK"])),
    (confinement_faults, "may gain rights", lambda services: services["redis"].update(security_opt=[])),
    (confinement_faults, "writes where it need not", lambda services: services["jaeger"].update(read_only=False)),
    (confinement_faults, "keeps its log for ever", lambda services: services["kafka"].pop("logging")),
    (confinement_faults, "is in no network", lambda services: services["tasks"].pop("networks")),
    (image_faults, "is not pinned", lambda services: services["redis"].update(image="redis:7-alpine")),
    (image_faults, "is not pinned", lambda services: services["jaeger"].update(image="jaegertracing/all-in-one:latest@sha256:" + "0" * 64)),
    (image_faults, "may come from a registry", lambda services: services["tasks"].pop("pull_policy")),
    (image_faults, "is built by tasks, gateway", lambda services: services["tasks"].update(build={"context": "."})),
    (image_faults, "is built by nobody", lambda services: services["gateway"].pop("build")),
    (mount_faults, "not in the repository", lambda services: services["observer"].update(volumes=["./infra/docker/observers.sql:/o:ro"])),
    (mount_faults, "may write", lambda services: services["observer"].update(volumes=["./infra/docker/observer.sql:/observer.sql"])),
    (mount_faults, "no volume", lambda services: services["kafka"].update(volumes=["kafka-date:/var/lib/kafka/data"])),
    (fleet_faults, "workflow", lambda services: services["workflow"]["command"].remove("monitor")),
    (fleet_faults, "relay", lambda services: services.pop("relay")),
    (reach_faults, "cannot reach postgres", lambda services: services["grafana"].update(networks=["telemetry"])),
    (reach_faults, "cannot reach jaeger", lambda services: services["relay"].update(networks=["servers"])),
]


@pytest.mark.parametrize(("rule", "says", "plant"), PLANTED)
def test_a_service_that_breaks_a_rule_is_caught(
    rule: Callable[[dict[str, Any]], list[str]], says: str, plant: Callable[[dict[str, Any]], Any], document: dict[str, Any]
) -> None:
    alone = json.loads(json.dumps(document))  # what the file says once and many services have is here many times
    plant(alone["services"])
    assert any(says in fault for fault in rule(alone))


def test_every_rule_catches_something() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def test_what_may_be_written_to_says_why() -> None:
    assert re.findall(r"^ +read_only: false +# (.+)$", TEXT, flags=re.MULTILINE), "no reason stands beside it"
    assert len(re.findall("read_only: false", TEXT)) == len(WRITABLE)


def test_servers_have_the_agreed_ports_database_and_images(document: dict[str, Any]) -> None:
    services = document["services"]
    published = {name: [port.removeprefix("127.0.0.1:") for port in each["ports"]] for name, each in services.items() if "ports" in each}
    assert published == PORTS
    assert all(services[name]["image"].startswith(image) for name, image in IMAGES.items())
    environment = services["postgres"]["environment"]
    assert [environment[f"POSTGRES_{name}"] for name in ("DB", "USER", "PASSWORD")] == ["agentmesh_dev", "user", "password"]
    assert "postgres-data:/var/lib/postgresql" in services["postgres"]["volumes"]
    images = [services[name]["image"] for name in SERVERS]
    assert images == [docker.POSTGRES_IMAGE, docker.KAFKA_IMAGE, docker.REDIS_IMAGE]
    assert "${POSTGRES_IMAGE:-" in TEXT
    vault = services["vault"]
    assert (vault["environment"]["VAULT_DEV_ROOT_TOKEN_ID"], vault["environment"]["VAULT_DEV_LISTEN_ADDRESS"]) == (
        "dev-token",
        "0.0.0.0:8200",
    )
    assert vault["command"][:2] == ["server", "-dev"]
    assert services["jaeger"]["environment"]["COLLECTOR_OTLP_ENABLED"] == "true"
    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "admin"
    assert "./infra/prometheus:/etc/prometheus:ro" in services["prometheus"]["volumes"]


def test_the_gateway_waits_for_all_it_may_need_and_is_told_where_it_is(document: dict[str, Any]) -> None:
    gateway = document["services"]["gateway"]
    assert {"postgres", "redis", "vault", "jaeger", "kafka", "migrate"} == set(gateway["depends_on"])
    told = gateway["environment"]
    assert (told["VAULT_ADDR"], told["VAULT_TOKEN"]) == ("http://vault:8200", "dev-token")
    assert (told["JAEGER_AGENT_HOST"], str(told["JAEGER_AGENT_PORT"])) == ("jaeger", "6831")
    own = set(told) - set(document["x-worker"]["environment"])
    fields = {f"AGENTMESH_GATEWAY_{name.upper()}" for name in GatewaySettings.model_fields}
    assert own <= fields | {"JWT_SECRET_KEY", "VAULT_ADDR", "VAULT_TOKEN"}
    assert "JWT_SECRET_KEY" in own
    version = re.search(r"python:(3\.\d+)", DOCKERFILE)
    assert version is not None
    sources = {folder: f"./{folder}:/app/lib/python{version[1]}/site-packages/{folder}:ro" for folder in SOURCES}
    assert gateway["volumes"] == list(sources.values())
    watched = {each["path"] for each in gateway["develop"]["watch"] if each["action"] == "restart"}
    assert watched == {f"./{folder}" for folder in SOURCES}


def test_each_worker_is_scraped_and_its_spans_go_to_jaeger(document: dict[str, Any]) -> None:
    scraped = yaml.safe_load((ROOT / "infra" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    (names,) = [each["names"] for config in scraped for each in config.get("dns_sd_configs", [])]
    assert set(names) == {member.name for member in DEFAULT_FLEET}
    for name in names:
        assert "telemetry" in document["services"][name]["networks"]
        assert document["services"][name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://jaeger:4318"


def test_grafana_is_told_every_variable_of_its_provisioning(document: dict[str, Any]) -> None:
    folder = ROOT / "infra" / "grafana" / "provisioning"
    used = {name for path in folder.rglob("*.yaml") for name in re.findall(r"\$\{?(GRAFANA_[A-Z_]+)", path.read_text(encoding="utf-8"))}
    told = {name for name in document["services"]["grafana"]["environment"] if name.startswith("GRAFANA_")}
    assert used == told


def test_what_is_mounted_is_where_it_is_looked_for(document: dict[str, Any]) -> None:
    def mounted(service: str, folder: str) -> str:
        (target,) = [each.split(":")[1] for each in document["services"][service]["volumes"] if each.startswith(f"./infra/{folder}:")]
        return target

    (provider,) = yaml.safe_load((ROOT / "infra/grafana/provisioning/dashboards/agentmesh.yaml").read_text(encoding="utf-8"))["providers"]
    assert mounted("grafana", "grafana/dashboards") == provider["options"]["path"]
    assert mounted("grafana", "grafana/provisioning") == document["services"]["grafana"]["environment"]["GF_PATHS_PROVISIONING"]
    config = next(each for each in document["services"]["prometheus"]["command"] if each.startswith("--config.file="))
    assert config == f"--config.file={mounted('prometheus', 'prometheus')}/prometheus.yml"
    (rules,) = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text(encoding="utf-8"))["rule_files"]
    assert list((ROOT / "infra/prometheus").glob(rules))
    assert f"{mounted('alertmanager', 'alertmanager')}/alertmanager.yml" in document["services"]["alertmanager"]["entrypoint"][-1]


def test_alertmanager_is_given_its_addresses_as_they_are(document: dict[str, Any], tmp_path: Path) -> None:
    """Its own start script, with a stand-in for the last line, which starts it."""
    shell, flags, script = document["services"]["alertmanager"]["entrypoint"]
    given = ROOT / "infra" / "alertmanager" / "alertmanager.yml"
    written = tmp_path / "alertmanager.yml"
    text = (
        script.replace("$$", "$").replace("/etc/alertmanager/alertmanager.yml", str(given)).replace("/tmp/alertmanager.yml", str(written))
    )
    addresses = {f"AGENTMESH_{name}_URL": f"https://{name.lower()}.example/a?b=1&c=2|3#\\d" for name in ("PAGE", "TICKET", "INFO")}
    begun = re.sub(r"exec /bin/alertmanager", "exec echo", text)
    done = subprocess.run([shell, flags, begun], env={**os.environ, **addresses}, capture_output=True, text=True, check=True)
    assert f"--config.file={written}" in done.stdout
    receivers = yaml.safe_load(written.read_text(encoding="utf-8"))["receivers"]
    assert {hook["url"] for each in receivers for hook in each["webhook_configs"]} == set(addresses.values())
    assert set(re.findall(r"\$\{([A-Z_]+)\}", given.read_text(encoding="utf-8").partition("receivers:")[2])) == set(addresses)


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


@pytest.mark.parametrize("worker", WORKERS, ids=lambda worker: worker.name)
def test_each_worker_has_its_command_waits_for_the_servers_and_the_schema_and_is_confined(worker: Member, document: dict[str, Any]) -> None:
    service = document["services"][worker.name]
    assert service["command"] == ["run", *worker.arguments]
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
    assert (settings.environment, settings.log_level, settings.jaeger_agent_host) == ("development", "DEBUG", "jaeger")
    assert settings.otel_exporter_otlp_endpoint == "http://jaeger:4318"
    stop_grace = int(document["x-worker"]["stop_grace_period"].removesuffix("s"))
    assert stop_grace > settings.grace_seconds
