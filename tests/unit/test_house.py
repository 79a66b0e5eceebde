"""The house rules that no linter knows: sizes, names, docstrings, lock files, nothing of one machine in a tracked file."""

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ("contracts", "services", "projections", "infra")
CLIENT = "sdk/python/src"  # a package of its own
LOCK_FILES = (
    *("requirements.lock", "requirements-runtime.lock"),
    *("infra/docker/requirements-build.lock", "infra/docker/requirements-lint.lock"),
)
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "core", "manager", "managers", "misc"}
TOP_LEVEL = ("services", "contracts", "projections", "infra", "tests", "pyproject.toml", "compose.yaml", "README.md")  # DEV-02
TEST_FOLDERS = ("unit", "conformance", "integration", "e2e", "chaos", "benchmarks")  # TST-08
PACKAGES = ("faststream", "aiokafka", "pydantic", "eventsourcing", "psycopg", "redis", "opentelemetry-sdk", "prometheus-client")
MORE_PACKAGES = ("tenacity", "pybreaker", "hvac", "pytest", "testcontainers")  # DEV-03
ADR_SECTIONS = ["Status", "Context", "Decision", "Consequences", "Positive", "Negative", "Alternatives Considered"]  # DEV-16

# Written in pieces, so that this file does not hold what it forbids.
REGISTRY_HOSTS = [
    "py" + "pi.org", "python" + "hosted.org", "npm" + "js.", "repo1." + "maven", "repo.maven." + "apache", "docker" + ".io",
    "ghcr" + ".io", "quay" + ".io", "mcr.micro" + "soft", "crates" + ".io", "proxy.go" + "lang",
]  # fmt: skip
MACHINE_PATHS = re.compile(
    r"(?<![\w.$}~-])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers", "opt/wh" + "eels"]) + r")/"
)
CONNECTING = re.compile(r"(Pool|Producer|Consumer|Broker|AdminClient|Redis|connect|create_engine|Settings|from_url)$")
TOPIC_NAME = re.compile(r"^agentmesh\.[a-z0-9.-]+\.v\d+$")


def sources(*tops: str) -> list[Path]:
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(*tops: str) -> Iterator[tuple[str, ast.Module]]:
    yield from ((name_of(path), ast.parse(path.read_text(encoding="utf-8"))) for path in sources(*tops))


def tracked_files() -> list[Path]:
    """The files under version control, and those about to be; without git (a source archive), every file of the known folders."""
    git = shutil.which("git")
    listed = git and subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed and listed.returncode == 0 and listed.stdout:
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    folders = [path for top in (*RUNTIME, "tests", "docs") for path in (ROOT / top).rglob("*")]
    return [path for path in (*ROOT.glob("*"), *folders) if path.is_file()]


def machine_traces(text: str) -> list[str]:
    """Registry hosts and absolute paths of one machine that the text names."""
    hosts = [host for host in REGISTRY_HOSTS if host in text.lower()]
    return hosts + [match.group() for match in MACHINE_PATHS.finditer(text)]


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins(lock: str) -> dict[str, str]:
    """Distribution -> version of a lock file."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", text, flags=re.MULTILINE))


def declared(texts: list[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", text)[0]).lower() for text in texts}


# --- code -------------------------------------------------------------------------------------------------------------


def test_functions_stay_under_sixty_lines() -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = ((path, node) for path, tree in parsed(*RUNTIME, CLIENT) for node in ast.walk(tree) if isinstance(node, kinds))
    sizes = ((path, node, (node.end_lineno or 0) - node.lineno + 1) for path, node in functions)
    long = [f"{path}:{node.lineno} {node.name} has {size} lines" for path, node, size in sizes if size >= 60]
    assert not long, "\n".join(long)


def test_modules_stay_under_five_hundred_lines() -> None:
    sizes = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources(*RUNTIME, CLIENT, "tests")}
    assert not {path: size for path, size in sizes.items() if size >= 500}


def test_every_module_opens_with_a_docstring() -> None:
    assert not [path for path, tree in parsed(*RUNTIME, CLIENT, "tests") if tree.body and not ast.get_docstring(tree)]


def test_every_public_class_and_function_says_what_it_is() -> None:
    """What implements or describes a port, method by method, may leave the words to the class."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [
        (f"{path}:{node.lineno} {node.name}", node)
        for path, tree in parsed(*RUNTIME, CLIENT)
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_") and "overload" not in map(ast.unparse, node.decorator_list)
    ]
    assert len(public) > 1_000
    assert not [place for place, node in public if not ast.get_docstring(node)]


