"""A program in another language publishes a command and reads the event; it knows the wire contract and nothing of our code."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from pathlib import Path

import pytest

from infra.settings import MeshSettings
from tests.conftest import TEST_ROOT
from tests.mesh import Mesh, new_id

HERE = Path(__file__).parent
INSTALL_SECONDS = 120

pytestmark = [
    pytest.mark.integration,
    pytest.mark.node,
    pytest.mark.timeout(INSTALL_SECONDS + 60),
    pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("npm")), reason="node and npm are missing; with apt: apt-get install nodejs npm"
    ),
]


async def run(*command: str, folder: Path, seconds: float) -> str:
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(seconds):
            out, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def installed() -> Path:
    """The folder with the client and its installed package; kept between runs."""
    folder = TEST_ROOT / "node-client"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "client.mjs"):
        shutil.copy(HERE / name, folder / name)
    if not (folder / "node_modules" / "kafkajs").is_dir():
        await run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", folder=folder, seconds=INSTALL_SECONDS)
    return folder


async def test_a_node_program_publishes_a_command_and_reads_the_event(mesh_settings: MeshSettings) -> None:
    folder = await installed()
    request_id, command_id = new_id(), str(uuid.uuid4())
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay())
        out = await run(
            "node",
            "client.mjs",
            mesh_settings.kafka_bootstrap,
            mesh_settings.topic_prefix,
            request_id,
            command_id,
            folder=folder,
            seconds=45,
        )
    event = json.loads(out)
    assert event["key"] == request_id
    assert event["value"]["message"] == "My invoice of May is wrong"
    assert event["value"]["priority"] == 2
    headers = event["headers"]
    assert headers["ce_type"] == "agentmesh.requests.RequestCreated.v1"
    assert headers["ce_subject"] == request_id
    assert headers["ce_sequence"] == "1".zfill(20)
    assert headers["ce_causationid"] == command_id
    assert headers["ce_correlationid"] == command_id
    assert headers["ce_tenantid"] == "acme"
    assert headers["ce_authtype"] == "unknown"
