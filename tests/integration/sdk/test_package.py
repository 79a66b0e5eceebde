"""The client as others get it: a wheel that works without this repository, and a README whose example works."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from infra.identity.accounts_postgres import PostgresAccounts
from infra.identity.administration import AccountAdministration, new_account
from infra.identity.passwords import SecretHasher
from tests.conformance.accounts import PASSWORD
from tests.integration.gateway.conftest import ROOT, serve
from tests.mesh import TENANT, Mesh

SOURCE = ROOT / "sdk" / "python"
README = (SOURCE / "README.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.integration


def run(*arguments: str, cwd: Path, **variables: str) -> str:
    found = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=120
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel was installed in."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    run("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "./source", "-w", "dist", cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    run("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", "target", str(wheel), cwd=folder)
    with zipfile.ZipFile(wheel) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"agentmesh_client", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    return folder / "target"


def test_the_wheel_is_typed_and_works_without_this_repository(installed: Path) -> None:
    assert (installed / "agentmesh_client" / "py.typed").is_file()
    metadata = next(installed.glob("*.dist-info")).joinpath("METADATA").read_text(encoding="utf-8")
    assert re.findall(r"^Requires-Dist: (\w+)", metadata, re.MULTILINE) == ["httpx2", "pydantic"]
    program = """
import sys
sys.path[:] = [each for each in sys.path if "python3" in each or each.endswith(".zip")] + sys.argv[1:]
import agentmesh_client
from agentmesh_client import AgentMesh, AsyncAgentMesh
AgentMesh("https://mesh.example", token="t").close()
ours = [name for name in sys.modules if name.split(".")[0] in ("contracts", "services", "projections", "infra", "tests")]
print(agentmesh_client.__file__, ours)
"""
    # -S: no editable installation of this repository is on the path.
    told = run("-I", "-S", "-c", program, str(installed), sysconfig.get_path("purelib"), cwd=installed)
    assert told.split() == [str(installed / "agentmesh_client" / "__init__.py"), "[]"]


async def test_the_example_of_the_readme_works(mesh: Mesh, installed: Path, tmp_path: Path) -> None:
    await mesh.start_all()
    url = (await serve(mesh))._own.url
    accounts = AccountAdministration(PostgresAccounts(mesh.database), SecretHasher())
    await accounts.add_user(new_account(TENANT, "ann", "admin", None), PASSWORD, "tester")
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    variables = {"AGENTMESH_URL": url, "AGENTMESH_LOGIN": f"ann@{TENANT}", "AGENTMESH_PASSWORD": PASSWORD, "PYTHONPATH": str(installed)}
    lines = (await asyncio.to_thread(run, "example.py", cwd=tmp_path, **variables)).splitlines()
    request_id, status = lines[0].split()
    assert status == "pending"
    assert lines[1:] == [f"{request_id} 3", f"agentmesh.requests.RequestCreated.v1 {request_id} requests:1"]