def test_files_and_folders_are_named_after_what_is_in_them() -> None:
    names = {
        name_of(path): {part.removesuffix(".py") for part in path.relative_to(ROOT).parts} for path in sources(*RUNTIME, CLIENT, "tests")
    }
    assert not {path for path, parts in names.items() if parts & NAMES_THAT_SAY_NOTHING}


def import_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs when the module is imported: not the bodies of functions, not the `__main__` block."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "__main__" in ast.unparse(child.test):
            continue
        yield child
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield from import_time_nodes(child)


def does_something_at_import(tree: ast.Module) -> list[str]:
    nodes = list(import_time_nodes(tree))
    calls = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
    reads = [ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)]
    return [call for call in calls if CONNECTING.search(call)] + [read for read in reads if read in ("os.environ", "os.getenv")]


def test_importing_a_module_opens_no_connection_and_reads_no_environment() -> None:
    found = {path: does for path, tree in parsed(*RUNTIME, CLIENT) if (does := does_something_at_import(tree))}
    assert not found, f"pools and clients belong to the worker that starts them, not to a module: {found}"


@pytest.mark.parametrize(
    "source", ["pool = AsyncConnectionPool(dsn)", "import os\nURL = os.environ['URL']", "class A:\n    r = redis.Redis()"]
)
def test_a_planted_connection_at_import_is_caught(source: str) -> None:
    assert does_something_at_import(ast.parse(source))


def test_work_inside_functions_is_no_import_time_work() -> None:
    source = "import os\ndef build():\n    return Pool(os.environ['URL'])\nif __name__ == '__main__':\n    Pool(1)"
    assert not does_something_at_import(ast.parse(source))


