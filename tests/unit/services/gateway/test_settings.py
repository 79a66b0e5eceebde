"""The gateway's settings: defaults, variables, and one line that names what is wrong."""

from __future__ import annotations

import os

import pytest

from infra.errors import ConfigurationError
from services.gateway.settings import GatewaySettings
from services.gateway.worker import own_settings


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AGENTMESH_GATEWAY_")]:
        monkeypatch.delenv(name)


def test_the_defaults_are_those_of_the_requirements() -> None:
    settings = own_settings()
    assert settings.wait_seconds == 1.0
    assert settings.body_limit_bytes == 256 * 1024
    assert settings.url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(("host", "url"), [("::1", "http://[::1]:80"), ("localhost", "http://localhost:80")])
def test_links_begin_with_host_and_port_where_no_url_is_set(host: str, url: str) -> None:
    assert GatewaySettings(host=host, port=80).url == url
    assert GatewaySettings(base_url="https://mesh.example/").url == "https://mesh.example"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PORT": "hunter2"}, "AGENTMESH_GATEWAY_PORT"),
        ({"PORT": "0"}, "AGENTMESH_GATEWAY_BASE_URL must be set where AGENTMESH_GATEWAY_PORT is 0"),
        ({"BASE_URL": "ftp://hunter2"}, "AGENTMESH_GATEWAY_BASE_URL"),
        ({"BASE_URL": "https://me:hunter2@mesh.example"}, "without user"),
        ({"REQUEST_TIMEOUT_SECONDS": "10"}, "AGENTMESH_GATEWAY_REQUEST_TIMEOUT_SECONDS must be above"),
        ({"CORS_ORIGINS": "*", "CORS_CREDENTIALS": "true"}, "AGENTMESH_GATEWAY_CORS_ORIGINS must name each origin"),
        ({"CORS_ORIGINS": "https://hunter2.example/path"}, "AGENTMESH_GATEWAY_CORS_ORIGINS"),
        ({"CORS_ORIGINS": "https://*.example"}, "AGENTMESH_GATEWAY_CORS_ORIGINS"),
        ({"CORS_ORIGINS": "null"}, "AGENTMESH_GATEWAY_CORS_ORIGINS"),
        ({"CORS_ORIGINS": "https://Desk.example"}, "host in small letters"),
        ({"TLS_KEY_FILE": "/hunter2.pem"}, "AGENTMESH_GATEWAY_TLS_KEY_FILE must be set together"),
        ({"BODY_LIMIT_BYTES": "99999999"}, "AGENTMESH_GATEWAY_BODY_LIMIT_BYTES"),
    ],
)
def test_a_fault_names_its_variable_and_not_the_value(variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"AGENTMESH_GATEWAY_{name}", value)
    with pytest.raises(ConfigurationError, match=said) as refused:
        own_settings()
    assert "hunter2" not in str(refused.value)
