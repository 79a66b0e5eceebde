"""Who acts for the whole mesh over HTTP: a principal in, whether what belongs to no tenant is its to change out; asked by such routes."""

from __future__ import annotations

from dataclasses import dataclass

from infra.identity.base import Principal

# Where one person is everybody, an admin is the operator too.
OPEN_IN = ("development", "test")


@dataclass(frozen=True, slots=True)
class Operators:
    """An admin is one of a tenant; what all tenants share is for the admins of the tenants that run the mesh."""

    tenants: tuple[str, ...] = ()
    environment: str = ""

    def include(self, principal: Principal) -> bool:
        """Whether the caller's tenant runs the mesh. Its permission is asked for apart from this."""
        return principal.tenant_id in self.tenants if self.tenants else self.environment in OPEN_IN
