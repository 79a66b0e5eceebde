"""Where `up` serves the API: ports that stay, a key that development makes once and nobody else, and what endpoints.json says."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from infra.local_stack import Endpoints, read_endpoints, write_endpoints
from infra.settings import MeshSettings
from services.cli.gateway_place import gateway_url, gateway_variables, key_variables, note_gateway

KEYS = ("JWT_SECRET_KEY", "JWT_SECRET_KEY_FILE", "AGENTMESH_GATEWAY_PORT", "AGENTMESH_GATEWAY_BASE_URL")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MeshSettings:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    return MeshSettings(home=tmp_path, environment="development")


def test_a_port_is_kept_and_each_replica_has_its_own(settings: MeshSettings) -> None:
    first, second = (gateway_variables(settings, name) for name in ("gateway-1", "gateway-2"))
    assert first["AGENTMESH_GATEWAY_PORT"] != second["AGENTMESH_GATEWAY_PORT"]
    assert gateway_variables(settings, "gateway-1") == first
    assert gateway_url(first) == f"http://127.0.0.1:{first['AGENTMESH_GATEWAY_PORT']}"


def test_a_port_that_is_set_is_that_of_the_first_replica(settings: MeshSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_GATEWAY_PORT", "18080")
    monkeypatch.setenv("AGENTMESH_GATEWAY_BASE_URL", "https://mesh.example")
    first = gateway_variables(settings, "gateway-1")
    assert first["AGENTMESH_GATEWAY_PORT"] == "18080"
    assert gateway_variables(settings, "gateway-2")["AGENTMESH_GATEWAY_PORT"] != "18080"
    assert gateway_url(first) == "https://mesh.example"


def test_development_makes_a_key_once_that_its_owner_alone_reads(settings: MeshSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(key_variables(settings)["JWT_SECRET_KEY_FILE"])
    key = path.read_text()
    assert len(key.strip()) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_variables(settings) == {"JWT_SECRET_KEY_FILE": str(path)}
    assert path.read_text() == key
    assert key_variables(settings.model_copy(update={"environment": "production"})) == {}
    monkeypatch.setenv("JWT_SECRET_KEY", "a-key-of-ones-own-that-is-long-enough")
    assert key_variables(settings) == {}


def test_the_endpoints_say_where_the_api_is_while_it_is_there(settings: MeshSettings) -> None:
    note_gateway(settings, "http://127.0.0.1:1")
    assert read_endpoints(settings.state_dir) is None
    write_endpoints(settings.state_dir, Endpoints("kafka:1", "postgresql://a/b", "redis://c"))
    for url in ("http://127.0.0.1:1", None):
        note_gateway(settings, url)
        found = read_endpoints(settings.state_dir)
        assert found is not None
        assert found.gateway_url == url