def test_topic_names_are_spelled_in_one_file_only() -> None:
    texts = (
        (f"{path}:{node.lineno}", node.value)
        for path, tree in parsed(*RUNTIME)
        for node in ast.walk(tree)
        if path != "contracts/topics.py" and isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    assert not [(place, text) for place, text in texts if TOPIC_NAME.match(text)]


IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_every_module_is_importable() -> None:
    started_by_tools = ("__main__", "env")  # python -m …, and alembic's own entry
    names = [name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in sources(*RUNTIME)]
    wanted = [name for name in names if name.rsplit(".", 1)[-1] not in started_by_tools]
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL, *wanted], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- tree, documents, tools -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_the_top_level_is_complete(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("name", TEST_FOLDERS)
def test_each_kind_of_test_has_its_folder(name: str) -> None:
    assert any((ROOT / "tests" / name).rglob("*.py"))


def test_decision_records_have_the_agreed_sections() -> None:
    records = [*sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")), ROOT / "docs" / "adr" / "template.md"]
    sections = {path.name: re.findall(r"^#{2,3} (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE) for path in records}
    assert len(records) > 1
    assert not {name: found for name, found in sections.items() if found != ADR_SECTIONS}


def test_the_first_decision_is_ports_and_adapters_and_accepted() -> None:
    text = (ROOT / "docs" / "adr" / "0001-ports-and-adapters.md").read_text(encoding="utf-8")
    assert re.search(r"## Status\n\nAccepted", text)


def test_types_are_strict_and_complexity_stays_below_ten() -> None:
    tool = project()["tool"]
    assert isinstance(tool, dict)
    assert tool["mypy"]["strict"] is True
    assert tool["mypy"]["files"] == [*RUNTIME, CLIENT]
    assert "pydantic.mypy" in tool["mypy"]["plugins"]
    assert tool["ruff"]["lint"]["mccabe"]["max-complexity"] < 10
    assert "C90" in tool["ruff"]["lint"]["select"]


def test_the_coverage_gate_is_ninety_eight_percent_of_the_pure_core_and_all_is_counted_on_demand() -> None:
    tool = project()["tool"]
    assert isinstance(tool, dict)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--include='$(GATE)' --fail-under=98" in makefile
    (gate,) = (line.partition(":=")[2].strip().split(",") for line in makefile.splitlines() if line.startswith("GATE "))
    assert {"contracts/**/*", *(f"services/*/{part}" for part in ("domain.py", "policies.py", "handlers.py", "handlers/*"))} <= set(gate)
    assert all(any(ROOT.glob(pattern)) for pattern in gate)
    assert 'coverage run -m pytest -n 2 --dist loadfile -m "not alone" $(CORE)' in makefile
    assert "subprocess" in tool["coverage"]["run"]["patch"]  # the workers' processes, for `agentmesh dev test`
    assert tool["coverage"]["run"]["sigterm"] is True


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    script = ROOT / ".ci" / "run"
    lines = [line for line in script.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "set -euo pipefail"
    assert lines[-1].startswith("exec make test")
    assert script.stat().st_mode & stat.S_IXUSR or os.name == "nt"
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


# --- dependencies -----------------------------------------------------------------------------------------------------


def test_the_given_packages_are_declared() -> None:
    table = project()["project"]
    assert isinstance(table, dict)
    extras = [text for texts in table["optional-dependencies"].values() for text in texts]
    assert {*PACKAGES, *MORE_PACKAGES} <= declared(table["dependencies"] + extras)


def test_lock_files_pin_everything_that_is_declared() -> None:
    table = project()["project"]
    assert isinstance(table, dict)
    extras = table["optional-dependencies"]
    assert declared(table["dependencies"] + extras["local"] + extras["dev"]) <= set(pins("requirements.lock"))
    runtime = pins("requirements-runtime.lock")
    assert declared(table["dependencies"]) <= set(runtime)
    assert runtime.items() <= pins("requirements.lock").items(), "both locks name the same versions: make lock"


@pytest.mark.parametrize("lock", LOCK_FILES)
def test_every_locked_package_has_hashes(lock: str) -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text(encoding="utf-8"))
    packages = [block for block in blocks if not block.startswith("#")]
    assert packages
    assert not [block.split(" ")[0] for block in packages if "==" not in block.split(" ")[0] or "--hash=sha256:" not in block]


@pytest.mark.parametrize("lock", LOCK_FILES)
def test_lock_files_name_no_host_and_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.findall(r"://|--(?:extra-)?index-url|--find-links|--trusted-host|^-[if] ", text, flags=re.MULTILINE)


# --- nothing of one machine -------------------------------------------------------------------------------------------


def test_no_tracked_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    texts = ((name_of(path), path.read_text(encoding="utf-8", errors="replace")) for path in tracked_files())
    found = {name: traces for name, text in texts if (traces := machine_traces(text))}
    assert not found


def test_planted_traces_of_a_machine_are_caught() -> None:
    slash = "/"
    planted = [
        f"cd {slash}" + "ro" + "ot/x",
        f'"{slash}' + "ho" + 'me/me/x"',
        "https:" + "//py" + "pi.org/simple",
        "docker" + ".io/x",
    ]
    assert all(machine_traces(text) for text in planted)
    assert not machine_traces("agentmesh" + slash + "wo" + "rk/topics and $HOME" + slash + "wo" + "rk/x")


def test_tests_speak_of_the_agreed_tenant() -> None:
    named = {
        (name_of(path), tenant)
        for path in sources("tests")
        if "benchmarks" not in path.parts
        for tenant in re.findall(r"^TENANT\b[^=\n]*=[^\"\n]*\"([a-z][a-z-]*)\"", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) >= 4
    assert {tenant for _, tenant in named} == {"test-tenant"}, named
