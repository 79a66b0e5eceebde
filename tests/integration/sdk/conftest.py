"""The gateway of tests/integration/gateway and what it needs, for the client."""

from tests.integration.gateway.conftest import _key, mesh, spawn

__all__ = ["_key", "mesh", "spawn"]
